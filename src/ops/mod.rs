//! The operations for which candle's CPU versions are many times slower than they need to be.
//!
//! Each is differentiable by one ordinary `backward()`, derivative passes included, and runs on every device: candle's
//! own operations (`composed.rs`) serve where there is no kernel. Results do not depend on the number of threads.

mod access;
mod activation;
mod columns;
mod composed;
mod conv;
mod curve;
mod linear;
mod raw;
mod real;
mod reduce;
mod update;

#[cfg(test)]
mod contract;
#[cfg(test)]
#[path = "../../docs/skeletons/operation.rs"]
mod skeleton;
#[cfg(test)]
mod tests;

pub use update::{Adam, Sgd};

use candle_core::{Tensor, Var};

use crate::{Error, Result};

/// An element-wise non-linearity σ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// Swish, u·sigmoid(u), also called SiLU.
    Swish,
    /// Softplus, log(1 + eᵘ).
    Softplus,
    /// The sigmoid, 1 / (1 + e⁻ᵘ).
    Sigmoid,
    /// The hyperbolic tangent, tanh u.
    Tanh,
    /// The rectifier, max(u, 0); its slope at 0 is 0.
    Relu,
    /// The leaky rectifier, max(u, αu) with α < 1; its slope at 0 is α.
    LeakyRelu(f64),
    /// The exponential linear unit: u for u > 0, else α(eᵘ - 1).
    Elu(f64),
}

/// The stride and padding of a convolution with a square kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// The pixels from one window to the next, at least 1.
    pub stride: usize,
    /// The zeros added on each side.
    pub padding: usize,
}

impl Conv {
    /// The number of windows along one dimension: ⌊(size + 2·padding - kernel)/stride⌋ + 1.
    ///
    /// # Errors
    /// The stride is 0, the kernel is 0, or the kernel is larger than the padded input.
    pub fn windows(self, size: usize, kernel: usize) -> Result<usize> {
        let Conv { stride, padding } = self;
        let room = padding.checked_mul(2).and_then(|p| p.checked_add(size)).and_then(|s| s.checked_sub(kernel));
        match room {
            Some(room) if stride > 0 && kernel > 0 && size > 0 => Ok(room / stride + 1),
            _ => Err(Error::Other(format!(
                "convolution: a kernel of {kernel} with stride {stride} and padding {padding} does not fit into \
                 {size} pixels; all but the padding must be at least 1, and the kernel no larger than the padded input"
            ))),
        }
    }
}

/// The linear map y = x wᵀ + b. Shapes: x `[N, I]`, w `[O, I]`, b `[O]`, y `[N, O]`.
///
/// # Errors
/// The shapes do not fit.
pub fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    linear_stacked(x, w, b, 1)
}

/// The tangent pass of [`linear`] on stacked values and tangents x `[2B, I]`; the bias goes to the first B rows only.
///
/// # Errors
/// The shapes do not fit, or the number of rows is odd.
pub fn linear_jet(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    linear_stacked(x, w, b, 2)
}

/// The map [`linear`] on `blocks` stacked blocks, values and their derivatives: the bias goes to the first only.
///
/// # Errors
/// The shapes do not fit, or the rows cannot be divided into so many blocks.
pub fn linear_stacked(x: &Tensor, w: &Tensor, b: Option<&Tensor>, blocks: usize) -> Result<Tensor> {
    splits(x, blocks)?;
    let (&[_, inputs], &[outputs, expected]) = (x.dims(), w.dims()) else {
        return Err(Error::Other(format!("linear: x {:?} and w {:?} must be matrices", x.dims(), w.dims())));
    };
    if inputs != expected || b.is_some_and(|b| b.dims() != [outputs]) {
        let b = b.map(|b| b.dims());
        return Err(Error::Other(format!("linear: x {:?}, w {:?} and b {b:?} do not fit", x.dims(), w.dims())));
    }
    let op = linear::Linear { blocks };
    Ok(match b {
        Some(b) if access::served(&[x, w, b]) => x.apply_op3(w, &b.contiguous()?, op)?,
        None if access::served(&[x, w]) => x.apply_op2(w, op)?,
        _ => composed::linear(x, w, b, blocks)?,
    })
}

