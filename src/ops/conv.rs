//! The convolution as three operations that are closed under differentiation: the convolution C(x, w), its pull-back
//! T(g, w) and its weight gradient K(x, g), with x the images, w the weights and g the gradient for the output.
//!
//! The backward pass of each consists of the other two, and leaves out gradients that are not asked for.

#[cfg(feature = "cudnn")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Tensor, Var};

use super::backend::Backend;
#[cfg(feature = "cudnn")]
use super::conv_by_pixel;
use super::cpu::conv as kernels;
use super::cpu::{Output, wanted};
#[cfg(feature = "cudnn")]
use super::cuda::{access::Output as OnGpu, conv as gpu};
use super::kept::Place;
use super::pieces::{by_pieces, most_images};
use super::sums::bias_gradient;
use super::{Conv, LayerWeights, composed, shapes};
use crate::{Error, Result};

type Gradients = candle_core::Result<(Option<Tensor>, Option<Tensor>)>;

/// The convolution (cross-correlation, as everywhere in deep learning), y\[n,o,i,j\] = b\[o\] + Σ
/// w\[o,c,a,b\]·x\[n,c,i·stride + a - padding,j·stride + b - padding\].
///
/// # Shapes
/// x `[N, C, H, W]`, w `[O, C, k, k]`, b `[O]` -> `[N, O, H', W']`, H' by [`Conv::windows`].
///
/// # Errors
/// The shapes or the geometry do not fit.
pub fn conv2d<'a>(x: &Tensor, w: impl Into<LayerWeights<'a>>, b: Option<&Tensor>, conv: Conv) -> Result<Tensor> {
    conv2d_stacked(x, w, b, conv, 1)
}

/// The tangent pass of [`conv2d`] on stacked values and tangents: the bias goes to the first half only.
///
/// # Errors
/// The shapes or the geometry do not fit, or the batch is odd.
pub fn conv2d_jet<'a>(x: &Tensor, w: impl Into<LayerWeights<'a>>, b: Option<&Tensor>, conv: Conv) -> Result<Tensor> {
    conv2d_stacked(x, w, b, conv, 2)
}

/// The map [`conv2d`] on `blocks` stacked blocks, values and their derivatives: the bias goes to the first only.
///
/// # Errors
/// The shapes or the geometry do not fit, or the batch cannot be divided into so many blocks.
pub fn conv2d_stacked<'a>(
    x: &Tensor,
    w: impl Into<LayerWeights<'a>>,
    b: Option<&Tensor>,
    conv: Conv,
    blocks: usize,
) -> Result<Tensor> {
    let kernel = w.into();
    let (w, op) = (kernel.weights(), Convolution { conv, blocks, place: kernel.place() });
    shapes::splits(x, blocks)?;
    check(x, w, b, conv)?;
    match most_images(x.device(), x.dims(), w.dims(), conv)? {
        Some(most) if x.dim(0)? > most => in_pieces(x, kernel, b, op, most),
        _ => at_once(x, kernel, b, op),
    }
}

fn at_once(x: &Tensor, kernel: LayerWeights, b: Option<&Tensor>, op: Convolution) -> Result<Tensor> {
    #[cfg(feature = "cudnn")]
    if let Some(y) = conv_by_pixel::convolution(x, kernel, b.zip(Some(op.biased(x.dim(0)?))), op.conv)? {
        return Ok(y);
    }
    let w = kernel.weights();
    let backend = b.map_or_else(|| Backend::of_convolution(&[x, w]), |b| Backend::of_convolution(&[x, w, b]));
    Ok(match (backend, b) {
        (Backend::Kernels, Some(b)) => x.contiguous()?.apply_op3(&w.contiguous()?, &b.contiguous()?, op)?,
        (Backend::Kernels, None) => x.contiguous()?.apply_op2(&w.contiguous()?, op)?,
        (Backend::Composed, _) => composed::conv2d(x, w, b, op.conv, op.blocks)?,
    })
}

/// The convolution of `most` images after the other.
fn in_pieces(x: &Tensor, kernel: LayerWeights, b: Option<&Tensor>, op: Convolution, most: usize) -> Result<Tensor> {
    let y = by_pieces(x, most, |x| at_once(x, kernel, None, Convolution { blocks: 1, ..op.clone() }))?;
    match b {
        Some(b) => Ok(composed::biased(&y, b, op.blocks)?),
        None => Ok(y),
    }
}

