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
        Activation::Swish => (u * sigmoid(u)?)?,
        Activation::Softplus => (u.relu()? + (u.abs()?.neg()?.exp()? + 1.0)?.log()?)?,
        Activation::Sigmoid => sigmoid(u)?,
        Activation::Tanh => u.tanh()?,
        Activation::Relu => u.relu()?,
        Activation::LeakyRelu(alpha) => (u * slope(u, alpha)?)?,
        Activation::Elu(alpha) => u.elu(alpha)?,
    })
}

/// σ'(u)∘v, of u's shape; differentiable in both.
pub fn activate_pullback(act: Activation, u: &Tensor, v: &Tensor) -> Result<Tensor> {
    let derivative = match act {
        Activation::Swish => {
            let s = sigmoid(u)?;
            (&s + ((u * &s)? * (1.0 - &s)?)?)?
        }
        Activation::Softplus => sigmoid(u)?,
        Activation::Sigmoid => {
            let s = sigmoid(u)?;
            (&s * (1.0 - &s)?)?
        }
        Activation::Tanh => (1.0 - u.tanh()?.sqr()?)?,
        Activation::Relu => slope(u, 0.0)?,
        Activation::LeakyRelu(alpha) => slope(u, alpha)?,
        Activation::Elu(alpha) => {
            let negative = (u - u.relu()?)?.exp()?.affine(alpha, 0.0)?;
            u.detach().gt(0.0)?.where_cond(&u.ones_like()?, &negative)?
        }
    };
    Ok((derivative * v)?)
}

/// [`activate`] on values and tangents stacked: (σ(u), σ'(u)∘u̇).
pub fn activate_jet(act: Activation, uu: &Tensor) -> Result<Tensor> {
    let half = uu.dim(0)? / 2;
    let (u, tangent) = (uu.narrow(0, 0, half)?, uu.narrow(0, half, half)?);
    Ok(Tensor::cat(&[activate(act, &u)?, activate_pullback(act, &u, &tangent)?], 0)?)
}

fn sigmoid(u: &Tensor) -> Result<Tensor> {
    Ok((u * 0.5)?.tanh()?.affine(0.5, 0.5)?)
}

fn slope(u: &Tensor, alpha: f64) -> Result<Tensor> {
    Ok(u.detach().gt(0.0)?.to_dtype(u.dtype())?.affine(1.0 - alpha, alpha)?)
}

/// Geometry of a convolution, the same in both directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv {
    /// Pixels from one window to the next.
    pub stride: usize,
    /// Zeros added on each side.
    pub padding: usize,
}

/// Cross-correlation without bias. Shapes: x `[N, C, H, W]`, w `[O, C, K, K]` -> `[N, O, H', W']`.
///
/// Padded and cropped to what the windows cover beforehand: candle's own backward takes the uncovered margin of H for
/// that of W too.
pub fn conv2d(x: &Tensor, w: &Tensor, conv: Conv) -> Result<Tensor> {
    let mut x = x.clone();
    for dim in [2, 3] {
        x = x.pad_with_zeros(dim, conv.padding, conv.padding)?;
        let covered = (x.dim(dim)? - w.dim(dim)?) / conv.stride * conv.stride + w.dim(dim)?;
        x = x.narrow(dim, 0, covered)?;
    }
    Ok(x.contiguous()?.conv2d(w, 0, conv.stride, 1, 1)?)
}

/// The pull-back of [`conv2d`] in x, whose images have the size `(h, w)`.
pub fn conv2d_pullback(g: &Tensor, w: &Tensor, conv: Conv, size: (usize, usize)) -> Result<Tensor> {
    let mut x = g.contiguous()?.conv_transpose2d(w, 0, 0, conv.stride, 1)?;
    for (dim, size) in [(2, size.0), (3, size.1)] {
        let missing = (size + 2 * conv.padding).saturating_sub(x.dim(dim)?);
        x = x.pad_with_zeros(dim, 0, missing)?.narrow(dim, conv.padding, size)?;
    }
    Ok(x)
}

/// y + b, one b a channel. Shapes: y `[N, O, H, W]`, b `[O]`.
pub fn channel_bias(y: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok(y.broadcast_add(&b.reshape((1, b.elem_count(), 1, 1))?)?)
}

/// [`channel_bias`] on values and tangents stacked: only the first half gets the bias.
pub fn channel_bias_jet(yy: &Tensor, b: &Tensor) -> Result<Tensor> {
    let half = yy.dim(0)? / 2;
    Ok(Tensor::cat(&[channel_bias(&yy.narrow(0, 0, half)?, b)?, yy.narrow(0, half, half)?], 0)?)
}

/// Sums over rows: `[N, D]` -> `[D]`.
pub fn column_sum(x: &Tensor) -> Result<Tensor> {
    Ok(x.sum(0)?)
}

/// Σ a∘b over each item: `[B, ..]` twice -> `[B]`.
pub fn dot(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok((a * b)?.flatten_from(1)?.sum(1)?)
}
