//! Independent Metropolis–Hastings: jumps to fresh draws of a density that is like the target.

use super::accept::accept;
use super::independent::{log_weights, proposal};
use super::{Chain, ChainConfig, Info, Kernel, SamplerRow};
use crate::config::Schema;
use crate::density::{Density, Energy};
use crate::{Result, rng::Key};

crate::config! {
    /// The sampler `imh` has no keys of its own: it proposes from the model's base density.
    pub struct ImhConfig {}
}

pub(super) const ENTRY: SamplerRow = SamplerRow {
    name: "imh",
    about: "independent Metropolis–Hastings: proposals from the model's base density, exact for exp(-E)",
    cite: "Hastings 1970; Tierney 1994; Mengersen & Tweedie 1996",
    schema: Schema::of::<(ImhConfig, ChainConfig)>(),
    numbers: &[],
    local: false,
    example: "",
    build: |_| Ok(Box::new(Imh { proposal: None })),
};

/// Proposes x' ~ q and accepts with probability min(1, w(x')/w(x)), w = exp(-E)/q.
pub struct Imh<'a> {
    /// q, such as a flow; `None` for the base density of the energy.
    pub proposal: Option<&'a dyn Density>,
}

impl Kernel for Imh<'_> {
    /// # Errors
    /// An energy without a base density; found here, before a long run.
    fn init(&self, e: &dyn Energy, x: &candle_core::Tensor) -> Result<Chain> {
        proposal(self.proposal, e)?;
        Chain::at(e, x)
    }

    fn step(&self, key: Key, e: &dyn Energy, chain: &Chain) -> Result<(Chain, Info)> {
        let q = proposal(self.proposal, e)?;
        let there = Chain::at(e, &q.sample(key.with("draw"), chain.x.dim(0)?)?)?;
        let (now, then) = (log_weights(&chain.energy, q, &chain.x)?, log_weights(&there.energy, q, &there.x)?);
        // From -∞, where there is no energy, the ratio is ∞ to any place that has one, and NaN, a rejection, to others.
        let ratio: Vec<f64> = now.iter().zip(&then).map(|(now, then)| then - now).collect();
        accept(key.with("accept"), &ratio, &there, chain)
    }

    fn describe(&self) -> String {
        "independent Metropolis–Hastings".to_owned()
    }
}
