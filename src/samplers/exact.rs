//! Independent draws from models that can be drawn from: flows, mixtures, linear ICA.

use super::{BuildKernel, Chain, Info, Kernel};
use crate::config::{Entry, Schema};
use crate::density::Energy;
use crate::{Error, Result, rng::Key};

crate::config! {
    /// Keys of the sampler `exact`.
    pub struct ExactConfig {
        /// How often all samples are drawn again; the last draws are kept.
        steps: usize = 1;
    }
}

pub(super) const ENTRY: Entry<BuildKernel> = Entry {
    name: "exact",
    about: "independent draws, for models with a known normaliser (flows, Gaussians)",
    cite: "",
    schema: Schema::of::<ExactConfig>(),
    build: |_| Ok(Box::new(Exact)),
};

/// x ~ p, whatever x was before.
pub struct Exact;

impl Kernel for Exact {
    fn step(&self, key: Key, e: &dyn Energy, chain: &Chain) -> Result<(Chain, Info)> {
        let density = e.density().ok_or_else(|| {
            Error::Config(
                "error: sampler `exact` cannot draw from a model whose normaliser is not known\n\nhint: use a Markov \
                 chain, such as --set sampler.name=mala"
                    .into(),
            )
        })?;
        let x = density.sample(key, chain.x.dim(0)?)?;
        Ok((Chain::at(e, &x)?, Info::default()))
    }

    fn describe(&self) -> String {
        "independent draws from the model".to_owned()
    }
}
