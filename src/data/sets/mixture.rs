//! Mixtures of Gaussians that differ in their means alone, whose density is known.

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::config::{Schema, decode, rule};
use crate::data::keys::Points;
use crate::data::row::{DatasetRow, Origin};
use crate::data::source::{Bounds, Modes, PointGenerator, Source};
use crate::math::logsumexp;
use crate::{Error, Result};

crate::config! {
    /// Keys of `mixture`.
    pub struct MixtureConfig {
        /// Number of coordinates.
        dim: usize = 2, rule::at_least(1);
        /// Weight of each mode; divided by their sum.
        weights: Vec<f64> = vec![0.1, 0.2, 0.3, 0.4], some_weights;
        /// Means are ±`offset` in every coordinate: coordinates fall into as many blocks as the number of a mode has
        /// bits, and a block's sign is its bit. Four modes in the plane are the corners of a square.
        offset: f64 = 3.0, rule::positive;
        /// Means in the place of those: a list for each mode, coordinates left out being 0. Empty: by `offset`.
        centres: Vec<Vec<f64>> = Vec::new();
        /// Standard deviation of each coordinate around its mean.
        std: f64 = 0.7, rule::positive;
    }
}

/// `mixture`.
pub(crate) const MIXTURE: DatasetRow = DatasetRow {
    name: "mixture",
    about: "Gaussians of unequal weights in any dimension, by default .1/.2/.3/.4 at (±3, ±3); density known",
    cite: "four modes at ± an offset in each half of the coordinates: Grenioux, Moulines & Gabrié 2023; arXiv \
           2302.04763",
    schema: Schema::of::<(MixtureConfig, Points)>(),
    origin: Origin::Generated,
    pictures: false,
    example: "",
    build: |table| Ok(Source::Points(Box::new(Mixture::of(decode(table)?)?))),
};

#[allow(clippy::ptr_arg)] // A rule takes the type of its key.
fn some_weights(v: &Vec<f64>) -> rule::Complaint {
    let fine = !v.is_empty() && v.len() <= 1000;
    if fine { v.iter().find_map(rule::positive) } else { Some(format!("must be 1 to 1000 numbers, got {}", v.len())) }
}

/// p(x) = Σ_k w_k N(x; c_k, diag(s²)).
#[derive(Clone)]
pub(crate) struct Mixture {
    centres: Vec<Vec<f64>>,
    /// Sum to 1.
    weights: Vec<f64>,
    /// s, one for each coordinate.
    stds: Vec<f64>,
}

impl Mixture {
    /// Modes of these means, as likely as `weights` is to their sum, isotropic.
    pub fn new(centres: Vec<Vec<f64>>, weights: &[f64], std: f64) -> Self {
        let total: f64 = weights.iter().sum();
        let stds = vec![std; centres.first().map_or(0, Vec::len)];
        Mixture { centres, weights: weights.iter().map(|w| w / total).collect(), stds }
    }

    /// All modes equally likely.
    pub fn equal(centres: Vec<Vec<f64>>, std: f64) -> Self {
        let weights = vec![1.0 / centres.len() as f64; centres.len()];
        Mixture { weights, ..Self::new(centres, &[], std) }
    }

    /// The same with mean 0 and variance 1 in every coordinate.
    pub fn standardised(self) -> Self {
        let parts = || self.centres.iter().zip(&self.weights);
        let moments = |(i, std): (usize, &f64)| {
            let mean: f64 = parts().map(|(c, w)| w * c[i]).sum();
            let between: f64 = parts().map(|(c, w)| w * (c[i] - mean).powi(2)).sum();
            (mean, (std * std + between).sqrt())
        };
        let moments: Vec<(f64, f64)> = self.stds.iter().enumerate().map(moments).collect();
        let carried = |c: &Vec<f64>| c.iter().zip(&moments).map(|(c, (mean, scale))| (c - mean) / scale).collect();
        let centres = self.centres.iter().map(carried).collect();
        let stds = self.stds.iter().zip(&moments).map(|(std, (_, scale))| std / scale).collect();
        Mixture { centres, weights: self.weights, stds }
    }

