//! The convolution, its pull-back and its weight gradient of images that lie pixel by pixel, as tensor cores read them:
//! on a GPU, in f32, where factors are rounded ([`device::channels_last`]) and nothing is tracked. What they make of
//! images lies so too.
//!
//! Each gives `None` where it is not for these tensors, or cuDNN has no algorithm for their shapes in this order.

use candle_core::{CpuStorage, CudaStorage, CustomOp2, CustomOp3, DType, Layout, Tensor, bail};

use super::backend::Backend;
use super::cpu::Output;
use super::cuda::access::Output as OnGpu;
use super::cuda::conv as gpu;
use super::cuda::plan::{Geometry, Map};
use super::order::Order;
use super::rounded::factor;
use super::{Conv, LayerWeights};
use crate::{Result, device};

/// The convolution, plus a bias on so many images; the shapes are those of [`super::conv2d`] and have been checked.
///
/// # Errors
/// As all of these functions: the device fails.
pub fn convolution(x: &Tensor, w: LayerWeights, bias: Option<(&Tensor, usize)>, conv: Conv) -> Result<Option<Tensor>> {
    let tensors = [Some(x), Some(w.weights()), bias.map(|(b, _)| b)];
    if !served(&tensors.into_iter().flatten().collect::<Vec<_>>()) {
        return Ok(None);
    }
    let geometry = Geometry::new(x.dims(), w.weights().dims(), conv, Order::Last)?;
    ByPixel { map: Map::Forward, geometry }.apply(x, Second::Weights(w), bias)
}

/// The pull-back of g to images of a size (H, W), as [`super::conv2d_pullback`] has it.
///
/// # Errors
/// As [`convolution`].
pub fn pullback(g: &Tensor, w: LayerWeights, conv: Conv, (height, width): (usize, usize)) -> Result<Option<Tensor>> {
    if !served(&[g, w.weights()]) {
        return Ok(None);
    }
    let images = [g.dim(0)?, w.weights().dim(1)?, height, width];
    let geometry = Geometry::new(&images, w.weights().dims(), conv, Order::Last)?;
    ByPixel { map: Map::Pullback, geometry }.apply(g, Second::Weights(w), None)
}

/// The gradient for weights of a shape, as [`super::conv2d_weight_gradient`] has it: contiguous.
///
/// # Errors
/// As [`convolution`].
pub fn weight_gradient(x: &Tensor, g: &Tensor, conv: Conv, shape: &[usize]) -> Result<Option<Tensor>> {
    if !served(&[x, g]) {
        return Ok(None);
    }
    let geometry = Geometry::new(x.dims(), shape, conv, Order::Last)?;
    let made = ByPixel { map: Map::WeightGradient, geometry }.apply(x, Second::Images(g), None)?;
    Ok(made.map(|gradient| gradient.contiguous()).transpose()?)
}

/// Whether these tensors, of one device, are for what is here.
fn served(tensors: &[&Tensor]) -> bool {
    let free = tensors.iter().all(|t| t.dtype() == DType::F32 && !t.track_op() && device::channels_last(t.device()));
    free && Backend::of_convolution(tensors) == Backend::Kernels
}

/// The second of the two factors.
enum Second<'a> {
    Weights(LayerWeights<'a>),
    Images(&'a Tensor),
}

/// One of the three maps, of contiguous tensors that lie pixel by pixel: weights `[O, k, k, C]`.
#[derive(Clone, Copy)]
struct ByPixel {
    map: Map,
    geometry: Geometry,
}

/// A map plus a bias on so many images.
struct Biased(ByPixel, usize);

impl ByPixel {
    fn apply(self, first: &Tensor, second: Second, bias: Option<(&Tensor, usize)>) -> Result<Option<Tensor>> {
        let (order, kind, ByPixel { map, geometry }) = (Order::Last, factor(first), self);
        let offered = || gpu::offered(map, geometry, kind, first.device());
        if !offered()? {
            return Ok(None);
        }
        let second = match second {
            Second::Weights(w) => w.laid(order, kind)?,
            Second::Images(g) => order.lay_as(g, kind)?,
        };
        let laid = order.lay_as(first, kind)?;
        let made = match bias {
            Some((b, images)) => laid.apply_op3_no_bwd(&second, &b.contiguous()?, &Biased(self, images)),
            None => laid.apply_op2_no_bwd(&second, &self),
        };
        Ok(match made {
            // cuDNN has changed its mind.
            Err(_) if !offered()? => None,
            made => Some(order.images(&made?)?),
        })
    }
}

impl CustomOp2 for ByPixel {
    fn name(&self) -> &'static str {
        "convolution of pixels"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Output {
        bail!("{} has no kernel on a CPU", CustomOp2::name(self))
    }

    fn cuda_fwd(&self, a: &CudaStorage, la: &Layout, b: &CudaStorage, lb: &Layout) -> OnGpu {
        gpu::computed(self.map, self.geometry, [(a, la), (b, lb)], None)
    }
}

impl CustomOp3 for Biased {
    fn name(&self) -> &'static str {
        "convolution of pixels with bias"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Output {
        bail!("{} has no kernel on a CPU", CustomOp3::name(self))
    }

    fn cuda_fwd(
        &self,
        a: &CudaStorage,
        la: &Layout,
        b: &CudaStorage,
        lb: &Layout,
        bias: &CudaStorage,
        l: &Layout,
    ) -> OnGpu {
        gpu::computed(self.0.map, self.0.geometry, [(a, la), (b, lb)], Some(((bias, l), self.1)))
    }
}
