//! What changes tensors in place on a GPU, one launch a tensor, the Langevin move, and the sum of squares: `update.cu`.
#![allow(unsafe_code)] // launches

use std::cell::RefCell;

use candle_core::backend::BackendStorage;
use candle_core::cuda::cudarc::driver::{DevicePtr, DevicePtrMut, DeviceRepr};
use candle_core::cuda::{CudaDType, CudaDevice};
use candle_core::{CpuStorage, CudaStorage, DType, InplaceOp1, Layout, Result, Storage, Tensor, Var, bail};

use super::access::{Argument, Output, entries};
use super::launch::{Kernels, Numbers};
use super::plan::{adam_numbers, partial_sums, sgd_numbers, some};
use crate::ops::cpu::real::Real;
use crate::ops::{Adam, Sgd};

const KERNELS: Kernels = Kernels { name: "ebm_update", ptx: include_str!(concat!(env!("OUT_DIR"), "/update.ptx")) };

/// Moves p along -m̂/(√v̂ + eps), with m̂ and v̂ the corrected moments, and updates m and v, in place. Returns Σ g².
///
/// # Errors
/// As all of these functions: a tensor is not contiguous, of another type or on another device, or a launch fails.
pub fn adam(p: &Var, m: &Var, v: &Var, g: &Tensor, k: &Adam) -> Result<f64> {
    let g = g.detach().contiguous()?;
    changed("adam", [p, m, v], &g, adam_numbers(k))?;
    sum_of_squares(&g)
}

/// Moves p along minus the velocity b, both in place. Returns Σ g².
///
/// # Errors
/// As [`adam`].
pub fn sgd(p: &Var, b: &Var, g: &Tensor, k: &Sgd) -> Result<f64> {
    let g = g.detach().contiguous()?;
    changed("sgd", [p, b, b], &g, sgd_numbers(k))?;
    sum_of_squares(&g)
}

/// Adds weight·(b - a) to a, in place.
///
/// # Errors
/// As [`adam`].
pub fn lerp(a: &Var, b: &Tensor, weight: f64) -> Result<()> {
    changed("lerp", [a, a, a], b, some([weight]))
}