    /// # Errors
    /// Means of another number than the weights, or with more coordinates than there are.
    fn of(config: MixtureConfig) -> Result<Self> {
        let MixtureConfig { dim, weights, offset, mut centres, std } = config;
        if centres.is_empty() {
            centres = (0..weights.len()).map(|k| corner(k, weights.len(), dim, offset)).collect();
            if centres.iter().enumerate().any(|(k, c)| centres.iter().skip(k + 1).any(|other| other == c)) {
                return Err(Error::config(format!(
                    "{} modes do not fit into the corners of {dim} coordinates",
                    weights.len()
                ))
                .at("weights")
                .hint("give their means as `dataset.centres`"));
            }
        }
        if centres.len() != weights.len() || centres.iter().any(|c| c.len() > dim) {
            return Err(Error::config(format!(
                "`dataset.centres` has {} means, the longest of {} coordinates, for {} weights in {dim} coordinates",
                centres.len(),
                centres.iter().map(Vec::len).max().unwrap_or(0),
                weights.len()
            ))
            .at("centres")
            .hint("give one mean for each of `dataset.weights`, of at most `dataset.dim` numbers"));
        }
        centres.iter_mut().for_each(|c| c.resize(dim, 0.0));
        Ok(Mixture::new(centres, &weights, std))
    }

    /// log w_k - Σ (x - c_k)²/2s² of every Gaussian.
    fn exponents(&self, x: &[f64]) -> Vec<f64> {
        let of = |(c, w): (&Vec<f64>, &f64)| {
            let square: f64 = x.iter().zip(c).zip(&self.stds).map(|((x, c), std)| ((x - c) / std).powi(2)).sum();
            w.ln() - 0.5 * square
        };
        self.centres.iter().zip(&self.weights).map(of).collect()
    }

    /// The mode that the point u of [0, 1) falls to.
    fn mode(&self, u: f64) -> usize {
        let mut left = u;
        let last = self.weights.len().saturating_sub(1);
        let falls = |w: &f64| {
            left -= w;
            left < 0.0
        };
        self.weights.iter().position(falls).unwrap_or(last)
    }
}

/// Coordinate i of mode k: +offset where the bit of its block is set, else -offset.
fn corner(k: usize, modes: usize, dim: usize, offset: f64) -> Vec<f64> {
    let bits = (usize::BITS - modes.saturating_sub(1).leading_zeros()).max(1) as usize;
    let block = |i: usize| i * bits / dim.max(1);
    (0..dim).map(|i| if k >> block(i) & 1 == 1 { offset } else { -offset }).collect()
}

impl PointGenerator for Mixture {
    fn dim(&self) -> usize {
        self.centres.first().map_or(0, Vec::len)
    }

    fn draw(&self, rng: &mut ChaCha8Rng, point: &mut [f64]) {
        let equal = self.weights.windows(2).all(|pair| pair[0] == pair[1]);
        let k = if equal { rng.random_range(0..self.centres.len()) } else { self.mode(rng.random()) };
        for ((x, c), std) in point.iter_mut().zip(&self.centres[k]).zip(&self.stds) {
            *x = c + std * rng.sample::<f64, _>(StandardNormal);
        }
    }

    fn bounds(&self) -> Bounds {
        let largest = |values: &mut dyn Iterator<Item = &f64>| values.fold(0.0, |m: f64, v| m.max(v.abs()));
        let reach = largest(&mut self.centres.iter().flatten()) + 6.0 * largest(&mut self.stds.iter());
        vec![[-reach, reach]; self.dim()]
    }

    fn log_density(&self, x: &[f64]) -> Option<f64> {
        let norm: f64 = self.stds.iter().map(|std| 0.5 * (std::f64::consts::TAU * std * std).ln()).sum();
        Some(logsumexp(&self.exponents(x)) - norm)
    }