/// The pull-back g w of [`linear`]. Shapes: g `[N, O]`, w `[O, I]` -> `[N, I]`.
///
/// # Errors
/// The shapes do not fit.
pub fn linear_pullback(g: &Tensor, w: &Tensor) -> Result<Tensor> {
    match (g.dims(), w.dims()) {
        (&[_, have], &[want, _]) if have == want => {}
        (g, w) => return Err(Error::Other(format!("linear pull-back: g {g:?} and w {w:?} do not fit"))),
    }
    Ok(if access::served(&[g, w]) { g.apply_op2(w, linear::Pullback)? } else { g.matmul(w)? })
}

/// The activation σ(u), of u's shape.
///
/// # Errors
/// The device fails.
pub fn activate(act: Activation, u: &Tensor) -> Result<Tensor> {
    Ok(match access::served(&[u]) {
        true => u.contiguous()?.apply_op1(activation::Value(act))?,
        false => composed::activate(act, u)?,
    })
}

/// The product σ'(u)·v, entry by entry: pull-back and tangent of [`activate`]. It is differentiable in u and v.
///
/// # Errors
/// u and v differ in shape.
pub fn activate_pullback(act: Activation, u: &Tensor, v: &Tensor) -> Result<Tensor> {
    same_shape("activation pull-back", u, v)?;
    Ok(match access::served(&[u, v]) {
        true => u.contiguous()?.apply_op2(&v.contiguous()?, activation::Pullback(act))?,
        false => composed::activate_pullback(act, u, v)?,
    })
}

/// The tangent pass of [`activate`] on values u and tangents u̇ stacked: [u; u̇] `[2B, ..]` -> [σ(u); σ'(u)·u̇].
///
/// # Errors
/// The first dimension is odd.
pub fn activate_jet(act: Activation, stacked: &Tensor) -> Result<Tensor> {
    splits(stacked, 2)?;
    Ok(match access::served(&[stacked]) {
        true => stacked.contiguous()?.apply_op1(activation::Jet(act))?,
        false => composed::activate_jet(act, stacked)?,
    })
}

/// The second-order tangent pass of [`activate`] along a curve, of `blocks` = 3 stacked blocks [u; u'; u''], or 2 where
/// u'' = 0, to three blocks [σ(u); σ'(u)·u'; σ''(u)·u'² + σ'(u)·u''].
///
/// # Errors
/// `blocks` is another number, or the rows cannot be divided into so many blocks.
pub fn activate_curve(act: Activation, stacked: &Tensor, blocks: usize) -> Result<Tensor> {
    if !(2..=3).contains(&blocks) {
        return Err(Error::Other(format!("a curve has 2 or 3 blocks of rows, not {blocks}")));
    }
    splits(stacked, blocks)?;
    Ok(match access::served(&[stacked]) {
        true => stacked.contiguous()?.apply_op1(activation::Curved { act, blocks })?,
        false => composed::activate_curve(act, stacked, blocks)?,
    })
}

