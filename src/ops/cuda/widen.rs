//! What convolutions of bf16 make, as f32 and with their bias, one launch: `widen.cu`.
#![allow(unsafe_code)] // launches

use candle_core::bail;
use candle_core::cuda::CudaDType;
use candle_core::cuda::cudarc::driver::{DevicePtr, DevicePtrMut};
use npyz::half::bf16;

use super::access::{Argument, Output, entries};
use super::launch::Kernels;
use super::plan::Geometry;
use crate::ops::Order;

const KERNELS: Kernels = Kernels { name: "ebm_widen", ptx: include_str!(concat!(env!("OUT_DIR"), "/widen.ptx")) };

/// The outputs of a convolution in bf16, as f32 and with a bias `[O]` on so many images.
///
/// # Errors
/// A tensor is not contiguous or of another type, the shapes do not fit, or the launch fails.
pub fn with_bias((made, layout): Argument<'_>, geometry: Geometry, (bias, images): (Argument<'_>, usize)) -> Output {
    let (device, [all, channels, height, width]) = (&made.device, geometry.shapes.outputs.map(|n| n as usize));
    let (n, each) = (layout.shape().elem_count(), channels * height * width);
    if n != all * each || bias.1.shape().elem_count() != channels || images > all {
        bail!("a bias of {:?} on {images} images of {:?}", bias.1.shape(), layout.shape())
    }
    let plane = if geometry.order == Order::Last { 1 } else { height * width };
    // SAFETY: the kernel writes every entry, and nobody reads before it.
    let mut wide = unsafe { device.alloc::<f32>(n)? };
    if n > 0 {
        let (stream, x, bias) = (device.cuda_stream(), entries::<bf16>((made, layout))?, entries::<f32>(bias)?);
        let (x, bias) = (x.device_ptr(&stream), bias.device_ptr(&stream));
        let places = [x.0, bias.0, wide.device_ptr_mut(&stream).0];
        let counts = [n, images * each, plane, channels].map(|count| count as u64);
        // SAFETY: these are the arguments that the kernel takes; there are n entries, and a number for each channel.
        unsafe { KERNELS.launch::<u64>(device, "widen", n, &places, &counts, &[])? };
    }
    Ok((f32::wrap_cuda_slice(wide, device.clone()), layout.shape().clone()))
}
