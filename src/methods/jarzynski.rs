//! Maximum likelihood by weighted walkers: unadjusted Langevin chains whose weights correct, by Jarzynski's equality,
//! for their lag behind the energy that learns (Carbone, Hua, Coste & Vanden-Eijnden 2023). Modes get their weights
//! without a jump between them.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::learning::likelihood_gap::{self, likelihood_gap};
use super::learning::readings::{GRAD_NORM, Readings, mean};
use super::learning::trainable::Trainable;
use super::learning::walker_modes;
use super::method::only;
use super::part::{fitting, parts, tensor};
use super::{Method, MethodRow, Part, Setup, Standing, State, StepContext};
use crate::config::{Schema, Spec, decode, rule};
use crate::data::{Batch, Data, Split};
use crate::density::{Energy as _, Model, Proposal};
use crate::math::LogWeights;
use crate::metrics::{Metrics, Number, Spent, Unit, numbers};
use crate::samplers::{Chain, Kernel as _, Langevin, Lifetime, Weighted};
use crate::{Error, Result, rng::Key};

crate::config! {
    /// Keys of the method `jarzynski`.
    pub struct JarzynskiConfig {
        /// Walkers, each with its weight. The errors of the modes' weights and of log Z, which comes out low by
        /// O(1/walkers), fall with their number.
        walkers: usize = 1024, rule::at_least(2);
        /// ε in x ← x - (ε²/2)∇E + ε ξ. At any size the weights make up for the bias; at a large one few of them count.
        step_size: f64 = 0.1, rule::positive;
        /// Langevin steps in every update.
        steps: usize = 1, rule::at_least(1);
        /// Walkers are drawn anew by their weights when the effective share of these falls below this; 0 draws anew
        /// only where a walker reached what has no finite energy.
        resample: f64 = 0.5, super::contrastive_divergence::probability;
        /// Test items of the log-likelihood that is logged.
        test_items: usize = 256, rule::at_least(1);
        /// Weight of mean E(x⁺)² + mean E(x⁻)².
        energy_l2: f64 = 0.0, rule::non_negative;
    }
}

pub(super) const ENTRY: MethodRow = MethodRow {
    name: "jarzynski",
    about: "persistent Langevin walkers whose weights make up for their lag and for the step size; log Z for nothing",
    cite: "Carbone, Hua, Coste, Vanden-Eijnden 2023, \"Efficient training of energy-based models using Jarzynski \
           equality\", NeurIPS, Algorithm 1",
    schema: Schema::of::<JarzynskiConfig>(),
    numbers: numbers![
        likelihood_gap::NUMBERS,
        [GRAD_NORM],
        [
            Number::new("walker_log_z", Unit::Nats, "log Z by the walkers' weights, low by O(1/walkers)"),
            Number::new(
                "walker_ess_share",
                Unit::Share,
                "effective share of the weights, before walkers are drawn anew"
            )
            .higher()
            .lead(),
            Number::new("walker_test_ll", Unit::Nats, "mean log-likelihood of test items under that log Z")
                .higher()
                .lead(),
        ],
        walker_modes::NUMBERS,
        [
            Number::new("lost", Unit::Count, "walkers that reached what has no finite energy").chain().lower(),
            Number::new("resampled", Unit::Count, "1 where the walkers were drawn anew by their weights").chain(),
        ]
    ],
    cost: Spent { values: 160, gradients: 320 },
    proposal: Some(proposal),
    init: &[],
    example: r#"[dataset]
name = "8gaussians"

[model]
net = { name = "mlp", hidden = [8, 8], spectral_norm = true }

[method]
name = "jarzynski"
walkers = 12
resample = 0.9
test_items = 20
"#,
    build: |table, setup| Ok(Box::new(Jarzynski::new(decode(table)?, setup)?)),
};

/// The method `jarzynski` (Carbone, Hua, Coste & Vanden-Eijnden 2023, Algorithm 1). In one step, the energy descends
/// mean E(x⁺) - Σ w E(x⁻)/Σ w with data x⁺ and walkers x⁻ of weights w; then the walkers take Langevin steps from the
/// former energy towards the updated one, and their weights follow.
struct Jarzynski {
    config: JarzynskiConfig,
    trained: Trainable<Model>,
    walkers: Weighted,
    data: Arc<Data>,
}

/// The names in the state of the walkers' positions, their energies, gradients and log-weights.
const X: &str = "walkers.x";
const ENERGY: &str = "walkers.energy";
const GRAD: &str = "walkers.grad";
const LOG_WEIGHTS: &str = "walkers.log_weights";

