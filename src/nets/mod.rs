//! Networks, in layers that carry their own derivatives.
//!
//! Everything here lives on ∇x E, and learns through it. So each [`Layer`] has four passes, all written in ordinary
//! differentiable operations: `forward`, the pull-back `vjp` (reverse mode: `x̄ = ȳ·∂y/∂x`), the tangent pass `jvp`
//! (forward mode: `ẏ = ∂y/∂x·ẋ`) and `curve`, the tangent pass to second order. Because the derivative passes are
//! themselves forward passes on the weights, ONE ordinary `backward()` through them gives the second-order terms of
//! LSD, score matching and gradient penalties: no double backward, no environment variable.

mod activation;
mod build;
mod conv;
mod conv2d;
mod curve;
mod dropout;
mod fourier;
mod image;
mod io;
mod jet;
mod linear;
mod mlp;
mod network;
mod norm;
mod pool;
mod registry;
mod reshape;
mod residual;
mod resnet;
mod resnet_generator;
mod sequence;
mod upsample;
mod weight;
mod wide_resnet;

pub use activation::{Nonlinear, NonlinearName};
pub use build::{Builder, Init, Params, Shapes};
pub use conv2d::Conv2d;
pub use curve::Curve;
pub use dropout::Dropout;
pub use fourier::Fourier;
pub use io::Io;
pub use jet::Jet;
pub use linear::Linear;
pub use mlp::MlpConfig;
pub use network::Network;
pub use norm::GroupNorm;
pub use pool::{AvgPool, GlobalPool};
pub use registry::{BuildNet, NETS, schemas};
pub use reshape::Reshape;
pub use residual::Residual;
pub use sequence::Sequence;
pub use upsample::Upsample;
pub use weight::{Scaling, Weight};

use candle_core::Tensor;

use crate::{Error, Result, rng::Key};

/// The reverse pass of a layer at the point where `vjp` was taken: ȳ of y's shape -> x̄ of x's shape.
/// Linear in ȳ, differentiable in ȳ and in the parameters.
pub type Pullback<'a> = Box<dyn Fn(&Tensor) -> Result<Tensor> + 'a>;

/// A differentiable map with parameters, batched over the first dimension.
pub trait Layer: Send + Sync {
    /// y = f(x).
    fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor>;

    /// y = f(x) and ȳ ↦ ȳ·∂f/∂x.
    fn vjp<'a>(&'a self, x: &Tensor, pass: Pass) -> Result<(Tensor, Pullback<'a>)>;

    /// (y, ẏ) = (f(x), ∂f/∂x·ẋ), both with one set of weights reads.
    fn jvp(&self, x: &Jet, pass: Pass) -> Result<Jet>;

    /// (y, y', y'') of y(t) = f(x(t)) at t = 0: y' = J x' and y'' = J x'' + x'ᵀ(∂²f/∂x²)x', all with one set of weights
    /// reads. Differentiable in the parameters; a corner, as in a rectifier, counts as if it did not bend.
    fn curve(&self, x: &Curve, pass: Pass) -> Result<Curve>;

    /// The input of the last linear layer inside, `[B, F]`: what a classifier separates. `None` where there is none.
    fn features(&self, _x: &Tensor, _pass: Pass) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// One power iteration of every spectral norm inside, in place. A layer that holds layers passes the call on.
    fn power_iterate(&self) -> Result<()> {
        Ok(())
    }

    /// Whether a layer inside has weight norm. A layer that holds layers passes the question on.
    fn has_weight_norm(&self) -> bool {
        false
    }

    /// y = f(x), where each layer inside that has weight norm first sets its scale and bias, in place, by what it makes
    /// of x. A layer that holds layers passes the call on.
    fn calibrate(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(x, Pass::EVAL)
    }

    /// tr ∂f/∂x of every item, `[B]`, for an f whose output has as many numbers as its input; without dropout.
    /// Differentiable in the parameters. A layer that knows a closed form overrides these D pull-backs.
    fn trace(&self, x: &Tensor) -> Result<Tensor> {
        trace_by_pullbacks(self, x)
    }
}

/// What may differ from one pass through a network to the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pass {
    /// Draws the dropout masks while training; `None` switches dropout off. Value and tangent, and two passes with
    /// the same key, see the same masks.
    pub dropout: Option<Key>,
}

impl Pass {
    /// Evaluation: no dropout.
    pub const EVAL: Pass = Pass { dropout: None };

    /// Training, with masks drawn from `key`.
    pub fn train(key: Key) -> Self {
        Pass { dropout: Some(key) }
    }
}

/// tr J = Σ_d e_dᵀ J e_d: one pull-back for each of the D inputs, `[B, ..]` -> `[B]`.
fn trace_by_pullbacks<L: Layer + ?Sized>(layer: &L, x: &Tensor) -> Result<Tensor> {
    let (y, pull) = layer.vjp(x, Pass::EVAL)?;
    if y.elem_count() != x.elem_count() {
        let (input, output) = (x.dims(), y.dims());
        return Err(Error::Other(format!("a trace needs an output of the input's size, not {input:?} -> {output:?}")));
    }
    let batch = x.dim(0)?;
    let size = x.elem_count() / batch.max(1);
    let mut trace = Tensor::zeros(batch, x.dtype(), x.device())?;
    for (d, unit) in Tensor::eye(size, x.dtype(), x.device())?.chunk(size.max(1), 0)?.iter().enumerate() {
        let g = pull(&unit.broadcast_as((batch, size))?.reshape(y.dims())?)?;
        trace = (trace + g.reshape((batch, size))?.narrow(1, d, 1)?.squeeze(1)?)?;
    }
    Ok(trace)
}
