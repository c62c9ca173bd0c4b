//! A generator and an energy that teach each other: draws of the generator, revised by a few steps of a chain, are the
//! energy's negative phase and the generator's training data (Xie et al. 2018, CoopNets; Xie, Zheng, Li 2021, where the
//! generator is a VAE).

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::elbo::ElboConfig;
use super::supervised::mean;
use super::trained::{Learner, Trained};
use super::{BuildMethod, Method, Setup, Standing, State, StepContext, take};
use crate::config::{Entry, Schema, Spec, decode, rule};
use crate::data::Batch;
use crate::density::{Clamped, Energy, Freedom, Hole, Model, Proposal, Space, Stored, Vae};
use crate::metrics::Metrics;
use crate::nets::Builder;
use crate::samplers::Sampler;
use crate::{Error, Result, rng::Key};

/// What draws are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Nothing.
    #[default]
    None,
    /// The class: p(x|y) ∝ exp(f(x)[y]) of a model `classifier`.
    Class,
    /// The pixels outside `hole`: p(free | known) of any energy on images, the known pixels held at every step.
    Inpaint,
}

crate::config! {
    /// Keys of cooperative training.
    pub struct CooperativeConfig {
        /// Chains of a step; 0 for as many as the batch has items. With a condition, always as many.
        chains: usize = 0;
        /// What draws are given: none, class (the model must be a `classifier`) or inpaint (the pixels outside `hole`).
        condition: Condition = Condition::None;
        /// What is filled in with `condition = "inpaint"`: lower (half), left (half) or centre (a quarter of the area).
        hole: Hole = Hole::Lower;
        /// A checkpoint whose VAE is where the generator starts.
        vae_ckpt: String = String::new();
        /// Whether the generator learns from the revised draws. Without, and with `vae_ckpt`: an energy whose chains start at
        /// a fixed VAE's draws (ablation of Xiao et al. 2021).
        learn: bool = true;
        /// Weight of mean E(x⁺)² + mean E(x⁻)².
        energy_l2: f64 = 0.0, rule::non_negative;
    }
    parts {
        /// The generator. Of `coopnets`, the encoder stays as it is.
        vae: "vae" of crate::density::vae::schemas;
        /// The generator's optimiser.
        vae_optim: "adam" of crate::optim::schemas;
        /// The chains that revise its draws. Released code: `sgld` with noise 0.
        sampler: "langevin" of crate::samplers::schemas;
    }
}

/// The VAE as amortised sampler.
pub(super) const VAE_SAMPLER: Entry<BuildMethod> = Entry {
    name: "vae_sampler",
    about: "variational MCMC teaching: a VAE starts the energy's chains and learns from where they end",
    cite: "Xie, Zheng, Li 2021, \"Learning energy-based model with variational auto-encoder as amortized sampler\", AAAI, \
           Algorithm 1; arXiv 2012.14936",
    schema: Schema::joined::<CooperativeConfig, ElboConfig>(),
    build: |table, setup| Ok(Box::new(Cooperative::new(table, setup, Lesson::Bound)?)),
};

/// CoopNets.
pub(super) const COOPNETS: Entry<BuildMethod> = Entry {
    name: "coopnets",
    about: "cooperative networks: a generator without encoder regresses on its own draws, revised by a chain",
    cite: "Xie, Lu, Gao, Wu 2018, \"Cooperative learning of energy-based model and latent variable model via MCMC teaching\", AAAI",
    schema: Schema::joined::<CooperativeConfig, ElboConfig>(),
    build: |table, setup| Ok(Box::new(Cooperative::new(table, setup, Lesson::Regression)?)),
};

/// What the generator descends on revised draws x̃.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lesson {
    /// The variational bound of x̃: the encoder infers z anew.
    Bound,
    /// -log p(x̃|ẑ) at the ẑ that the draw was made of.
    Regression,
}

/// One step: x̂ = g(ẑ), x̃ by T steps of a chain from there; the energy descends mean E(x⁺) - mean E(x̃), the generator
/// its lesson. x̃ is made with the energy before its update.
struct Cooperative {
    config: CooperativeConfig,
    elbo: ElboConfig,
    lesson: Lesson,
    trained: Trained,
    frozen: Model,
    generator: Vae,
    /// On the same storage, without a graph.
    still: Vae,
    learner: Learner,
    sampler: Sampler,
    given: Given,
}

