//! Maximum likelihood by Markov chains: contrastive divergence, persistent chains, short runs, and JEM on top of them.
//!
//! All descend mean E(x⁺) - mean E(x⁻) with data x⁺ and ends of chains x⁻, the gradient of the negative log-likelihood
//! if x⁻ are draws of the model. They differ in the start of the chains: the data, their last positions, or noise.

use std::sync::Arc;

use candle_core::Tensor;

use super::example::example;
use super::learning::chain_kl::{ChainKl, KL, KlConfig};
use super::learning::likelihood_gap::{self, likelihood_gap};
use super::learning::readings::{ACCEPTANCE, FROZEN, GRAD_NORM, Readings, mean};
use super::learning::supervised::{self, Supervised, SupervisedConfig};
use super::learning::trainable::Trainable;
use super::method::only;
use super::part::{Named, parts, tensor};
use super::{Method, MethodRow, Part, Setup, Standing, State, StepContext};
use crate::config::{Schema, Spec, decode, rule};
use crate::data::{Batch, Data, Split};
use crate::density::{Energy, Model, Proposal, energy_of};
use crate::metrics::{Metrics, Number, Spent, numbers};
use crate::samplers::{Buffer, Sampler, Taken, Target, Trace};
use crate::{Result, rng::Key};

crate::config! {
    /// Keys of methods whose negative phase is a Markov chain.
    pub struct ChainsConfig {
        /// Weight of mean E(x⁺)² + mean E(x⁻)², which keeps the energy's level from drifting (IGEBM: 1).
        energy_l2: f64 = 0.0, rule::non_negative;
        /// Standard deviation of noise that is added to the ends of chains before they are contrasted with the data:
        /// that of `dataset.noise`, where chains of low temperature leave smoother items than the data.
        negative_noise: f64 = 0.0, rule::non_negative;
    }
    parts {
        /// The chains of the negative phase; their `init` is where fresh ones begin.
        sampler: "sgld" of crate::samplers::schemas;
    }
}

crate::config! {
    /// Keys of methods that keep their chains.
    pub struct BufferConfig {
        /// Chains that are kept.
        buffer: usize = 10000, rule::at_least(1);
        /// Probability that a chain begins anew when its turn comes.
        reinit: f64 = 0.05, probability;
    }
}

/// The rule for a probability.
pub(super) fn probability(v: &f64) -> rule::Complaint {
    (!(0.0..=1.0).contains(v)).then(|| format!("must be in [0, 1], got {v}"))
}

/// The numbers of methods whose negative phase is a Markov chain.
const NUMBERS: &[Number] = numbers![likelihood_gap::NUMBERS, [KL, GRAD_NORM, ACCEPTANCE, FROZEN]];

/// Contrastive divergence (Hinton 2002).
pub(super) const CD: MethodRow = MethodRow {
    name: "cd",
    about: "contrastive divergence: k steps of a chain that begins at the data",
    cite: "Hinton 2002, \"Training products of experts by minimizing contrastive divergence\"",
    schema: Schema::of::<(ChainsConfig, KlConfig)>(),
    numbers: NUMBERS,
    cost: Spent { values: 0, gradients: 640 },
    proposal: None,
    init: &[],
    example: example!(plane, "cd", "sampler.steps = 3\n"),
    build: |table, setup| Contrastive::boxed(table, setup, false, |_, _| Ok(Chains::Data)),
};

/// Short-run chains from noise (Nijkamp, Hill, Zhu & Wu 2019).
pub(super) const SHORT_RUN: MethodRow = MethodRow {
    name: "short_run",
    about: "chains that begin at noise in every step: the learned object is the short run itself",
    cite: "Nijkamp, Hill, Zhu, Wu 2019, \"Learning non-convergent non-persistent short-run MCMC toward energy-based \
           model\"",
    schema: Schema::of::<(ChainsConfig, KlConfig)>(),
    numbers: NUMBERS,
    cost: Spent { values: 0, gradients: 640 },
    proposal: None,
    init: &[],
    example: example!(plane, "short_run", "sampler.steps = 3\n"),
    build: |table, setup| Contrastive::boxed(table, setup, false, |_, _| Ok(Chains::Fresh)),
};

/// Persistent contrastive divergence (Tieleman 2008; Du & Mordatch 2019).
pub(super) const PCD: MethodRow = MethodRow {
    name: "pcd",
    about: "persistent contrastive divergence: chains go on where they stood, out of a replay buffer",
    cite: "Tieleman 2008; with a replay buffer: Du & Mordatch 2019, arXiv 1903.08689",
    schema: Schema::of::<(ChainsConfig, KlConfig, BufferConfig)>(),
    numbers: NUMBERS,
    cost: Spent { values: 0, gradients: 640 },
    proposal: Some(proposal),
    init: &[],
    example: example!(plane, "pcd", "buffer = 40\nreinit = 0.3\nsampler.steps = 3\n"),
    build: |table, setup| Contrastive::boxed(table, setup, false, Chains::kept),
};

