//! Unadjusted Langevin walkers with weights, which are exact at any step size while their energy changes (Carbone, Hua,
//! Coste & Vanden-Eijnden 2023).

use candle_core::{DType, Tensor};

use super::kernel::{Chain, Need};
use crate::density::Energy;
use crate::math::LogWeights;
use crate::ops::{self, LangevinMove};
use crate::{Result, rng::Key};

/// Walkers with weights e^A: after any steps, Σ e^A f(x)/Σ e^A estimates the mean of f under the present energy, and
/// the mean of e^A estimates its normaliser, if it was that of the first energy at the beginning (Carbone, Hua, Coste &
/// Vanden-Eijnden 2023).
#[derive(Clone, Debug)]
pub struct Weighted {
    /// The walkers' positions, `[B, ..]`, with the present energy there.
    pub chain: Chain,
    /// The log-weight A of each walker, in nats.
    pub log_weights: LogWeights,
}

impl Weighted {
    /// The walkers at draws x of a density q, weighted by exp(-E)/q, so that the mean weight estimates the normaliser
    /// of `energy`.
    ///
    /// # Shapes
    /// x `[B, ..]`, log q at x `[B]`.
    ///
    /// # Errors
    /// A tensor operation fails.
    pub fn new(x: &Tensor, log_q: &Tensor, energy: &dyn Energy) -> Result<Self> {
        let chain = Chain::at(x).filled(Need::Gradient, energy)?;
        let log_weights = LogWeights::of(&host(chain.value()?)?, &host(&log_q.detach())?);
        Ok(Weighted { chain, log_weights })
    }

    /// Moves the walkers on the present energy U by y = x - (ε²/2)∇U(x) + ε ξ, ξ ~ N(0, I), ε = `step_size`, and
    /// changes their weights for the next energy U' = `will` by A ← A + α(U, x, y) - α(U', y, x), with α(U, x, y) =
    /// U(x) + ½(y - x)·∇U(x) + ε²/8 ‖∇U(x)‖². U' becomes the present energy; it may be U again.
    ///
    /// A walker that reaches a place without a finite energy gets the weight 0.
    ///
    /// # Errors
    /// A tensor operation fails.
    pub fn step(&mut self, key: Key, step_size: f64, will: &dyn Energy) -> Result<()> {
        let (from, drift) = (&self.chain, 0.5 * step_size * step_size);
        let by = LangevinMove::free(drift, step_size);
        let to = ops::langevin_move(&from.x, from.slope()?, &by, key.counter())?;
        let to = Chain::at(&to).filled(Need::Gradient, will)?;
        let (forth, back) = (alpha(from, &to.x, drift)?, alpha(&to, &from.x, drift)?);
        for (a, (forth, back)) in self.log_weights.0.iter_mut().zip(forth.iter().zip(&back)) {
            *a += forth - back;
            if a.is_nan() {
                *a = f64::NEG_INFINITY;
            }
        }
        self.chain = to;
        Ok(())
    }

    /// The number of walkers without weight: those that reached a place without a finite energy since the last
    /// resampling.
    pub fn lost(&self) -> usize {
        self.log_weights.0.iter().filter(|a| **a == f64::NEG_INFINITY).count()
    }

    /// Resamples the walkers by their weights ([`LogWeights::draw`]). All then have the mean weight, so that the
    /// estimate of the normaliser stays. If no walker has any weight, they are left as they are.
    ///
    /// # Errors
    /// A tensor operation fails.
    pub fn resample(&mut self, key: Key) -> Result<()> {
        let log_mean = self.log_weights.log_mean();
        if !log_mean.is_finite() {
            return Ok(());
        }
        let chosen = self.log_weights.draw(key, self.log_weights.0.len());
        let chosen = Tensor::new(chosen, self.chain.x.device())?;
        self.chain = self.chain.map(|t| Ok(t.index_select(&chosen, 0)?))?;
        self.log_weights.0.fill(log_mean);
        Ok(())
    }
}

fn host(t: &Tensor) -> Result<Vec<f64>> {
    Ok(t.to_dtype(DType::F64)?.to_vec1()?)
}

