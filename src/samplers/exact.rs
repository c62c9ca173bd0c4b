//! Independent draws from models with exact draws: flows, mixtures, linear ICA, variational autoencoders.

use candle_core::Tensor;

use super::info::Info;
use super::kernel::{Chain, Kernel, Need, Target};
use super::row::SamplerRow;
use crate::config::Schema;
use crate::metrics::Spent;
use crate::{Error, Result, rng::Key};

crate::config! {
    /// Keys of the sampler `exact`.
    pub struct ExactConfig {
        /// How often all samples are drawn again; the last draws are kept.
        steps: usize = 1;
    }
}

pub(super) const ENTRY: SamplerRow = SamplerRow {
    name: "exact",
    about: "independent draws, for models that know how (flows, Gaussians, VAEs)",
    cite: "",
    schema: Schema::of::<ExactConfig>(),
    numbers: &[],
    exact: true,
    local: None,
    cost: Spent { values: 0, gradients: 0 },
    build: |_| Ok(Box::new(Exact)),
};

/// The kernel x ~ p, with a new draw x from the model's density p that does not depend on the previous x.
pub struct Exact;

impl Kernel for Exact {
    fn needs(&self) -> Need {
        Need::Position
    }

    /// The chains at x, after a check that the target has exact draws.
    ///
    /// # Errors
    /// The model has no exact draws; this is found here, before a long run.
    fn init(&self, on: &Target, x: &Tensor) -> Result<Chain> {
        on.exact().ok_or_else(unknown)?;
        Ok(Chain::at(x))
    }

    fn step(&self, key: Key, on: &Target, chain: &Chain) -> Result<(Chain, Info)> {
        let x = on.exact().ok_or_else(unknown)?.sample(key, chain.x.dim(0)?)?;
        Ok((Chain::at(&x), Info::default()))
    }

    fn describe(&self) -> String {
        "independent draws from the model".to_owned()
    }
}

fn unknown() -> Error {
    Error::config("sampler `exact` cannot draw from a model whose normaliser is not known")
        .hint("use a Markov chain, such as --set sampler.name=mala")
}
