//! The activations and their derivatives on a GPU, one launch each: `activation.cu`.
#![allow(unsafe_code)] // launches

use candle_core::backend::BackendStorage;
use candle_core::cuda::CudaDType;
use candle_core::cuda::cudarc::driver::{DevicePtr, DevicePtrMut, DeviceRepr};
use candle_core::{CudaStorage, DType, Result, Shape, bail};

use super::access::{Argument, Output, entries};
use super::launch::{Choice, Kernels};
use super::plan::{block, number};
use crate::ops::Activation;
use crate::ops::cpu::real::Real;

const KERNELS: Kernels =
    Kernels { name: "ebm_activation", ptx: include_str!(concat!(env!("OUT_DIR"), "/activation.ptx")) };

/// σ(u).
///
/// # Errors
/// As all of these functions: an argument is not contiguous, arguments differ in length, or the launch fails.
pub fn value(act: Activation, u: Argument<'_>) -> Output {
    run("value", act, &[(u, 1)], 1, u.1.shape().clone())
}

/// σ'(u)·v.
///
/// # Errors
/// As [`value`].
pub fn pullback(act: Activation, u: Argument<'_>, v: Argument<'_>) -> Output {
    run("pullback", act, &[(u, 1), (v, 1)], 1, u.1.shape().clone())
}

/// σ''(u)·v·g, and with `slope_too` behind it σ'(u)·g.
///
/// # Errors
/// As [`value`].
pub fn bend(act: Activation, u: Argument<'_>, v: Argument<'_>, g: Argument<'_>, slope_too: bool) -> Output {
    let (form, shape) = match slope_too {
        true => (2, Shape::from([&[2], u.1.dims()].concat())),
        false => (1, u.1.shape().clone()),
    };
    run("bend", act, &[(u, 1), (v, 1), (g, 1)], form, shape)
}

/// [σ(u); σ'(u)·u̇] of [u; u̇].
///
/// # Errors
/// As [`value`].
pub fn jet(act: Activation, uu: Argument<'_>) -> Output {
    run("tangent", act, &[(uu, 2)], 2, uu.1.shape().clone())
}

/// [σ'g + σ''u̇ġ; σ'ġ] of [u; u̇] and [g; ġ].
///
/// # Errors
/// As [`value`].
pub fn jet_backward(act: Activation, uu: Argument<'_>, gg: Argument<'_>) -> Output {
    run("tangent_backward", act, &[(uu, 2), (gg, 2)], 2, uu.1.shape().clone())
}

/// [σ(u); σ'u'; σ''u'² + σ'u''] of `count` = 3 blocks [u; u'; u''], or of 2 where u'' = 0.
///
/// # Errors
/// As [`value`].
pub fn curve(act: Activation, stacked: Argument<'_>, count: usize) -> Output {
    let mut shape = stacked.1.dims().to_vec();
    shape.iter_mut().take(1).for_each(|rows| *rows = *rows / count.max(1) * 3);
    run("curve", act, &[(stacked, count)], count, shape.into())
}

/// The backward pass of [`curve`], for the gradients g of its three blocks.
///
/// # Errors
/// As [`value`].
pub fn curve_backward(act: Activation, x: Argument<'_>, g: Argument<'_>, count: usize) -> Output {
    run("curve_backward", act, &[(x, count), (g, 3)], count, x.1.shape().clone())
}

/// Runs a kernel on up to three arguments, each with its number of equal blocks.
fn run(kernel: &str, act: Activation, arguments: &[(Argument, usize)], form: usize, shape: Shape) -> Output {
    match arguments.first().map(|((storage, _), _)| storage.dtype()) {
        Some(DType::F32) => typed::<f32>(&format!("{kernel}_f32"), act, arguments, form, shape),
        Some(DType::F64) => typed::<f64>(&format!("{kernel}_f64"), act, arguments, form, shape),
        other => bail!("the kernels of GPUs work in f32 and f64, got {other:?}"),
    }
}

fn typed<T: CudaDType + DeviceRepr + Real>(
    kernel: &str,
    act: Activation,
    arguments: &[(Argument, usize)],
    form: usize,
    shape: Shape,
) -> Output {
    let lengths = arguments.iter().map(|((_, layout), blocks)| (layout.shape().elem_count(), *blocks));
    let (Some(n), Some(((first, _), _))) = (block(lengths), arguments.first()) else {
        bail!("{kernel}: arguments whose numbers of entries do not fit")
    };
    let (device, stream) = (&first.device, first.device.cuda_stream());
    // SAFETY: the kernel below writes every entry, and nobody reads before it.
    let mut made = unsafe { device.alloc::<T>(shape.elem_count())? };
    if n > 0 {
        let given = arguments.iter().map(|(argument, _)| entries::<T>(*argument)).collect::<Result<Vec<_>>>()?;
        // A kernel reads as many arguments as its map has.
        let mut places = [0; 4];
        places.iter_mut().zip(&given).for_each(|(place, view)| *place = view.device_ptr(&stream).0);
        places[3] = made.device_ptr_mut(&stream).0;
        let (kind, alpha) = number(act);
        let choice = Choice { form: i32::try_from(form)?, kind, alpha: T::of(alpha) };
        // SAFETY: these are the arguments that the kernel takes, each as long as it reads or writes: the arguments by
        // `block`, the result by the shapes above.
        unsafe { KERNELS.launch(device, kernel, n, &places, &[n as u64], &[choice])? };
    }
    Ok((CudaStorage::wrap_cuda_slice(made, device.clone()), shape))
}
