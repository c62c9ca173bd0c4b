//! A generator and an energy that teach each other: draws of the generator, revised by a few steps of a chain, are the
//! energy's negative phase and the generator's training data (Xie et al. 2018, CoopNets; Xie, Zheng, Li 2021, where the
//! generator is a VAE; Xie, Zhu, Li, Li 2022, where it is a flow).

mod condition;
mod coopflow;
mod generator;

pub(super) use coopflow::COOPFLOW;

use candle_core::{DType, Tensor};

use self::condition::{Condition, Conditional, Given};
use self::generator::{Decoder, GENERATOR, Lesson, TaughtGenerator};
use super::learning::elbo::{self, ElboConfig};
use super::learning::likelihood_gap::{self, likelihood_gap};
use super::learning::readings::{ACCEPTANCE, FROZEN, GRAD_NORM, Readings, mean};
use super::learning::trainable::{Trainable, at_rest};
use super::method::only;
use super::part::parts;
use super::{Method, MethodRow, Setup, Standing, StepContext};
use crate::config::{Schema, Spec, decode, rule};
use crate::data::{Batch, Data, Split};
use crate::density::{Clamped, Energy, Hole, Model, Proposal, Space, Vae};
use crate::metrics::{Metrics, Number, Spent, Unit, numbers};
use crate::nets::Builder;
use crate::samplers::{Lifetime, Sampler, Target, Trace};
use crate::{Error, Result, rng::Key};