/// The joint energy model, JEM (Grathwohl et al. 2020, "Your classifier is secretly an energy based model").
pub(super) const JEM: MethodRow = MethodRow {
    name: "jem",
    about: "joint energy model: cross-entropy for p(y|x), persistent chains for p(x) of the same classifier",
    cite: "Grathwohl, Wang, Jacobsen, Duvenaud, Norouzi, Swersky 2020, \"Your classifier is secretly an energy based \
           model and you should treat it like one\", ICLR, Algorithm 1; arXiv 1912.03263",
    schema: Schema::of::<(ChainsConfig, KlConfig, BufferConfig, SupervisedConfig)>(),
    numbers: numbers![*NUMBERS, supervised::NUMBERS],
    cost: Spent { values: 0, gradients: 640 },
    proposal: Some(proposal),
    // For pictures the published settings.
    init: &[
        ("dataset", "digits"),
        ("model", "classifier"),
        ("pictures: dataset.noise", "0.03"),
        ("pictures: optim.lr", "1e-4"),
        ("pictures: sampler", "sgld"),
        ("pictures: sampler.steps", "20"),
    ],
    example: example!(digits, "jem", "buffer = 40\nreinit = 0.3\nsampler.steps = 3\n"),
    build: |table, setup| Contrastive::boxed(table, setup, true, Chains::kept),
};

/// The start of the chains of the negative phase.
enum Chains {
    /// The items of the batch.
    Data,
    /// The starting points of the sampler.
    Fresh,
    /// The chains' own last positions, but with probability `reinit` the sampler's starting points.
    Kept { buffer: Named<Buffer>, reinit: f64 },
}

impl Chains {
    fn kept(table: &toml::Table, start: &dyn Fn(usize) -> Result<Tensor>) -> Result<Self> {
        let BufferConfig { buffer, reinit } = decode(table)?;
        let buffer = Named::new(BUFFER, Buffer::new(&start(buffer)?)?);
        Ok(Chains::Kept { buffer, reinit })
    }
}

impl Part for Chains {
    fn save(&self, state: &mut State) -> Result<()> {
        match self {
            Chains::Kept { buffer, .. } => buffer.save(state),
            Chains::Data | Chains::Fresh => Ok(()),
        }
    }

    fn load(&mut self, state: &State) -> Result<()> {
        match self {
            Chains::Kept { buffer, .. } => buffer.load(state),
            Chains::Data | Chains::Fresh => Ok(()),
        }
    }
}

/// The negative phase: a sampler, and the start of its chains.
struct Negative {
    sampler: Sampler,
    chains: Chains,
    data: Arc<Data>,
}

impl Negative {
    /// The ends of chains for a batch x⁺, as many as it has items, and where they stood one step before.
    fn draw(&self, key: Key, model: &Model, x: &Tensor) -> Result<(Trace, Tensor)> {
        let n = x.dim(0)?;
        let fresh = || self.sampler.start(key.with("start"), model, None, &self.data, n);
        let (start, taken): (Tensor, Option<(&Buffer, Taken)>) = match &self.chains {
            Chains::Data => (x.clone(), None),
            Chains::Fresh => (fresh()?, None),
            Chains::Kept { buffer, reinit } => {
                let taken = buffer.value.take(key.with("buffer"), n, *reinit, &fresh()?)?;
                (taken.x.clone(), Some((&buffer.value, taken)))
            }
        };
        let (mut before, last) = (start.clone(), self.sampler.config.steps);
        let trace = self.sampler.run(key.with("chain"), &Target::of(model), &start, |step, chain| {
            if step + 2 == last {
                before = chain.x.clone();
            }
            Ok(())
        })?;
        if let Some((buffer, taken)) = taken {
            buffer.put(&taken, &trace.chain.x)?;
        }
        Ok((trace, before))
    }

    /// Refuses chains that would overshoot without end on the model as it is.
    fn check_stable(&self, key: Key, model: &Model) -> Result<()> {
        let x = match &self.chains {
            Chains::Data => self.data.all(Split::Train, 2)?.x,
            Chains::Fresh | Chains::Kept { .. } => self.sampler.start(key, model, None, &self.data, 2)?,
        };
        let updates = match &self.chains {
            Chains::Kept { reinit, .. } => reinit.recip(),
            Chains::Data | Chains::Fresh => 1.0,
        };
        self.sampler.check_stable("method.sampler", model, &x, updates)
    }
}

/// The methods of this file: minimise mean E(x⁺) - mean E(x⁻) + l2 (mean E(x⁺)² + mean E(x⁻)²), for a classifier also α
/// times the cross-entropy of the labels + β times the mean entropy of p(y|x).
struct Contrastive {
    energy_l2: f64,
    negative_noise: f64,
    kl: Option<ChainKl>,
    negative: Negative,
    supervised: Option<Supervised>,
    trained: Trainable<Model>,
}

