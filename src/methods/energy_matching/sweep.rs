//! Chains down a potential whose temperature rises as they go.

use candle_core::{DType, Device, Tensor};

use super::EnergyMatchingConfig;
use crate::config::{Spec, decode};
use crate::density::{Energy, Model, Proposal};
use crate::methods::Standing;
use crate::methods::learning::trainable::model_at_rest;
use crate::metrics::Spent;
use crate::ops::{self, LangevinMove};
use crate::{Result, rng::Key};

/// The temperature of a chain at the schedule's time t.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Heat {
    /// 0 below τ, then rising in a straight line to its highest value at t = 1.
    Rising,
    /// The highest value throughout.
    Full,
}

/// x ← x - dt ∇V + √(2 ε(t) dt) ξ, with V = ε_max E.
pub(super) struct Sweep {
    pub epsilon: f64,
    pub tau: f64,
    pub step_size: f64,
    pub steps: usize,
    /// The schedule's time for a unit of the chain's.
    pub pace: f64,
}

impl Sweep {
    /// The sweep that the keys of the method describe.
    pub fn of(config: &EnergyMatchingConfig) -> Self {
        let &EnergyMatchingConfig { epsilon, tau, step_size, steps, pace, .. } = config;
        Sweep { epsilon, tau, step_size, steps, pace }
    }

    /// ε in step k.
    pub fn temperature(&self, step: usize, heat: Heat) -> f64 {
        let time = step as f64 * self.step_size * self.pace;
        match heat {
            Heat::Full => self.epsilon,
            Heat::Rising if time >= 1.0 => self.epsilon,
            Heat::Rising => self.epsilon * ((time - self.tau) / (1.0 - self.tau)).max(0.0),
        }
    }

    /// The ends of chains from x `[n, ..]`, without a graph.
    ///
    /// # Errors
    /// The energy fails.
    pub fn run(&self, key: Key, energy: &dyn Energy, x: &Tensor, heat: Heat) -> Result<Tensor> {
        let mut x = x.detach();
        for step in 0..self.steps {
            let grad = energy.grad(&x)?.1.detach();
            let std = (2.0 * self.temperature(step, heat) * self.step_size).sqrt();
            let by = LangevinMove::free(self.epsilon * self.step_size, std);
            x = ops::langevin_move(&x, &grad, &by, key.at(step as u64).counter())?;
        }
        Ok(x)
    }
}

/// What chains from noise reach at the end of the sweep.
struct Swept {
    model: Model,
    sweep: Sweep,
    device: Device,
}

impl Proposal for Swept {
    fn draw(&self, key: Key, n: usize) -> Result<Tensor> {
        let shape: Vec<usize> = std::iter::once(n).chain(self.model.shape().iter().copied()).collect();
        let noise = key.with("noise").normal(shape, DType::F32, &self.device)?;
        self.sweep.run(key.with("sweep"), &self.model, &noise, Heat::Rising)
    }

    fn is_dear(&self) -> bool {
        true
    }

    fn take_spent(&self) -> Spent {
        self.model.meter().take()
    }
}

/// The samples of a run as the paper draws them, as a proposal.
pub(super) fn proposal(method: &Spec, standing: &Standing) -> Result<Box<dyn Proposal>> {
    let config: EnergyMatchingConfig = method.within(decode(&method.table))?;
    let model = model_at_rest(standing)?;
    Ok(Box::new(Swept { model, sweep: Sweep::of(&config), device: standing.device.clone() }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::density::Gaussian;
    use crate::math::stats;
    use crate::nets::Builder;

    /// On V = x²/2 the variance goes v ← (1 - dt)² v + 2 ε dt.
    #[test]
    fn variances_on_a_parabola_follow_the_recursion() {
        let sweep = Sweep { epsilon: 0.3, tau: 0.5, step_size: 0.1, steps: 20, pace: 0.5 };
        assert_eq!([0, 10, 15, 20, 40].map(|k| sweep.temperature(k, Heat::Rising)), [0.0, 0.0, 0.15, 0.3, 0.3]);
        let tensor = |v: f64| Tensor::new(&[v], &Device::Cpu).unwrap();
        let log_std = 0.5 * 0.3f64.ln();
        let tensors = [("mean", tensor(0.0)), ("log_std", tensor(log_std))];
        let tensors: BTreeMap<_, _> = tensors.map(|(name, t)| (name.to_owned(), t)).into();
        let model = Gaussian::new(&[1], 0.0, 1.0, &Builder::bound(tensors, DType::F64, &Device::Cpu)).unwrap();
        let x = Key::new(1).normal((20_000, 1), DType::F64, &Device::Cpu).unwrap();
        for heat in [Heat::Rising, Heat::Full] {
            let step = |v: f64, k: usize| 0.81 * v + 0.2 * sweep.temperature(k, heat);
            let want = (0..20).fold(1.0, step).sqrt();
            let end = sweep.run(Key::new(2), &model, &x, heat).unwrap().flatten_all().unwrap();
            let have = stats::std(&end.to_vec1::<f64>().unwrap());
            assert!((have / want - 1.0).abs() < 4.0 / (2.0 * 20_000f64).sqrt(), "{heat:?}: {have} and {want}");
        }
    }
}
