//! The convolution, its pull-back and its weight gradient on a GPU.
#![allow(unsafe_code)] // memory is not filled before cuDNN writes all of it

use candle_core::backend::BackendStorage;
use candle_core::cuda::CudaDType;
use candle_core::cuda::cudarc::cudnn::CudnnDataType;
use candle_core::cuda::cudarc::cudnn::sys::cudnnDataType_t;
use candle_core::cuda::cudarc::driver::{DevicePtr, DevicePtrMut};
use candle_core::{CudaStorage, DType, Device, Layout, Result, Shape, bail};
use npyz::half::bf16;

use super::access::{Argument, Output, entries};
use super::cudnn::{Cudnn, Float};
use super::plan::{Geometry, Map};
use super::widen;
use crate::device::{self, Precision};
use crate::ops::{Conv, Order};

/// A bias `[O]`, and the number of images, the first, that it belongs to.
pub type OnSome<'a> = (Argument<'a>, usize);

/// The convolution of x `[N, C, H, W]` with w `[O, C, k, k]`, `[N, O, H', W']`, plus the bias `[O]` on so many images.
///
/// # Errors
/// The geometry does not fit, or cuDNN fails.
pub fn convolution(x: Argument<'_>, w: Argument<'_>, bias: Option<OnSome<'_>>, conv: Conv) -> Output {
    computed(Map::Forward, Geometry::new(x.1.dims(), w.1.dims(), conv, Order::First)?, [x, w], bias)
}

/// The pull-back of g `[N, O, H', W']` by w `[O, C, k, k]` to images of a size (H, W), `[N, C, H, W]`.
///
/// # Errors
/// The geometry does not fit, or cuDNN fails.
pub fn pullback(g: Argument<'_>, w: Argument<'_>, conv: Conv, (height, width): (usize, usize)) -> Output {
    let ((images, ..), (_, channels, ..)) = (g.1.shape().dims4()?, w.1.shape().dims4()?);
    let geometry = Geometry::new(&[images, channels, height, width], w.1.dims(), conv, Order::First)?;
    computed(Map::Pullback, geometry, [g, w], None)
}

/// The gradient for weights `[O, C, k, k]` of images x `[N, C, H, W]` and gradients g `[N, O, H', W']`.
///
/// # Errors
/// The geometry does not fit, or cuDNN fails.
pub fn weight_gradient(x: Argument<'_>, g: Argument<'_>, conv: Conv, kernel: usize) -> Output {
    let ((_, channels, ..), (_, outputs, ..)) = (x.1.shape().dims4()?, g.1.shape().dims4()?);
    let geometry = Geometry::new(x.1.dims(), &[outputs, channels, kernel, kernel], conv, Order::First)?;
    computed(Map::WeightGradient, geometry, [x, g], None)
}

