//! Networks, in layers that carry their own derivatives.
//!
//! Everything here lives on ∇x E, and learns through it. So each [`Layer`] has three passes, all written in
//! ordinary differentiable operations: `forward`, the pull-back `vjp` (reverse mode: `x̄ = ȳ·∂y/∂x`) and the tangent
//! pass `jvp` (forward mode: `ẏ = ∂y/∂x·ẋ`). Because the derivative passes are themselves forward passes on the
//! weights, ONE ordinary `backward()` through them gives the second-order terms of LSD, score matching and gradient
//! penalties: no double backward, no environment variable.

mod build;
mod jet;

pub use build::{Builder, Init, Params};
pub use jet::Jet;

use candle_core::Tensor;

use crate::{Result, rng::Key};

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
