//! The features of the finite-set Stein discrepancy, and the criterion that locations and bandwidth are chosen by.

use super::kernel::SteinKernel;
use super::points::{PointSet, distance, dot};

/// A kernel and J locations v, one after the other.
#[derive(Clone, Debug)]
pub struct Features {
    /// The kernel.
    pub kernel: SteinKernel,
    /// `[J, d]`.
    pub locations: Vec<f64>,
}

/// What FSSD² and its variance are made of, from τ `[n, m]`.
pub struct Moments {
    /// μ, the mean of τ.
    pub mean: Vec<f64>,
    /// FSSD² = n/(n-1) |μ|² - mean |τ|²/(n-1), unbiased (eq. 4).
    pub fssd: f64,
    /// σ² = 4 mean (τ·μ)² - 4|μ|⁴, the variance of √n FSSD² where the model is wrong (proposition 2).
    pub variance: f64,
    /// τᵢ·μ.
    along: Vec<f64>,
}

impl Moments {
    /// Of features τ of n items.
    pub fn of(tau: &[f64], n: usize) -> Self {
        let (m, count) = (tau.len() / n.max(1), n as f64);
        let rows = || tau.chunks_exact(m.max(1));
        let mut mean = vec![0.0; m];
        rows().for_each(|row| mean.iter_mut().zip(row).for_each(|(m, t)| *m += t / count));
        let square = dot(&mean, &mean);
        let own = dot(tau, tau) / count;
        let along: Vec<f64> = rows().map(|row| dot(row, &mean)).collect();
        let fssd = (count * square - own) / (count - 1.0);
        let variance = (4.0 * dot(&along, &along) / count - 4.0 * square * square).max(0.0);
        Moments { mean, fssd, variance, along }
    }

    /// FSSD²/√(σ² + γ), the power for large n (eq. 5).
    fn power(&self) -> f64 {
        self.fssd / (self.variance + GAMMA).sqrt()
    }

    /// The derivative of [`Moments::power`] in τ, of τ's shape. With a = τ·μ, b = mean aτ:
    /// ∂FSSD²/∂τᵢ = 2(μ - τᵢ/n)/(n - 1), ∂σ²/∂τᵢ = 8(aᵢμ + b - 2|μ|²μ)/n.
    fn slopes(&self, tau: &[f64], n: usize) -> Vec<f64> {
        let (m, count) = (self.mean.len(), n as f64);
        let square = dot(&self.mean, &self.mean);
        let width = (self.variance + GAMMA).sqrt();
        let bend = -0.5 * self.fssd / width.powi(3);
        let mut b = vec![0.0; m];
        let rows = || tau.chunks_exact(m.max(1)).zip(&self.along);
        rows().for_each(|(row, a)| b.iter_mut().zip(row).for_each(|(b, t)| *b += a * t / count));
        let slope = |a: f64, t: f64, mu: f64, b: f64| {
            let fssd = 2.0 * (mu - t / count) / (count - 1.0);
            let variance = 8.0 * (a * mu + b - 2.0 * square * mu) / count;
            fssd / width + bend * variance
        };
        let row = |(row, a): (&[f64], &f64)| -> Vec<f64> {
            row.iter().zip(self.mean.iter().zip(&b)).map(|(t, (mu, b))| slope(*a, *t, *mu, *b)).collect()
        };
        rows().flat_map(row).collect()
    }
}

/// γ of kgof: keeps the criterion from rewarding features that vanish.
const GAMMA: f64 = 1e-2;

impl Features {
    fn each(&self, d: usize) -> impl Iterator<Item = &[f64]> {
        self.locations.chunks_exact(d.max(1))
    }

    /// 1/√(dJ).
    fn weight(&self) -> f64 {
        1.0 / (self.locations.len() as f64).sqrt()
    }

    /// τ(x) = ξ(x, v)/√(dJ) for all locations v, ξ(x, v) = s(x) k(x, v) + ∇ₓ k(x, v).
    ///
    /// # Shapes
    /// `[n, J·d]`, row after row.
    pub fn at(&self, points: &PointSet) -> Vec<f64> {
        let (d, weight) = (points.dim(), self.weight());
        let mut tau = Vec::with_capacity(points.len() * self.locations.len());
        for (x, s) in points.items().zip(points.scores()) {
            for v in self.each(d) {
                let [k, slope, _] = self.kernel.jet(distance(x, v));
                tau.extend(x.iter().zip(s).zip(v).map(|((x, s), v)| weight * (s * k + 2.0 * slope * (x - v))));
            }
        }
        tau
    }

    /// FSSD²/√(σ² + γ).
    pub fn criterion(&self, points: &PointSet) -> f64 {
        Moments::of(&self.at(points), points.len()).power()
    }

    /// The criterion with its derivatives in log σ (one number) and in the locations.
    ///
    /// With δ = x - v, r² = |δ|² and g = ∂/∂ξ: ∂/∂v = -2δ(k' g·s + 2k'' g·δ) - 2k' g, and, since k and k' scale as
    /// ∂k/∂ log σ = -2r²k', ∂k'/∂ log σ = -2(k' + r²k''): ∂/∂ log σ = -2r²k' g·s - 4(k' + r²k'') g·δ.
    pub fn criterion_and_slopes(&self, points: &PointSet) -> (f64, [Vec<f64>; 2]) {
        let (d, weight) = (points.dim(), self.weight());
        let tau = self.at(points);
        let moments = Moments::of(&tau, points.len());
        let slopes = moments.slopes(&tau, points.len());
        let mut width = 0.0;
        let mut places = vec![0.0; self.locations.len()];
        let mut pulls = slopes.chunks_exact(d.max(1));
        for (x, s) in points.items().zip(points.scores()) {
            for (v, place) in self.each(d).zip(places.chunks_exact_mut(d.max(1))) {
                let g = pulls.next().unwrap_or_default();
                let square = distance(x, v);
                let [_, slope, bend] = self.kernel.jet(square);
                let (on_score, on_x, on_v) = (dot(g, s), dot(g, x), dot(g, v));
                let on_step = on_x - on_v;
                width -= weight * (2.0 * square * slope * on_score + 4.0 * (slope + square * bend) * on_step);
                let radial = -2.0 * weight * (slope * on_score + 2.0 * bend * on_step);
                let rows = place.iter_mut().zip(x.iter().zip(v)).zip(g);
                rows.for_each(|((place, (x, v)), g)| *place += radial * (x - v) - 2.0 * weight * slope * g);
            }
        }
        (moments.power(), [vec![width], places])
    }
}