/// The move x - drift·g + std·noise.
///
/// # Errors
/// As [`adam`].
pub fn langevin(x: Argument<'_>, g: Argument<'_>, noise: Argument<'_>, drift: f64, std: f64) -> Output {
    fn typed<T: CudaDType + DeviceRepr + Real>(arguments: [Argument<'_>; 3], numbers: [f64; 10]) -> Output {
        let shape = arguments[0].1.shape();
        if arguments.iter().any(|(_, layout)| layout.shape() != shape) {
            bail!("a Langevin move of tensors whose shapes differ")
        }
        let device = &arguments[0].0.device;
        let stream = device.cuda_stream();
        // SAFETY: the kernel writes every entry, and nobody reads before it.
        let mut made = unsafe { device.alloc::<T>(shape.elem_count())? };
        let [x, g, noise] = [entries::<T>(arguments[0])?, entries(arguments[1])?, entries(arguments[2])?];
        {
            let (x, g, noise) = (x.device_ptr(&stream), g.device_ptr(&stream), noise.device_ptr(&stream));
            let places = [made.device_ptr_mut(&stream).0, x.0, noise.0, g.0];
            // SAFETY: all have as many entries of type `T`.
            unsafe { update::<T>(device, "langevin", shape.elem_count(), places, numbers)? };
        }
        Ok((CudaStorage::wrap_cuda_slice(made, device.clone()), shape.clone()))
    }
    let numbers = some([drift, std]);
    match x.0.dtype() {
        DType::F32 => typed::<f32>([x, g, noise], numbers),
        DType::F64 => typed::<f64>([x, g, noise], numbers),
        other => bail!("the kernels of GPUs work in f32 and f64, got {other:?}"),
    }
}

/// The sum of squares Σ x² in f64, added in an order that depends on the length alone.
///
/// # Errors
/// As [`adam`].
pub fn sum_of_squares(x: &Tensor) -> Result<f64> {
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else { bail!("a tensor on another device") };
    match storage.dtype() {
        DType::F32 => squares::<f32>("squares_f32", (storage, layout)),
        DType::F64 => squares::<f64>("squares_f64", (storage, layout)),
        other => bail!("the kernels of GPUs work in f32 and f64, got {other:?}"),
    }
}

fn squares<T: CudaDType + DeviceRepr>(kernel: &str, x: Argument<'_>) -> Result<f64> {
    let device = &x.0.device;
    let stream = device.cuda_stream();
    let view = entries::<T>(x)?;
    let mut n = x.1.shape().elem_count();
    let mut summed = None;
    for (round, m) in partial_sums(n).into_iter().enumerate() {
        // SAFETY: the kernel writes every entry, and nobody reads before it.
        let mut sums = unsafe { device.alloc::<f64>(m)? };
        let from = match &summed {
            None => view.device_ptr(&stream).0,
            Some(before) => device_place(before, device),
        };
        let to = sums.device_ptr_mut(&stream).0;
        let kernel = if round == 0 { kernel } else { "sums" };
        // SAFETY: there are n terms, and m places for their sums.
        unsafe { KERNELS.launch::<u64>(device, kernel, m, &[from, to], &[n as u64, m as u64], &[])? };
        (n, summed) = (m, Some(sums));
    }
    match summed {
        Some(sum) => Ok(device.clone_dtoh(&sum)?.first().copied().unwrap_or(0.0)),
        None => Ok(0.0),
    }
}

fn device_place<T>(slice: &candle_core::cuda::cudarc::driver::CudaSlice<T>, device: &CudaDevice) -> u64 {
    slice.device_ptr(&device.cuda_stream()).0
}

/// Runs an update of three tensors, of which some may be one, by a fourth.
fn changed(kernel: &str, tensors: [&Var; 3], g: &Tensor, numbers: [f64; 10]) -> Result<()> {
    let (storage, layout) = g.storage_and_layout();
    let Storage::Cuda(g) = &*storage else { bail!("a tensor on another device") };
    match g.dtype() {
        DType::F32 => changed_by::<f32>(kernel, tensors, (g, layout), numbers),
        DType::F64 => changed_by::<f64>(kernel, tensors, (g, layout), numbers),
        other => bail!("the kernels of GPUs work in f32 and f64, got {other:?}"),
    }
}

fn changed_by<T: CudaDType + DeviceRepr + Real>(
    kernel: &str,
    tensors: [&Var; 3],
    g: Argument<'_>,
    numbers: [f64; 10],
) -> Result<()> {
    let (device, n) = (&g.0.device, g.1.shape().elem_count());
    let view = entries::<T>(g)?;
    let from = view.device_ptr(&device.cuda_stream()).0;
    let mut places = [0; 3];
    held::<T>(&tensors, n, &mut places, 0, &mut |[a, b, c]| {
        // SAFETY: `held` has seen that each has n entries of type `T`, and nobody else touches them now.
        unsafe { update::<T>(device, kernel, n, [a, b, c, from], numbers) }
    })
}

/// Queues an update.
///
/// # Safety
/// Each place has n entries of type `T`.
unsafe fn update<T: DeviceRepr + Real>(
    device: &CudaDevice,
    kernel: &str,
    n: usize,
    places: [u64; 4],
    numbers: [f64; 10],
) -> Result<()> {
    if n == 0 {
        return Ok(());
    }
    let kernel = format!("{kernel}_{}", if size_of::<T>() == 4 { "f32" } else { "f64" });
    let numbers = [Numbers(numbers.map(T::of))];
    // SAFETY: as this function's; these are the arguments of all updates.
    unsafe { KERNELS.launch(device, &kernel, n, &places, &[n as u64], &numbers) }
}

/// What is done with the places of three tensors.
type Use<'a> = dyn FnMut([u64; 3]) -> Result<()> + 'a;

/// Takes the tensors from number k on, so that nobody else reads or writes them, and does something with the places of
/// all. A tensor that is there already is not taken twice.
fn held<T: CudaDType>(tensors: &[&Var; 3], n: usize, places: &mut [u64; 3], k: usize, f: &mut Use<'_>) -> Result<()> {
    let Some(tensor) = tensors.get(k) else { return f(*places) };
    if let Some(before) = tensors.iter().take(k).position(|before| std::ptr::eq(*before, *tensor)) {
        places[k] = places[before];
        return held::<T>(tensors, n, places, k + 1, f);
    }
    taken::<T>(tensor, n, &mut |place| {
        places[k] = place;
        held::<T>(tensors, n, places, k + 1, f)
    })
}

/// Gives f the place of a tensor of n entries of type `T`, while nobody else reads or writes it.
fn taken<T: CudaDType>(tensor: &Tensor, n: usize, f: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
    struct Taken<'a, T> {
        n: usize,
        f: RefCell<&'a mut dyn FnMut(u64) -> Result<()>>,
        kind: std::marker::PhantomData<T>,
    }

    impl<T: CudaDType> InplaceOp1 for Taken<'_, T> {
        fn name(&self) -> &'static str {
            "update in place"
        }

        fn cpu_fwd(&self, _: &mut CpuStorage, _: &Layout) -> Result<()> {
            bail!("a tensor on another device")
        }

        fn cuda_fwd(&self, storage: &mut CudaStorage, layout: &Layout) -> Result<()> {
            let stream = storage.device.cuda_stream();
            let place = match layout.contiguous_offsets() {
                Some((from, to)) if to - from == self.n => {
                    let mut view = storage.as_cuda_slice_mut::<T>()?.slice_mut(from..to);
                    view.device_ptr_mut(&stream).0
                }
                _ => bail!("an update in place needs {} contiguous entries, got {layout:?}", self.n),
            };
            (self.f.borrow_mut())(place)
        }
    }

    tensor.inplace_op1(&Taken::<T> { n, f: RefCell::new(f), kind: std::marker::PhantomData })
}
