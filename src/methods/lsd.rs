//! The learned Stein discrepancy, LSD (Grathwohl et al. 2020, Algorithm 3): an energy is trained without samples from
//! it.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::example::example;
use super::learning::readings::{ENERGY, GRAD_NORM, Readings, scalar};
use super::learning::trainable::Trainable;
use super::part::parts;
use super::{Critic, CriticConfig, Method, MethodRow, Setup, SteinSample, StepContext};
use crate::config::{Schema, decode, rule};
use crate::data::Batch;
use crate::density::{Energy as _, Model};
use crate::math::stats;
use crate::metrics::{Metrics, Number, Spent, Unit, numbers};
use crate::nets::Io;
use crate::{Error, Result};

/// What the critic's network n learns, where the best critic is f* = (∇log q - ∇log p)/2λ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Learns {
    /// The difference of the scores, f = n. It moves with the model, and n follows.
    #[default]
    Difference,
    /// The data's part alone, f = n + s/2λ: then n* = -∇log p/2λ stays where it is, whatever the model does.
    Data,
}

crate::config! {
    /// Keys of the method `lsd`.
    pub struct LsdConfig {
        /// λ, the weight of the penalty λ E|f|² that makes the best critic unique: f* = (∇log q - ∇log p)/2λ.
        lambda: f64 = 10.0, rule::positive;
        /// What the critic's network learns: `difference`, f itself (the paper), or `data`, its part -∇log p/2λ, to
        /// which the model's own ∇log q/2λ is added: such a critic does not lag behind the model.
        critic_learns: Learns = Learns::Difference;
        /// Weight of mean g(x)² on the network's part of the energy (released code, images: 0.001; paper: none).
        energy_l2: f64 = 0.0, rule::non_negative;
    }
}

/// The numbers of a step.
pub(super) const NUMBERS: &[Number] = numbers![
    [
        Number::new("lsd", Unit::Plain, "Stein discrepancy as the critic sees it after its last update").lower().lead(),
        Number::new("objective", Unit::Plain, "that less the critic's penalty λ mean|f|²"),
        Number::norm("critic_grad_norm", "norm of the critic's gradient, before clipping"),
    ],
    [ENERGY, GRAD_NORM]
];

pub(super) const ENTRY: MethodRow = MethodRow {
    name: "lsd",
    about: "learned Stein discrepancy: a critic finds where the scores of model and data differ, the model closes the \
            gap",
    cite: "Grathwohl, Wang, Jacobsen, Duvenaud, Zemel 2020, \"Learning the Stein Discrepancy for Training and \
           Evaluating Energy-Based Models without Sampling\", ICML, Algorithm 3; arXiv 2002.05616",
    schema: Schema::of::<(LsdConfig, CriticConfig)>(),
    numbers: NUMBERS,
    cost: Spent { values: 0, gradients: 512 },
    proposal: None,
    init: &[],
    example: example!(
        plane,
        "lsd",
        r#"critic_steps = 2
critic = { name = "mlp", hidden = [8, 8], dropout = 0.2, spectral_norm = true }
"#
    ),
    build: |table, setup| Ok(Box::new(Lsd::new(decode(table)?, setup)?)),
};

/// The method `lsd` (Grathwohl et al. 2020, Algorithm 3). One step is C critic updates and one model update, with the
/// critic f, the score s = -∇E and Hutchinson's probe ε. A critic update maximises mean[s·f + εᵀ(∂f/∂x)ε] - λ mean|f|²;
/// the model update minimises mean[s·f], as the trace does not depend on the model.
///
/// The released code counts critic and model updates in one loop, so its "10,000 iterations" are 1,667 steps here; the
/// paper's are 10,000.
///
/// With `critic_learns = "data"` the same objective is maximised over critics f = n + s/2λ, as the best one is for
/// every model. The network n then learns what implicit score matching of the data would, and the model's step goes
/// down E|s + 2λn|²/4λ: a critic that never lags behind the model, which copies what n got wrong.
pub struct Lsd {
    config: LsdConfig,
    critics: CriticConfig,
    trained: Trainable<Model>,
    critic: Critic,
}

impl Lsd {
    /// The method with a new critic for the model, and optimisers for both.
    ///
    /// # Errors
    /// The critic does not fit the data's shape.
    pub fn new((config, critics): (LsdConfig, CriticConfig), setup: Setup) -> Result<Self> {
        let io = Io::field(&setup.data.spec().shape);
        let critic = critics.critic(config.lambda, &io, setup.key.with("critic"), setup.data.device())?;
        Ok(Lsd { config, critics, trained: Trainable::model(setup.model, setup.optim)?, critic })
    }