type Begin = fn(&toml::Table, &dyn Fn(usize) -> Result<Tensor>) -> Result<Chains>;

impl Contrastive {
    fn boxed(table: &toml::Table, setup: Setup, joint: bool, begin: Begin) -> Result<Box<dyn Method>> {
        let config: ChainsConfig = decode(table)?;
        let sampler = Sampler::new(&config.sampler)?;
        let noise = config.sampler.table.get("noise").and_then(toml::Value::as_float);
        if config.sampler.name() == "sgld" && noise == Some(0.0) {
            tracing::warn!(
                "method.sampler.noise = 0: chains at temperature 0 end in minima and draw from no exp(-E); a log Z or \
                 a likelihood of this energy (ais, gof_…) says nothing of such samples"
            );
        }
        let (model, data, key) = (setup.model, setup.data, setup.key.with("chains"));
        sampler.check(&model, None, data.device(), true)?;
        let chains = begin(table, &|n| sampler.start(key, &model, None, data, n))?;
        let supervised = joint.then(|| Supervised::new(decode(table)?, data)).transpose()?;
        let negative = Negative { sampler, chains, data: data.clone() };
        let trained = Trainable::model(model, setup.optim)?;
        config.sampler.within(negative.check_stable(key.with("stiffness"), &trained.still))?;
        let kl = ChainKl::new(&decode(table)?, &negative.sampler)?;
        let ChainsConfig { energy_l2, negative_noise, .. } = config;
        Ok(Box::new(Contrastive { energy_l2, negative_noise, kl, negative, supervised, trained }))
    }

    /// The loss on n data items and as many samples, one after the other in `both`, with the numbers to report.
    fn loss(&self, step: u64, energy: &Model, both: &Tensor, batch: &Batch) -> Result<(Tensor, Readings)> {
        let n = batch.x.dim(0)?;
        let logits = self.supervised.as_ref().map(|_| supervised::logits(energy, both)).transpose()?;
        let energies = match &logits {
            Some(logits) => energy_of(logits)?,
            None => energy.energy(both)?,
        };
        let (up, down) = (energies.narrow(0, 0, n)?, energies.narrow(0, n, n)?);
        let (mut loss, mut metrics) = likelihood_gap(&up, &down, None, self.energy_l2)?;
        if let (Some(supervised), Some(logits)) = (&self.supervised, &logits) {
            let (extra, found) = supervised.loss(step, energy, &logits.narrow(0, 0, n)?, batch)?;
            loss = (loss + extra)?;
            metrics.extend(found);
        }
        Ok((loss, metrics))
    }
}

parts!(Contrastive: trained, negative.chains);

impl Method for Contrastive {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let batch = only(batches)?;
        let (trace, before) = self.negative.draw(cx.key.with("negative"), &self.trained.still, &batch.x)?;
        let mut ends = trace.x.clone();
        if self.negative_noise > 0.0 {
            let noise = cx.key.with("negative_noise").normal(ends.shape(), ends.dtype(), ends.device())?;
            ends = (ends + (noise * self.negative_noise)?)?;
        }
        let both = Tensor::cat(&[&batch.x, &ends], 0)?;
        let (mut loss, mut metrics) =
            self.trained.in_training(cx, |energy| self.loss(cx.step, energy, &both, batch))?;
        if let Some(kl) = &self.kl {
            let slope = kl.slope(&self.trained.still, &trace.x)?;
            let term = self.trained.in_training(cx, |energy| kl.loss(energy, &before, &slope))?;
            metrics.set(KL.name, mean(&term)?);
            loss = (loss + term)?;
        }
        metrics.set("grad_norm", self.trained.descend(&loss, cx.lr_scale)?);
        metrics.set_chains(&trace)?;
        metrics.read()
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }

    /// The remedies that helped others (issues of the JEM and IGEBM code): longer chains, a penalty on the energy's
    /// level, noise.
    fn advice(&self) -> Vec<String> {
        let steps = 2 * self.negative.sampler.config.steps.max(1);
        vec![
            format!("longer chains (--set method.sampler.steps={steps})"),
            "a penalty on the level of the energy (--set method.energy_l2=0.1)".to_owned(),
            "noise on the data (--set dataset.noise=0.1)".to_owned(),
            "the term that contrastive divergence leaves out (--set method.kl=1)".to_owned(),
            "a smooth activation (--set model.net.activation=swish)".to_owned(),
        ]
    }
}

/// The name of the replay buffer in the state.
pub(super) const BUFFER: &str = "buffer";

/// The replay buffer of a run, as a proposal.
fn proposal(_: &Spec, standing: &Standing) -> Result<Box<dyn Proposal>> {
    Ok(Box::new(Buffer::new(tensor(standing.state, BUFFER)?)?))
}
