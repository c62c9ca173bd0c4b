//! VAEBM (Xiao et al. 2021): a VAE is trained by its bound, then a network that tilts it by maximum likelihood, with
//! chains in the VAE's noise space. With a flow in the VAE's place the first stage is exact maximum likelihood.

use std::path::Path;
use std::sync::Arc;

use candle_core::{D, DType, Tensor};
use serde::{Deserialize, Serialize};

use super::contrastive_divergence::BUFFER;
use super::learning::elbo::{self, ElboConfig};
use super::learning::likelihood_gap::{self, likelihood_gap};
use super::learning::pretraining::{BASE, base_and_rest, half_cosine};
use super::learning::readings::{ACCEPTANCE, FROZEN, GRAD_NORM, Readings, scalar};
use super::learning::spectral_penalty::SpectralPenalty;
use super::learning::toward_model;
use super::learning::trainable::{Trainable, descend};
use super::method::only;
use super::part::{Named, parts};
use super::{Method, MethodRow, Setup, StepContext};
use crate::config::{Schema, decode, rule};
use crate::data::{Batch, Data};
use crate::density::{Model, Space, Stored};
use crate::metrics::{Metrics, Number, Spent, Unit, numbers};
use crate::optim::{self, Optimiser, Weights};
use crate::samplers::{self, Buffer, ChainConfig, Sampler, Taken, Target};
use crate::{Error, Result, rng::Key};

/// The estimator of the energy's mean under the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Negative {
    /// The mean over ends of Markov chains.
    #[default]
    Chain,
    /// The weighted mean over draws of the base, with the weights exp(-f).
    Importance,
}

crate::config! {
    /// Keys of the method `vaebm`.
    pub struct VaebmConfig {
        /// Steps of the first stage, which trains the base density; they count among `train.steps`. Its learning rate
        /// falls to 0 along half a cosine.
        vae_steps: u64 = 3000;
        /// A checkpoint whose VAE is the base density, in the place of a first stage.
        vae_ckpt: String = String::new();
        /// Whether the second stage's negative phase is a chain, or importance: draws of the base weighted by exp(-f),
        /// for as long as their effective number stays a fair share (plane, few modes).
        negative: Negative = Negative::Chain;
        /// Draws of the base with `negative = "importance"`.
        draws: usize = 2048, rule::at_least(2);
        /// What chains move in: noise (the paper's), joint (latent variable and item: ablation) or data.
        space: Space = Space::Noise;
        /// Chains that are kept and go on, their latent noise at least; 0 starts all at draws of the base in every
        /// step.
        buffer: usize = 0;
        /// Probability that a chain goes on from the buffer (released code: 0.6).
        replay: f64 = 0.6, super::contrastive_divergence::probability;
        /// Steps of the second stage over which that probability rises from 0 (released code: 5,000).
        replay_warmup: u64 = 0;
        /// Compare the data with decoder means rather than with decoder draws.
        means: bool = false;
        /// Weight of mean f(x⁺)² + mean f(x⁻)².
        energy_l2: f64 = 0.0, rule::non_negative;
        /// α_s, the weight of the sum of the largest singular values of all weights of f (paper, CIFAR-10: 0.2).
        spectral: f64 = 0.0, rule::non_negative;
        /// Rate, relative to that of `vae_optim`, at which the base's decoder goes on learning in the second stage,
        /// down KL(base ‖ model) (ablation of table 4); 0 leaves the base as the first stage left it.
        base_kl: f64 = 0.0, rule::non_negative;
    }
    parts {
        /// The chains of the second stage.
        sampler: "langevin" of crate::samplers::schemas;
        /// The optimiser of the first stage; `[optim]` is the second's.
        vae_optim: "adam" of crate::optim::schemas;
    }
}

