//! The Stein critic f: R^D -> R^D and its objective (Grathwohl et al. 2020, LSD, eq. 8 and 11).
//!
//! With the data's density p, the model's density q and s = ∇ log q = -∇E, the learned Stein discrepancy is the maximum
//! over f of E_p[s·f + tr ∂f/∂x], and the penalised objective subtracts λ E_p|f|². Its maximiser is f* = (∇ log q - ∇
//! log p) / 2λ (eq. 9).

use candle_core::{DType, Device, Tensor, backprop::GradStore};
use serde::{Deserialize, Serialize};

use crate::config::{Spec, rule};
use crate::density::of_parts;
use crate::methods::learning::readings::{Readings, scalar};
use crate::methods::learning::trainable::Trainable;
use crate::methods::part::parts;
use crate::metrics::Metrics;
use crate::nets::{Builder, Io, Jet, Network, Pass};
use crate::{Error, Result, math::stats, ops, rng::Key};

/// The distribution of Hutchinson's probe ε, by which tr J ≈ εᵀJε for a Jacobian J.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noise {
    /// The standard normal distribution, as in the paper.
    #[default]
    Gaussian,
    /// Random signs, which have the least variance of all independent probes.
    Rademacher,
}

impl Noise {
    /// A probe of x's shape.
    pub fn draw(self, key: Key, x: &Tensor) -> Result<Tensor> {
        match self {
            Noise::Gaussian => key.normal(x.shape(), x.dtype(), x.device()),
            Noise::Rademacher => key.rademacher(x.shape(), x.dtype(), x.device()),
        }
    }
}

/// The objective that a critic update raises, beside the penalty -λ mean|f|², with vᵢ = s·f + εᵀ(∂f/∂x)ε of item i.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// The discrepancy itself, mean v (Grathwohl et al. 2020, eq. 8).
    #[default]
    Discrepancy,
    /// The power of the test that rejects for a large mean, mean v / (std v + 10⁻⁶) with the unbiased std (eq. 12).
    Power,
}

impl Objective {
    /// The value of the objective for terms v, without the penalty.
    pub fn value(self, v: &[f64]) -> f64 {
        match self {
            Objective::Discrepancy => stats::mean(v),
            Objective::Power => stats::mean(v) / (stats::std(v) + FLOOR),
        }
    }

    /// The derivatives of the objective by each vᵢ. With m, σ the mean and std of B terms and c = 10⁻⁶, that of m/(σ +
    /// c) is 1/(B(σ + c)) - m (vᵢ - m) / ((B - 1) σ (σ + c)²).
    pub fn slopes(self, v: &[f64]) -> Vec<f64> {
        let n = v.len() as f64;
        let (m, std) = match self {
            Objective::Discrepancy => return vec![1.0 / n; v.len()],
            Objective::Power => (stats::mean(v), stats::std(v)),
        };
        let width = std + FLOOR;
        // All terms alike: the std has no derivative there, and 0 is the one of smallest size.
        let bend = if std > 0.0 { m / ((n - 1.0) * std * width * width) } else { 0.0 };
        v.iter().map(|v| 1.0 / (n * width) - bend * (v - m)).collect()
    }
}

/// The number that keeps the power finite where all terms agree, as in the released code.
const FLOOR: f64 = 1e-6;

/// The numbers of a critic update: means over a batch, in nats.
#[derive(Clone, Copy, Debug)]
pub struct SteinSample {
    /// The mean of s·f + εᵀ(∂f/∂x)ε: the discrepancy with this critic.
    pub discrepancy: f64,
    /// The penalty λ mean |f|².
    pub penalty: f64,
    /// The global norm of the critic's gradient.
    pub grad_norm: f64,
}

impl SteinSample {
    /// Sets the numbers of a step that its last critic update gives: `lsd`, `objective` and `critic_grad_norm`.
    pub fn report(&self, metrics: &mut Metrics) {
        metrics.set("lsd", self.discrepancy);
        metrics.set("objective", self.discrepancy - self.penalty);
        metrics.set("critic_grad_norm", self.grad_norm);
    }
}

crate::config! {
    /// Keys of the methods that train a critic beside the model.
    pub struct CriticConfig {
        /// Critic updates before each model update, each on a fresh batch.
        critic_steps: usize = 5, rule::at_least(1);
        /// Hutchinson's probe: gaussian (the paper's) or rademacher.
        probe: Noise = Noise::Gaussian;
    }
    parts {
        /// The critic f: item -> item; of `lsd_ladder`, the item with the level in nine further channels -> item.
        critic: "mlp" of crate::nets::schemas;
        /// The critic's optimiser.
        critic_optim: "adam" of crate::optim::schemas;
    }
}

impl CriticConfig {
    /// A new critic whose network has inputs and outputs of these shapes, with the penalty λ = `lambda`.
    ///
    /// # Errors
    /// The network does not fit the shapes.
    pub fn critic(&self, lambda: f64, io: &Io, key: Key, device: &Device) -> Result<Critic> {
        Critic::on(&self.critic, &self.critic_optim, lambda, self.probe, io, key, device)
    }

