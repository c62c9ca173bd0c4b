//! Hamiltonian Monte Carlo: long moves along the energy's contours, with accept-reject.

use candle_core::{DType, Device, Tensor};

use super::accept::{ACCEPTANCE, accept, energies, squares};
use super::info::Info;
use super::kernel::Tuning;
use super::kernel::{Chain, Kernel, Need, Target, scaled};
use super::row::SamplerRow;
use super::start::ChainConfig;
use super::warm_up::WarmUp;
use crate::config::{Schema, decode, rule};
use crate::metrics::Spent;
use crate::rng::{Counter, Key};
use crate::{Result, ops};

crate::config! {
    /// Keys of the sampler `hmc`.
    pub struct HmcConfig {
        /// ε, the time step of the leapfrog; about 65 % acceptance is best in high dimension.
        step_size: f64 = 0.1, rule::positive;
        /// Leapfrog steps of one proposal: as many gradients.
        leapfrog: usize = 5, rule::at_least(1);
        /// Each proposal's ε is drawn from ε(1 ± jitter): without it a trajectory may come back to where it began.
        jitter: f64 = 0.1, rule::rate;
    }
}

pub(super) const ENTRY: SamplerRow = SamplerRow {
    name: "hmc",
    about: "Hamiltonian Monte Carlo with a jittered step: exact for exp(-E)",
    cite: "Duane et al. 1987; Neal 2011, \"MCMC using Hamiltonian dynamics\"",
    schema: Schema::of::<(HmcConfig, WarmUp, ChainConfig)>(),
    numbers: &[ACCEPTANCE],
    exact: true,
    local: Some(Schema::of::<HmcConfig>()),
    cost: Spent { values: 0, gradients: 5 },
    build: |table| {
        let HmcConfig { step_size, leapfrog, jitter } = decode(table)?;
        Ok(Box::new(Hmc { step_size, leapfrog, jitter, scale: None }))
    },
};

/// Hamiltonian Monte Carlo (Duane et al. 1987; Neal 2011): with the momentum p ~ N(0, I), `leapfrog` steps of p ← p -
/// (ε/2)s∇E, x ← x + εsp, p ← p - (ε/2)s∇E, accepted with probability min(1, exp(E + ½|p|² - E' - ½|p'|²)), where the
/// primes mark the end of the trajectory.
pub struct Hmc {
    /// The step size ε.
    pub step_size: f64,
    /// The number of leapfrog steps of one proposal, each of which takes a gradient.
    pub leapfrog: usize,
    /// The relative half-width of ε's distribution: each proposal's ε is drawn from ε(1 ± jitter).
    pub jitter: f64,
    /// The scale s of ε in each coordinate, of the shape of one item: s⁻² is a diagonal mass. `None` is 1.
    pub scale: Option<Tensor>,
}

impl Kernel for Hmc {
    fn needs(&self) -> Need {
        Need::Gradient
    }

    fn step(&self, key: Key, on: &Target, chain: &Chain) -> Result<(Chain, Info)> {
        let chain = &chain.filled(Need::Gradient, on.energy())?;
        let momentum = ops::normal_like(&chain.x, key.with("momentum").counter())?;
        let u: f64 = key.with("jitter").uniform(1, DType::F64, &Device::Cpu)?.squeeze(0)?.to_scalar()?;
        let eps = self.step_size * (1.0 + self.jitter * (2.0 * u - 1.0));
        let s = self.scale.as_ref();
        let mut p = (&momentum - (scaled(chain.slope()?, s)? * (0.5 * eps))?)?;
        let mut at = chain.clone();
        for i in 1..=self.leapfrog {
            at = Chain::at(&(&at.x + (scaled(&p, s)? * eps)?)?).filled(Need::Gradient, on.energy())?;
            let kick = if i == self.leapfrog { 0.5 * eps } else { eps };
            p = (p - (scaled(at.slope()?, s)? * kick)?)?;
        }
        // An end without a finite energy is never accepted.
        let (before, after) = ((energies(chain)? + kinetic(&momentum)?)?, (energies(&at)? + kinetic(&p)?)?);
        let (next, info) = accept(key.with("accept"), &(&before - &after)?, &at, chain)?;
        Ok((next, info.along([before, after])))
    }

    /// With `jitter` each step has a length of its own.
    fn draws(&self, key: Key) -> Option<Vec<Counter>> {
        (self.jitter == 0.0).then(|| ["momentum", "accept"].map(|name| key.with(name).counter()).to_vec())
    }

    fn tuning(&self) -> Option<Tuning> {
        Some(Tuning { step_size: self.step_size, scale: self.scale.clone() })
    }

    fn tuned(&self, tuning: &Tuning) -> Option<Box<dyn Kernel>> {
        let (leapfrog, jitter) = (self.leapfrog, self.jitter);
        Some(Box::new(Hmc { step_size: tuning.step_size, leapfrog, jitter, scale: tuning.scale.clone() }))
    }

    fn describe(&self) -> String {
        format!("Hamiltonian Monte Carlo, step size {}, {} leapfrog steps", self.step_size, self.leapfrog)
    }
}

/// The kinetic energy ½|p|² of each chain.
fn kinetic(p: &Tensor) -> Result<Tensor> {
    Ok(squares(p)?.affine(0.5, 0.0)?)
}