/// The pull-back of [`conv2d`] for an input of `size` = (H, W): g `[N, O, H', W']`, w `[O, C, k, k]` -> `[N, C, H, W]`.
/// It is also the transposed convolution with that output size.
///
/// # Errors
/// The shapes or the geometry do not fit: an input of `size` must give g's H' and W'.
pub fn conv2d_pullback<'a>(
    g: &Tensor,
    w: impl Into<LayerWeights<'a>>,
    conv: Conv,
    size: (usize, usize),
) -> Result<Tensor> {
    let kernel = w.into();
    let (w, op) = (kernel.weights(), Pullback { conv, size, place: kernel.place() });
    check_pullback(g, w.dims(), conv, size)?;
    let images = [g.dim(0)?, w.dim(1)?, size.0, size.1];
    let back = |g: &Tensor| -> Result<Tensor> {
        #[cfg(feature = "cudnn")]
        if let Some(x) = conv_by_pixel::pullback(g, kernel, conv, size)? {
            return Ok(x);
        }
        Ok(match Backend::of_convolution(&[g, w]) {
            Backend::Kernels => g.contiguous()?.apply_op2(&w.contiguous()?, op.clone())?,
            Backend::Composed => composed::conv2d_pullback(g, w, conv, size)?,
        })
    };
    match most_images(g.device(), &images, w.dims(), conv)? {
        Some(most) if g.dim(0)? > most => by_pieces(g, most, back),
        _ => back(g),
    }
}

/// The weight gradient of [`conv2d`] with kernels of `kernel` pixels a side: x `[N, C, H, W]`, g `[N, O, H', W']` ->
/// `[O, C, k, k]`. It is not differentiated.
///
/// # Errors
/// The shapes or the geometry do not fit.
pub fn conv2d_weight_gradient(x: &Tensor, g: &Tensor, conv: Conv, kernel: usize) -> Result<Tensor> {
    let shape = weight_shape(x, g, conv, kernel)?;
    let at_once = most_images(x.device(), x.dims(), &shape, conv)?.is_none_or(|most| x.dims()[0] <= most);
    match Backend::of_convolution(&[x, g]) {
        Backend::Kernels if at_once => {
            #[cfg(feature = "cudnn")]
            if let Some(w) = conv_by_pixel::weight_gradient(x, g, conv, &shape)? {
                return Ok(w);
            }
            Ok(x.contiguous()?.apply_op2_no_bwd(&g.contiguous()?, &WeightGradient { conv, kernel })?)
        }
        _ => {
            let w = Var::zeros(shape.as_slice(), x.dtype(), x.device())?;
            let mut store = (conv2d(x, &w, None, conv)? * g)?.sum_all()?.backward()?;
            store.remove(&w).map_or_else(|| Ok(w.zeros_like()?), Ok)
        }
    }
}

/// The shape `[O, C, k, k]` of the weights between images x and outputs of g's shape.
///
/// # Errors
/// No such convolution makes one of the other.
pub(super) fn weight_shape(x: &Tensor, g: &Tensor, conv: Conv, kernel: usize) -> Result<Vec<usize>> {
    let (&[images, channels, height, width], &[same, outputs, _, _]) = (x.dims(), g.dims()) else {
        return Err(Error::Other(format!("convolution: x {:?} and g {:?} need 4 dimensions", x.dims(), g.dims())));
    };
    if images != same {
        return Err(Error::Other(format!("convolution: {images} images and gradients for {same}")));
    }
    let shape = vec![outputs, channels, kernel, kernel];
    check_pullback(g, &shape, conv, (height, width))?;
    Ok(shape)
}

/// Whether images, weights and bias of a convolution fit; an error if not.
pub(super) fn check(x: &Tensor, w: &Tensor, b: Option<&Tensor>, conv: Conv) -> Result<()> {
    let (&[_, channels, height, width], &[outputs, expected, kernel, across]) = (x.dims(), w.dims()) else {
        return Err(Error::Other(format!("convolution: x {:?} and w {:?} need 4 dimensions", x.dims(), w.dims())));
    };
    if channels != expected || kernel != across || b.is_some_and(|b| b.dims() != [outputs]) {
        let (x, w, b) = (x.dims(), w.dims(), b.map(|b| b.dims()));
        return Err(Error::Other(format!("convolution: x {x:?}, w {w:?} and b {b:?} do not fit")));
    }
    conv.windows(height, kernel)?;
    conv.windows(width, kernel).map(drop)
}

/// Whether gradients and weights fit to the pull-back of a convolution of images of `size`; an error if not.
pub(super) fn check_pullback(g: &Tensor, w: &[usize], conv: Conv, size: (usize, usize)) -> Result<()> {
    let (&[_, outputs, rows, columns], &[expected, _, kernel, across]) = (g.dims(), w) else {
        return Err(Error::Other(format!("convolution: g {:?} and w {w:?} need 4 dimensions", g.dims())));
    };
    let windows = (conv.windows(size.0, kernel)?, conv.windows(size.1, kernel)?);
    if outputs != expected || kernel != across || windows != (rows, columns) {
        return Err(Error::Other(format!(
            "convolution pull-back: g {:?}, w {w:?}, {conv:?} and an input of {size:?} do not fit",
            g.dims()
        )));
    }
    Ok(())
}

/// The convolution C: (x `[N, C, H, W]`, w `[O, C, k, k]`) ↦ `[N, O, H', W']`; with b `[O]` also + b, on the first
/// N/`blocks` images.
#[derive(Clone)]
struct Convolution {
    conv: Conv,
    /// Where what is made of the weights is kept.
    place: Option<Place>,
    /// The number of equal blocks of the batch: values, then derivatives of them; the bias is added to the values only.
    blocks: usize,
}

