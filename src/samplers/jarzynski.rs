//! Unadjusted Langevin walkers that carry weights, exact at any step size, while their energy changes.

use candle_core::{DType, Tensor};

use super::Chain;
use crate::density::Energy;
use crate::math::logsumexp;
use crate::{Result, kernels, rng::Key};

/// Walkers with weights e^A: after any steps, Σ e^A f(x)/Σ e^A estimates the mean of f under the present energy, and the mean of
/// e^A the ratio of its normaliser to the first one (Carbone, Hua, Coste & Vanden-Eijnden 2023).
#[derive(Clone, Debug)]
pub struct Weighted {
    /// Where the walkers stand, `[B, ..]`.
    pub x: Tensor,
    /// A of each, in nats.
    pub log_weights: Vec<f64>,
}

impl Weighted {
    /// Walkers at x, exact draws of the first energy.
    ///
    /// # Errors
    /// x without a batch dimension.
    pub fn new(x: &Tensor) -> Result<Self> {
        Ok(Weighted { x: x.detach(), log_weights: vec![0.0; x.dim(0)?] })
    }

    /// y = x - η∇U(x) + √(2η) ξ on the energy U that was, and A ← A + α(U, x, y) - α(U', y, x) for the energy U' that will be,
    /// with α(U, x, y) = U(x) + ½(y - x)·∇U(x) + ¼η‖∇U(x)‖². The same energy twice is a step in place.
    ///
    /// A walker that reaches what has no finite energy gets the weight 0.
    ///
    /// # Errors
    /// A tensor operation that failed.
    pub fn step(&mut self, key: Key, eta: f64, was: &dyn Energy, will: &dyn Energy) -> Result<()> {
        let from = Chain::at(was, &self.x)?;
        let noise = key.normal(self.x.shape(), self.x.dtype(), self.x.device())?;
        let to = Chain::at(will, &kernels::langevin_update(&from.x, &from.grad, &noise, eta, (2.0 * eta).sqrt())?)?;
        let (forth, back) = (alpha(&from, &to.x, eta)?, alpha(&to, &from.x, eta)?);
        for (a, (forth, back)) in self.log_weights.iter_mut().zip(forth.iter().zip(&back)) {
            *a += forth - back;
            if a.is_nan() {
                *a = f64::NEG_INFINITY;
            }
        }
        self.x = to.x;
        Ok(())
    }

    /// (Σw)²/Σw², which says when to resample.
    pub fn ess(&self) -> f64 {
        let twice: Vec<f64> = self.log_weights.iter().map(|a| 2.0 * a).collect();
        (2.0 * logsumexp(&self.log_weights) - logsumexp(&twice)).exp()
    }
}

/// α of each walker at `at`, which goes to y.
fn alpha(at: &Chain, y: &Tensor, eta: f64) -> Result<Vec<f64>> {
    let wide = |t: &Tensor| -> Result<Tensor> { Ok(t.to_dtype(DType::F64)?.flatten_from(1)?) };
    let (x, y, grad) = (wide(&at.x)?, wide(y)?, wide(&at.grad)?);
    let slope = ((y - x)? * &grad)?.sum(1)?.affine(0.5, 0.0)?;
    let square = grad.sqr()?.sum(1)?.affine(0.25 * eta, 0.0)?;
    Ok(((at.energy.to_dtype(DType::F64)? + slope)? + square)?.to_vec1()?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::density::{Density as _, Gaussian};
    use crate::nets::Builder;

    fn normal(t: f64) -> Gaussian {
        let builder = Builder::new(Key::new(0), DType::F64, &Device::Cpu);
        Gaussian::new(&[1], 1.5 * t, 1.0 - 0.4 * t, &builder).unwrap()
    }

    #[test]
    fn weights_correct_the_lag_and_the_bias_of_large_steps() {
        let (n, steps) = (20_000, 30);
        let mut walkers = Weighted::new(&normal(0.0).sample(Key::new(1), n).unwrap()).unwrap();
        let t = |k: u64| k as f64 / steps as f64;
        for k in 0..steps {
            walkers.step(Key::new(2).at(k), 0.15, &normal(t(k)), &normal(t(k + 1))).unwrap();
        }
        let x = walkers.x.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let w: Vec<f64> = walkers.log_weights.iter().map(|a| a.exp()).collect();
        // Normalised densities throughout, so the mean weight is 1; N(1.5, 0.6²) at the end.
        let z = |f: &dyn Fn(f64) -> f64, truth: f64| {
            let off: Vec<f64> = x.iter().zip(&w).map(|(x, w)| w * (f(*x) - truth)).collect();
            crate::math::stats::mean(&off) / crate::math::stats::std_error(&off)
        };
        let mean_weight = (crate::math::stats::mean(&w) - 1.0) / crate::math::stats::std_error(&w);
        let (first, second) = (z(&|x| x, 1.5), z(&|x| (x - 1.5).powi(2), 0.36));
        assert!(mean_weight.abs() < 4.0 && first.abs() < 4.0 && second.abs() < 4.0, "{mean_weight} {first} {second}");
        assert!(walkers.ess() > 0.2 * n as f64, "{}", walkers.ess());
        // Without the weights the walkers lag behind.
        assert!((crate::math::stats::mean(&x) - 1.5) / crate::math::stats::std_error(&x) < -10.0);
    }
}
