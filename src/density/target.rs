//! An energy as chains see it: how much it is asked, and what else there is to propose from.

use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::Tensor;

use super::noise_space::{Function, NoiseSpace, Space};
use super::{Density, Energy, Proposal, Vae};
use crate::{Result, rng::Key};

/// The same energy, which counts of how many items its gradient was taken: what a budget is counted in.
///
/// Energies, slopes and curvatures are counted as nothing: comparisons are made at an equal number of gradients. What tilts a base
/// density is counted wherever it is asked, since it gives value and gradient in one.
pub struct Target<'a> {
    energy: &'a dyn Energy,
    proposal: Option<&'a dyn Density>,
    gradients: AtomicU64,
}

impl<'a> Target<'a> {
    /// Nothing counted yet.
    pub fn new(energy: &'a dyn Energy) -> Self {
        Target { energy, proposal: None, gradients: AtomicU64::new(0) }
    }

    /// With the method's proposal in the place of the energy's base density, if it is a density: a flow that followed the energy
    /// through training is where global moves (`imh`, `isir`, `flow_mcmc`, `ex2`) shall come from.
    pub fn proposing(self, proposal: Option<&'a dyn Proposal>) -> Self {
        Target { proposal: proposal.and_then(Proposal::density), ..self }
    }

    /// Items whose gradient was taken up to now.
    pub fn gradients(&self) -> u64 {
        self.gradients.load(Ordering::Relaxed)
    }
}

impl Energy for Target<'_> {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        self.energy.energy(x)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        self.gradients.fetch_add(x.dim(0)? as u64, Ordering::Relaxed);
        self.energy.grad(x)
    }

    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        self.energy.curvature(x, v)
    }

    fn gibbs_sweep(&self, key: Key, x: &Tensor) -> Result<Option<Tensor>> {
        self.energy.gibbs_sweep(key, x)
    }

    fn density(&self) -> Option<&dyn Density> {
        self.energy.density()
    }

    fn vae(&self) -> Option<&Vae> {
        self.energy.vae()
    }

    fn base(&self) -> Option<&dyn Density> {
        self.proposal.or_else(|| self.energy.base())
    }

    fn base_sample(&self, key: Key, n: usize) -> Result<Option<Tensor>> {
        self.energy.base_sample(key, n)
    }

    fn noise_space(&self, space: Space) -> Option<Box<dyn NoiseSpace + '_>> {
        self.energy.noise_space(space)
    }

    fn tilt(&self) -> Option<Function<'_>> {
        let tilt = self.energy.tilt()?;
        Some(Box::new(move |x| {
            self.gradients.fetch_add(x.dim(0)? as u64, Ordering::Relaxed);
            tilt(x)
        }))
    }
}
