//! Block Gibbs: hidden units given the visible ones, then the visible ones given them. No rejection, no step size.

use candle_core::Tensor;

use super::{Chain, ChainConfig, Info, Kernel, SamplerRow};
use crate::config::Schema;
use crate::density::Energy;
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
    local: false,
    example: "",
    build: |_| Ok(Box::new(Gibbs)),
};

/// h ~ p(h | x), x ~ p(x | h) by [`Energy::gibbs_sweep`]: leaves exp(-E) invariant.
pub struct Gibbs;

impl Gibbs {
    fn sweep(key: Key, e: &dyn Energy, x: &Tensor) -> Result<Tensor> {
        e.gibbs_sweep(key, x)?.ok_or_else(|| {
            Error::Config(
                "error: the sampler `gibbs` needs a model with hidden units, and `model` has none\n\nhint: \
                 --set sampler.name=mala, or --set model.name=rbm"
                    .into(),
            )
        })
    }
}

impl Kernel for Gibbs {
    /// # Errors
    /// A model without conditionals to sweep with; found here, before a long run.
    fn init(&self, e: &dyn Energy, x: &Tensor) -> Result<Chain> {
        Gibbs::sweep(Key::new(0), e, x)?;
        Chain::at(e, x)
    }

    fn step(&self, key: Key, e: &dyn Energy, chain: &Chain) -> Result<(Chain, Info)> {
        Ok((Chain::at(e, &Gibbs::sweep(key, e, &chain.x)?)?, Info::default()))
    }

    fn describe(&self) -> String {
        "block Gibbs sweeps".to_owned()
    }
}
