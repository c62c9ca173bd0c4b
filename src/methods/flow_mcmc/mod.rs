//! Balanced training of energies by adaptive flow sampling (Grenioux, Durmus, Moulines & Gabrié 2023): walkers that a
//! flow makes jump between modes, and a flow that learns from the walkers.

mod pool;

use std::sync::Arc;

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use self::pool::Pool;
use super::learning::flow;
use super::learning::likelihood_gap::{self, likelihood_gap};
use super::learning::pretraining::{BASE, base_and_rest, half_cosine};
use super::learning::readings::{GRAD_NORM, Readings, mean, scalar};
use super::learning::trainable::Trainable;
use super::learning::walker_modes;
use super::method::only;
use super::part::{Named, parts};
use super::{Method, MethodRow, Setup, Standing, StepContext};
use crate::config::{Schema, Spec, decode, rule};
use crate::data::{Batch, Data, Split};
use crate::density::flow::Flow;
use crate::density::{Energy as _, Model, Proposal};
use crate::metrics::{Metrics, Number, Spent, Unit, numbers};
use crate::samplers::{ChainConfig, FlowMcmc, Global, Kernel, Lifetime, Start, Target, build_local};
use crate::{Error, Result, rng::Key};

/// The estimator of the energy's mean under the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Negative {
    /// The mean over the walkers.
    #[default]
    Walkers,
    /// The weighted mean over draws of the flow q, with the weights exp(-E)/q.
    Importance,
}

crate::config! {
    /// Keys of the method `flow_mcmc`.
    pub struct FlowMcmcConfig {
        /// Chains that go on from step to step.
        walkers: usize = 256, rule::at_least(2);
        /// Where they begin: data, uniform, normal (the model's base density), or proposal (the flow, once it is
        /// pre-trained).
        init: Start = Start::Data;
        /// The global move: imh (one draw of the flow) or isir (one of many).
        global: Global = Global::Imh;
        /// N of isir.
        candidates: usize = 16, rule::at_least(2);
        /// Local moves behind the global one, in every step.
        local_steps: usize = 5;
        /// The energy's negative phase: walkers, or importance (the `draws`, weighted; for as long as `flow_ess_share`
        /// is healthy).
        negative: Negative = Negative::Walkers;
        /// Draws of the flow in every step, for log Z, the test log-likelihood and the effective share of the weights.
        draws: usize = 256, rule::at_least(2);
        /// Test items of that log-likelihood.
        test_items: usize = 256, rule::at_least(1);
        /// First steps, among `train.steps`, in which the flow alone learns, from the data. Its learning rate falls to
        /// 0 along half a cosine.
        pretrain: u64 = 0;
        /// The flow learns from the walkers in every so many steps.
        flow_every: u64 = 1, at_least_one;
        /// Where the first steps end, the flow becomes the base density of the model, which must be `tilted` with such
        /// a base, and is frozen there: E = f - log q₀.
        tilt: bool = false;
        /// Weight of mean E(x⁺)² + mean E(x⁻)².
        energy_l2: f64 = 0.0, rule::non_negative;
    }
    parts {
        /// The flow that proposes.
        flow: "real_nvp" of crate::density::flow::schemas;
        /// The flow's optimiser.
        flow_optim: "adam" of crate::optim::schemas;
        /// The kernel of the local moves.
        local: "mala" of crate::samplers::moves;
    }
}

fn at_least_one(v: &u64) -> rule::Complaint {
    (*v == 0).then(|| "must be at least 1".to_owned())
}

const NUMBERS: &[Number] = numbers![
    likelihood_gap::NUMBERS,
    [
        GRAD_NORM,
        Number::new("acceptance", Unit::Share, "share of the flow's proposals that walkers accepted").chain(),
        Number::new("local_acceptance", Unit::Share, "share of the local proposals that were accepted")
            .chain()
            .when("local_steps > 0 and a local kernel that accepts or rejects"),
    ],
    walker_modes::NUMBERS,
    [Number::new("walkers_up", Unit::Share, "share of walkers whose mean coordinate is positive")
        .when("a model without parameters"),],
    pool::NUMBERS,
    [Number::new("flow_test_ll", Unit::Nats, "mean log-likelihood of test items under flow_log_z").higher()],
    flow::NUMBERS
];