impl Convolution {
    fn biased(&self, images: usize) -> usize {
        images / self.blocks.max(1)
    }
}

impl CustomOp2 for Convolution {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Output {
        kernels::convolution(None, (x, lx), (w, lw), None, self.conv, self.place.as_ref())
    }

    #[cfg(feature = "cudnn")]
    fn cuda_fwd(&self, x: &CudaStorage, lx: &Layout, w: &CudaStorage, lw: &Layout) -> OnGpu {
        gpu::convolution((x, lx), (w, lw), None, self.conv)
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, g: &Tensor) -> Gradients {
        let (_, _, height, width) = x.dims4()?;
        let g = &g.contiguous()?;
        let gx = wanted(x, || {
            g.apply_op2_no_bwd(w, &Pullback { conv: self.conv, size: (height, width), place: self.place.clone() })
        })?;
        Ok((gx, wanted(w, || x.apply_op2_no_bwd(g, &WeightGradient { conv: self.conv, kernel: w.dim(2)? }))?))
    }
}

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        "convolution with bias"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout, b: &CpuStorage, lb: &Layout) -> Output {
        let images = lx.dims().first().map_or(0, |images| self.biased(*images));
        kernels::convolution(None, (x, lx), (w, lw), Some(((b, lb), images)), self.conv, self.place.as_ref())
    }

    #[cfg(feature = "cudnn")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        lx: &Layout,
        w: &CudaStorage,
        lw: &Layout,
        b: &CudaStorage,
        lb: &Layout,
    ) -> OnGpu {
        let images = lx.dims().first().map_or(0, |images| self.biased(*images));
        gpu::convolution((x, lx), (w, lw), Some(((b, lb), images)), self.conv)
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (gx, gw) = CustomOp2::bwd(self, x, w, y, g)?;
        let gb = wanted(b, || bias_gradient(&g.narrow(0, 0, self.biased(g.dim(0)?))?))?;
        Ok((gx, gw, gb))
    }
}

/// The pull-back T: (g `[N, O, H', W']`, w `[O, C, k, k]`) ↦ `[N, C, H, W]`, with (H, W) = `size`.
#[derive(Clone)]
struct Pullback {
    /// Where what is made of the weights is kept.
    place: Option<Place>,
    /// The stride and padding of the convolution.
    conv: Conv,
    /// The size (H, W) of the convolution's input.
    size: (usize, usize),
}

impl CustomOp2 for Pullback {
    fn name(&self) -> &'static str {
        "convolution pull-back"
    }

    fn cpu_fwd(&self, g: &CpuStorage, lg: &Layout, w: &CpuStorage, lw: &Layout) -> Output {
        kernels::pullback(None, (g, lg), (w, lw), self.conv, self.size, self.place.as_ref())
    }

    #[cfg(feature = "cudnn")]
    fn cuda_fwd(&self, g: &CudaStorage, lg: &Layout, w: &CudaStorage, lw: &Layout) -> OnGpu {
        gpu::pullback((g, lg), (w, lw), self.conv, self.size)
    }

    fn bwd(&self, g: &Tensor, w: &Tensor, _: &Tensor, h: &Tensor) -> Gradients {
        let h = &h.contiguous()?;
        let plain = Convolution { conv: self.conv, blocks: 1, place: self.place.clone() };
        let gg = wanted(g, || h.apply_op2_no_bwd(w, &plain))?;
        Ok((gg, wanted(w, || h.apply_op2_no_bwd(g, &WeightGradient { conv: self.conv, kernel: w.dim(2)? }))?))
    }
}

/// The weight gradient K: (x `[N, C, H, W]`, g `[N, O, H', W']`) ↦ `[O, C, k, k]`. It is used in backward passes only.
struct WeightGradient {
    conv: Conv,
    kernel: usize,
}

impl CustomOp2 for WeightGradient {
    fn name(&self) -> &'static str {
        "convolution weight gradient"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, g: &CpuStorage, lg: &Layout) -> Output {
        kernels::weight_gradient(None, (x, lx), (g, lg), self.conv, self.kernel)
    }

    #[cfg(feature = "cudnn")]
    fn cuda_fwd(&self, x: &CudaStorage, lx: &Layout, g: &CudaStorage, lg: &Layout) -> OnGpu {
        gpu::weight_gradient((x, lx), (g, lg), self.conv, self.kernel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::contract::{check, normal};

    #[test]
    fn pieces_of_a_batch_keep_the_contract() {
        let conv = Conv { stride: 2, padding: 1 };
        let inputs = [normal("x", &[6, 2, 5, 4]), normal("w", &[3, 2, 3, 3]), normal("b", &[3])];
        for (blocks, most) in [(1, 4), (3, 1), (2, 5)] {
            check(
                &format!("convolution of {most} images after the other, {blocks} blocks"),
                &|t| in_pieces(&t[0], (&t[1]).into(), Some(&t[2]), Convolution { conv, blocks, place: None }, most),
                &|t| Ok(composed::conv2d(&t[0], &t[1], Some(&t[2]), conv, blocks)?),
                &inputs,
                0,
            );
        }
    }
}