/// One of the three maps of tensors that lie as `geometry` says, with weights `[O, k, k, C]` where channels are last,
/// and with a bias on so many outputs. In f32, factors are rounded as the precision says; those of bf16 are rounded
/// already, and what comes out is f32.
///
/// # Errors
/// There is no memory left, or cuDNN fails; with channels last, that is not [`offered`] again.
pub fn computed(map: Map, geometry: Geometry, arguments: [Argument<'_>; 2], bias: Option<OnSome<'_>>) -> Output {
    let (device, kind) = (&arguments[0].0.device, arguments[0].0.dtype());
    let precision = device::precision(&Device::Cuda(device.clone()));
    let whole = match kind {
        DType::F32 if precision == Precision::Bf16 => rounded(map, geometry, arguments, bias),
        DType::BF16 => brief(map, geometry, arguments, bias),
        DType::F32 => typed::<f32>(map, geometry, arguments, bias),
        DType::F64 => typed::<f64>(map, geometry, arguments, bias),
        other => bail!("convolutions on a GPU are in f32 and f64, got {other:?}"),
    };
    if whole.is_err() && geometry.order == Order::Last {
        Cudnn::of(device)?.refuse((map, geometry, data_type(kind)?, precision));
    }
    whole
}

/// Whether cuDNN has an algorithm for one of the three maps, of factors of a type, on a device.
///
/// # Errors
/// The library does not open.
pub fn offered(map: Map, geometry: Geometry, kind: DType, device: &Device) -> Result<bool> {
    let precision = device::precision(device);
    Ok(Cudnn::of(device.as_cuda_device()?)?.offers((map, geometry, data_type(kind)?, precision)))
}

/// The name that cuDNN has for a type of factors.
fn data_type(kind: DType) -> Result<cudnnDataType_t> {
    match kind {
        DType::F32 => Ok(f32::DATA_TYPE),
        DType::F64 => Ok(f64::DATA_TYPE),
        DType::BF16 => Ok(bf16::DATA_TYPE),
        other => bail!("cuDNN is not asked for {other:?}"),
    }
}

/// One of the three maps of f32 with both factors rounded to bf16, and so what comes out, before it is f32 again.
fn rounded(map: Map, geometry: Geometry, arguments: [Argument<'_>; 2], bias: Option<OnSome<'_>>) -> Output {
    let [first, second] = arguments.map(|(storage, layout)| storage.to_dtype(layout, DType::BF16));
    let ([of_first, of_second], (first, second)) =
        (arguments.map(|(_, layout)| Layout::contiguous(layout.shape())), (first?, second?));
    brief(map, geometry, [(&first, &of_first), (&second, &of_second)], bias)
}

/// One of the three maps of bf16, in f32.
fn brief(map: Map, geometry: Geometry, arguments: [Argument<'_>; 2], bias: Option<OnSome<'_>>) -> Output {
    let (made, shape) = typed::<bf16>(map, geometry, arguments, None)?;
    let layout = Layout::contiguous(&shape);
    match bias {
        Some(bias) => widen::with_bias((&made, &layout), geometry, bias),
        None => Ok((made.to_dtype(&layout, DType::F32)?, shape)),
    }
}

/// One of the three maps, with a bias in the same kernel where all outputs have it and cuDNN does that.
fn typed<T: Float + CudaDType>(
    map: Map,
    geometry: Geometry,
    arguments: [Argument<'_>; 2],
    bias: Option<OnSome<'_>>,
) -> Output {
    let device = &arguments[0].0.device;
    let (cudnn, stream) = (Cudnn::of(device)?, device.cuda_stream());
    let (first, second) = (entries::<T>(arguments[0])?, entries::<T>(arguments[1])?);
    let shape = geometry.made(map);
    // SAFETY: the call below writes every entry, and nobody reads before it.
    let mut made = unsafe { device.alloc::<T>(shape.iter().product())? };
    let on_all = bias.filter(|&(_, images)| shape.first() == Some(&images));
    let added = {
        let bias = on_all.map(|(bias, _)| entries::<T>(bias)).transpose()?;
        let bias = bias.as_ref().map(|bias| bias.device_ptr(&stream));
        let ((first, _first), (second, _second)) = (first.device_ptr(&stream), second.device_ptr(&stream));
        let (result, _result) = made.device_ptr_mut(&stream);
        let precision = device::precision(&Device::Cuda(device.clone()));
        let roles = map.roles([first, second], result);
        // SAFETY: each place holds the entries of its shape in `geometry`, one after the other.
        unsafe { cudnn.compute::<T>(map, geometry, precision, roles, bias.as_ref().map(|bias| bias.0))? }
    };
    let made = (T::wrap_cuda_slice(made, device.clone()), Shape::from(shape.as_slice()));
    biased::<T>(made, geometry, bias.filter(|_| !added))
}

/// The outputs with a bias on so many images.
fn biased<T: Float + CudaDType>(
    (mut made, shape): (CudaStorage, Shape),
    geometry: Geometry,
    bias: Option<OnSome<'_>>,
) -> Output {
    if let Some((bias, images)) = bias {
        let (device, [_, channels, height, width]) = (made.device.clone(), geometry.shapes.outputs);
        let (cudnn, stream) = (Cudnn::of(&device)?, device.cuda_stream());
        let (bias, result) = (entries::<T>(bias)?, made.as_cuda_slice_mut::<T>()?);
        let ((bias, _bias), (result, _result)) = (bias.device_ptr(&stream), result.device_ptr_mut(&stream));
        // SAFETY: there are at least so many outputs, and a bias for each of their channels.
        unsafe { cudnn.add::<T>(bias, result, [i32::try_from(images)?, channels, height, width], geometry.order)? };
    }
    Ok((made, shape))
}