impl Cooperative {
    fn new(table: &toml::Table, setup: Setup, lesson: Lesson) -> Result<Self> {
        let config: CooperativeConfig = decode(table)?;
        let (device, spec) = (setup.data.device(), setup.data.spec());
        let given = Given::new(&config, &spec.shape, spec.classes, device)?;
        let builder = Builder::new(setup.key.with("generator"), DType::F32, device);
        let generator = Vae::new(&config.vae, &spec.shape, given.width(), &builder)?;
        let params = builder.finish();
        if !config.vae_ckpt.is_empty() {
            let stored = Stored::load(Path::new(&config.vae_ckpt), device)?;
            params.load(&stored.weights).map_err(|e| {
                let remedy = "give [method.vae] the keys of the run's own [model]";
                Error::checkpoint(Path::new(&config.vae_ckpt), e.to_string(), remedy)
            })?;
        }
        let sampler = Sampler::new(&config.sampler)?;
        sampler.check(&setup.model, device)?;
        if sampler.config.space != Space::Data {
            return Err(Error::Config(
                "error: `method.sampler.space` must be \"data\": draws are revised themselves".into(),
            ));
        }
        let still = Builder::bound(params.tensors(), DType::F32, device);
        let cooperative = Cooperative {
            still: Vae::new(&config.vae, &spec.shape, given.width(), &still)?,
            frozen: setup.model.frozen()?,
            trained: Trained::new(setup.model, setup.optim)?,
            learner: Learner::new(params, &config.vae_optim)?,
            elbo: decode(table)?,
            generator,
            sampler,
            given,
            config,
            lesson,
        };
        cooperative.check_classes(device)?;
        Ok(cooperative)
    }

    /// Finds before a long run that a class-conditional energy is asked of a model without classes.
    fn check_classes(&self, device: &Device) -> Result<()> {
        match self.given {
            Given::Class(_) => {
                self.trained.model.given(&Tensor::zeros(1, DType::U32, device)?).map(drop).ok_or_else(no_classes)
            }
            _ => Ok(()),
        }
    }

    /// x̂ with what it was made of, and x̃.
    fn draw(&self, key: Key, batch: &Batch) -> Result<(Draft, Metrics)> {
        let n = match (&self.given, self.config.chains) {
            (Given::Nothing, chains) if chains > 0 => chains,
            _ => batch.x.dim(0)?,
        };
        let c = self.given.of(batch)?;
        let z = self.still.prior(key.with("z"), n, 1.0)?;
        let first = self.still.mean(&z, c.as_ref())?.detach();
        let (start, revised, energies, accept) = self.revise(key.with("chain"), first, batch)?;
        let moved = (&revised - &start)?.sqr()?.flatten_from(1)?.sum(1)?.sqrt()?;
        let fall = (&energies[0] - &energies[1])?;
        let mut found = Metrics::new().with("displacement", mean(&moved)?).with("energy_drop", mean(&fall)?);
        if let Some(accept) = accept {
            found.set("acceptance", accept);
        }
        Ok((Draft { z, c, revised }, found))
    }

    /// Where chains begin, for draws x̂ of the generator; where they end; the energies of both; the share accepted.
    fn revise(&self, key: Key, first: Tensor, batch: &Batch) -> Result<(Tensor, Tensor, [Tensor; 2], Option<f64>)> {
        if let Given::Known(freedom) = &self.given {
            let clamped = Clamped { energy: self.frozen.as_energy(), freedom, known: &batch.x };
            let free = freedom.of(&first)?;
            let before = clamped.energy(&free)?;
            let trace = self.sampler.run(key, &clamped, &free, |_, _| Ok(()))?;
            let (start, end) = (freedom.embed(&free, &batch.x)?, freedom.embed(&trace.x, &batch.x)?);
            return Ok((start, end, [before, trace.chain.energy], trace.accept));
        }
        let class = self.given.class(self.frozen.as_energy(), batch);
        let energy = class.as_deref().unwrap_or(self.frozen.as_energy());
        let before = energy.energy(&first)?;
        let trace = self.sampler.run(key, energy, &first, |_, _| Ok(()))?;
        Ok((first, trace.x, [before, trace.chain.energy], trace.accept))
    }