    /// Updates the critic for the `i`-th time in a step, at the model's present score. Where the network n learns the
    /// data's part of f = n + s/2λ, the objective is mean[tr ∂n/∂x] - λ mean|n|² and terms without n: the score drops
    /// out, and what [`SteinSample`] has is n's alone.
    ///
    /// # Errors
    /// The items have another shape than the model's.
    pub fn update_critic(&mut self, cx: &StepContext, i: u64, x: &Tensor) -> Result<SteinSample> {
        let score = match self.config.critic_learns {
            Learns::Difference => self.score(x)?,
            Learns::Data => x.zeros_like()?,
        };
        self.critic.step(cx.key.with("critic").at(i), x, &score, cx.lr_scale)
    }

    /// The score s = -∇E of the model as it stands, as a constant.
    fn score(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.trained.still.grad(x)?.1.detach().neg()?)
    }

    /// The critic f(x), as a constant.
    fn field(&self, x: &Tensor) -> Result<Tensor> {
        let n = self.critic.value(x)?;
        match self.config.critic_learns {
            Learns::Difference => Ok(n),
            Learns::Data => Ok((n + (self.score(x)? * self.half())?)?),
        }
    }

    /// 1/2λ, the share of the model's score in the best critic.
    fn half(&self) -> f64 {
        0.5 / self.config.lambda
    }

    /// The discrepancy with f = n + s/2λ and its penalty: the mean of s·n + tr ∂n/∂x + (|s|² - ΔE)/2λ, both traces with
    /// one probe, and λ mean|f|².
    fn anchored(&self, cx: &StepContext, x: &Tensor) -> Result<(f64, f64)> {
        let score = self.score(x)?;
        let of_network = stats::mean(&self.critic.stein_probed(cx.key.with("trace"), x, &score)?);
        let probe = self.critics.probe.draw(cx.key.with("laplacian"), x)?;
        let [_, _, bend] = self.trained.still.curvature(x, &probe)?;
        let of_score = (score.sqr()?.flatten_from(1)?.sum(1)? - bend)?.mean_all()?;
        let penalty = self.field(x)?.sqr()?.flatten_from(1)?.sum(1)?.mean_all()?;
        let host = Readings::new().with("score", scalar(&of_score)?).with("penalty", scalar(&penalty)?).read()?;
        let value = |name| host.get(name).unwrap_or(f64::NAN);
        Ok((of_network + self.half() * value("score"), self.config.lambda * value("penalty")))
    }

    /// Takes one descent step on mean[s·f] as a function of the model's parameters: minus the slope of E along the
    /// critic f, which is held constant.
    ///
    /// # Errors
    /// The items have another shape than the model's.
    pub fn update_model(&mut self, cx: &StepContext, x: &Tensor) -> Result<Metrics> {
        let f = self.field(x)?;
        let (energy, slope) = self.trained.live.directional(x, &f)?;
        let mut loss = slope.mean_all()?.neg()?;
        if self.config.energy_l2 > 0.0 {
            let residual = self.trained.live.residual(x)?;
            loss = (loss + (residual.sqr()?.mean_all()? * self.config.energy_l2)?)?;
        }
        let grad_norm = self.trained.descend(&loss, cx.lr_scale)?;
        Readings::new().with("energy", scalar(&energy.mean_all()?)?).with("grad_norm", grad_norm).read()
    }
}

parts!(Lsd: trained, critic);

impl Method for Lsd {
    fn batches_per_step(&self) -> usize {
        self.critics.critic_steps + 1
    }

    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let (last, critic_batches) =
            batches.split_last().ok_or_else(|| Error::Other("lsd: a step needs batches".into()))?;
        let mut metrics = Metrics::new();
        for (i, batch) in critic_batches.iter().enumerate() {
            let stein = self.update_critic(cx, i as u64, &batch.x)?;
            stein.report(&mut metrics);
        }
        if self.config.critic_learns == Learns::Data {
            let (discrepancy, penalty) = self.anchored(cx, &last.x)?;
            metrics.set("lsd", discrepancy);
            metrics.set("objective", discrepancy - penalty);
        }
        metrics.extend(self.update_model(cx, &last.x)?);
        Ok(metrics)
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }

    fn advice(&self) -> Vec<String> {
        vec![
            self.critics.advice(),
            "weight decay on the critic (--set method.critic_optim.weight_decay=5e-4)".to_owned(),
        ]
    }
}