    /// Twice as many critic updates, for a critic that lags behind the model.
    pub fn advice(&self) -> String {
        format!("a critic that keeps up (--set method.critic_steps={})", 2 * self.critic_steps)
    }
}

/// A critic network with its optimiser.
pub struct Critic {
    net: Trainable<Network>,
    lambda: f64,
    noise: Noise,
}

impl Critic {
    /// A new critic whose network has inputs and outputs of these shapes.
    ///
    /// # Errors
    /// The network does not fit the shapes.
    pub fn on(net: &Spec, optim: &Spec, lambda: f64, noise: Noise, io: &Io, key: Key, device: &Device) -> Result<Self> {
        let build = |builder: &Builder| Network::new(net, io, builder);
        let net = Trainable::new("critic", optim, key, device, build)?.kept_as("critic.net", "critic.optim");
        Ok(Critic { net, lambda, noise })
    }

    /// Takes one ascent step on mean[s·f + εᵀ(∂f/∂x)ε] - λ mean|f|², with dropout. The score s is held constant.
    ///
    /// # Shapes
    /// x and score `[B, ..]`.
    pub fn step(&mut self, key: Key, x: &Tensor, score: &Tensor, lr_scale: f64) -> Result<SteinSample> {
        self.step_on(Objective::Discrepancy, key, x, score, lr_scale)
    }

    /// Takes one ascent step on another objective, less the same penalty, as [`Critic::step`] does.
    ///
    /// # Shapes
    /// x and score `[B, ..]`.
    pub fn step_on(
        &mut self,
        objective: Objective,
        key: Key,
        x: &Tensor,
        score: &Tensor,
        lr_scale: f64,
    ) -> Result<SteinSample> {
        let probe = self.noise.draw(key.with("probe"), x)?;
        self.step_along(objective, key, [x, &probe], [score, &probe], lr_scale)
    }

    /// Takes one ascent step for a network that reads an input made of the items: [input, tangent of the input along
    /// the probe ε], [score, ε].
    ///
    /// # Shapes
    /// Input and tangent are those of the network's input, score and ε those of its output, `[B, ..]` each.
    pub fn step_along(
        &mut self,
        objective: Objective,
        key: Key,
        [x, along]: [&Tensor; 2],
        [score, probe]: [&Tensor; 2],
        lr_scale: f64,
    ) -> Result<SteinSample> {
        let update =
            Update { objective, lambda: self.lambda, pass: Pass::train(key.with("dropout")), items: x.dim(0)? };
        let net = &self.net.live;
        // Masks are drawn for a whole batch.
        let least = if update.is_sum_over_items() && !net.drops() { PART } else { usize::MAX };
        let shares = of_parts([x, along, score, probe], least, |[x, along, score, probe]| {
            update.share(net, &Jet::new(x, along)?, &Jet::new(score, probe)?)
        })?;
        let [all, penalty] = [0, 1].map(|i| shares.iter().map(|share| share.sums[i]).sum::<f64>());
        let mut gradients = shares.into_iter().map(|share| share.gradient);
        let mut gradient = gradients.next().ok_or_else(|| Error::Other("a critic update needs items".into()))?;
        gradients.try_for_each(|other| gradient.extend(other))?;
        let grad_norm = self.net.descend_along(&gradient, lr_scale)?;
        let scale = 1.0 / update.items as f64;
        Ok(SteinSample { discrepancy: scale * all, penalty: self.lambda * scale * penalty, grad_norm })
    }

    /// Takes one ascent step on mean g·f - λ mean|f|², with dropout: g stands for the score and for what the trace is
    /// in the mean.
    ///
    /// # Shapes
    /// x is what the network reads, g of the shape of its output, `[B, ..]` each.
    pub fn step_towards(&mut self, key: Key, x: &Tensor, g: &Tensor, lr_scale: f64) -> Result<SteinSample> {
        let f = self.net.live.forward(x, Pass::train(key.with("dropout")))?;
        let (terms, squares) = (ops::dot(&f, g)?.mean_all()?, ops::dot(&f, &f)?.mean_all()?);
        let loss = ((&squares * self.lambda)? - &terms)?;
        let host = Readings::new().with("v", scalar(&terms)?).with("square", scalar(&squares)?);
        let host = host.with("grad_norm", self.net.descend(&loss, lr_scale)?).read()?;
        let value = |name| host.get(name).unwrap_or(f64::NAN);
        Ok(SteinSample {
            discrepancy: value("v"),
            penalty: self.lambda * value("square"),
            grad_norm: value("grad_norm"),
        })
    }

    /// The distribution of Hutchinson's probe.
    pub fn noise(&self) -> Noise {
        self.noise
    }