pub(super) const ENTRY: MethodRow = MethodRow {
    name: "flow_mcmc",
    about: "walkers that jump by a flow's draws, accepted or not; energy and flow learn from them together",
    cite: "Grenioux, Durmus, Moulines, Gabrié 2023, \"Balanced training of energy-based models with adaptive flow \
           sampling\"; arXiv 2306.00684",
    schema: Schema::of::<FlowMcmcConfig>(),
    numbers: NUMBERS,
    cost: Spent { values: 384, gradients: 456 },
    proposal: Some(proposal),
    init: &[],
    example: r#"[dataset]
name = "8gaussians"

[model]
net = { name = "mlp", hidden = [8, 8], spectral_norm = true }

[method]
name = "flow_mcmc"
walkers = 12
init = "proposal"
draws = 20
test_items = 20
local_steps = 2
pretrain = 2
flow_every = 2
global = "isir"
candidates = 3
flow = { name = "real_nvp", hidden = [6], couplings = 3 }
"#,
    build: |table, setup| Ok(Box::new(FlowTrained::new(decode(table)?, setup)?)),
};

/// The method `flow_mcmc` (Grenioux, Durmus, Moulines & Gabrié 2023). In one step, each walker takes a global move by
/// the flow q and some local moves, all of which leave exp(-E) invariant if the local kernel does; the energy descends
/// mean E(x⁺) - mean E(x⁻) with data x⁺ and walkers x⁻; q descends -mean log q over the walkers, which is KL(p‖q) up to
/// a constant, for the model's density p.
struct FlowTrained {
    config: FlowMcmcConfig,
    trained: Trainable<Model>,
    flow: Trainable<Flow>,
    kernel: FlowMcmc,
    walkers: Named<Tensor>,
    data: Arc<Data>,
}

/// The name of the walkers in the state.
const WALKERS: &str = "walkers";

impl FlowTrained {
    fn new(config: FlowMcmcConfig, setup: Setup) -> Result<Self> {
        let Setup { model, optim, data, key } = setup;
        let flow = Trainable::flow(&config.flow, &config.flow_optim, data, key.with("flow"))?;
        if config.tilt {
            check_tilt(&model, &flow)?;
        }
        let start = key.with("walkers");
        let begin = ChainConfig { init: config.init, ..ChainConfig::default() };
        let walkers = begin.points(start, &model, Some(&flow.still), data, config.walkers)?.detach();
        let found = walkers.dim(0)?;
        if found < config.walkers {
            return Err(Error::config(format!("{} walkers cannot begin at {found} training items", config.walkers))
                .at("walkers")
                .hint(format!("--set method.walkers={found}")));
        }
        let kernel = FlowMcmc {
            global: config.global,
            candidates: config.candidates,
            local_steps: config.local_steps,
            local: build_local(&config.local)?,
        };
        let (base, mut learns) = base_and_rest(&model);
        if !config.tilt {
            learns.extend(base);
        }
        let trained = Trainable::model_on(model, optim, &learns)?;
        if let Some(drift) = kernel.local.drift() {
            // A global move takes a walker that has gone astray back.
            let lifetime = Lifetime { steps: config.local_steps, updates: 1.0 };
            let x = walkers.narrow(0, 0, 2)?;
            config.local.within(drift.check("method.local", &trained.still, &trained.still, &x, lifetime))?;
        }
        let walkers = Named::new(WALKERS, walkers);
        let trained = FlowTrained { trained, flow, kernel, walkers, data: data.clone(), config };
        trained.check_reach(key.with("reach"))?;
        Ok(trained)
    }

    /// Refuses a flow that begins far narrower than walkers that have moved once.
    fn check_reach(&self, key: Key) -> Result<()> {
        let on = Target::of(&self.trained.still).with(&self.flow.still);
        let start = self.kernel.init(&on, &self.walkers.value.narrow(0, 0, 2)?)?;
        flow::check_reach(&self.data, &self.kernel.step(key, &on, &start)?.0.x, "flow")
    }

    /// Ends the pre-training of the flow: walkers begin at its draws, and it becomes the base density, as the keys say.
    fn begin(&mut self, key: Key) -> Result<()> {
        if self.config.init == Start::Proposal {
            self.walkers.value = self.flow.still.draw(key, self.config.walkers)?;
        }
        if self.config.tilt {
            self.trained.live.params().below(BASE).load(&self.flow.params().tensors())?;
        }
        Ok(())
    }

    /// Whether the target is known (a model without parameters), so that the flow alone learns.
    fn samples_only(&self) -> bool {
        self.trained.live.params().weights.is_empty()
    }

