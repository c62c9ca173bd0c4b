//! Independent draws from models that can be drawn from: flows, mixtures, linear ICA, variational autoencoders.

use candle_core::Tensor;

use super::{Chain, Info, Kernel, SamplerRow};
use crate::config::Schema;
use crate::density::{Density as _, Energy};
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
    local: false,
    example: "",
    build: |_| Ok(Box::new(Exact)),
};

/// x ~ p, whatever x was before.
pub struct Exact;

impl Exact {
    /// As [`Chain::at`]; a VAE over grey levels has no slope, and draws follow none: there the gradient stays at 0.
    fn at(e: &dyn Energy, x: &Tensor) -> Result<Chain> {
        if e.vae().is_none_or(|vae| vae.decoder().gaussian().is_some()) {
            return Chain::at(e, x);
        }
        let x = x.detach();
        Ok(Chain { energy: e.energy(&x)?.detach(), grad: x.zeros_like()?, x, hot: None })
    }
}

impl Kernel for Exact {
    fn init(&self, e: &dyn Energy, x: &Tensor) -> Result<Chain> {
        Self::at(e, x)
    }

    fn step(&self, key: Key, e: &dyn Energy, chain: &Chain) -> Result<(Chain, Info)> {
        let n = chain.x.dim(0)?;
        // A VAE that nothing tilts is drawn from exactly, though its log p(x) may be an estimate only.
        let vae = e.vae().filter(|_| e.tilt().is_none());
        let x = match (e.density(), vae) {
            (Some(density), _) => density.sample(key, n)?,
            (None, Some(vae)) => vae.sample(key, n)?,
            (None, None) => return Err(unknown()),
        };
        Ok((Self::at(e, &x)?, Info::default()))
    }

    fn describe(&self) -> String {
        "independent draws from the model".to_owned()
    }
}

fn unknown() -> Error {
    Error::Config(
        "error: sampler `exact` cannot draw from a model whose normaliser is not known\n\nhint: use a Markov chain, such as --set \
         sampler.name=mala"
            .into(),
    )
}