pub(super) const ENTRY: MethodRow = MethodRow {
    name: "vaebm",
    about: "a VAE, then an energy that tilts it, with chains in the VAE's noise space; model `tilted`",
    cite: "Xiao, Kreis, Kautz, Vahdat 2021, \"VAEBM: a symbiosis between variational autoencoders and energy-based \
           models\", ICLR, section 3; arXiv 2010.00654",
    schema: Schema::of::<(VaebmConfig, ElboConfig)>(),
    numbers: NUMBERS,
    cost: Spent { values: 0, gradients: 400 },
    proposal: None,
    init: &[("model", "tilted"), ("train.steps", "6000"), ("sampler.space", "\"noise\"")],
    example: r#"[dataset]
name = "moons"

[model]
name = "tilted"
net = { name = "mlp", hidden = [8] }

[model.base]
name = "vae"
nodes = 6
encoder = { name = "mlp", hidden = [6] }
decoder = { name = "mlp", hidden = [6] }

[method]
name = "vaebm"
vae_steps = 3
buffer = 40
spectral = 0.1
sampler.steps = 3
"#,
    build: |table, setup| Ok(Box::new(Vaebm::new(decode(table)?, decode(table)?, setup)?)),
};

/// The numbers of both stages; those of the first are the bound's, or that of a base density with a known normaliser.
const NUMBERS: &[Number] = numbers![
    elbo::NUMBERS,
    [BASE_NLL.when("a base density with a known normaliser")],
    *SECOND_STAGE,
    [
        Number::new("spectral", Unit::Plain, "sum of the largest singular values of all weights of f")
            .when("spectral > 0"),
        Number::norm("base_grad_norm", "norm of the base's gradient in the second stage").when("base_kl > 0"),
        Number::new("ess_share", Unit::Share, "effective share of the weighted draws")
            .higher()
            .when("negative = \"importance\""),
    ]
];

/// The numbers of the second stage.
pub(super) const SECOND_STAGE: &[Number] = numbers![likelihood_gap::NUMBERS, [GRAD_NORM, ACCEPTANCE, FROZEN]];

/// The number of a first stage by exact likelihood.
pub(super) const BASE_NLL: Number =
    Number::new("base_nll", Unit::Nats, "mean -log p of the batch under the base density, first stage").lower().lead();

/// The method `vaebm` (Xiao et al. 2021, section 3). In the first stage, the base density's weights descend its bound.
/// In the second stage, the tilting network f descends mean f(x⁺) - mean f(x⁻), with data x⁺ and draws x⁻ of the model,
/// while the base does not change but for `base_kl`.
pub(super) struct Vaebm {
    config: VaebmConfig,
    elbo: ElboConfig,
    /// The model; its optimiser changes only the tilting network.
    trained: Trainable<Model>,
    /// The weights of the tilting network.
    tilt: Weights,
    /// The optimiser of the base density.
    base: Named<Box<dyn Optimiser>>,
    sampler: Sampler,
    buffer: Option<Named<Buffer>>,
    spectral: Option<SpectralPenalty>,
    data: Arc<Data>,
}

