//! The factorised priors of a flow's latent vector.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::ops::{self, Activation, activate};
use crate::{Result, rng::Key};

/// A prior π(z) = Π_d π(z_d) of mean 0 on vectors z `[B, D]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prior {
    /// The standard normal N(0, 1).
    #[default]
    Gaussian,
    /// The standard logistic, of heavier tails and variance π²/3.
    Logistic,
}

impl Prior {
    /// The energy -log π(z) in nats, `[B]`: ½Σz² + (D/2) log 2π, or Σ log(1 + eᶻ) + log(1 + e⁻ᶻ).
    pub fn energy(self, z: &Tensor) -> Result<Tensor> {
        match self {
            Prior::Gaussian => {
                let half_log_2pi = 0.5 * (2.0 * std::f64::consts::PI).ln();
                Ok(ops::dot(z, z)?.affine(0.5, half_log_2pi * z.dim(1)? as f64)?)
            }
            Prior::Logistic => {
                let up = activate(Activation::Softplus, z)?;
                Ok((up + activate(Activation::Softplus, &z.neg()?)?)?.sum(1)?)
            }
        }
    }

    /// The gradient of [`Prior::energy`], `[B, D]`: z, or tanh(z/2).
    pub fn slope(self, z: &Tensor) -> Result<Tensor> {
        match self {
            Prior::Gaussian => Ok(z.clone()),
            Prior::Logistic => activate(Activation::Tanh, &z.affine(0.5, 0.0)?),
        }
    }

    /// The diagonal of the Hessian of [`Prior::energy`], `[B, D]`: 1, or ½(1 - tanh²(z/2)).
    pub fn bend(self, z: &Tensor) -> Result<Tensor> {
        match self {
            Prior::Gaussian => Ok(z.ones_like()?),
            Prior::Logistic => Ok(self.slope(z)?.sqr()?.affine(-0.5, 0.5)?),
        }
    }

    /// The standard deviation of a coordinate.
    pub fn std(self) -> f64 {
        match self {
            Prior::Gaussian => 1.0,
            Prior::Logistic => std::f64::consts::PI / 3f64.sqrt(),
        }
    }

    /// Independent draws of the given shape (n, D), of the type and on the device of `like`.
    pub fn sample(self, key: Key, shape: (usize, usize), like: &Tensor) -> Result<Tensor> {
        match self {
            Prior::Gaussian => key.normal(shape, like.dtype(), like.device()),
            Prior::Logistic => {
                // Uniform draws are multiples of 2⁻²⁴: both ends are kept off by half of one.
                let half = 2f64.powi(-25);
                let u = key.uniform(shape, candle_core::DType::F64, like.device())?.affine(1.0, half)?;
                let odds = (u.log()? - u.affine(-1.0, 1.0)?.log()?)?;
                Ok(odds.to_dtype(like.dtype())?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn both_integrate_to_one_and_have_the_standard_deviation_they_say() {
        let (side, h) = (60.0, 0.01);
        let z: Vec<f64> = (0..(2.0 * side / h) as usize).map(|i| -side + (i as f64 + 0.5) * h).collect();
        let column = Tensor::from_slice(&z, (z.len(), 1), &Device::Cpu).unwrap();
        for prior in [Prior::Gaussian, Prior::Logistic] {
            let energy = prior.energy(&column).unwrap().to_vec1::<f64>().unwrap();
            let moment = |k: i32| z.iter().zip(&energy).map(|(z, e)| z.powi(k) * (-e).exp() * h).sum::<f64>();
            assert!((moment(0) - 1.0).abs() < 1e-6, "{prior:?}: {}", moment(0));
            assert!((moment(2) - prior.std().powi(2)).abs() < 1e-4, "{prior:?}: {}", moment(2));
        }
    }

    #[test]
    fn draws_have_the_moments_of_their_prior() {
        let n = 200_000;
        for prior in [Prior::Gaussian, Prior::Logistic] {
            let like = Tensor::zeros(1, DType::F64, &Device::Cpu).unwrap();
            let z = prior.sample(Key::new(3), (n, 1), &like).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let var = prior.std().powi(2);
            let mean = z.iter().sum::<f64>() / n as f64;
            let second = z.iter().map(|v| v * v).sum::<f64>() / n as f64;
            // Kurtosis 3 and 4.2.
            let spread = if prior == Prior::Gaussian { 2.0 } else { 3.2 };
            let scores = [mean / (var / n as f64).sqrt(), (second - var) / (spread * var * var / n as f64).sqrt()];
            assert!(scores.iter().all(|z| z.abs() < 4.0), "{prior:?}: {scores:?}");
        }
    }
}
