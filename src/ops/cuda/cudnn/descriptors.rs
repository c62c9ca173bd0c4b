//! What cuDNN is told of tensors, weights and convolutions.
#![allow(unsafe_code)] // a library of C

use candle_core::cuda::cudarc::cudnn::result::{self, CudnnError};
use candle_core::cuda::cudarc::cudnn::sys;

use crate::device::Precision;
use crate::ops::Order;
use crate::ops::cuda::plan::Geometry;

/// What cuDNN answers.
pub type Answer<T> = std::result::Result<T, CudnnError>;

/// A descriptor, which goes with its owner.
pub struct Descriptor<D: Copy> {
    /// The descriptor as cuDNN knows it.
    pub raw: D,
    destroy: unsafe fn(D) -> Answer<()>,
}

impl<D: Copy> Drop for Descriptor<D> {
    fn drop(&mut self) {
        // SAFETY: it was made by cuDNN and is destroyed here only.
        let _ = unsafe { (self.destroy)(self.raw) };
    }
}

fn format(order: Order) -> sys::cudnnTensorFormat_t {
    match order {
        Order::First => sys::cudnnTensorFormat_t::CUDNN_TENSOR_NCHW,
        Order::Last => sys::cudnnTensorFormat_t::CUDNN_TENSOR_NHWC,
    }
}

/// The descriptor of a tensor of a shape `[N, C, H, W]`, type and order.
///
/// # Errors
/// As all of these functions: cuDNN does not have that.
pub fn tensor(
    shape: [i32; 4],
    kind: sys::cudnnDataType_t,
    order: Order,
) -> Answer<Descriptor<sys::cudnnTensorDescriptor_t>> {
    let raw = result::create_tensor_descriptor()?;
    let made = Descriptor { raw, destroy: result::destroy_tensor_descriptor };
    // SAFETY: the descriptor was made above.
    unsafe { result::set_tensor4d_descriptor(raw, format(order), kind, shape)? };
    Ok(made)
}

/// The descriptor of weights of a shape `[O, C, k, k]`.
///
/// # Errors
/// As [`tensor`].
pub fn filter(
    shape: [i32; 4],
    kind: sys::cudnnDataType_t,
    order: Order,
) -> Answer<Descriptor<sys::cudnnFilterDescriptor_t>> {
    let raw = result::create_filter_descriptor()?;
    let made = Descriptor { raw, destroy: result::destroy_filter_descriptor };
    // SAFETY: the descriptor was made above.
    unsafe { result::set_filter4d_descriptor(raw, kind, format(order), shape)? };
    Ok(made)
}

/// The descriptor of a convolution with factors of a type, at a precision.
///
/// # Errors
/// As [`tensor`].
pub fn convolution(
    geometry: Geometry,
    kind: sys::cudnnDataType_t,
    precision: Precision,
) -> Answer<Descriptor<sys::cudnnConvolutionDescriptor_t>> {
    let Geometry { stride, padding, .. } = geometry;
    let raw = result::create_convolution_descriptor()?;
    let made = Descriptor { raw, destroy: result::destroy_convolution_descriptor };
    let mode = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
    // cuDNN's default takes TF32 for f32; only this one leaves the factors as they are.
    let math = match precision {
        Precision::F32 => sys::cudnnMathType_t::CUDNN_FMA_MATH,
        Precision::Tf32 | Precision::Bf16 => sys::cudnnMathType_t::CUDNN_DEFAULT_MATH,
    };
    // Sums of bf16 are f32.
    let kind = match kind {
        sys::cudnnDataType_t::CUDNN_DATA_BFLOAT16 => sys::cudnnDataType_t::CUDNN_DATA_FLOAT,
        other => other,
    };
    // SAFETY: the descriptor was made above.
    unsafe {
        result::set_convolution2d_descriptor(raw, padding, padding, stride, stride, 1, 1, mode, kind)?;
        result::set_convolution_math_type(raw, math)?;
    }
    Ok(made)
}

/// The descriptor of no non-linearity.
///
/// # Errors
/// As [`tensor`].
pub fn identity() -> Answer<Descriptor<sys::cudnnActivationDescriptor_t>> {
    let raw = result::create_activation_descriptor()?;
    // SAFETY: the descriptor is made above, and destroyed by its owner only.
    let made = Descriptor { raw, destroy: |raw| unsafe { sys::cudnnDestroyActivationDescriptor(raw).result() } };
    let (mode, nan) =
        (sys::cudnnActivationMode_t::CUDNN_ACTIVATION_IDENTITY, sys::cudnnNanPropagation_t::CUDNN_PROPAGATE_NAN);
    // SAFETY: as above.
    unsafe { result::set_activation_descriptor(raw, mode, nan, 0.0)? };
    Ok(made)
}