impl Vaebm {
    /// The method for a model that tilts a density, with the settings `elbo` for the bound of a VAE.
    ///
    /// # Errors
    /// The model tilts no density with a noise space, the sampler does not fit it, or `vae_ckpt` does not.
    pub fn new(config: VaebmConfig, elbo: ElboConfig, setup: Setup) -> Result<Self> {
        let Setup { model, optim, data, key } = setup;
        if model.noise_space(Space::Noise).is_none() || model.tilt().is_none() {
            return Err(Error::config("method `vaebm` needs a model that tilts a density with a noise space")
                .hint("--set model.name=tilted with `base = { name = \"vae\" }`"));
        }
        let (kernel, chains, warm_up) = samplers::parts(&config.sampler)?;
        let chains = ChainConfig { space: config.space, means: chains.means || config.means, ..chains };
        let sampler = config.sampler.within(Sampler::with(kernel, chains, warm_up))?;
        sampler.check(&model, None, data.device(), true)?;
        if !config.vae_ckpt.is_empty() {
            let path = Path::new(&config.vae_ckpt);
            let remedy = "give [model.base] the keys of that run's own [model]";
            Stored::load(path, data.device())?.overwrite(&model.params().below(BASE), &[BASE, ""], path, remedy)?;
        }
        let buffer = match config.buffer {
            0 => None,
            n => {
                let start = sampler.start(key.with("buffer"), &model, None, data, n)?;
                Some(Named::new(BUFFER, Buffer::new(&start)?))
            }
        };
        let x = sampler.start(key.with("stiffness"), &model, None, data, 2)?;
        let updates = if buffer.is_some() { (1.0 - config.replay).recip() } else { 1.0 };
        config.sampler.within(sampler.check_stable("method.sampler", &model.frozen()?, &x, updates))?;
        let (base, tilt) = base_and_rest(&model);
        let spectral = match config.spectral {
            weight if weight > 0.0 => Some(SpectralPenalty::new(key.with("spectral"), &tilt)?),
            _ => None,
        };
        Ok(Vaebm {
            base: Named::new("vae_optim", optim::build(&config.vae_optim, &base)?),
            trained: Trainable::model_on(model, optim, &tilt)?,
            tilt,
            config,
            elbo,
            sampler,
            buffer,
            spectral,
            data: data.clone(),
        })
    }

    /// The number of steps of the first stage.
    fn first_stage(&self) -> u64 {
        if self.config.vae_ckpt.is_empty() { self.config.vae_steps } else { 0 }
    }

    /// Takes one step of the base density: on a VAE's bound, or on the likelihood of a base with a known normaliser.
    fn base_step(&mut self, cx: &StepContext, x: &Tensor) -> Result<Readings> {
        let (loss, mut metrics) = match (self.trained.live.vae(), self.trained.live.base()) {
            (Some(vae), _) => self.elbo.loss(vae, cx.key.with("posterior"), cx.step, x, None)?,
            (None, Some(base)) => {
                let loss = base.log_prob(x)?.mean_all()?.neg()?;
                let nll = scalar(&loss)?;
                (loss, Readings::new().with("base_nll", nll))
            }
            (None, None) => return Err(Error::Other("vaebm: a base density without a likelihood".into())),
        };
        let scale = half_cosine(cx.step, self.first_stage());
        metrics.set("grad_norm", descend(&mut self.base, &loss, scale)?);
        self.trained.live.after_update()?;
        Ok(metrics)
    }

    /// Takes one step of the tilting network.
    fn tilt_step(&mut self, cx: &StepContext, batch: &Batch) -> Result<Readings> {
        let since = cx.step - self.first_stage();
        let negative = match self.config.negative {
            Negative::Chain => self.chain(cx.key.with("chain"), since, batch.x.dim(0)?)?,
            Negative::Importance => self.draws(cx.key.with("draws"))?,
        };
        let (mut loss, mut metrics) = self.trained.in_training(cx, |energy| {
            let (up, down) = (energy.residual(&batch.x)?, energy.residual(&negative.x)?);
            likelihood_gap(&up, &down, negative.weights.as_ref(), self.config.energy_l2)
        })?;
        if let Some(spectral) = &mut self.spectral {
            let sum = spectral.value(&self.tilt)?;
            metrics.set("spectral", scalar(&sum)?);
            loss = (loss + (sum * self.config.spectral)?)?;
        }
        metrics.extend(negative.found);
        metrics.set("grad_norm", self.trained.descend(&loss, cx.lr_scale)?);
        if self.config.base_kl > 0.0 {
            let (live, still) = (&self.trained.live, &self.trained.still);
            let gap = toward_model::gap(live, still, cx.key.with("base"), batch.x.dim(0)?)?;
            let norm = descend(&mut self.base, &gap, self.config.base_kl * cx.lr_scale)?;
            metrics.set("base_grad_norm", norm);
            self.trained.live.after_update()?;
        }
        Ok(metrics)
    }

