//! The convolution, its pull-back and its weight gradient on a GPU.
#![allow(unsafe_code)] // memory is not filled before cuDNN writes all of it

use candle_core::backend::BackendStorage;
use candle_core::cuda::CudaDType;
use candle_core::cuda::cudarc::driver::{DevicePtr, DevicePtrMut};
use candle_core::{CudaStorage, DType, Device, Layout, Shape, bail};
use npyz::half::bf16;

use super::access::{Argument, Output, entries};
use super::cudnn::{Cudnn, Float};
use super::plan::{Geometry, Map};
use crate::device::{self, Precision};
use crate::ops::Conv;

/// The convolution of x `[N, C, H, W]` with w `[O, C, k, k]`, `[N, O, H', W']`, plus the bias `[O]` on so many images.
///
/// # Errors
/// The geometry does not fit, or cuDNN fails.
pub fn convolution(x: Argument<'_>, w: Argument<'_>, bias: Option<(Argument<'_>, usize)>, conv: Conv) -> Output {
    computed(Map::Forward, Geometry::new(x.1.dims(), w.1.dims(), conv)?, [x, w], bias)
}

/// The pull-back of g `[N, O, H', W']` by w `[O, C, k, k]` to images of a size (H, W), `[N, C, H, W]`.
///
/// # Errors
/// The geometry does not fit, or cuDNN fails.
pub fn pullback(g: Argument<'_>, w: Argument<'_>, conv: Conv, (height, width): (usize, usize)) -> Output {
    let ((images, ..), (_, channels, ..)) = (g.1.shape().dims4()?, w.1.shape().dims4()?);
    let geometry = Geometry::new(&[images, channels, height, width], w.1.dims(), conv)?;
    computed(Map::Pullback, geometry, [g, w], None)
}

/// The gradient for weights `[O, C, k, k]` of images x `[N, C, H, W]` and gradients g `[N, O, H', W']`.
///
/// # Errors
/// The geometry does not fit, or cuDNN fails.
pub fn weight_gradient(x: Argument<'_>, g: Argument<'_>, conv: Conv, kernel: usize) -> Output {
    let ((_, channels, ..), (_, outputs, ..)) = (x.1.shape().dims4()?, g.1.shape().dims4()?);
    let geometry = Geometry::new(x.1.dims(), &[outputs, channels, kernel, kernel], conv)?;
    computed(Map::WeightGradient, geometry, [x, g], None)
}

fn computed(map: Map, geometry: Geometry, arguments: [Argument<'_>; 2], bias: Option<(Argument<'_>, usize)>) -> Output {
    let device = &arguments[0].0.device;
    let reduced = device::precision(&Device::Cuda(device.clone())) == Precision::Bf16;
    match arguments[0].0.dtype() {
        DType::F32 if reduced => {
            let made = rounded(map, geometry, arguments)?;
            biased::<f32>(made, geometry, bias)
        }
        DType::F32 => biased::<f32>(typed::<f32>(map, geometry, arguments)?, geometry, bias),
        DType::F64 => biased::<f64>(typed::<f64>(map, geometry, arguments)?, geometry, bias),
        other => bail!("convolutions on a GPU are in f32 and f64, got {other:?}"),
    }
}

/// One of the three maps of f32 with both factors rounded to bf16, and so what comes out, before it is f32 again.
fn rounded(map: Map, geometry: Geometry, arguments: [Argument<'_>; 2]) -> Output {
    let [first, second] = arguments.map(|(storage, layout)| storage.to_dtype(layout, DType::BF16));
    let ([of_first, of_second], (first, second)) =
        (arguments.map(|(_, layout)| Layout::contiguous(layout.shape())), (first?, second?));
    let (made, shape) = typed::<bf16>(map, geometry, [(&first, &of_first), (&second, &of_second)])?;
    Ok((made.to_dtype(&Layout::contiguous(&shape), DType::F32)?, shape))
}

fn typed<T: Float + CudaDType>(map: Map, geometry: Geometry, arguments: [Argument<'_>; 2]) -> Output {
    let device = &arguments[0].0.device;
    let (cudnn, stream) = (Cudnn::of(device)?, device.cuda_stream());
    let (first, second) = (entries::<T>(arguments[0])?, entries::<T>(arguments[1])?);
    let shape = map.result(geometry.shapes).map(|n| n as usize);
    // SAFETY: the call below writes every entry, and nobody reads before it.
    let mut made = unsafe { device.alloc::<T>(shape.iter().product())? };
    {
        let ((first, _first), (second, _second)) = (first.device_ptr(&stream), second.device_ptr(&stream));
        let (result, _result) = made.device_ptr_mut(&stream);
        let precision = device::precision(&Device::Cuda(device.clone()));
        // SAFETY: each place holds the entries of its shape in `geometry`, one after the other.
        unsafe { cudnn.compute::<T>(map, geometry, precision, map.roles([first, second], result))? };
    }
    Ok((T::wrap_cuda_slice(made, device.clone()), Shape::from(shape.as_slice())))
}

/// The outputs with a bias on so many images.
fn biased<T: Float + CudaDType>(
    (mut made, shape): (CudaStorage, Shape),
    geometry: Geometry,
    bias: Option<(Argument<'_>, usize)>,
) -> Output {
    if let Some((bias, images)) = bias {
        let (device, [_, channels, height, width]) = (made.device.clone(), geometry.shapes.outputs);
        let (cudnn, stream) = (Cudnn::of(&device)?, device.cuda_stream());
        let (bias, result) = (entries::<T>(bias)?, made.as_cuda_slice_mut::<T>()?);
        let ((bias, _bias), (result, _result)) = (bias.device_ptr(&stream), result.device_ptr_mut(&stream));
        // SAFETY: there are at least so many outputs, and a bias for each of their channels.
        unsafe { cudnn.add::<T>(bias, result, [i32::try_from(images)?, channels, height, width])? };
    }
    Ok((made, shape))
}
