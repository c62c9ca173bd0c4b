//! The multi-layer perceptron, for energies and critics of vectors.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{
    Builder, Curve, Dropout, Fourier, Gradients, GroupNorm, Io, Jet, Layer, LayerList, Linear, Nonlinear,
    NonlinearName, Pass, Pullback, Reshape, Scaling, Sequence, Tape, trace_by_pullbacks,
};
use crate::config::{self, Spec, rule};
use crate::{Result, ops};

/// The normalisation between a linear map and its activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MlpNorm {
    /// No normalisation.
    None,
    /// Layer norm.
    Layer,
}

crate::config! {
    /// Keys of the network `mlp`.
    pub struct MlpConfig {
        /// Units of each hidden layer; none gives a linear map.
        hidden: Vec<usize> = vec![300, 300], rule::sizes;
        /// Non-linearity: swish, softplus, leaky_relu, tanh, relu, elu or sigmoid.
        activation: NonlinearName = NonlinearName::Swish;
        /// Whether swish learns its β, one a unit: h·sigmoid(βh).
        learned_beta: bool = false;
        /// Probability of dropping a unit after each activation, while training.
        dropout: f64 = 0.0, rule::rate;
        /// Divide each weight matrix by its largest singular value.
        spectral_norm: bool = false;
        /// Learn the length of each output's weights apart from their direction; before training, outputs over some
        /// data get mean 0 and standard deviation 1/5.
        weight_norm: bool = false;
        /// Normalisation before each activation: none or layer.
        norm: MlpNorm = MlpNorm::None;
        /// F, so many random Fourier features sin Wx and cos Wx beside x: a density with many narrow modes is learned
        /// many times sooner. 0 for none.
        fourier: usize = 0;
        /// Standard deviation of their frequencies W, in radians per unit of x.
        fourier_std: f64 = 3.0, rule::positive;
    }
}

/// The multi-layer perceptron: linear maps with an activation behind each but the last, on the flattened item.
pub struct Mlp {
    body: Sequence,
    /// The same layers again, on the same tensors, where the trace has a closed form: critics without normalisation.
    shallow: Option<Shallow>,
}

/// The layers that the closed form of the trace needs.
struct Shallow {
    linears: Vec<Linear>,
    activations: Vec<Nonlinear>,
}

/// Builds an `mlp` from a resolved section.
///
/// # Errors
/// The keys contradict each other, or a bound builder lacks a tensor.
pub(super) fn build(spec: &Spec, io: &Io, builder: &Builder) -> Result<Box<dyn Layer>> {
    Ok(Box::new(Mlp::new(&config::decode(&spec.table)?, io, builder)?))
}

impl Mlp {
    /// A perceptron whose layers are called `0`, `1`, … in order.
    ///
    /// # Errors
    /// As [`Nonlinear::new`] and [`Builder::weight`].
    pub fn new(config: &MlpConfig, io: &Io, builder: &Builder) -> Result<Self> {
        let mut body = Sequence::new().then(Reshape::flatten(&io.input));
        let mut shallow = Shallow { linears: Vec::new(), activations: Vec::new() };
        let scaling = Scaling::of(config.spectral_norm, config.weight_norm)?;
        let mut width = io.input_size();
        if config.fourier > 0 {
            body.push(Fourier::new(&builder.sub("fourier"), width, config.fourier, config.fourier_std)?);
            width = Fourier::width(width, config.fourier);
        }
        for (i, &units) in config.hidden.iter().enumerate() {
            let here = builder.sub(i);
            let linear = Linear::new(&here, width, units, scaling)?;
            let activation = Nonlinear::new(&here, config.activation, units, config.learned_beta)?;
            body.push(linear.clone());
            if config.norm == MlpNorm::Layer {
                body.push(GroupNorm::layer(&here.sub("norm"), units)?);
            }
            body.push(activation.clone());
            body.push(Dropout::new(&here, config.dropout));
            shallow.linears.push(linear);
            shallow.activations.push(activation);
            width = units;
        }
        let last = Linear::new(&builder.sub(config.hidden.len()), width, io.output_size(), scaling)?;
        shallow.linears.push(last.clone());
        let body = body.then(last).then(Reshape::to(&io.output));
        let closed = config.norm == MlpNorm::None && config.fourier == 0 && io.input_size() == io.output_size();
        Ok(Mlp { body, shallow: closed.then_some(shallow) })
    }
}

