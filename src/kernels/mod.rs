//! Operations for which candle's CPU versions are many times slower than they need to be.
//!
//! Each is differentiable, runs on every device (candle's own operations where we have no kernel) and is tested
//! against them. What `nets`, `optim` and `samplers` call is this list; how it is done is inside.

use candle_core::Tensor;

use crate::Result;

/// An element-wise non-linearity σ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// u·sigmoid(u), also called SiLU.
    Swish,
    /// log(1 + eᵘ).
    Softplus,
    /// 1 / (1 + e⁻ᵘ).
    Sigmoid,
    /// tanh u.
    Tanh,
    /// max(u, 0).
    Relu,
    /// max(u, αu), α < 1.
    LeakyRelu(f64),
    /// u for u > 0, else α(eᵘ - 1).
    Elu(f64),
}

/// y = x wᵀ + b. Shapes: x `[N, I]`, w `[O, I]`, b `[O]`, y `[N, O]`.
pub fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    let y = x.matmul(&w.t()?)?;
    Ok(match b {
        Some(b) => y.broadcast_add(b)?,
        None => y,
    })
}

/// [`linear`] on values and tangents stacked: x `[2B, I]`; the bias goes to the first B rows only.
pub fn linear_jet(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    let half = x.dim(0)? / 2;
    let (value, tangent) = (x.narrow(0, 0, half)?, x.narrow(0, half, half)?);
    Ok(Tensor::cat(&[linear(&value, w, b)?, linear(&tangent, w, None)?], 0)?)
}

/// The pull-back of [`linear`]: g w. Shapes: g `[N, O]`, w `[O, I]` -> `[N, I]`.
pub fn linear_pullback(g: &Tensor, w: &Tensor) -> Result<Tensor> {
    Ok(g.matmul(w)?)
}

/// σ(u), of u's shape.
pub fn activate(act: Activation, u: &Tensor) -> Result<Tensor> {
    Ok(match act {
        Activation::Swish => u.silu()?,
        _ => todo!("{act:?}"),
    })
}
