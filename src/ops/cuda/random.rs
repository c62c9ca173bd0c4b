//! What draws random numbers as it computes on a GPU, one launch each: `random.cu`.
#![allow(unsafe_code)] // launches

use candle_core::backend::BackendStorage;
use candle_core::cuda::CudaDType;
use candle_core::cuda::cudarc::driver::{DevicePtr, DevicePtrMut, DeviceRepr};
use candle_core::{CudaStorage, DType, Shape, bail};

use super::access::{Argument, Output, entries};
use super::graph;
use super::launch::{Draws, Kernels};
use super::plan::counters;
use crate::ops::cpu::real::Real;
use crate::ops::{Dropping, LangevinMove};
use crate::rng::Counter;

const KERNELS: Kernels = Kernels { name: "ebm_random", ptx: include_str!(concat!(env!("OUT_DIR"), "/random.ptx")) };

/// The chains x after a Langevin move.
///
/// # Errors
/// As [`dropout`], or the arguments differ in shape.
pub fn langevin(x: Argument<'_>, g: Argument<'_>, by: &LangevinMove, counter: Counter) -> Output {
    if x.1.shape() != g.1.shape() {
        bail!("a Langevin move of tensors whose shapes differ")
    }
    let told = Told { counter, least: 0, blocks: 1, numbers: by.numbers() };
    run("langevin", x, g, x.1.shape(), &told)
}

/// As many standard normal numbers as x has entries.
///
/// # Errors
/// As [`dropout`].
pub fn normal(x: Argument<'_>, counter: Counter) -> Output {
    run("normal", x, x, x.1.shape(), &Told { counter, least: 0, blocks: 1, numbers: [0.0; 5] })
}

/// [accepted; non-finite; chance] of proposals with these log-ratios, in f64, and energies.
///
/// # Errors
/// As [`langevin`], or the type is not f64.
pub fn metropolis(log_ratio: Argument<'_>, energy: Argument<'_>, counter: Counter) -> Output {
    if log_ratio.0.dtype() != DType::F64 || log_ratio.1.shape() != energy.1.shape() {
        bail!("a Metropolis step of tensors of other types or shapes")
    }
    let told = Told { counter, least: 0, blocks: 1, numbers: [0.0; 5] };
    run("metropolis", log_ratio, energy, &Shape::from((3, log_ratio.1.shape().elem_count())), &told)
}

/// The numbers x∘m/(1-p), with one mask m for each of equal blocks.
///
/// # Errors
/// A tensor is not contiguous or of another type than f32 and f64, there are no equal blocks, or the launch fails.
pub fn dropout(x: Argument<'_>, by: &Dropping) -> Output {
    let numbers = [by.scale(), 0.0, 0.0, 0.0, 0.0];
    let told = Told { counter: by.counter, least: by.least(), blocks: u32::try_from(by.blocks)?, numbers };
    by.block(x.1.shape().elem_count())?;
    run("dropout", x, x, x.1.shape(), &told)
}

/// What a kernel is told beside its tensors, in f64.
struct Told {
    counter: Counter,
    least: u32,
    blocks: u32,
    numbers: [f64; 5],
}

/// Runs a kernel whose result has this shape, and which draws a number for each entry of a block of x.
fn run(kernel: &str, x: Argument<'_>, g: Argument<'_>, shape: &Shape, told: &Told) -> Output {
    match x.0.dtype() {
        DType::F32 => typed::<f32>(&format!("{kernel}_f32"), x, g, shape, told),
        DType::F64 => typed::<f64>(&format!("{kernel}_f64"), x, g, shape, told),
        other => bail!("the kernels of GPUs work in f32 and f64, got {other:?}"),
    }
}

fn typed<T: CudaDType + DeviceRepr + Real>(
    kernel: &str,
    x: Argument<'_>,
    g: Argument<'_>,
    shape: &Shape,
    told: &Told,
) -> Output {
    let (device, n) = (&x.0.device, x.1.shape().elem_count() / told.blocks.max(1) as usize);
    let stream = device.cuda_stream();
    // SAFETY: the kernel writes every entry, and nobody reads before it.
    let mut made = unsafe { device.alloc::<T>(shape.elem_count())? };
    if n > 0 {
        let (x, g) = (entries::<T>(x)?, entries::<T>(g)?);
        let (x, g) = (x.device_ptr(&stream), g.device_ptr(&stream));
        let places = [x.0, g.0, made.device_ptr_mut(&stream).0];
        let Told { counter, least, blocks, numbers } = told;
        let (words, first) = (counter.words(), counter.first());
        let draws = Draws { words, first, least: *least, blocks: *blocks, numbers: numbers.map(T::of) };
        let n = n as u64;
        // SAFETY: these are the arguments that the kernel takes; x and g have `blocks` times n entries, the result as
        // many or, of a Metropolis step, three times n.
        unsafe { KERNELS.launch(device, kernel, counters(first, n), &places, &[n], &[draws])? };
        graph::note(&stream, *counter, places, n, draws)?;
    }
    Ok((CudaStorage::wrap_cuda_slice(made, device.clone()), shape.clone()))
}