    fn update_energy(&mut self, cx: &StepContext, batch: &Batch, draft: &Draft) -> Result<Metrics> {
        let view = self.trained.model.in_training(cx.key.with("dropout"));
        let energy: &dyn Energy = view.as_deref().unwrap_or(self.trained.model.as_energy());
        let class = self.given.class(energy, batch);
        let energy = class.as_deref().unwrap_or(energy);
        let (up, down) = (energy.energy(&batch.x)?, energy.energy(&draft.revised)?);
        let mut loss = (up.mean_all()? - down.mean_all()?)?;
        if self.config.energy_l2 > 0.0 {
            loss = (loss + ((up.sqr()?.mean_all()? + down.sqr()?.mean_all()?)? * self.config.energy_l2)?)?;
        }
        let (on_data, on_samples) = (mean(&up)?, mean(&down)?);
        drop(class);
        drop(view);
        let metrics = Metrics::new()
            .with("energy", on_data)
            .with("sample_energy", on_samples)
            .with("energy_gap", on_samples - on_data);
        Ok(metrics.with("grad_norm", self.trained.descend(&loss, cx.lr_scale)?))
    }

    fn update_generator(&mut self, cx: &StepContext, draft: &Draft) -> Result<Metrics> {
        let (loss, mut found) = match self.lesson {
            Lesson::Bound => {
                let key = cx.key.with("posterior");
                self.elbo.loss(&self.generator, key, cx.step, &draft.revised, draft.c.as_ref())?
            }
            Lesson::Regression => {
                let log_p = self.generator.log_likelihood(&draft.revised, &draft.z, draft.c.as_ref())?;
                let loss = log_p.mean_all()?.neg()?;
                let value = mean(&loss)?;
                (loss, Metrics::new().with("reconstruction", value))
            }
        };
        found.set("generator_grad_norm", self.learner.descend(&loss, cx.lr_scale)?);
        Ok(found)
    }
}

/// What one step has drawn.
struct Draft {
    z: Tensor,
    c: Option<Tensor>,
    /// x̃.
    revised: Tensor,
}

/// What the generator's draws are given.
enum Given {
    Nothing,
    /// One of so many classes.
    Class(usize),
    /// The coordinates that are not free.
    Known(Freedom),
}

impl Given {
    fn new(config: &CooperativeConfig, item: &[usize], classes: Option<usize>, device: &Device) -> Result<Self> {
        match (config.condition, classes, item) {
            (Condition::None, ..) => Ok(Given::Nothing),
            (Condition::Class, Some(k), _) if k > 1 => Ok(Given::Class(k)),
            (Condition::Class, ..) => Err(Error::Config(
                "error: `method.condition = \"class\"` needs data with labels\n\nhint: --set method.condition=none"
                    .into(),
            )),
            (Condition::Inpaint, _, &[c, h, w]) => {
                Ok(Given::Known(Freedom::new(item, &config.hole.mask([c, h, w]), device)?))
            }
            (Condition::Inpaint, ..) => Err(Error::Config(format!(
                "error: `method.condition = \"inpaint\"` needs images, and an item has the shape {item:?}\n\nhint: --set \
                 dataset.flatten=false, or --set method.condition=none"
            ))),
        }
    }

    /// C, the numbers that a VAE is given.
    fn width(&self) -> usize {
        match self {
            Given::Nothing => 0,
            Given::Class(k) => *k,
            Given::Known(freedom) => freedom.size(),
        }
    }

    /// c `[B, C]`: the class as an indicator; the item with zeros in the place of what is free.
    fn of(&self, batch: &Batch) -> Result<Option<Tensor>> {
        match self {
            Given::Nothing => Ok(None),
            Given::Class(k) => {
                let y = batch.y.as_ref().ok_or_else(|| Error::Other("a batch without labels".into()))?;
                indicators(y, *k).map(Some)
            }
            Given::Known(freedom) => freedom.known(&batch.x).map(Some),
        }
    }

