//! The starts of chains, and the settings that every sampler shares.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::descent::{Descent, without_levels};
use crate::config::rule;
use crate::data::{Data, Split};
use crate::density::{Model, ProbabilityFlow, Proposal, Space};
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
    /// Draws from the method's proposal: VERA's generator, the replay buffer of PCD. Where there is none, draws by the
    /// probability flow of a model that knows noise levels.
    Proposal,
    /// The way down the noise levels of the model by annealed Langevin dynamics.
    Annealed,
    /// The way down the noise levels of the model by predictor and corrector.
    Corrected,
    /// The way down the noise levels of the model by its probability flow, with fresh noise before every step.
    Churned,
}

fn without_proposal() -> Error {
    Error::config(
        "`sampler.init = \"proposal\"` needs a method with a generator or a replay buffer, such as vera or pcd, or a \
         model that knows noise levels, `ladder`",
    )
    .at("init")
    .hint("--set sampler.init=normal")
}

crate::config! {
    /// Keys that every sampler has.
    pub struct ChainConfig {
        /// How many steps each chain runs.
        steps: usize = 100;
        /// Where chains start: uniform, normal (the model's base density), data, proposal (the method's generator or
        /// replay buffer, else the probability flow of a `ladder`), or down the noise levels of a `ladder`: annealed
        /// (Langevin steps at each), corrected (predictor and corrector) or churned (the flow by Heun's method, with
        /// noise before every step that lets it forget its errors).
        init: Start = Start::Normal;
        /// Of the starts annealed, corrected and churned: Langevin steps at each noise level, or steps from each to the
        /// next; churned wants few, 1 where there are many levels.
        level_steps: usize = 100, rule::at_least(1);
        /// Of the same: the noise of a Langevin step, or before a step of churned, in units of the level's σ; corrected
        /// measures that unit by the gradient's norm.
        level_step_size: f64 = 0.45, rule::positive;
        /// What chains move in: data (the items), noise (what a `vae`, a flow, or the base density of a `tilted` model
        /// draws with, else the method's generator; chains start at its draws) or joint (latent variable and item).
        space: Space = Space::Data;
        /// Whether chains in the noise of a method's generator, on E(T(ε)), keep the noise's normal density beside it:
        /// they refine draws T(ε) and are no draws of the model (released code of VERA: false).
        noise_prior: bool = true;
        /// Items without observation noise, where chains move in noise: a VAE's decoder means.
        means: bool = false;
        /// Standard deviation of the noise that chains start at, where they move in noise: below 1, cleaner items and
        /// fewer kinds (Xiao et al. 2021 draw their largest faces at 0.7).
        temperature: f64 = 1.0, rule::positive;
    }
}

impl ChainConfig {
    /// Checks that model and proposal have what chains start at, before a long run; those in noise start at the noise.
    ///
    /// # Errors
    /// `proposal` is asked for without one, or noise levels of a model without.
    pub fn check(&self, model: &Model, proposal: Option<&dyn Proposal>) -> Result<()> {
        if self.space != Space::Data {
            return Ok(());
        }
        let on_levels = || Ok::<bool, Error>(model.levels()?.is_some() && model.top()?.is_some());
        match self.init {
            Start::Proposal if proposal.is_none() && !on_levels()? => Err(without_proposal()),
            Start::Annealed | Start::Corrected | Start::Churned if !on_levels()? => Err(without_levels()),
            _ => Ok(()),
        }
    }

    /// The starting points among the items, `[n, ..]`, in storage of their own: a replay buffer writes into it.
    ///
    /// # Errors
    /// `proposal` is asked for without one, or noise levels of a model without.
    pub fn points(
        &self,
        key: Key,
        model: &Model,
        proposal: Option<&dyn Proposal>,
        data: &Data,
        n: usize,
    ) -> Result<Tensor> {
        let descent = Descent { steps: self.level_steps, step_size: self.level_step_size };
        match self.init {
            Start::Uniform => data.uniform_init(key, n),
            Start::Data => Ok(data.all(Split::Train, n)?.x.copy()?),
            Start::Proposal => match proposal {
                Some(proposal) => proposal.draw(key, n),
                None => ProbabilityFlow::of(model)?.ok_or_else(without_proposal)?.draw(key, n),
            },
            Start::Annealed => descent.annealed(key, model, n),
            Start::Corrected => descent.corrected(key, model, n),
            Start::Churned => descent.churned(key, model, n),
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