/// The convolution (cross-correlation, as everywhere in deep learning) without bias, y\[n,o,i,j\] = Σ
/// w\[o,c,a,b\]·x\[n,c,i·stride + a - padding,j·stride + b - padding\].
///
/// # Shapes
/// x `[N, C, H, W]`, w `[O, C, k, k]` -> `[N, O, H', W']`, H' by [`Conv::windows`].
///
/// # Errors
/// The shapes or the geometry do not fit.
pub fn conv2d(x: &Tensor, w: &Tensor, conv: Conv) -> Result<Tensor> {
    let (&[_, channels, height, width], &[_, expected, kernel, across]) = (x.dims(), w.dims()) else {
        return Err(Error::Other(format!("convolution: x {:?} and w {:?} need 4 dimensions", x.dims(), w.dims())));
    };
    if channels != expected || kernel != across {
        return Err(Error::Other(format!("convolution: x {:?} and w {:?} do not fit", x.dims(), w.dims())));
    }
    conv.windows(height, kernel)?;
    conv.windows(width, kernel)?;
    Ok(match access::served(&[x, w]) && x.dims().iter().chain(w.dims()).all(|d| *d > 0) {
        true => x.contiguous()?.apply_op2(&w.contiguous()?, conv::Convolution(conv))?,
        false => composed::conv2d(x, w, conv)?,
    })
}

/// The pull-back of [`conv2d`] for an input of `size` = (H, W): g `[N, O, H', W']`, w `[O, C, k, k]` -> `[N, C, H, W]`.
/// It is also the transposed convolution with that output size.
///
/// # Errors
/// The shapes or the geometry do not fit: an input of `size` must give g's H' and W'.
pub fn conv2d_pullback(g: &Tensor, w: &Tensor, conv: Conv, size: (usize, usize)) -> Result<Tensor> {
    let (&[_, outputs, rows, columns], &[expected, _, kernel, across]) = (g.dims(), w.dims()) else {
        return Err(Error::Other(format!("convolution: g {:?} and w {:?} need 4 dimensions", g.dims(), w.dims())));
    };
    let windows = (conv.windows(size.0, kernel)?, conv.windows(size.1, kernel)?);
    if outputs != expected || kernel != across || windows != (rows, columns) {
        return Err(Error::Other(format!(
            "convolution pull-back: g {:?}, w {:?}, {conv:?} and an input of {size:?} do not fit",
            g.dims(),
            w.dims()
        )));
    }
    Ok(match access::served(&[g, w]) && g.dims().iter().chain(w.dims()).all(|d| *d > 0) {
        true => g.contiguous()?.apply_op2(&w.contiguous()?, conv::Pullback { conv, size })?,
        false => composed::conv2d_pullback(g, w, conv, size)?,
    })
}

/// The sum y + b along the channels. Shapes: y `[N, O, H, W]`, b `[O]`.
///
/// # Errors
/// The shapes do not fit.
pub fn channel_bias(y: &Tensor, b: &Tensor) -> Result<Tensor> {
    channel_bias_stacked(y, b, 1)
}

/// The tangent pass of [`channel_bias`] on stacked values and tangents: the bias goes to the first half only.
///
/// # Errors
/// The shapes do not fit, or the batch is odd.
pub fn channel_bias_jet(y: &Tensor, b: &Tensor) -> Result<Tensor> {
    channel_bias_stacked(y, b, 2)
}

/// The sum [`channel_bias`] on `blocks` blocks, values and their derivatives: the bias goes to the first only.
///
/// # Errors
/// The shapes do not fit, or the batch cannot be divided into so many blocks.
pub fn channel_bias_stacked(y: &Tensor, b: &Tensor, blocks: usize) -> Result<Tensor> {
    channels(y, b)?;
    splits(y, blocks)?;
    Ok(match access::served(&[y, b]) {
        true => y.contiguous()?.apply_op2(&b.contiguous()?, reduce::ChannelBias { blocks })?,
        false => composed::on_values(y, blocks, |value| composed::channel_bias(value, b))?,
    })
}

/// The column sums Σₙ xₙ: `[N, M]` -> `[M]`.
///
/// # Errors
/// x is no matrix.
pub fn column_sum(x: &Tensor) -> Result<Tensor> {
    x.dims2()?;
    Ok(if access::served(&[x]) { x.contiguous()?.apply_op1(reduce::ColumnSum)? } else { x.sum(0)? })
}