impl Jarzynski {
    fn new(config: JarzynskiConfig, setup: Setup) -> Result<Self> {
        let Setup { model, optim, data, key } = setup;
        let Some(q) = model.density().or_else(|| model.base()) else {
            return Err(Error::config(
                "the walkers of `jarzynski` begin at exact draws of a density, and the model has none",
            )
            .hint("--set model.base=diagonal"));
        };
        let x = q.sample(key.with("walkers"), config.walkers)?.detach();
        let walkers = Weighted::new(&x, &q.log_prob(&x)?, &model)?;
        let trained = Trainable::model(model, optim)?;
        if let Some(drift) = (Langevin { step_size: config.step_size }).drift() {
            let lifetime = Lifetime { steps: config.steps, updates: f64::INFINITY };
            drift.check("method", &trained.still, &trained.still, &x.narrow(0, 0, 2)?, lifetime)?;
        }
        Ok(Jarzynski { trained, walkers, data: data.clone(), config })
    }

    fn update_energy(&mut self, cx: &StepContext, batch: &Batch) -> Result<Readings> {
        let x = &self.walkers.chain.x;
        let shares = Tensor::new(self.walkers.log_weights.shares(), x.device())?.to_dtype(x.dtype())?;
        let (loss, metrics) = self.trained.in_training(cx, |energy| {
            let (up, down) = (energy.energy(&batch.x)?, energy.energy(x)?);
            likelihood_gap(&up, &down, Some(&shares), self.config.energy_l2)
        })?;
        Ok(metrics.with("grad_norm", self.trained.descend(&loss, cx.lr_scale)?))
    }

    /// Moves the walkers to the updated energy, resamples them where that is due, and returns the numbers to report.
    fn walk(&mut self, key: Key) -> Result<Readings> {
        let energy = &self.trained.still;
        let before = self.walkers.chain.x.clone();
        for i in 0..self.config.steps {
            self.walkers.step(key.with("langevin").at(i as u64), self.config.step_size, energy)?;
        }
        let weights = &self.walkers.log_weights;
        let (share, log_z) = (weights.effective() / self.config.walkers as f64, weights.log_mean());
        let test = self.data.all(Split::Test, self.config.test_items)?.x;
        let mut found = Readings::new()
            .with("walker_log_z", log_z)
            .with("walker_ess_share", share)
            .with("walker_test_ll", mean(&energy.energy(&test)?)?.affine(-1.0, -log_z)?);
        if let Some(modes) = self.data.modes() {
            found.extend(walker_modes::found(&modes, &before, &self.walkers.chain.x, Some(&weights.shares()))?);
        }
        let lost = self.walkers.lost();
        let resample = lost > 0 || share < self.config.resample;
        if resample {
            self.walkers.resample(key.with("resample"))?;
        }
        found.extend([("lost", lost as f64), ("resampled", f64::from(resample))]);
        Ok(found)
    }
}

parts!(Jarzynski: trained, walkers);

impl Part for Weighted {
    fn save(&self, state: &mut State) -> Result<()> {
        let Weighted { chain, log_weights } = self;
        state.insert(X.into(), chain.x.clone());
        state.insert(ENERGY.into(), chain.value()?.clone());
        state.insert(GRAD.into(), chain.slope()?.clone());
        state.insert(LOG_WEIGHTS.into(), Tensor::new(log_weights.0.as_slice(), chain.x.device())?);
        Ok(())
    }

    fn load(&mut self, state: &State) -> Result<()> {
        let (x, energy, grad) = (&self.chain.x, self.chain.value()?, self.chain.slope()?);
        let weights = Tensor::zeros(self.log_weights.0.len(), DType::F64, x.device())?;
        let log_weights = LogWeights(fitting(state, LOG_WEIGHTS, &weights)?.to_vec1()?);
        let (x, energy, grad) = (fitting(state, X, x)?, fitting(state, ENERGY, energy)?, fitting(state, GRAD, grad)?);
        *self = Weighted { chain: Chain::known(x, energy, Some(grad)), log_weights };
        Ok(())
    }
}

impl Method for Jarzynski {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let batch = only(batches)?;
        let mut metrics = self.update_energy(cx, batch)?;
        metrics.extend(self.walk(cx.key.with("walk"))?);
        metrics.read()
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }

    fn advice(&self) -> Vec<String> {
        vec![
            format!("a smaller Langevin step (--set method.step_size={})", 0.5 * self.config.step_size),
            "an energy that learns more slowly (--set optim.lr=1e-4)".to_owned(),
            format!("more walkers (--set method.walkers={})", 4 * self.config.walkers),
        ]
    }
}

/// The walkers of a run, each drawn as often as its weight says.
struct Drawn {
    x: Tensor,
    log_weights: LogWeights,
}

impl Proposal for Drawn {
    fn draw(&self, key: Key, n: usize) -> Result<Tensor> {
        let chosen = self.log_weights.draw(key, n);
        Ok(self.x.index_select(&Tensor::new(chosen, self.x.device())?, 0)?)
    }
}

/// The walkers of a run, as a proposal.
fn proposal(_: &Spec, standing: &Standing) -> Result<Box<dyn Proposal>> {
    let log_weights = LogWeights(tensor(standing.state, LOG_WEIGHTS)?.to_dtype(DType::F64)?.to_vec1()?);
    Ok(Box::new(Drawn { x: tensor(standing.state, X)?.clone(), log_weights }))
}
