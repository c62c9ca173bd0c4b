//! The operations of this room composed of candle's own, for devices and types that the kernels do not serve.
//!
//! Everything stays differentiable, derivative passes included. The tests run both sides against each other. Every
//! `Result` fails where a tensor operation does, as on shapes that do not fit.

use candle_core::{D, DType, Result, Tensor, Var};

use super::cpu::random::{normal_numbers, random_words, uniform_number};
use super::rounded::product;
use super::{Activation, Adam, Conv, Dropping, LangevinMove, NORM_EPSILON, Sgd};
use crate::rng::Counter;

/// The linear map x wᵀ + b, x `[N, I]`, w `[O, I]`, b `[O]`, with the bias on the first of `blocks` equal blocks of
/// rows.
pub fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>, blocks: usize) -> Result<Tensor> {
    let y = product(&x.contiguous()?, &w.contiguous()?.t()?)?;
    match b {
        Some(b) => on_values(&y, blocks, |value| value.broadcast_add(b)),
        None => Ok(y),
    }
}

/// The pull-back g w.
pub fn linear_pullback(g: &Tensor, w: &Tensor) -> Result<Tensor> {
    product(&g.contiguous()?, &w.contiguous()?)
}

/// The weight gradient gᵀ x.
pub fn linear_weight_gradient(g: &Tensor, x: &Tensor) -> Result<Tensor> {
    product(&g.t()?, x)
}

/// The tensor with f applied to the first of `blocks` equal blocks of the batch and the other blocks unchanged.
pub fn on_values(stacked: &Tensor, blocks: usize, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let rows = stacked.dim(0)?;
    let first = rows / blocks.max(1);
    let values = f(&stacked.narrow(0, 0, first)?)?;
    if first == rows { Ok(values) } else { Tensor::cat(&[values, stacked.narrow(0, first, rows - first)?], 0) }
}

/// The sigmoid 1/(1 + e⁻ᵘ) as exp(min(u, 0) - log(1 + e^-|u|)): precise far out on both sides, and nothing overflows,
/// in the gradient neither. With min(u, 0) = u - max(u, 0) the slope at 0 is right too, where candle counts max(u, 0)
/// and |u| as rising.
fn sigmoid(u: &Tensor) -> Result<Tensor> {
    let log = u.abs()?.neg()?.exp()?.affine(1.0, 1.0)?.log()?;
    ((u - u.relu()?)? - log)?.exp()
}

/// The complement 1 - sigmoid(u), as precise as [`sigmoid`].
fn complement(u: &Tensor) -> Result<Tensor> {
    sigmoid(&u.neg()?)
}

/// The negative part min(u, 0).
fn negative_part(u: &Tensor) -> Result<Tensor> {
    u.neg()?.relu()?.neg()
}

/// The step function: 1 where u > 0, `below` elsewhere; a constant for the backward pass.
fn step(u: &Tensor, below: f64) -> Result<Tensor> {
    u.detach().gt(0.0)?.to_dtype(u.dtype())?.affine(1.0 - below, below)
}

/// The activation σ(u).
pub fn activate(act: Activation, u: &Tensor) -> Result<Tensor> {
    match act {
        Activation::Swish => u * sigmoid(u)?,
        Activation::Softplus => u.relu()? + u.abs()?.neg()?.exp()?.affine(1.0, 1.0)?.log()?,
        Activation::Sigmoid => sigmoid(u),
        Activation::Tanh => u.tanh(),
        // Not candle's, which makes 0 of what is not a number.
        Activation::Relu => u * step(u, 0.0)?,
        Activation::LeakyRelu(alpha) => u * step(u, alpha)?,
        Activation::Elu(alpha) => (u * step(u, 0.0)?)? + negative_part(u)?.exp()?.affine(alpha, -alpha)?,
    }
}

