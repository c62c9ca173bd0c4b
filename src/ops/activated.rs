//! The convolution of activations, conv(σ(u)), and its pull-back: the numbers of [`conv2d`](super::conv2d) and
//! [`activate`](super::activate) one after the other, where σ(u) is made group by group of images while it is in the
//! cache, and never kept.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Tensor};

use super::activation::{activate, activate_pullback};
use super::backend::Backend;
use super::conv::{self, conv2d, conv2d_pullback};
use super::cpu::conv as kernels;
use super::cpu::{Output, wanted};
use super::kept::Place;
use super::sums::bias_gradient;
use super::{Activation, Conv, LayerWeights};
use crate::Result;

/// The convolution of σ(u), plus a bias, differentiable in all three.
///
/// # Shapes
/// u `[N, C, H, W]`, w `[O, C, k, k]`, b `[O]` -> `[N, O, H', W']`, as [`conv2d`].
///
/// # Errors
/// As [`conv2d`].
pub fn conv2d_activated<'a>(
    act: Activation,
    u: &Tensor,
    w: impl Into<LayerWeights<'a>>,
    b: &Tensor,
    conv: Conv,
) -> Result<Tensor> {
    let kernel = w.into();
    let w = kernel.weights();
    match backend(&[u, w, b]) {
        Backend::Kernels => {
            conv::check(u, w, Some(b), conv)?;
            Ok(u.contiguous()?.apply_op3(
                &w.contiguous()?,
                &b.contiguous()?,
                Activated { act, conv, place: kernel.place() },
            )?)
        }
        Backend::Composed => conv2d(&activate(act, u)?, kernel, Some(b), conv),
    }
}

/// The pull-back of [`conv2d_activated`] at u, σ'(u)·T(g, w) with T that of [`conv2d`], differentiable in u, g and w:
/// g `[N, O, H', W']` -> `[N, C, H, W]`.
///
/// # Errors
/// As [`conv2d_pullback`].
pub fn conv2d_activated_pullback<'a>(
    act: Activation,
    u: &Tensor,
    g: &Tensor,
    w: impl Into<LayerWeights<'a>>,
    conv: Conv,
) -> Result<Tensor> {
    let kernel = w.into();
    let w = kernel.weights();
    let (_, _, height, width) = u.dims4()?;
    let tracked = [u, g, w].iter().any(|t| t.track_op());
    if tracked || backend(&[u, g, w]) == Backend::Composed || g.dim(0)? != u.dim(0)? {
        // Frozen weights that are differentiated through are those of no chain.
        let kernel = if tracked { w.into() } else { kernel };
        return activate_pullback(act, u, &conv2d_pullback(g, kernel, conv, (height, width))?);
    }
    conv::check_pullback(g, w.dims(), conv, (height, width))?;
    let pullback = Pullback { act, conv, place: kernel.place() };
    Ok(u.contiguous()?.apply_op3_no_bwd(&g.contiguous()?, &w.contiguous()?, &pullback)?)
}

/// The weight gradient of [`conv2d_activated`] at u with kernels of `kernel` pixels a side: u `[N, C, H, W]`, g
/// `[N, O, H', W']` -> `[O, C, k, k]`. It is not differentiated.
///
/// # Errors
/// The shapes or the geometry do not fit.
pub fn conv2d_activated_weight_gradient(
    act: Activation,
    u: &Tensor,
    g: &Tensor,
    conv: Conv,
    kernel: usize,
) -> Result<Tensor> {
    if backend(&[u, g]) == Backend::Composed {
        return conv::conv2d_weight_gradient(&activate(act, u)?, g, conv, kernel);
    }
    conv::weight_shape(u, g, conv, kernel)?;
    Ok(u.contiguous()?.apply_op2_no_bwd(&g.contiguous()?, &WeightGradient { act, conv, kernel })?)
}

/// The back end for the two at once, which only the CPU has; nothing is left to gain where a tensor is empty. On a GPU
/// they are one after the other.
fn backend(tensors: &[&Tensor]) -> Backend {
    let empty = tensors.iter().any(|t| t.elem_count() == 0);
    if empty { Backend::Composed } else { Backend::of(tensors) }
}

/// The operation (u, w, b) ↦ conv(σ(u), w) + b.
struct Activated {
    act: Activation,
    conv: Conv,
    /// Where what is made of the weights is kept.
    place: Option<Place>,
}

impl CustomOp3 for Activated {
    fn name(&self) -> &'static str {
        "convolution of activations"
    }

    fn cpu_fwd(&self, u: &CpuStorage, lu: &Layout, w: &CpuStorage, lw: &Layout, b: &CpuStorage, lb: &Layout) -> Output {
        let images = lu.dims().first().copied().unwrap_or(0);
        kernels::convolution(Some(self.act), (u, lu), (w, lw), Some(((b, lb), images)), self.conv, self.place.as_ref())
    }

    fn bwd(
        &self,
        u: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Activated { act, conv, place } = self;
        let (act, conv) = (*act, *conv);
        let g = &g.contiguous()?;
        let gu = wanted(u, || u.apply_op3_no_bwd(g, w, &Pullback { act, conv, place: place.clone() }))?;
        let gw = wanted(w, || u.apply_op2_no_bwd(g, &WeightGradient { act, conv, kernel: w.dim(2)? }))?;
        Ok((gu, gw, wanted(b, || bias_gradient(g))?))
    }
}

/// The operation (u, g, w) ↦ σ'(u)·T(g, w). It is not differentiated.
struct Pullback {
    act: Activation,
    conv: Conv,
    place: Option<Place>,
}

impl CustomOp3 for Pullback {
    fn name(&self) -> &'static str {
        "pull-back of a convolution of activations"
    }

    fn cpu_fwd(&self, u: &CpuStorage, lu: &Layout, g: &CpuStorage, lg: &Layout, w: &CpuStorage, lw: &Layout) -> Output {
        let (_, _, height, width) = lu.shape().dims4()?;
        kernels::pullback(Some((self.act, (u, lu))), (g, lg), (w, lw), self.conv, (height, width), self.place.as_ref())
    }
}

/// The operation (u, g) ↦ K(σ(u), g), with K the weight gradient of a convolution. It is used in backward passes only.
struct WeightGradient {
    act: Activation,
    conv: Conv,
    kernel: usize,
}

impl CustomOp2 for WeightGradient {
    fn name(&self) -> &'static str {
        "weight gradient of a convolution of activations"
    }

    fn cpu_fwd(&self, u: &CpuStorage, lu: &Layout, g: &CpuStorage, lg: &Layout) -> Output {
        kernels::weight_gradient(Some(self.act), (u, lu), (g, lg), self.conv, self.kernel)
    }
}