    /// The energy within the classes of the batch, where draws are given classes.
    fn class(&self, energy: &dyn Energy, batch: &Batch) -> Option<Box<dyn Energy>> {
        match (self, &batch.y) {
            (Given::Class(_), Some(y)) => energy.given(y),
            _ => None,
        }
    }
}

fn no_classes() -> Error {
    Error::Config(
        "error: `method.condition = \"class\"` needs a model with classes\n\nhint: --set model.name=classifier".into(),
    )
}

/// Labels `[B]` as rows with a one, `[B, K]` f32.
fn indicators(y: &Tensor, classes: usize) -> Result<Tensor> {
    let all = Tensor::arange(0u32, classes as u32, y.device())?.unsqueeze(0)?;
    Ok(y.unsqueeze(1)?.broadcast_eq(&all)?.to_dtype(DType::F32)?)
}

impl Method for Cooperative {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let batch = batches.first().ok_or_else(|| Error::Other("a cooperative step needs a batch".into()))?;
        let (draft, found) = self.draw(cx.key.with("draw"), batch)?;
        let mut metrics = self.update_energy(cx, batch, &draft)?;
        metrics.extend(found);
        if self.config.learn {
            metrics.extend(self.update_generator(cx, &draft)?);
        }
        let gradients = (self.sampler.config.steps * draft.revised.dim(0)?) as u64 * (cx.step + 1);
        Ok(metrics.with("energy_gradients", gradients as f64))
    }

    fn model(&self) -> &Model {
        &self.trained.model
    }

    fn advice(&self) -> Vec<String> {
        vec![
            "an energy that learns more slowly (--set optim.lr=1e-4)".to_owned(),
            "a penalty on the level of the energy (--set method.energy_l2=0.01)".to_owned(),
            "smaller steps of the chain (--set method.sampler.step_size=…)".to_owned(),
        ]
    }

    fn state(&self) -> Result<State> {
        let mut state = self.trained.state()?;
        self.learner.save(GENERATOR, &mut state)?;
        Ok(state)
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.trained.load(state)?;
        self.learner.load(GENERATOR, state)
    }
}

/// What the generator's parameters are under in the state.
const GENERATOR: &str = "generator";

/// The generator of a run, to draw from.
pub(super) fn proposal(spec: &Spec, standing: &Standing) -> Result<Box<dyn Proposal>> {
    let config: CooperativeConfig = decode(&spec.0)?;
    let given = Given::new(&config, standing.shape, standing.classes, standing.device)?;
    let builder = Builder::bound(take(standing.state, GENERATOR), DType::F32, standing.device);
    let generator = Vae::new(&config.vae, standing.shape, given.width(), &builder)?;
    Ok(match given {
        Given::Nothing => Box::new(generator),
        given => Box::new(Conditional { generator, given }),
    })
}

/// A generator that draws for classes, all equally likely, or for known pixels.
struct Conditional {
    generator: Vae,
    given: Given,
}

impl Proposal for Conditional {
    fn draw(&self, key: Key, n: usize) -> Result<Tensor> {
        self.draw_labelled(key, n)?.map(|(x, _)| x).ok_or_else(|| {
            Error::Config(
                "error: the generator draws for known pixels, not by itself: it serves the probe `inpainting`\n\nhint: --set \
                 sampler.init=normal"
                    .into(),
            )
        })
    }

    /// Class i mod K in row i.
    fn draw_labelled(&self, key: Key, n: usize) -> Result<Option<(Tensor, Tensor)>> {
        let Given::Class(classes) = self.given else { return Ok(None) };
        let z = self.generator.prior(key, n, 1.0)?;
        let labels: Vec<u32> = (0..n).map(|i| (i % classes) as u32).collect();
        let y = Tensor::new(labels, z.device())?;
        let x = self.generator.mean(&z, Some(&indicators(&y, classes)?))?.detach();
        Ok(Some((x, y)))
    }

    fn complete(&self, key: Key, known: &Tensor) -> Result<Option<Tensor>> {
        let Given::Known(freedom) = &self.given else { return Ok(None) };
        let z = self.generator.prior(key, known.dim(0)?, 1.0)?;
        Ok(Some(self.generator.mean(&z, Some(&freedom.known(known)?))?.detach()))
    }
}