    /// The critic f(x), of the shape of its output, without dropout, as a constant.
    pub fn value(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.net.still.forward(x, Pass::EVAL)?.detach())
    }

    /// The terms s·f + tr ∂f/∂x of each item, `[B]`, with the exact trace, without dropout.
    pub fn stein_exact(&self, x: &Tensor, score: &Tensor) -> Result<Vec<f64>> {
        let dot = (self.value(x)? * score)?.flatten_from(1)?.sum(1)?;
        Ok((dot + self.net.still.exact_trace(x)?)?.to_dtype(DType::F64)?.to_vec1()?)
    }

    /// The terms s·f + εᵀ(∂f/∂x)ε of each item, `[B]`, with one probe ε, without dropout.
    pub fn stein_probed(&self, key: Key, x: &Tensor, score: &Tensor) -> Result<Vec<f64>> {
        let probe = self.noise.draw(key, x)?;
        let jet = self.net.still.jvp(&Jet::new(x, &probe)?, Pass::EVAL)?;
        per_item(&(jet.stacked() * Jet::new(score, &probe)?.stacked())?)
    }

    /// The critic's parameters.
    pub fn params(&self) -> &crate::nets::Params {
        self.net.params()
    }
}

parts!(Critic: net);

/// The items of a part of a batch, from which on a network learns nearly as fast for an item as from more.
const PART: usize = 48;

/// What a critic update knows beside its items.
struct Update<'a> {
    objective: Objective,
    lambda: f64,
    pass: Pass<'a>,
    /// The number of items of the whole batch.
    items: usize,
}

/// What a part of a batch adds to an update.
struct Share {
    gradient: GradStore,
    /// The sums of s·f + ε·Jε and of |f|².
    sums: [f64; 2],
}

impl Update<'_> {
    fn is_sum_over_items(&self) -> bool {
        matches!(self.objective, Objective::Discrepancy)
    }

    /// What some of the items add: their inputs with the tangents of these, their scores with the probe.
    fn share(&self, net: &Network, input: &Jet, score: &Jet) -> Result<Share> {
        let jet = net.jvp(input, self.pass)?;
        let out = jet.stacked();
        let constant = score.stacked().clone();
        let value = out.detach();
        let f = value.narrow(0, 0, jet.batch()?)?;
        let scale = 1.0 / self.items as f64;
        let terms = (&value * &constant)?;
        // d loss / d out in closed form: -[w; w]∘[s; ε] + 2λ [f; 0] / B, w the objective's slopes. Seeding the backward
        // pass with it keeps the graph to the network itself.
        let pull = match self.objective {
            Objective::Discrepancy => (constant * scale)?,
            Objective::Power => weighted(&constant, &self.objective.slopes(&per_item(&terms)?))?,
        };
        let penalty = Tensor::cat(&[&f, &f.zeros_like()?], 0)?;
        let seed = ((penalty * (2.0 * self.lambda * scale))? - pull)?;
        let gradient = ops::dot(out, &seed)?.backward()?;
        let sums = Tensor::stack(&[sum(&terms)?, sum(&f.sqr()?)?], 0)?.to_vec1::<f64>()?;
        Ok(Share { gradient, sums: [sums[0], sums[1]] })
    }
}

/// The terms s·f + ε·Jε of each item, from the stacked entry-wise products, `[2B, ..]` -> B numbers.
fn per_item(products: &Tensor) -> Result<Vec<f64>> {
    let terms = products.flatten_from(1)?.sum(1)?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    let (dot, trace) = terms.split_at(terms.len() / 2);
    Ok(dot.iter().zip(trace).map(|(d, t)| d + t).collect())
}

/// The stacked tensor `[2B, ..]` with rows i and B + i times weight i.
fn weighted(stacked: &Tensor, weights: &[f64]) -> Result<Tensor> {
    let mut shape = vec![1; stacked.rank()];
    shape[0] = stacked.dim(0)?;
    let twice = Tensor::new([weights, weights].concat(), stacked.device())?.to_dtype(stacked.dtype())?;
    Ok(stacked.broadcast_mul(&twice.reshape(shape)?)?)
}

/// The sum of all entries, in f64.
fn sum(x: &Tensor) -> Result<Tensor> {
    Ok(x.sum_all()?.to_dtype(DType::F64)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_of_the_objectives_are_their_derivatives() {
        let v = [0.3, -1.2, 2.5, 0.7, 0.1];
        for objective in [Objective::Discrepancy, Objective::Power] {
            for (i, slope) in objective.slopes(&v).into_iter().enumerate() {
                let at = |h: f64| {
                    let mut v = v;
                    v[i] += h;
                    objective.value(&v)
                };
                let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!((slope - difference).abs() < 1e-9, "{objective:?}, {i}: {slope} and {difference}");
            }
        }
        assert_eq!(Objective::Power.slopes(&[2.0, 2.0]), [0.5 / FLOOR; 2]);
    }
}
