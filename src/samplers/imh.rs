//! Independent Metropolis–Hastings: jumps to fresh draws of a density that resembles the target.

use candle_core::Tensor;

use super::accept::{ACCEPTANCE, accept};
use super::independent::log_weights;
use super::info::Info;
use super::kernel::{Chain, Kernel, Need, Target};
use super::row::SamplerRow;
use super::start::ChainConfig;
use crate::config::Schema;
use crate::metrics::Spent;
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
    numbers: &[ACCEPTANCE],
    exact: true,
    local: None,
    cost: Spent { values: 1, gradients: 0 },
    build: |_| Ok(Box::new(Imh { fill: Need::Value })),
};

/// Independent Metropolis–Hastings: proposes x' ~ q, with q the target's proposal density, and accepts with probability
/// min(1, w(x')/w(x)), where w = exp(-E)/q (Hastings 1970; Tierney 1994).
pub struct Imh {
    /// The evaluation at proposals. The value is enough for this move; a gradient spares the move that follows another
    /// pass.
    pub fill: Need,
}

impl Kernel for Imh {
    fn needs(&self) -> Need {
        Need::Value
    }

    /// The chains at x, after a check that the target has a proposal density.
    ///
    /// # Errors
    /// The target has no proposal density; this is found here, before a long run.
    fn init(&self, on: &Target, x: &Tensor) -> Result<Chain> {
        on.proposal()?;
        Ok(Chain::at(x))
    }

    fn step(&self, key: Key, on: &Target, chain: &Chain) -> Result<(Chain, Info)> {
        let (q, chain) = (on.proposal()?, &chain.filled(self.fill, on.energy())?);
        let there = Chain::at(&q.sample(key.with("draw"), chain.x.dim(0)?)?).filled(self.fill, on.energy())?;
        let (now, then) = (log_weights(chain.value()?, q, &chain.x)?, log_weights(there.value()?, q, &there.x)?);
        // From -∞, where there is no energy, the ratio is ∞ to any place that has one, and NaN, a rejection, to others.
        let ratio: Vec<f64> = now.iter().zip(&then).map(|(now, then)| then - now).collect();
        accept(key.with("accept"), &Tensor::new(ratio, chain.x.device())?, &there, chain)
    }

    fn describe(&self) -> String {
        "independent Metropolis–Hastings".to_owned()
    }
}