    /// Moves every walker by a global and some local moves, and returns the numbers to report.
    fn walk(&mut self, key: Key) -> Result<Readings> {
        let on = Target::of(&self.trained.still).with(&self.flow.still);
        let (chain, info) = self.kernel.step(key, &on, &self.kernel.init(&on, &self.walkers.value)?)?;
        let report = info.read()?;
        let mut found = Readings::new().with("acceptance", report.accept.unwrap_or(1.0));
        if let Some((_, accept)) = report.moves.iter().find(|(name, _)| *name == "local") {
            found.set("local_acceptance", *accept);
        }
        if let Some(modes) = self.data.modes() {
            found.extend(walker_modes::found(&modes, &self.walkers.value, &chain.x, None)?);
        }
        if self.samples_only() {
            let up = chain.x.flatten_from(1)?.mean(1)?.gt(0.0)?.to_dtype(DType::F32)?;
            found.set("walkers_up", scalar(&up.mean_all()?)?);
        }
        self.walkers.value = chain.x.detach();
        Ok(found)
    }

    /// The weighted draws, and the numbers about them: log Z, and with it the mean log-likelihood of test items, before
    /// the update.
    fn pool(&self, key: Key) -> Result<(Pool, Readings)> {
        let energy = &self.trained.still;
        let pool = Pool::draw(key, self.config.draws, energy, &self.flow.still)?;
        let test = self.data.all(Split::Test, self.config.test_items)?.x;
        let mut found = Readings::new();
        found.extend(pool.found());
        found.set("flow_test_ll", mean(&energy.energy(&test)?)?.affine(-1.0, -pool.log_z())?);
        Ok((pool, found))
    }

    fn update_energy(&mut self, cx: &StepContext, batch: &Batch, pool: &Pool) -> Result<Readings> {
        let (loss, metrics) = self.trained.in_training(cx, |energy| {
            let up = energy.energy(&batch.x)?;
            let (down, shares) = match self.config.negative {
                Negative::Walkers => (energy.energy(&self.walkers.value)?, None),
                Negative::Importance => (energy.energy(pool.y())?, Some(pool.shares()?)),
            };
            likelihood_gap(&up, &down, shares.as_ref(), self.config.energy_l2)
        })?;
        Ok(metrics.with("grad_norm", self.trained.descend(&loss, cx.lr_scale)?))
    }

    fn pretrain(&mut self, cx: &StepContext, batch: &Batch) -> Result<Readings> {
        self.flow.learn(&batch.x, half_cosine(cx.step, self.config.pretrain))
    }
}

/// Refuses, before a long run, a flow that cannot become the model's base density.
fn check_tilt(model: &Model, flow: &Trainable<Flow>) -> Result<()> {
    let (base, flow) = (model.params().below(BASE).tensors(), flow.params().tensors());
    let fits = base.iter().map(|(name, t)| (name, t.dims())).eq(flow.iter().map(|(name, t)| (name, t.dims())));
    if model.tilt().is_some() && fits {
        return Ok(());
    }
    Err(Error::config("`method.tilt` needs a model whose base density is a flow like `method.flow`")
        .at("tilt")
        .hint("model.name = \"tilted\", and the same keys in [model.base] as in [method.flow]"))
}

parts!(FlowTrained: trained, flow, walkers);

impl Method for FlowTrained {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let batch = only(batches)?;
        let Some(since) = cx.step.checked_sub(self.config.pretrain) else { return self.pretrain(cx, batch)?.read() };
        if since == 0 {
            self.begin(cx.key.with("begin"))?;
        }
        let walked = self.walk(cx.key.with("walk"))?;
        let (pool, pooled) = self.pool(cx.key.with("pool"))?;
        let mut metrics = match self.samples_only() {
            true => Readings::new(),
            false => self.update_energy(cx, batch, &pool)?,
        };
        metrics.extend(walked);
        metrics.extend(pooled);
        if since.is_multiple_of(self.config.flow_every) {
            let walkers = self.walkers.value.clone();
            metrics.extend(self.flow.learn(&walkers, cx.lr_scale)?);
        }
        metrics.read()
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }

    fn advice(&self) -> Vec<String> {
        vec![
            "an energy that learns more slowly than the flow (--set optim.lr=1e-4)".to_owned(),
            "a flow that knows the data first (--set method.pretrain=1000)".to_owned(),
            "the norm of the flow's gradient bounded (--set method.flow_optim.clip_norm=10)".to_owned(),
            "an energy that is confined (--set model.base=diagonal)".to_owned(),
        ]
    }
}

/// The flow of a run, as a proposal.
fn proposal(spec: &Spec, standing: &Standing) -> Result<Box<dyn Proposal>> {
    flow::proposal(&decode::<FlowMcmcConfig>(&spec.table)?.flow, standing)
}