impl Layer for Mlp {
    fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        self.body.forward(x, pass)
    }

    fn vjp<'a>(&'a self, x: &Tensor, pass: Pass) -> Result<(Tensor, Pullback<'a>)> {
        self.body.vjp(x, pass)
    }

    fn record(&self, x: &Tensor, pass: Pass, tape: &mut Tape) -> Result<Tensor> {
        self.body.record(x, pass, tape)
    }

    fn reverse(&self, g: &Tensor, tape: &mut Tape, grads: &mut Gradients, wanted: bool) -> Result<Option<Tensor>> {
        self.body.reverse(g, tape, grads, wanted)
    }

    fn jvp(&self, x: &Jet, pass: Pass) -> Result<Jet> {
        self.body.jvp(x, pass)
    }

    fn curve(&self, x: &Curve, pass: Pass) -> Result<Curve> {
        self.body.curve(x, pass)
    }

    fn features(&self, x: &Tensor, pass: Pass) -> Result<Option<Tensor>> {
        self.body.features(x, pass)
    }

    fn power_iterate(&self) -> Result<()> {
        self.body.power_iterate()
    }

    fn has_weight_norm(&self) -> bool {
        self.body.has_weight_norm()
    }

    fn drops(&self) -> bool {
        self.body.drops()
    }

    fn reads_level(&self) -> bool {
        self.body.reads_level()
    }

    fn calibrate(&self, x: &Tensor) -> Result<Tensor> {
        self.body.calibrate(x)
    }

    fn list(&self) -> Result<LayerList> {
        self.body.list()
    }

    /// The trace of ∂f/∂x: in closed form up to two hidden layers (see [`Shallow::trace`]), else by D pull-backs.
    fn trace(&self, x: &Tensor) -> Result<Tensor> {
        let closed = match &self.shallow {
            Some(shallow) => shallow.trace(&x.flatten_from(1)?)?,
            None => None,
        };
        closed.map_or_else(|| trace_by_pullbacks(self, x), Ok)
    }
}

impl Shallow {
    /// The trace of the Jacobian J = W₃·diag(a₂)·W₂·diag(a₁)·W₁ of each item, `None` for more than two hidden layers.
    /// With Wₖ the weights and aₖ the slopes of the k-th activation, tr J = a₂ᵀ [W₂ ∘ (W₁W₃)ᵀ] a₁; with one hidden
    /// layer, tr J = a₁·Σ_d W₁∘W₂ᵀ; with none, tr J = tr W₁. The product of the weights is formed once for the batch,
    /// so this costs about one forward pass instead of D backward passes.
    ///
    /// # Shapes
    /// x `[B, D]` -> `[B]`.
    fn trace(&self, x: &Tensor) -> Result<Option<Tensor>> {
        if self.activations.len() > 2 {
            return Ok(None);
        }
        let weights = self.linears.iter().map(Linear::matrix).collect::<Result<Vec<_>>>()?;
        let slopes = self.slopes(x)?;
        Ok(match (weights.as_slice(), slopes.as_slice()) {
            ([w1, w2, w3], [a1, a2]) => {
                let middle = (w2 * w1.matmul(w3)?.t()?)?;
                Some(ops::dot(&ops::linear(a1, &middle, None)?, a2)?)
            }
            ([w1, w2], [a1]) => {
                let middle = (w1 * w2.t()?)?.sum_keepdim(1)?.t()?;
                Some(ops::linear(a1, &middle, None)?.squeeze(1)?)
            }
            ([w], []) => {
                let eye = Tensor::eye(w.dim(0)?, w.dtype(), w.device())?;
                Some((w * eye)?.sum_all()?.broadcast_as(x.dim(0)?)?)
            }
            _ => None,
        })
    }

    /// The slopes σ' of the activation at each hidden layer, each `[B, units]`.
    fn slopes(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        let mut x = x.clone();
        let mut slopes = Vec::with_capacity(self.activations.len());
        for (linear, activation) in self.linears.iter().zip(&self.activations) {
            let (y, pull) = activation.vjp(&linear.forward(&x, Pass::EVAL)?, Pass::EVAL)?;
            slopes.push(pull(&y.ones_like()?)?);
            x = y;
        }
        Ok(slopes)
    }
}
