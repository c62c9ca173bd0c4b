//! The same operations composed of candle's own, for devices and types that the kernels do not serve.
//!
//! Everything stays differentiable, derivative passes included. The tests run both sides against each other.

use candle_core::{Result, Tensor};

use super::{Activation, Conv};

/// x wᵀ + b.
pub fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    let y = x.matmul(&w.t()?)?;
    match b {
        Some(b) => y.broadcast_add(b),
        None => Ok(y),
    }
}

/// The first half of the rows with bias, the second without.
pub fn linear_jet(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    let y = x.matmul(&w.t()?)?;
    match b {
        Some(b) => on_values(&y, |value| value.broadcast_add(b)),
        None => Ok(y),
    }
}

/// Applies f to the first half of the batch and leaves the second.
pub fn on_values(stacked: &Tensor, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let half = stacked.dim(0)? / 2;
    Tensor::cat(&[f(&stacked.narrow(0, 0, half)?)?, stacked.narrow(0, half, half)?], 0)
}

/// 1/(1 + e⁻ᵘ), as ½ + ½ tanh(u/2): its gradient has no overflow.
fn sigmoid(u: &Tensor) -> Result<Tensor> {
    u.affine(0.5, 0.0)?.tanh()?.affine(0.5, 0.5)
}

/// min(u, 0).
fn negative_part(u: &Tensor) -> Result<Tensor> {
    u.neg()?.relu()?.neg()
}

/// 1 where u > 0, `below` elsewhere; constant.
fn step(u: &Tensor, below: f64) -> Result<Tensor> {
    u.detach().gt(0.0)?.to_dtype(u.dtype())?.affine(1.0 - below, below)
}

/// σ(u).
pub fn activate(act: Activation, u: &Tensor) -> Result<Tensor> {
    match act {
        Activation::Swish => u * sigmoid(u)?,
        Activation::Softplus => u.relu()? + u.abs()?.neg()?.exp()?.affine(1.0, 1.0)?.log()?,
        Activation::Sigmoid => sigmoid(u),
        Activation::Tanh => u.tanh(),
        Activation::Relu => u.relu(),
        Activation::LeakyRelu(alpha) => u * step(u, alpha)?,
        Activation::Elu(alpha) => u.relu()? + negative_part(u)?.exp()?.affine(alpha, -alpha)?,
    }
}

/// σ'(u).
fn slope(act: Activation, u: &Tensor) -> Result<Tensor> {
    match act {
        Activation::Swish => {
            let s = sigmoid(u)?;
            let c = s.affine(-1.0, 1.0)?;
            s * (u * c)?.affine(1.0, 1.0)?
        }
        Activation::Softplus => sigmoid(u),
        Activation::Sigmoid => {
            let s = sigmoid(u)?;
            &s * s.affine(-1.0, 1.0)?
        }
        Activation::Tanh => u.tanh()?.sqr()?.affine(-1.0, 1.0),
        Activation::Relu => step(u, 0.0),
        Activation::LeakyRelu(alpha) => step(u, alpha),
        Activation::Elu(alpha) => {
            let up = step(u, 0.0)?;
            let down = (up.affine(-1.0, 1.0)? * negative_part(u)?.exp()?)?;
            up + down.affine(alpha, 0.0)?
        }
    }
}

/// σ'(u)·v.
pub fn activate_pullback(act: Activation, u: &Tensor, v: &Tensor) -> Result<Tensor> {
    slope(act, u)? * v
}

/// [σ(u); σ'(u)·u̇].
pub fn activate_jet(act: Activation, stacked: &Tensor) -> Result<Tensor> {
    let half = stacked.dim(0)? / 2;
    let (u, tangent) = (stacked.narrow(0, 0, half)?, stacked.narrow(0, half, half)?);
    Tensor::cat(&[activate(act, &u)?, activate_pullback(act, &u, &tangent)?], 0)
}

/// Σ x·y over all but the first dimension.
pub fn dot(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    (x * y)?.reshape((x.dim(0)?, ()))?.sum(1)
}

/// y + b along the channels.
pub fn channel_bias(y: &Tensor, b: &Tensor) -> Result<Tensor> {
    y.broadcast_add(&b.reshape((1, (), 1, 1))?)
}

/// Convolution without bias.
pub fn conv2d(x: &Tensor, w: &Tensor, conv: Conv) -> Result<Tensor> {
    x.conv2d(w, conv.padding, conv.stride, 1, 1)
}

/// The pull-back of [`conv2d`], for an input of `size`.
pub fn conv2d_pullback(g: &Tensor, w: &Tensor, conv: Conv, (height, width): (usize, usize)) -> Result<Tensor> {
    let (_, _, rows, columns) = g.dims4()?;
    let kernel = w.dim(2)?;
    // Rows and columns at the far end that no window covers; conv_transpose2d takes one number for both.
    let beyond = |size: usize, n: usize| size + 2 * conv.padding - ((n - 1) * conv.stride + kernel);
    let (left, right) = (beyond(height, rows), beyond(width, columns));
    let extra = left.max(right);
    let x = g.contiguous()?.conv_transpose2d(&w.contiguous()?, conv.padding, extra, conv.stride, 1)?;
    x.narrow(2, 0, height)?.narrow(3, 0, width)
}