/// The first derivative σ'(u).
fn slope(act: Activation, u: &Tensor) -> Result<Tensor> {
    match act {
        Activation::Swish => {
            let (s, c) = (sigmoid(u)?, complement(u)?);
            s * (u * c)?.affine(1.0, 1.0)?
        }
        Activation::Softplus => sigmoid(u),
        Activation::Sigmoid => {
            let (s, c) = (sigmoid(u)?, complement(u)?);
            s * c
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

/// The second derivative σ''(u).
fn bend(act: Activation, u: &Tensor) -> Result<Tensor> {
    match act {
        Activation::Swish => {
            let (s, c) = (sigmoid(u)?, complement(u)?);
            (&s * &c)? * (u * (c - s)?)?.affine(1.0, 2.0)?
        }
        Activation::Softplus => slope(Activation::Sigmoid, u),
        Activation::Sigmoid => slope(act, u)? * (complement(u)? - sigmoid(u)?)?,
        Activation::Tanh => (slope(act, u)? * u.tanh()?)?.affine(-2.0, 0.0),
        Activation::Relu | Activation::LeakyRelu(_) => u.zeros_like(),
        Activation::Elu(alpha) => step(u, 0.0)?.affine(-alpha, alpha)? * negative_part(u)?.exp()?,
    }
}

/// The pull-back σ'(u)·v.
pub fn activate_pullback(act: Activation, u: &Tensor, v: &Tensor) -> Result<Tensor> {
    slope(act, u)? * v
}

/// The tangent pass [σ(u); σ'(u)·u̇] of halves [u; u̇].
pub fn activate_jet(act: Activation, stacked: &Tensor) -> Result<Tensor> {
    let half = stacked.dim(0)? / 2;
    let (u, tangent) = (stacked.narrow(0, 0, half)?, stacked.narrow(0, half, half)?);
    Tensor::cat(&[activate(act, &u)?, activate_pullback(act, &u, &tangent)?], 0)
}

/// The second-order tangent pass [σ(u); σ'u'; σ''u'² + σ'u''] of blocks [u; u'; u''], or [u; u'] where u'' = 0.
pub fn activate_curve(act: Activation, stacked: &Tensor, blocks: usize) -> Result<Tensor> {
    let rows = stacked.dim(0)? / blocks.max(1);
    let (u, first) = (stacked.narrow(0, 0, rows)?, stacked.narrow(0, rows, rows)?);
    let slope = slope(act, &u)?;
    let bent = (bend(act, &u)? * first.sqr()?)?;
    let second = if blocks == 2 { bent } else { (bent + (&slope * stacked.narrow(0, 2 * rows, rows)?)?)? };
    Tensor::cat(&[activate(act, &u)?, (slope * first)?, second], 0)
}

/// The column sums, `[N, M]` -> `[M]`.
pub fn column_sum(x: &Tensor) -> Result<Tensor> {
    x.sum(0)
}

/// The sums of x·y over all but the first dimension, `[N, ..]`, `[N, ..]` -> `[N]`.
pub fn dot(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let rows = x.dim(0)?;
    (x * y)?.reshape((rows, x.elem_count() / rows.max(1)))?.sum(1)
}

/// The number of pixels that the windows cover along one dimension of the padded input.
fn covered(windows: usize, kernel: usize, conv: Conv) -> usize {
    (windows - 1) * conv.stride + kernel
}

/// The convolution, with the bias on the first of `blocks` equal blocks of the batch.
pub fn conv2d(x: &Tensor, w: &Tensor, b: Option<&Tensor>, conv: Conv, blocks: usize) -> Result<Tensor> {
    let y = unbiased(x, w, conv)?;
    match b {
        Some(b) => biased(&y, b, blocks),
        None => Ok(y),
    }
}

/// The images y `[N, O, H, W]` plus a number b `[O]` for each channel, on the first of `blocks` equal blocks of images.
pub fn biased(y: &Tensor, b: &Tensor, blocks: usize) -> Result<Tensor> {
    on_values(y, blocks, |value| value.broadcast_add(&b.reshape((1, (), 1, 1))?))
}

/// The convolution without bias. The input is padded and cut beforehand: candle's backward pass of a convolution that
/// leaves a rest takes the rest to be the same in both directions, and overflows where the padding exceeds the kernel.
fn unbiased(x: &Tensor, w: &Tensor, conv: Conv) -> Result<Tensor> {
    let (kernel, p) = (w.dim(2)?, conv.padding);
    let padded = x.pad_with_zeros(2, p, p)?.pad_with_zeros(3, p, p)?;
    let used = |dim| Ok::<_, candle_core::Error>(covered((padded.dim(dim)? - kernel) / conv.stride + 1, kernel, conv));
    padded.narrow(2, 0, used(2)?)?.narrow(3, 0, used(3)?)?.contiguous()?.conv2d(&w.contiguous()?, 0, conv.stride, 1, 1)
}

/// The pull-back of [`conv2d`], for an input of `size`: the same steps in reverse.
pub fn conv2d_pullback(g: &Tensor, w: &Tensor, conv: Conv, size: (usize, usize)) -> Result<Tensor> {
    let ((_, _, rows, columns), kernel, p) = (g.dims4()?, w.dim(2)?, conv.padding);
    let x = g.contiguous()?.conv_transpose2d(&w.contiguous()?, 0, 0, conv.stride, 1)?;
    let rest = |size: usize, windows: usize| size + 2 * p - covered(windows, kernel, conv);
    let padded = x.pad_with_zeros(2, 0, rest(size.0, rows))?.pad_with_zeros(3, 0, rest(size.1, columns))?;
    padded.narrow(2, p, size.0)?.narrow(3, p, size.1)
}

/// The numbers of each of G groups of channels, `[B, C, ..]` -> `[B, G, n]`.
pub fn grouped(x: &Tensor, groups: usize) -> Result<Tensor> {
    let each = x.dims().iter().skip(1).product::<usize>() / groups.max(1);
    x.reshape((x.dim(0)?, groups, each))
}

/// The normalised numbers x̂ `[B, G, n]` of each of G groups of channels, and 1/√(variance + ε) `[B, G, 1]`.
pub fn normalised(x: &Tensor, groups: usize) -> Result<(Tensor, Tensor)> {
    let x = grouped(x, groups)?;
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let rate = (centred.sqr()?.mean_keepdim(D::Minus1)? + NORM_EPSILON)?.sqrt()?.recip()?;
    Ok((centred.broadcast_mul(&rate)?, rate))
}

/// The group norm γ∘x̂ + β of x `[B, C, ..]`, with γ and β `[C]`.
pub fn group_norm(x: &Tensor, gain: &Tensor, shift: &Tensor, groups: usize) -> Result<Tensor> {
    let mut per_channel = vec![1; x.rank()];
    per_channel[1] = x.dim(1)?;
    let of = |p: &Tensor| p.reshape(per_channel.as_slice());
    let (unit, _) = normalised(x, groups)?;
    unit.reshape(x.dims())?.broadcast_mul(&of(gain)?)?.broadcast_add(&of(shift)?)
}

/// The product J t with the Jacobian of x ↦ x̂.
pub fn group_norm_jacobian(x: &Tensor, t: &Tensor, groups: usize) -> Result<Tensor> {
    let ((unit, rate), g) = (normalised(x, groups)?, grouped(t, groups)?);
    let along = unit.broadcast_mul(&(&unit * &g)?.mean_keepdim(D::Minus1)?)?;
    let rest = (g.broadcast_sub(&g.mean_keepdim(D::Minus1)?)? - along)?;
    rest.broadcast_mul(&rate)?.reshape(t.dims())
}

/// The pull-back J (γ∘g) of [`group_norm`].
pub fn group_norm_pullback(x: &Tensor, gain: &Tensor, g: &Tensor, groups: usize) -> Result<Tensor> {
    let mut per_channel = vec![1; x.rank()];
    per_channel[1] = x.dim(1)?;
    group_norm_jacobian(x, &g.broadcast_mul(&gain.reshape(per_channel)?)?, groups)
}

/// The Langevin move x - drift·g + std·noise.
pub fn langevin(x: &Tensor, g: &Tensor, noise: &Tensor, drift: f64, std: f64) -> Result<Tensor> {
    (x - (g * drift)?)? + (noise * std)?
}

/// The Langevin move with noise from a counter, drawn on the host.
pub fn langevin_move(x: &Tensor, g: &Tensor, by: &LangevinMove, counter: Counter) -> Result<Tensor> {
    let noise = normal_like(x, counter)?;
    let free = |bounds: [f64; 2]| bounds == [f64::NEG_INFINITY, f64::INFINITY];
    let bounded = |t: Tensor, k: [f64; 2]| if free(k) { Ok(t) } else { t.clamp(k[0], k[1]) };
    bounded(langevin(x, &bounded(g.clone(), [-by.clip, by.clip])?, &noise, by.drift, by.std)?, by.bounds)
}

/// Standard normal numbers of x's shape, drawn on the host.
pub fn normal_like(x: &Tensor, counter: Counter) -> Result<Tensor> {
    Tensor::from_vec(normal_numbers(counter, x.elem_count()), x.shape(), x.device())?.to_dtype(x.dtype())
}

/// The decisions of a Metropolis step, drawn on the host.
pub fn metropolis(log_ratio: &Tensor, energy: &Tensor, counter: Counter) -> Result<Tensor> {
    let uniform = random_words(counter, log_ratio.elem_count()).into_iter().map(uniform_number).collect::<Vec<_>>();
    let log = Tensor::from_vec(uniform, log_ratio.shape(), log_ratio.device())?.log()?;
    let finite = (energy * 0.0)?.eq(0.0)?;
    let ratio = finite.where_cond(log_ratio, &log_ratio.ones_like()?.affine(f64::NAN, 0.0)?)?;
    let accepted = log.lt(&ratio)?.to_dtype(ratio.dtype())?;
    // Where a ratio is a number; what is none is equal to nothing.
    let chance = ratio.eq(&ratio)?.where_cond(&ratio.exp()?, &ratio.zeros_like()?)?.minimum(1.0)?;
    Tensor::stack(&[accepted, finite.to_dtype(ratio.dtype())?.affine(-1.0, 1.0)?, chance], 0)
}

/// The rows of `yes` where the mask is not 0, and of `no` where it is.
pub fn choose_rows(mask: &Tensor, yes: &Tensor, no: &Tensor) -> Result<Tensor> {
    let mut shape = vec![mask.elem_count()];
    shape.resize(yes.rank(), 1);
    mask.ne(0.0)?.reshape(shape)?.broadcast_as(yes.shape())?.where_cond(yes, no)
}

/// Dropout with a mask that is drawn on the host.
pub fn dropout(x: &Tensor, by: &Dropping) -> Result<Tensor> {
    let words = random_words(by.counter, x.elem_count() / by.blocks.max(1));
    let mask: Vec<f32> = words.iter().map(|word| if *word >= by.least() { 1.0 } else { 0.0 }).collect();
    let mask = vec![mask; by.blocks].concat();
    x * Tensor::from_vec(mask, x.shape(), x.device())?.to_dtype(x.dtype())?.affine(by.scale(), 0.0)?
}

/// One Adam step of p with the moments m and v.
pub fn adam(p: &Var, m: &Var, v: &Var, g: &Tensor, k: &Adam) -> Result<()> {
    let p0 = p.detach();
    let g = ((g.detach() * k.scale)? + (&p0 * k.l2)?)?;
    let m1 = ((m.detach() * k.betas[0])? + (&g * k.rest[0])?)?;
    let v1 = ((v.detach() * k.betas[1])? + (g.sqr()? * k.rest[1])?)?;
    let step = ((&m1 * k.rate)? / ((v1.sqrt()? * k.root)? + k.eps)?)?;
    super::version::assign(p, &((&p0 * k.keep)? - step)?)?;
    super::version::assign(m, &m1)?;
    super::version::assign(v, &v1)
}

/// One step of gradient descent of p with the velocity b.
pub fn sgd(p: &Var, b: &Var, g: &Tensor, k: &Sgd) -> Result<()> {
    let p0 = p.detach();
    let g = ((g.detach() * k.scale)? + (&p0 * k.weight_decay)?)?;
    let b1 = ((b.detach() * k.momentum)? + &g)?;
    let step = if k.nesterov { (g + (&b1 * k.momentum)?)? } else { b1.clone() };
    super::version::assign(p, &(p0 - (step * k.lr)?)?)?;
    super::version::assign(b, &b1)
}

/// The move a ← a + weight·(b - a).
pub fn lerp(a: &Var, b: &Tensor, weight: f64) -> Result<()> {
    let a0 = a.detach();
    super::version::assign(a, &(&a0 + ((b - &a0)? * weight)?)?)
}

/// The sum of squares in f64.
pub fn sum_of_squares(x: &Tensor) -> Result<f64> {
    x.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar()
}
