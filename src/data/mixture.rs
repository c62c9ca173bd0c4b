//! Equal mixtures of isotropic Gaussians in the plane, whose density is known.

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::{Bounds, Generator};

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
        let var = self.std * self.std;
        let logs: Vec<f64> = self
            .centres
            .iter()
            .map(|c| -x.iter().zip(c).map(|(x, c)| (x - c).powi(2)).sum::<f64>() / (2.0 * var))
            .collect();
        let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logs.iter().map(|l| (l - top).exp()).sum();
        let norm = (2.0 * std::f64::consts::PI * var * self.centres.len() as f64).ln();
        Some(top + sum.ln() - norm)
    }
}