    /// The draws of the base with weights softmax(-f): self-normalised importance sampling.
    fn draws(&self, key: Key) -> Result<Sample> {
        let n = self.config.draws;
        let x = self
            .trained
            .still
            .base_sample(key, n)?
            .ok_or_else(|| Error::Other("vaebm: a base without draws".into()))?;
        let log_w = self.trained.still.residual(&x)?.to_dtype(DType::F64)?.neg()?;
        let w = candle_nn::ops::softmax(&log_w, D::Minus1)?;
        let ess = w.sqr()?.sum_all()?.recip()?;
        let share = (ess / Tensor::new(n as f64, w.device())?)?;
        let found = Readings::new().with("ess_share", share);
        Ok(Sample { weights: Some(w.to_dtype(x.dtype())?), x, found })
    }

    /// The ends of n chains; `since` is the number of steps of this stage so far.
    fn chain(&self, key: Key, since: u64, n: usize) -> Result<Sample> {
        let still = &self.trained.still;
        let fresh = self.sampler.start(key.with("start"), still, None, &self.data, n)?;
        let (start, taken): (Tensor, Option<(&Buffer, Taken)>) = match &self.buffer {
            None => (fresh, None),
            Some(buffer) => {
                let rise = ((since + 1) as f64 / self.config.replay_warmup.max(1) as f64).min(1.0);
                let taken = buffer.value.take(key.with("buffer"), n, 1.0 - self.config.replay * rise, &fresh)?;
                (self.refreshed(&taken.x, &fresh)?, Some((&buffer.value, taken)))
            }
        };
        let trace = self.sampler.run(key.with("steps"), &Target::of(still), &start, |_, _| Ok(()))?;
        if let Some((buffer, taken)) = taken {
            buffer.put(&taken, &trace.chain.x)?;
        }
        let mut found = Readings::new();
        found.set_chains(&trace)?;
        Ok(Sample { x: trace.x, weights: None, found })
    }

    /// The latent noise of `kept` with the observation noise of `fresh`, since a VAE's buffer keeps ε_z alone.
    fn refreshed(&self, kept: &Tensor, fresh: &Tensor) -> Result<Tensor> {
        match (self.config.space, self.trained.live.vae()) {
            (Space::Noise, Some(vae)) => {
                let (latent, all) = (vae.latent(), kept.dim(1)?);
                Ok(Tensor::cat(&[kept.narrow(1, 0, latent)?, fresh.narrow(1, latent, all - latent)?], 1)?)
            }
            _ => Ok(kept.clone()),
        }
    }
}

/// The negative items x⁻, perhaps with weights that sum to one.
struct Sample {
    x: Tensor,
    weights: Option<Tensor>,
    found: Readings,
}

parts!(Vaebm: trained, base, spectral, buffer);

impl Method for Vaebm {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let batch = only(batches)?;
        match cx.step < self.first_stage() {
            true => self.base_step(cx, &batch.x)?.read(),
            false => self.tilt_step(cx, batch)?.read(),
        }
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }

    fn first_phase(&self) -> Option<(&'static str, u64)> {
        let key = if self.trained.live.vae().is_some() { "vae_steps" } else { "flow_steps" };
        Some((key, self.first_stage()))
    }

    fn advice(&self) -> Vec<String> {
        vec![
            "an energy that learns more slowly (--set optim.lr=1e-4)".to_owned(),
            "a penalty on its steepness (--set method.spectral=0.2) or level (--set method.energy_l2=0.01)".to_owned(),
            "a smaller step (--set method.sampler.step_size=…)".to_owned(),
            "a smaller step (--set method.sampler.drift=…)".to_owned(),
            "few modes: weights in the place of chains (--set method.negative=importance)".to_owned(),
        ]
    }
}
