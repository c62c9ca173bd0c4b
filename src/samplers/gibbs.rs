//! Block Gibbs sampling: hidden units given the visible ones, then visible units given the hidden ones, without
//! rejection or step size.

use candle_core::Tensor;

use super::info::Info;
use super::kernel::{Chain, Kernel, Need, Target};
use super::row::SamplerRow;
use super::start::ChainConfig;
use crate::config::Schema;
use crate::metrics::Spent;
use crate::{Error, Result, rng::Key};

crate::config! {
    /// The sampler `gibbs` has no keys of its own.
    pub struct GibbsConfig {}
}

pub(super) const ENTRY: SamplerRow = SamplerRow {
    name: "gibbs",
    about: "block Gibbs for models with hidden units (rbm): exact for exp(-E), one sweep a step",
    cite: "Geman & Geman 1984; Hinton & Salakhutdinov 2006",
    schema: Schema::of::<(GibbsConfig, ChainConfig)>(),
    numbers: &[],
    exact: true,
    local: None,
    cost: Spent { values: 0, gradients: 0 },
    build: |_| Ok(Box::new(Gibbs)),
};

/// The kernel h ~ p(h | x), x ~ p(x | h) by [`BlockGibbs::sweep`](crate::density::BlockGibbs::sweep), which leaves
/// exp(-E) invariant (Geman & Geman 1984).
pub struct Gibbs;

impl Gibbs {
    fn sweep(key: Key, on: &Target, x: &Tensor) -> Result<Tensor> {
        let gibbs = on.gibbs().ok_or_else(|| {
            Error::config("the sampler `gibbs` needs a model with hidden units, and `model` has none")
                .hint("--set sampler.name=mala, or --set model.name=rbm")
        })?;
        gibbs.sweep(key, x)
    }
}

impl Kernel for Gibbs {
    fn needs(&self) -> Need {
        Need::Position
    }

    /// The chains at x, after a check that a sweep works.
    ///
    /// # Errors
    /// The model has no hidden units; this is found here, before a long run.
    fn init(&self, on: &Target, x: &Tensor) -> Result<Chain> {
        Gibbs::sweep(Key::new(0), on, x)?;
        Ok(Chain::at(x))
    }

    fn step(&self, key: Key, on: &Target, chain: &Chain) -> Result<(Chain, Info)> {
        Ok((Chain::at(&Gibbs::sweep(key, on, &chain.x)?), Info::default()))
    }

    fn describe(&self) -> String {
        "block Gibbs sweeps".to_owned()
    }
}