crate::config! {
    /// Keys of cooperative training.
    pub struct CooperativeConfig {
        /// Chains of a step; 0 for as many as the batch has items. With a condition, always as many.
        chains: usize = 0;
        /// What draws are given: none, class (the model must be a `classifier`) or inpaint (the pixels outside `hole`).
        condition: Condition = Condition::None;
        /// What is filled in with `condition = "inpaint"`: lower, left or right (half), or centre (a quarter of the
        /// area).
        hole: Hole = Hole::Lower;
        /// A checkpoint whose VAE is where the generator starts.
        vae_ckpt: String = String::new();
        /// Whether the generator learns from the revised draws. Without, and with `vae_ckpt`: an energy whose chains
        /// start at a fixed VAE's draws (ablation of Xiao et al. 2021).
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

/// The numbers of the energy's part of a step.
const NUMBERS: &[Number] = numbers![
    likelihood_gap::NUMBERS,
    [
        GRAD_NORM,
        Number::new("displacement", Unit::Plain, "mean distance that the chains carry the generator's draws").chain(),
        Number::new("energy_drop", Unit::Nats, "mean fall of the energy along the chains").lead(),
        ACCEPTANCE,
        FROZEN,
    ]
];

const GENERATOR_GRAD_NORM: Number =
    Number::norm("generator_grad_norm", "norm of the generator's gradient, before clipping").when("learn");

/// The VAE as amortised sampler (Xie, Zheng & Li 2021, Algorithm 1).
pub(super) const VAE_SAMPLER: MethodRow = MethodRow {
    name: "vae_sampler",
    about: "variational MCMC teaching: a VAE starts the energy's chains and learns from where they end",
    cite: "Xie, Zheng, Li 2021, \"Learning energy-based model with variational auto-encoder as amortized sampler\", \
           AAAI, Algorithm 1; arXiv 2012.14936",
    schema: Schema::of::<(CooperativeConfig, ElboConfig)>(),
    numbers: numbers![*NUMBERS, elbo::NUMBERS, [GENERATOR_GRAD_NORM]],
    cost: Spent { values: 256, gradients: 640 },
    proposal: Some(proposal),
    init: &[],
    example: r#"[dataset]
name = "moons"

[model]
net = { name = "mlp", hidden = [8, 8], spectral_norm = true }

[method]
name = "vae_sampler"
sampler.steps = 3

[method.vae]
name = "vae"
encoder = { name = "mlp", hidden = [6] }
decoder = { name = "mlp", hidden = [6] }
"#,
    build: |table, setup| Ok(Box::new(of_decoder(table, setup, Lesson::Bound)?)),
};

/// CoopNets (Xie, Lu, Gao & Wu 2018).
pub(super) const COOPNETS: MethodRow = MethodRow {
    name: "coopnets",
    about: "cooperative networks: a generator without encoder regresses on its own draws, revised by a chain",
    cite: "Xie, Lu, Gao, Wu 2018, \"Cooperative learning of energy-based model and latent variable model via MCMC \
           teaching\", AAAI",
    schema: Schema::of::<(CooperativeConfig, ElboConfig)>(),
    numbers: numbers![*NUMBERS, [elbo::RECONSTRUCTION, GENERATOR_GRAD_NORM]],
    cost: Spent { values: 256, gradients: 640 },
    proposal: Some(proposal),
    init: &[],
    example: r#"[dataset]
name = "moons"

[model]
net = { name = "mlp", hidden = [8, 8], spectral_norm = true }

[method]
name = "coopnets"
sampler.steps = 3

[method.vae]
name = "vae"
groups = 2
encoder = { name = "mlp", hidden = [6] }
decoder = { name = "mlp", hidden = [6] }
"#,
    build: |table, setup| Ok(Box::new(of_decoder(table, setup, Lesson::Regression)?)),
};

/// The method whose generator is a VAE that learns by `lesson`.
fn of_decoder(table: &toml::Table, setup: Setup, lesson: Lesson) -> Result<Cooperative> {
    let config: CooperativeConfig = decode(table)?;
    let spec = setup.data.spec();
    let given = Given::new(&config, &spec.shape, spec.classes, setup.data.device())?;
    let key = setup.key.with("generator");
    let generator = Decoder::new(&config, decode(table)?, lesson, (setup.data, given.width()), key)?;
    let terms = Terms { chains: config.chains, learn: config.learn, energy_l2: config.energy_l2, given };
    Cooperative::new(terms, &config.sampler, Box::new(generator), setup)
}

/// The settings that all lessons share.
struct Terms {
    chains: usize,
    learn: bool,
    energy_l2: f64,
    /// The condition of the draws.
    given: Given,
}

impl Terms {
    /// The number of draws that are revised for a batch of `items` items.
    fn draws(&self, items: usize) -> usize {
        match (&self.given, self.chains) {
            (Given::Nothing, chains) if chains > 0 => chains,
            _ => items,
        }
    }
}

/// Cooperative training. In one step, draws x̂ = g(ẑ) of the generator are revised to x̃ by T steps of a chain on the
/// energy before its update; then the energy descends mean E(x⁺) - mean E(x̃) with data x⁺, and the generator learns
/// from x̃ by its lesson.
pub(super) struct Cooperative {
    terms: Terms,
    trained: Trainable<Model>,
    generator: Box<dyn TaughtGenerator>,
    sampler: Sampler,
}

impl Cooperative {
    fn new(terms: Terms, spec: &Spec, generator: Box<dyn TaughtGenerator>, setup: Setup) -> Result<Self> {
        let device = setup.data.device();
        let sampler = Sampler::new(spec)?;
        sampler.check(&setup.model, None, device, true)?;
        if sampler.config.space != Space::Data {
            return Err(Error::config("`method.sampler.space` must be \"data\": draws are revised themselves")
                .at("sampler.space"));
        }
        let trained = Trainable::model(setup.model, setup.optim)?;
        let cooperative = Cooperative { terms, trained, generator, sampler };
        cooperative.check_classes(device)?;
        spec.within(cooperative.check_stable(setup.data))?;
        Ok(cooperative)
    }

    /// Refuses, before a long run, a class-conditional energy of a model without classes.
    fn check_classes(&self, device: &candle_core::Device) -> Result<()> {
        match self.terms.given {
            Given::Class(_) => {
                self.trained.live.given(&Tensor::zeros(1, DType::U32, device)?).map(drop).ok_or_else(no_classes)
            }
            _ => Ok(()),
        }
    }

    /// Refuses chains that would overshoot without end on the energy as it is, at data.
    fn check_stable(&self, data: &Data) -> Result<()> {
        let (x, still, section) = (data.all(Split::Train, 2)?.x, &self.trained.still, "method.sampler");
        match (&self.terms.given, self.sampler.kernel.drift()) {
            (Given::Known(freedom), Some(drift)) => {
                let clamped = Clamped { energy: still, freedom, known: &x };
                let lifetime = Lifetime { steps: self.sampler.config.steps, updates: 1.0 };
                drift.check(section, still, &clamped, &freedom.of(&x)?, lifetime)
            }
            _ => self.sampler.check_stable(section, still, &x, 1.0),
        }
    }

    /// The draws x̂, the numbers that they were made of, and the revised draws x̃.
    fn draw(&self, key: Key, batch: &Batch) -> Result<(Draft, Readings)> {
        let n = self.terms.draws(batch.x.dim(0)?);
        let c = self.terms.given.of(batch)?;
        let (first, z) = self.generator.draw(key, n, c.as_ref())?;
        let Revised { start, end: revised, before, after, trace } = self.revise(key.with("chain"), first, batch)?;
        let moved = (&revised - &start)?.sqr()?.flatten_from(1)?.sum(1)?.sqrt()?;
        let fall = (before - after)?;
        let mut found = Readings::new().with("displacement", mean(&moved)?).with("energy_drop", mean(&fall)?);
        found.set_chains(&trace)?;
        Ok((Draft { z, c, revised }, found))
    }

    /// Two revised draws of the untrained generator, for a check before the first step.
    fn first(&self, key: Key, data: &Data) -> Result<Tensor> {
        let batch = data.all(Split::Train, 2)?;
        let (first, _) = self.generator.draw(key, 2, self.terms.given.of(&batch)?.as_ref())?;
        Ok(self.revise(key.with("chain"), first, &batch)?.end)
    }

    /// The chains from draws x̂ of the generator, or from the free part of these where a condition holds the rest.
    fn revise(&self, key: Key, first: Tensor, batch: &Batch) -> Result<Revised> {
        if let Given::Known(freedom) = &self.terms.given {
            let clamped = Clamped { energy: &self.trained.still, freedom, known: &batch.x };
            let free = freedom.of(&first)?;
            let before = clamped.energy(&free)?;
            let on = Target::new(&clamped);
            let trace = self.sampler.run(key, &on, &free, |_, _| Ok(()))?;
            let after = self.sampler.energies(&on, &trace.chain)?;
            let (start, end) = (freedom.embed(&free, &batch.x)?, freedom.embed(&trace.x, &batch.x)?);
            return Ok(Revised { start, end, before, after, trace });
        }
        let still = &self.trained.still;
        let class = self.terms.given.class(still, batch);
        let on = class.as_ref().map_or(Target::of(still), |class| Target::new(class));
        let before = on.energy().energy(&first)?;
        let trace = self.sampler.run(key, &on, &first, |_, _| Ok(()))?;
        let after = self.sampler.energies(&on, &trace.chain)?;
        Ok(Revised { start: first, end: trace.x.clone(), before, after, trace })
    }

    fn update_energy(&mut self, cx: &StepContext, batch: &Batch, draft: &Draft) -> Result<Readings> {
        let (loss, metrics) = self.trained.in_training(cx, |energy| {
            let class = self.terms.given.class(energy, batch);
            let energy: &dyn Energy = class.as_ref().map_or(energy, |class| class);
            let (up, down) = (energy.energy(&batch.x)?, energy.energy(&draft.revised)?);
            likelihood_gap(&up, &down, None, self.terms.energy_l2)
        })?;
        Ok(metrics.with("grad_norm", self.trained.descend(&loss, cx.lr_scale)?))
    }
}

/// The draws of one step.
struct Draft {
    /// The noise ẑ that x̂ is made of, if the lesson needs it.
    z: Option<Tensor>,
    c: Option<Tensor>,
    /// The revised draws x̃.
    revised: Tensor,
}

/// A run of chains, with the items at its start and end.
struct Revised {
    start: Tensor,
    end: Tensor,
    /// The energies at the start, `[n]`.
    before: Tensor,
    /// The energies at the end, `[n]`.
    after: Tensor,
    trace: Trace,
}

fn no_classes() -> Error {
    Error::config("`method.condition = \"class\"` needs a model with classes")
        .at("condition")
        .hint("--set model.name=classifier")
}

parts!(Cooperative: trained, generator);

impl Method for Cooperative {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let batch = only(batches)?;
        if let Some(found) = self.generator.prepare(cx, &batch.x)? {
            return found.read();
        }
        let (draft, found) = self.draw(cx.key.with("draw"), batch)?;
        let mut metrics = self.update_energy(cx, batch, &draft)?;
        metrics.extend(found);
        if self.terms.learn {
            metrics.extend(self.generator.learn(cx, &draft)?);
        }
        metrics.read()
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }

    fn advice(&self) -> Vec<String> {
        vec![
            "an energy that learns more slowly (--set optim.lr=1e-4)".to_owned(),
            "a penalty on the level of the energy (--set method.energy_l2=0.01)".to_owned(),
            "smaller steps of the chain (--set method.sampler.step_size=…)".to_owned(),
            "smaller steps of the chain (--set method.sampler.drift=…)".to_owned(),
        ]
    }
}

/// The generator of a run, as a proposal.
fn proposal(spec: &Spec, standing: &Standing) -> Result<Box<dyn Proposal>> {
    let config: CooperativeConfig = decode(&spec.table)?;
    let given = Given::new(&config, standing.shape, standing.classes, standing.device)?;
    let build = |builder: &Builder| Vae::new(&config.vae, standing.shape, given.width(), builder);
    let generator = at_rest(GENERATOR, standing, build)?;
    Ok(match given {
        Given::Nothing => Box::new(generator),
        given => Box::new(Conditional { generator, given }),
    })
}
