//! The Stein critic f: R^D -> R^D and its objective (Grathwohl 2020, eq. 8 and 11).
//!
//! With s = ∇ log q = -∇E, the learned Stein discrepancy is max over f of E_p[s·f + tr ∂f/∂x], and the penalised
//! objective subtracts λ E_p|f|². Its maximiser is f* = (∇ log q - ∇ log p) / 2λ (eq. 9).

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::{State, put, take};
use crate::config::Spec;
use crate::data::Data;
use crate::nets::{Builder, Io, Jet, Network, Pass};
use crate::optim::{self, Optimiser};
use crate::{Result, kernels, rng::Key};

/// Distribution of Hutchinson's probe ε in tr J ≈ εᵀJε.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noise {
    /// Standard normal, as in the paper.
    #[default]
    Gaussian,
    /// Random signs: the least variance of all independent probes.
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

/// Means over a batch, in nats.
#[derive(Clone, Copy, Debug)]
pub struct SteinSample {
    /// Mean of s·f + εᵀ(∂f/∂x)ε: the discrepancy as this critic sees it.
    pub discrepancy: f64,
    /// λ mean |f|².
    pub penalty: f64,
    /// Global norm of the critic's gradient.
    pub grad_norm: f64,
}

/// A critic network with its optimiser.
pub struct Critic {
    net: Network,
    frozen: Network,
    optim: Box<dyn Optimiser>,
    lambda: f64,
    noise: Noise,
}

impl Critic {
    /// A new critic on items of the data's shape.
    ///
    /// # Errors
    /// A network that does not fit the shape.
    pub fn new(net: &Spec, optim: &Spec, lambda: f64, noise: Noise, data: &Data, key: Key) -> Result<Self> {
        let shape = data.spec().shape.clone();
        Self::on_shape(net, optim, lambda, noise, &shape, key, data.device())
    }

    /// A new critic on items of the given shape.
    ///
    /// # Errors
    /// As [`Critic::new`].
    pub fn on_shape(
        net: &Spec,
        optim: &Spec,
        lambda: f64,
        noise: Noise,
        shape: &[usize],
        key: Key,
        device: &candle_core::Device,
    ) -> Result<Self> {
        let net = Network::new(net, &Io::field(shape), &Builder::new(key, DType::F32, device))?;
        let frozen = net.frozen()?;
        let optim = optim::build(optim, &net.params().weights)?;
        Ok(Critic { net, frozen, optim, lambda, noise })
    }

    /// One ascent step on mean[s·f + εᵀ(∂f/∂x)ε] - λ mean|f|², dropout on. The score s is held constant.
    ///
    /// # Shapes
    /// x and score: `[B, ..]`.
    pub fn step(&mut self, key: Key, x: &Tensor, score: &Tensor, lr_scale: f64) -> Result<SteinSample> {
        let probe = self.noise.draw(key.with("probe"), x)?;
        let jet = self.net.jvp(&Jet::new(x, &probe)?, Pass::train(key.with("dropout")))?;
        let out = jet.stacked();
        let constant = Jet::new(score, &probe)?.stacked().clone();
        let value = out.detach();
        // d loss / d out in closed form: -([s; ε] - 2λ [f; 0]) / B. Seeding the backward pass with it keeps the graph to
        // the network itself.
        let f = value.narrow(0, 0, jet.batch()?)?;
        let zero = f.zeros_like()?;
        let scale = 1.0 / jet.batch()? as f64;
        let seed = ((Tensor::cat(&[&f, &zero], 0)? * (2.0 * self.lambda))? - &constant)?.affine(scale, 0.0)?;
        let grads = kernels::dot(out, &seed)?.backward()?;
        let grad_norm = self.optim.step(&grads, lr_scale)?.norm;
        self.net.power_iterate()?;
        Ok(SteinSample {
            discrepancy: scale * sum(&(value * constant)?)?,
            penalty: self.lambda * scale * sum(&f.sqr()?)?,
            grad_norm,
        })
    }

    /// f(x) without dropout, as a constant.
    pub fn value(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.frozen.forward(x, Pass::EVAL)?.detach())
    }

    /// s·f + tr ∂f/∂x for each item, `[B]`, with the exact trace, dropout off.
    pub fn stein_exact(&self, x: &Tensor, score: &Tensor) -> Result<Vec<f64>> {
        let dot = (self.value(x)? * score)?.flatten_from(1)?.sum(1)?;
        Ok((dot + self.frozen.exact_trace(x)?)?.to_dtype(DType::F64)?.to_vec1()?)
    }

    /// s·f + εᵀ(∂f/∂x)ε for each item, `[B]`, with one probe, dropout off.
    pub fn stein_probed(&self, key: Key, x: &Tensor, score: &Tensor) -> Result<Vec<f64>> {
        let probe = self.noise.draw(key, x)?;
        let jet = self.frozen.jvp(&Jet::new(x, &probe)?, Pass::EVAL)?;
        let terms = (jet.stacked() * Jet::new(score, &probe)?.stacked())?.flatten_from(1)?.sum(1)?;
        let terms = terms.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        let (dot, trace) = terms.split_at(terms.len() / 2);
        Ok(dot.iter().zip(trace).map(|(d, t)| d + t).collect())
    }

    /// The critic's parameters.
    pub fn params(&self) -> &crate::nets::Params {
        self.net.params()
    }

    /// Weights and optimiser state.
    pub fn state(&self) -> Result<State> {
        let mut state = State::new();
        put(&mut state, "net", self.net.params().tensors());
        put(&mut state, "optim", self.optim.state()?);
        Ok(state)
    }

    /// Continues from `state`.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn load(&mut self, state: &State) -> Result<()> {
        self.net.params().load(&take(state, "net"))?;
        self.optim.load(&take(state, "optim"))
    }
}

fn sum(x: &Tensor) -> Result<f64> {
    Ok(x.sum_all()?.to_dtype(DType::F64)?.to_scalar()?)
}