/// The sums of x·y over all but the first dimension: `[N, ..]`, `[N, ..]` -> `[N]`.
///
/// # Errors
/// x and y differ in shape.
pub fn dot(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    same_shape("dot", x, y)?;
    Ok(match access::served(&[x, y]) {
        true => x.contiguous()?.apply_op2(&y.contiguous()?, reduce::Dot)?,
        false => composed::dot(x, y)?,
    })
}

/// The Langevin move x - drift·grad + std·noise, of x's shape, in one pass over memory; it is not tracked.
///
/// # Errors
/// The shapes differ.
pub fn langevin_update(x: &Tensor, grad: &Tensor, noise: &Tensor, drift: f64, std: f64) -> Result<Tensor> {
    same_shape("langevin update", x, grad)?;
    same_shape("langevin update", x, noise)?;
    let [x, grad, noise] = [x, grad, noise].map(Tensor::detach);
    Ok(match access::served(&[&x, &grad, &noise]) {
        true => {
            let op = reduce::Langevin { drift, std };
            x.contiguous()?.apply_op3_no_bwd(&grad.contiguous()?, &noise.contiguous()?, &op)?
        }
        false => ((x - (grad * drift)?)? + (noise * std)?)?,
    })
}

/// One Adam step: `var` and its moments change in place, and so does everything that shares their storage.
///
/// The formulas are those of [`Adam`]: Kingma & Ba 2015, algorithm 1, and Loshchilov & Hutter 2019, algorithm 2.
/// Returns Σ g² as [`sum_of_squares`] does, without another pass over memory.
///
/// # Errors
/// The shapes differ, or two of the tensors share their storage.
pub fn adam_update(var: &Var, grad: &Tensor, first: &Var, second: &Var, numbers: &Adam) -> Result<f64> {
    Ok(update::adam(var, first, second, grad, numbers)?)
}

/// One step of gradient descent with momentum for a parameter p = `var` with gradient g, in place: ĝ = scale·g +
/// weight_decay·p; b ← momentum·b + ĝ; p ← p - lr·b, or p - lr·(ĝ + momentum·b) with `nesterov`. Returns Σ g².
///
/// # Errors
/// The shapes differ, or two of the tensors share their storage.
pub fn sgd_update(var: &Var, grad: &Tensor, velocity: &Var, numbers: &Sgd) -> Result<f64> {
    Ok(update::sgd(var, velocity, grad, numbers)?)
}

/// Moves a towards b in place: a ← a + weight·(b - a).
///
/// # Errors
/// The shapes differ, or a and b share their storage.
pub fn lerp_update(a: &Var, b: &Tensor, weight: f64) -> Result<()> {
    Ok(update::lerp(a, b, weight)?)
}

/// The sum of squares Σ x² in f64, whatever x's type.
///
/// # Errors
/// The device fails.
pub fn sum_of_squares(x: &Tensor) -> Result<f64> {
    Ok(update::sum_of_squares(x)?)
}

/// Whether the batch can be divided into so many equal blocks; an error if not.
fn splits(stacked: &Tensor, blocks: usize) -> Result<()> {
    match stacked.dims().first() {
        Some(rows) if blocks > 0 && rows.is_multiple_of(blocks) => Ok(()),
        _ => Err(Error::Other(format!(
            "values and derivatives stacked in {blocks} blocks need a multiple of {blocks} rows, got {:?}",
            stacked.dims()
        ))),
    }
}

fn same_shape(what: &str, a: &Tensor, b: &Tensor) -> Result<()> {
    if a.dims() == b.dims() {
        return Ok(());
    }
    Err(Error::Other(format!("{what}: shapes {:?} and {:?} differ", a.dims(), b.dims())))
}

fn channels(y: &Tensor, b: &Tensor) -> Result<()> {
    match (y.dims(), b.dims()) {
        (&[_, channels, _, _], &[given]) if channels == given => Ok(()),
        (y, b) => Err(Error::Other(format!("channel bias: y {y:?} and b {b:?} do not fit"))),
    }
}
