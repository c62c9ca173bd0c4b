//! The choice of a VAE's likelihood p(x|z): Gaussian, or a mixture of logistics over grey levels.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::gaussian::{Decoder, GaussianKeys};
use super::logistic::{LogisticDecoder, LogisticKeys};
use crate::Result;
use crate::nets::Builder;

/// The family of the likelihood p(x|z).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// The normal density N(g(z), σ²).
    #[default]
    Gaussian,
    /// A mixture of logistics over grey levels (Salimans et al. 2017).
    DiscretisedLogistic,
}

crate::config! {
    /// Which likelihood a VAE has, and its network.
    pub struct LikelihoodConfig {
        /// x given z: gaussian, or discretised_logistic (a mixture over grey levels: better bits, but no slope in x, so
        /// that neither chains nor a tilting energy can use it: sampler `exact`).
        likelihood: Family = Family::Gaussian;
    }
    parts {
        /// The decoder g: z -> item.
        decoder: "mlp" of crate::nets::schemas;
    }
}

/// The keys of a VAE's likelihood: the choice, and those that each of the two families needs.
pub type LikelihoodKeys = (LikelihoodConfig, LogisticKeys, GaussianKeys);

/// The likelihood p(x|z) of the family that the key `likelihood` chooses.
pub enum Likelihood {
    /// A Gaussian, given by mean and σ.
    Gaussian(Decoder),
    /// A mixture of logistics over grey levels.
    Logistic(LogisticDecoder),
}

impl Likelihood {
    /// The likelihood of items of the shape `item` given z of `latent` numbers.
    ///
    /// # Errors
    /// The decoder's own: the network does not fit, or σ lies outside its range.
    pub fn new(keys: &LikelihoodKeys, latent: usize, item: &[usize], builder: &Builder) -> Result<Self> {
        let (LikelihoodConfig { likelihood, decoder }, logistic, gaussian) = keys;
        Ok(match likelihood {
            Family::Gaussian => Likelihood::Gaussian(Decoder::new(gaussian, decoder, latent, item, builder)?),
            Family::DiscretisedLogistic => {
                Likelihood::Logistic(LogisticDecoder::new(logistic, decoder, latent, item, builder)?)
            }
        })
    }

    /// The mean of x given z, `[B, L]` -> `[B, item..]`.
    pub fn mean(&self, z: &Tensor) -> Result<Tensor> {
        match self {
            Likelihood::Gaussian(decoder) => decoder.mean(z),
            Likelihood::Logistic(decoder) => decoder.mean(z),
        }
    }

    /// The log-likelihood log p(x|z), `[B]`.
    pub fn log_likelihood(&self, x: &Tensor, z: &Tensor) -> Result<Tensor> {
        match self {
            Likelihood::Gaussian(decoder) => decoder.log_likelihood(x, z),
            Likelihood::Logistic(decoder) => decoder.log_likelihood(x, z),
        }
    }

    /// One power iteration of every spectral norm of the decoder, in place.
    pub fn power_iterate(&self) -> Result<()> {
        match self {
            Likelihood::Gaussian(decoder) => decoder.power_iterate(),
            Likelihood::Logistic(decoder) => decoder.power_iterate(),
        }
    }

    /// The Gaussian decoder, the only one with a slope in x; `None` for the other family.
    pub fn gaussian(&self) -> Option<&Decoder> {
        match self {
            Likelihood::Gaussian(decoder) => Some(decoder),
            Likelihood::Logistic(_) => None,
        }
    }
}
