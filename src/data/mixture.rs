//! Equal mixtures of isotropic Gaussians in the plane, whose density is known.

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::{Bounds, Generator, Modes};
use crate::math::logsumexp;

/// p(x) = 1/K Σ_k N(x; c_k, σ² I).
pub(super) struct Mixture {
    pub centres: Vec<[f64; 2]>,
    pub std: f64,
}

impl Generator for Mixture {
    fn dim(&self) -> usize {
        2
    }

    fn draw(&self, rng: &mut ChaCha8Rng, point: &mut [f64]) {
        let k = rng.random_range(0..self.centres.len());
        for (x, c) in point.iter_mut().zip(self.centres[k]) {
            *x = c + self.std * rng.sample::<f64, _>(StandardNormal);
        }
    }

    fn bounds(&self) -> Bounds {
        let reach = self.centres.iter().flatten().fold(0.0, |m: f64, c| m.max(c.abs())) + 6.0 * self.std;
        vec![[-reach, reach]; 2]
    }

    fn log_density(&self, x: &[f64]) -> Option<f64> {
        let norm = (2.0 * std::f64::consts::PI * self.std * self.std * self.centres.len() as f64).ln();
        Some(logsumexp(&self.exponents(x)) - norm)
    }

    fn modes(&self) -> Option<Modes> {
        Some(Modes { centres: self.centres.iter().map(|c| c.to_vec()).collect(), std: self.std })
    }

    /// The centres as x sees them: Σ_k w_k (c_k - x)/σ², w_k the share of the k-th Gaussian at x.
    fn score(&self, x: &[f64]) -> Option<Vec<f64>> {
        let exponents = self.exponents(x);
        let total = logsumexp(&exponents);
        let mut score = vec![0.0; x.len()];
        for (centre, exponent) in self.centres.iter().zip(exponents) {
            let share = (exponent - total).exp() / (self.std * self.std);
            score.iter_mut().zip(centre.iter().zip(x)).for_each(|(s, (c, x))| *s += share * (c - x));
        }
        Some(score)
    }
}

impl Mixture {
    /// -|x - c_k|²/2σ² of every Gaussian.
    fn exponents(&self, x: &[f64]) -> Vec<f64> {
        let square = |c: &[f64; 2]| x.iter().zip(c).map(|(x, c)| (x - c).powi(2)).sum::<f64>();
        self.centres.iter().map(|c| -square(c) / (2.0 * self.std * self.std)).collect()
    }
}
