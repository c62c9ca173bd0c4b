//! The starts of chains, and the settings that every sampler shares.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::config::rule;
use crate::data::{Data, Split};
use crate::density::{Model, Proposal, Space};
use crate::{Error, Result, rng::Key};

/// The place where chains start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// Uniform draws: over pixel values, carried to model space, for images; over the data's box for vectors.
    Uniform,
    /// Draws from the model's base density; standard normal draws where it has none.
    #[default]
    Normal,
    /// Items of the training data.
    Data,
    /// Draws from the method's proposal: VERA's generator, the replay buffer of PCD.
    Proposal,
}

impl Start {
    /// The starting points among the items, `[n, ..]`, in storage of their own: a replay buffer writes into it.
    ///
    /// # Errors
    /// `proposal` is asked for without one.
    pub fn points(
        self,
        key: Key,
        model: &Model,
        proposal: Option<&dyn Proposal>,
        data: &Data,
        n: usize,
    ) -> Result<Tensor> {
        match self {
            Start::Uniform => data.uniform_init(key, n),
            Start::Data => Ok(data.all(Split::Train, n)?.x.copy()?),
            Start::Proposal => match proposal {
                Some(proposal) => proposal.draw(key, n),
                None => Err(Error::config(
                    "`sampler.init = \"proposal\"` needs a method with a generator or a replay buffer, such as vera \
                     or pcd",
                )
                .hint("--set sampler.init=normal")),
            },
            Start::Normal => match model.base_sample(key, n)? {
                Some(x) => Ok(x),
                None => {
                    let shape: Vec<usize> = std::iter::once(n).chain(data.spec().shape.iter().copied()).collect();
                    key.normal(shape, candle_core::DType::F32, data.device())
                }
            },
        }
    }
}

crate::config! {
    /// Keys that every sampler has.
    pub struct ChainConfig {
        /// How many steps each chain runs.
        steps: usize = 100;
        /// Where chains start: uniform, normal (the model's base density), data, or
        /// proposal (the method's generator or replay buffer).
        init: Start = Start::Normal;
        /// What chains move in: data (the items), noise (what a `vae`, a flow, or the base density of a `tilted` model
        /// draws with; chains start at its draws) or joint (latent variable and item).
        space: Space = Space::Data;
        /// Items without observation noise, where chains move in noise: a VAE's decoder means.
        means: bool = false;
        /// Standard deviation of the noise that chains start at, where they move in noise: below 1, cleaner items and
        /// fewer kinds (Xiao et al. 2021 draw their largest faces at 0.7).
        temperature: f64 = 1.0, rule::positive;
    }
}
