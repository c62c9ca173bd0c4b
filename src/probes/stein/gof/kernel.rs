//! Radial kernels and the Stein kernel made of them (Liu, Lee & Jordan 2016; Chwialkowski, Strathmann & Gretton 2016).

use serde::{Deserialize, Serialize};

use super::estimate::{Statistic, estimate};
use super::points::{PointSet, distance, dot};
use super::size;
use crate::config::rule;
use crate::{Error, Result, rng::Key};

/// The shape of a kernel k(x, y) = g(|x - y|²/σ²), g(0) = 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Radial {
    /// exp(-u/2).
    Rbf,
    /// (1 + u)^β, the inverse multiquadric for -1 < β < 0: its tests detect non-convergence in any dimension (Gorham &
    /// Mackey 2017). (σ² + r²)^β but for the factor σ^2β, which changes no decision.
    Imq,
}

/// How σ is found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected \"median\", \"learned\" or a number")]
pub enum Bandwidth {
    /// From the items.
    Rule(Rule),
    /// Given.
    Fixed(f64),
}

/// A bandwidth that follows the items.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The median distance between items.
    Median,
    /// The best of a grid around the median, on items that the test then leaves out.
    Learned,
}

/// A bandwidth that is given must be positive.
fn bandwidth(value: &Bandwidth) -> rule::Complaint {
    match value {
        Bandwidth::Fixed(sigma) => rule::positive(sigma),
        Bandwidth::Rule(_) => None,
    }
}

/// `-1 < beta < 0`.
pub(super) fn beta(value: &f64) -> rule::Complaint {
    (!(*value > -1.0 && *value < 0.0)).then(|| format!("must be between -1 and 0, got {value}"))
}

/// A kernel with its width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SteinKernel {
    /// g.
    pub radial: Radial,
    /// β of the inverse multiquadric.
    pub beta: f64,
    /// σ².
    pub scale: f64,
}

impl SteinKernel {
    /// (k, k', k'') as functions of r² = |x - y|².
    pub fn jet(&self, square: f64) -> [f64; 3] {
        let u = square / self.scale;
        let [g, slope, bend] = match self.radial {
            Radial::Rbf => {
                let g = (-0.5 * u).exp();
                [g, -0.5 * g, 0.25 * g]
            }
            Radial::Imq => {
                let (b, base) = (self.beta, 1.0 + u);
                let g = base.powf(b);
                [g, b * g / base, b * (b - 1.0) * g / (base * base)]
            }
        };
        [g, slope / self.scale, bend / (self.scale * self.scale)]
    }

    /// The Stein kernel h(x, y) = k s_x·s_y + s_x·∇_y k + s_y·∇_x k + tr ∇_x∇_y k from r² = |x - y|², s_x·s_y and
    /// (s_x - s_y)·(x - y), in d dimensions: with derivatives in r², k s_x·s_y - 2k'(s_x - s_y)·(x - y) - 2dk' -
    /// 4r²k''.
    pub fn stein(&self, d: usize, square: f64, scores: f64, mixed: f64) -> f64 {
        let [k, slope, bend] = self.jet(square);
        k * scores - 2.0 * slope * (mixed + d as f64) - 4.0 * square * bend
    }

    /// h for one pair of items with their scores.
    pub fn stein_pair(&self, [x, sx]: [&[f64]; 2], [y, sy]: [&[f64]; 2]) -> f64 {
        let mixed: f64 = sx.iter().zip(sy).zip(x.iter().zip(y)).map(|((sx, sy), (x, y))| (sx - sy) * (x - y)).sum();
        self.stein(x.len(), distance(x, y), dot(sx, sy), mixed)
    }

    /// h for all pairs, `[n, n]`, symmetric; three matrix products, no n × n × d memory.
    ///
    /// # Errors
    /// Too many points for memory.
    pub fn stein_matrix(&self, points: &PointSet) -> Result<Vec<f64>> {
        let (n, d) = (points.len(), points.dim());
        let [xx, ss, sx] = points.products()?;
        let diagonal = |m: &[f64]| -> Vec<f64> { m.iter().step_by(n + 1).copied().collect() };
        let (norms, own) = (diagonal(&xx), diagonal(&sx));
        let mut h = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let (at, mirror) = (i * n + j, j * n + i);
                // Rounding may leave a distance just below 0.
                let square = if i == j { 0.0 } else { (norms[i] + norms[j] - 2.0 * xx[at]).max(0.0) };
                let value = self.stein(d, square, ss[at], own[i] + own[j] - sx[at] - sx[mirror]);
                h[at] = value;
                h[mirror] = value;
            }
        }
        Ok(h)
    }
}

/// Which bandwidth is best, where it is learned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// The largest estimate over its standard error: the power of the test.
    Power,
    /// The largest estimate, as Grathwohl et al. 2020 rank models.
    Value,
}

crate::config! {
    /// How a kernel test chooses its kernel.
    pub struct KernelConfig {
        /// rbf: exp(-r²/2σ²); imq: (1 + r²/σ²)^beta.
        kernel: Radial = Radial::Rbf;
        /// Exponent of imq.
        beta: f64 = -0.5, beta;
        /// σ: "median" (distance between items), "learned" (on a share of the items, which the test leaves out) or a
        /// number.
        bandwidth: Bandwidth = Bandwidth::Rule(Rule::Median), bandwidth;
        /// Share of the items that a learned bandwidth is chosen on.
        learn: f64 = 0.2, size;
        /// What a learned bandwidth maximises: power (estimate over standard error) or value (the estimate).
        criterion: Criterion = Criterion::Power;
    }
}

impl KernelConfig {
    /// The kernel, and the points left to test with: all of them unless some were learned from.
    ///
    /// # Errors
    /// Points that coincide, so that no distance gives a scale.
    pub(super) fn choose(&self, points: PointSet, key: Key) -> Result<(SteinKernel, PointSet)> {
        let with = |sigma: f64| SteinKernel { radial: self.kernel, beta: self.beta, scale: sigma * sigma };
        match self.bandwidth {
            Bandwidth::Fixed(sigma) => Ok((with(sigma), points)),
            Bandwidth::Rule(Rule::Median) => Ok((with(spread(&points)?), points)),
            Bandwidth::Rule(Rule::Learned) => {
                let [learn, test] = points.divide(self.learn, key)?;
                let median = spread(&learn)?;
                let mut best = (f64::NEG_INFINITY, with(median));
                // Half-octaves from median/2 to 8·median. Narrower kernels leave most pairs without weight; the few
                // that have any make the linear test's normal null wrong, and under the null it is noise that picks
                // them.
                for step in -2..=6 {
                    let kernel = with(median * 2f64.powf(0.5 * f64::from(step)));
                    let score = self.score(&kernel, &learn)?;
                    if score > best.0 {
                        best = (score, kernel);
                    }
                }
                Ok((best.1, test))
            }
        }
    }

    fn score(&self, kernel: &SteinKernel, learn: &PointSet) -> Result<f64> {
        let (value, std_error) = estimate(&kernel.stein_matrix(learn)?, learn.len(), Statistic::U);
        Ok(match self.criterion {
            Criterion::Value => value,
            Criterion::Power => value / (std_error + 1e-6 * value.abs() + f64::MIN_POSITIVE),
        })
    }
}

/// The median distance, which must not be 0.
pub(super) fn spread(points: &PointSet) -> Result<f64> {
    match points.median_distance() {
        median if median > 0.0 => Ok(median),
        _ => Err(Error::config("half of the items coincide, so their median distance is no bandwidth")
            .at("bandwidth")
            .hint("give a number, such as `bandwidth = 1.0`")),
    }
}
