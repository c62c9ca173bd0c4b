//! The choice between two tensors on a GPU, row by row, one launch: `rows.cu`.
#![allow(unsafe_code)] // launches

use candle_core::backend::BackendStorage;
use candle_core::cuda::CudaDType;
use candle_core::cuda::cudarc::driver::{DevicePtr, DevicePtrMut, DeviceRepr};
use candle_core::{CudaStorage, DType, bail};

use super::access::{Argument, Output, entries};
use super::launch::Kernels;

const KERNELS: Kernels = Kernels { name: "ebm_rows", ptx: include_str!(concat!(env!("OUT_DIR"), "/rows.ptx")) };

/// The rows of `yes` where the mask is not 0, and of `no` where it is.
///
/// # Errors
/// A tensor is not contiguous or of another type than f32 and f64, the mask than f64; the shapes do not fit, or the
/// launch fails.
pub fn choose(mask: Argument<'_>, yes: Argument<'_>, no: Argument<'_>) -> Output {
    match yes.0.dtype() {
        DType::F32 => typed::<f32>("choose_rows_f32", mask, yes, no),
        DType::F64 => typed::<f64>("choose_rows_f64", mask, yes, no),
        other => bail!("the kernels of GPUs work in f32 and f64, got {other:?}"),
    }
}

fn typed<T: CudaDType + DeviceRepr>(kernel: &str, mask: Argument<'_>, yes: Argument<'_>, no: Argument<'_>) -> Output {
    let (device, shape, rows) = (&yes.0.device, yes.1.shape(), mask.1.shape().elem_count());
    let (stream, n) = (device.cuda_stream(), shape.elem_count());
    if no.1.shape() != shape || shape.dims().first() != Some(&rows) {
        bail!("a choice of rows by {rows} decisions between {shape:?} and {:?}", no.1.shape())
    }
    // SAFETY: the kernel writes every entry, and nobody reads before it.
    let mut made = unsafe { device.alloc::<T>(n)? };
    if n > 0 {
        let (mask, yes, no) = (entries::<f64>(mask)?, entries::<T>(yes)?, entries::<T>(no)?);
        let (mask, yes, no) = (mask.device_ptr(&stream), yes.device_ptr(&stream), no.device_ptr(&stream));
        let places = [mask.0, yes.0, no.0, made.device_ptr_mut(&stream).0];
        // SAFETY: these are the arguments that the kernel takes; all tensors have n entries, in as many rows as the
        // mask has numbers.
        unsafe { KERNELS.launch::<u64>(device, kernel, n, &places, &[n as u64, (n / rows) as u64], &[])? };
    }
    Ok((CudaStorage::wrap_cuda_slice(made, device.clone()), shape.clone()))
}