    fn modes(&self) -> Option<Modes> {
        let Mixture { centres, weights, stds } = self.clone();
        Some(Modes::new(centres, weights, &stds))
    }

    fn blurred(&self, sigma: f64) -> Option<Box<dyn PointGenerator>> {
        let stds = self.stds.iter().map(|std| std.hypot(sigma)).collect();
        Some(Box::new(Mixture { stds, ..self.clone() }))
    }

    /// The centres as x sees them: Σ_k w_k (c_k - x)/s², w_k the share of the k-th Gaussian at x.
    fn score(&self, x: &[f64]) -> Option<Vec<f64>> {
        let exponents = self.exponents(x);
        let total = logsumexp(&exponents);
        let mut score = vec![0.0; x.len()];
        for (centre, exponent) in self.centres.iter().zip(exponents) {
            let share = (exponent - total).exp();
            let pull = centre.iter().zip(x).zip(&self.stds).map(|((c, x), std)| (c - x) / (std * std));
            score.iter_mut().zip(pull).for_each(|(s, pull)| *s += share * pull);
        }
        Some(score)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Key;

    #[test]
    fn corners_are_those_of_a_square_and_half_blocks_in_higher_dimension() {
        let square = Mixture::of(MixtureConfig::default()).unwrap();
        assert_eq!(square.centres, [[-3.0, -3.0], [3.0, -3.0], [-3.0, 3.0], [3.0, 3.0]]);
        let blocks = Mixture::of(MixtureConfig { dim: 4, offset: 1.0, ..MixtureConfig::default() }).unwrap();
        assert_eq!(blocks.centres[1], [1.0, 1.0, -1.0, -1.0]);
        let two = Mixture::of(MixtureConfig { dim: 3, weights: vec![1.0, 3.0], ..MixtureConfig::default() }).unwrap();
        assert_eq!((two.centres[1].as_slice(), two.weights.as_slice()), ([3.0; 3].as_slice(), [0.25, 0.75].as_slice()));
        let line =
            MixtureConfig { dim: 50, weights: vec![0.25, 0.75], centres: vec![vec![-10.0], vec![6.0]], ..two_modes() };
        assert_eq!(Mixture::of(line).unwrap().centres[1][..3], [6.0, 0.0, 0.0]);
    }

    fn two_modes() -> MixtureConfig {
        MixtureConfig { weights: vec![0.25, 0.75], ..MixtureConfig::default() }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |config| matches!(Mixture::of(config), Err(Error::Config(_)));
        assert!(refused(MixtureConfig { dim: 1, ..MixtureConfig::default() }));
        assert!(refused(MixtureConfig { centres: vec![vec![1.0]], ..two_modes() }));
        assert!(refused(MixtureConfig { centres: vec![vec![1.0; 3], vec![0.0]], ..two_modes() }));
        assert!(some_weights(&vec![]).is_some() && some_weights(&vec![1.0, 0.0]).is_some());
    }

    #[test]
    fn draws_have_the_weights_and_the_density_integrates_to_one() {
        let mixture = Mixture::of(MixtureConfig::default()).unwrap();
        let modes = mixture.modes().unwrap();
        let (mut rng, n) = (Key::new(3).rng(), 20_000);
        let mut counts = [0.0; 4];
        let mut x = [0.0; 2];
        for _ in 0..n {
            mixture.draw(&mut rng, &mut x);
            counts[modes.nearest(&x).0] += 1.0;
        }
        for (count, p) in counts.iter().zip(&mixture.weights) {
            let z = (count / n as f64 - p) / (p * (1.0 - p) / n as f64).sqrt();
            assert!(z.abs() < 4.0, "z = {z}");
        }
        let (side, h) = (160, 0.1);
        let at = |i: usize| (i as f64 + 0.5 - side as f64 / 2.0) * h;
        let cells = (0..side * side).map(|k| mixture.log_density(&[at(k / side), at(k % side)]).unwrap().exp());
        assert!((cells.sum::<f64>() * h * h - 1.0).abs() < 1e-9);
    }
}