/// The number α of each walker at `at`, which moves to y; `drift` is ε²/2.
fn alpha(at: &Chain, y: &Tensor, drift: f64) -> Result<Vec<f64>> {
    let wide = |t: &Tensor| -> Result<Tensor> { Ok(t.to_dtype(DType::F64)?.flatten_from(1)?) };
    let (x, y, grad) = (wide(&at.x)?, wide(y)?, wide(at.slope()?)?);
    let slope = ((y - x)? * &grad)?.sum(1)?.affine(0.5, 0.0)?;
    let square = grad.sqr()?.sum(1)?.affine(0.25 * drift, 0.0)?;
    Ok(((at.value()?.to_dtype(DType::F64)? + slope)? + square)?.to_vec1()?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::density::{Density as _, Gaussian};
    use crate::math::stats;
    use crate::nets::Builder;

    fn normal(t: f64) -> Gaussian {
        let builder = Builder::new(Key::new(0), DType::F64, &Device::Cpu);
        Gaussian::new(&[1], 1.5 * t, 1.0 - 0.4 * t, &builder).unwrap()
    }

    /// Walkers carried from N(0, 1) to N(1.5, 0.6²) in 30 steps and resampled where the effective share falls below
    /// `least`.
    fn carried(n: usize, least: f64) -> (Weighted, usize) {
        let (steps, first) = (30, normal(0.0));
        let x = first.sample(Key::new(1), n).unwrap();
        let mut walkers = Weighted::new(&x, &first.log_prob(&x).unwrap(), &first).unwrap();
        let mut resampled = 0;
        for k in 1..=steps {
            walkers.step(Key::new(2).at(k), 0.3f64.sqrt(), &normal(k as f64 / steps as f64)).unwrap();
            if walkers.log_weights.effective() < least * n as f64 {
                walkers.resample(Key::new(3).at(k)).unwrap();
                resampled += 1;
            }
        }
        (walkers, resampled)
    }

    #[test]
    fn weights_correct_the_lag_and_the_bias_of_large_steps() {
        let n = 20_000;
        let (walkers, _) = carried(n, 0.0);
        let x = host(&walkers.chain.x.flatten_all().unwrap()).unwrap();
        let w: Vec<f64> = walkers.log_weights.0.iter().map(|a| a.exp()).collect();
        // Normalised densities throughout, so the mean weight is 1; N(1.5, 0.6²) at the end.
        let z = |f: &dyn Fn(f64) -> f64, truth: f64| {
            let off: Vec<f64> = x.iter().zip(&w).map(|(x, w)| w * (f(*x) - truth)).collect();
            stats::mean(&off) / stats::std_error(&off)
        };
        let mean_weight = (stats::mean(&w) - 1.0) / stats::std_error(&w);
        let (first, second) = (z(&|x| x, 1.5), z(&|x| (x - 1.5).powi(2), 0.36));
        assert!(mean_weight.abs() < 4.0 && first.abs() < 4.0 && second.abs() < 4.0, "{mean_weight} {first} {second}");
        assert!(walkers.log_weights.effective() > 0.2 * n as f64, "{}", walkers.log_weights.effective());
        // Without the weights the walkers lag behind.
        assert!((stats::mean(&x) - 1.5) / stats::std_error(&x) < -10.0);
    }

    #[test]
    fn walkers_that_are_drawn_anew_keep_the_normaliser_and_the_moments() {
        let (walkers, resampled) = carried(20_000, 0.95);
        assert!(resampled > 1);
        // Once drawn anew, walkers share ancestors: standard errors of independent ones, doubled to be safe against
        // that.
        let x = host(&walkers.chain.x.flatten_all().unwrap()).unwrap();
        let shares = walkers.log_weights.shares();
        let mean = |f: &dyn Fn(f64) -> f64| x.iter().zip(&shares).map(|(x, w)| w * f(*x)).sum::<f64>();
        let (first, second) = (mean(&|x| x), mean(&|x| (x - 1.5).powi(2)));
        assert!((first - 1.5).abs() < 4.0 * 2.0 * 0.6 / 20_000f64.sqrt(), "{first}");
        assert!((second - 0.36).abs() < 4.0 * 2.0 * 0.36 * (2.0 / 20_000f64).sqrt(), "{second}");
        assert!(walkers.log_weights.log_mean().abs() < 0.05, "{}", walkers.log_weights.log_mean());
    }
}
