//! What changes tensors in place on a GPU, all tensors of an optimiser in one launch, the Langevin move with noise that
//! is given, and the sum of squares: `update.cu`.
#![allow(unsafe_code)] // launches

use std::cell::RefCell;

use candle_core::backend::BackendStorage;
use candle_core::cuda::cudarc::driver::{CudaSlice, DevicePtr, DevicePtrMut, DeviceRepr};
use candle_core::cuda::{CudaDType, CudaDevice};
use candle_core::{CpuStorage, CudaStorage, DType, InplaceOp1, Layout, Result, Storage, Tensor, Var, bail};

use super::access::{Argument, Output, entries};
use super::launch::{Kernels, Numbers, Piece, Pieces};
use super::plan::{PIECES, SUMS, adam_numbers, crowd, partial_sums, sgd_numbers, some};
use crate::ops::cpu::real::Real;
use crate::ops::{Adam, Sgd, Stepping};

const KERNELS: Kernels = Kernels { name: "ebm_update", ptx: include_str!(concat!(env!("OUT_DIR"), "/update.ptx")) };

/// One Adam step of several parameters. Returns Σ‖g‖² over all, before gradients are limited to the norm `limit`; 0
/// leaves them.
///
/// # Errors
/// As all of these functions: a tensor is not contiguous, of another type or on another device, or a launch fails.
pub fn adam_steps(all: &[Stepping<'_, Adam, 2>], limit: f64) -> Result<f64> {
    let all = all.iter().map(|step| {
        let ([m, v], by) = (step.memory, step.grad.detach());
        Changed { tensors: [step.var, m, v], by, numbers: adam_numbers(&step.numbers) }
    });
    changed("adam", all.collect(), Some(limit))
}

/// One step with momentum of several parameters, as [`adam_steps`].
///
/// # Errors
/// As [`adam_steps`].
pub fn sgd_steps(all: &[Stepping<'_, Sgd, 1>], limit: f64) -> Result<f64> {
    let all = all.iter().map(|step| {
        let ([b], by) = (step.memory, step.grad.detach());
        Changed { tensors: [step.var, b, b], by, numbers: sgd_numbers(&step.numbers) }
    });
    changed("sgd", all.collect(), Some(limit))
}

/// Adds weight·(b - a) to each a, in place.
///
/// # Errors
/// As [`adam_steps`].
pub fn lerp_updates(all: &[(&Var, &Tensor)], weight: f64) -> Result<()> {
    let all = all.iter().map(|&(a, b)| Changed { tensors: [a; 3], by: b.detach(), numbers: some([weight]) });
    changed("lerp", all.collect(), None).map(drop)
}

/// The step of one parameter. Returns Σ g².
///
/// # Errors
/// As [`adam_steps`].
pub fn adam(p: &Var, m: &Var, v: &Var, g: &Tensor, k: &Adam) -> Result<f64> {
    adam_steps(&[Stepping { var: p, grad: g, memory: [m, v], numbers: *k }], 0.0)
}

/// The step of one parameter. Returns Σ g².
///
/// # Errors
/// As [`adam_steps`].
pub fn sgd(p: &Var, b: &Var, g: &Tensor, k: &Sgd) -> Result<f64> {
    sgd_steps(&[Stepping { var: p, grad: g, memory: [b], numbers: *k }], 0.0)
}

/// Adds weight·(b - a) to a, in place.
///
/// # Errors
/// As [`adam_steps`].
pub fn lerp(a: &Var, b: &Tensor, weight: f64) -> Result<()> {
    lerp_updates(&[(a, b)], weight)
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
        if shape.elem_count() > 0 {
            let (x, g, noise) = (x.device_ptr(&stream), g.device_ptr(&stream), noise.device_ptr(&stream));
            let places = [made.device_ptr_mut(&stream).0, x.0, noise.0, g.0];
            let (kernel, n) = (named::<T>("langevin_update"), shape.elem_count());
            let numbers = [Numbers(numbers.map(T::of))];
            // SAFETY: all have n entries of type `T`, and these are the arguments of the kernel.
            unsafe { KERNELS.launch(device, &kernel, n, &places, &[n as u64], &numbers)? };
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

fn device_place<T>(slice: &CudaSlice<T>, device: &CudaDevice) -> u64 {
    slice.device_ptr(&device.cuda_stream()).0
}

/// The name of a kernel for entries of type `T`.
fn named<T>(kernel: &str) -> String {
    format!("{kernel}_{}", if size_of::<T>() == 4 { "f32" } else { "f64" })
}

/// Three tensors, of which some may be one, that are changed in place by a fourth.
struct Changed<'a> {
    tensors: [&'a Var; 3],
    by: Tensor,
    numbers: [f64; 10],
}

/// Changes all tensors. Returns the sum of the squares of what they are changed by, if a limit for its root is given; 0
/// is none.
fn changed(kernel: &str, mut all: Vec<Changed<'_>>, limit: Option<f64>) -> Result<f64> {
    for one in &mut all {
        one.by = one.by.contiguous()?;
    }
    match all.first().map(|one| one.by.dtype()) {
        None => Ok(0.0),
        Some(DType::F32) => changed_by::<f32>(kernel, &all, limit),
        Some(DType::F64) => changed_by::<f64>(kernel, &all, limit),
        Some(other) => bail!("the kernels of GPUs work in f32 and f64, got {other:?}"),
    }
}

fn changed_by<T: CudaDType + DeviceRepr + Real>(kernel: &str, all: &[Changed<'_>], limit: Option<f64>) -> Result<f64> {
    let pieces = all.iter().map(Changed::piece::<T>).collect::<Result<Vec<_>>>()?;
    let entries = pieces.iter().map(|piece| piece.n as usize).sum();
    let Some(first) = all.first().filter(|_| entries > 0) else { return Ok(0.0) };
    let device = first.by.device().as_cuda_device()?;
    let launches = Launches { device, threads: crowd(entries), pieces };
    let Some(limit) = limit else { return launches.queue(kernel, [0, 0], 0.0).map(|()| 0.0) };
    let (count, stream) = (launches.sums(), device.cuda_stream());
    // SAFETY: the kernels write every entry of both, and nobody reads before them.
    let (mut sums, mut few) = unsafe { (device.alloc::<f64>(count)?, device.alloc::<f64>(SUMS)?) };
    {
        let (sums, few) = (sums.device_ptr_mut(&stream).0, few.device_ptr_mut(&stream).0);
        launches.queue(if limit > 0.0 { "norm" } else { kernel }, [sums, 0], 0.0)?;
        // SAFETY: there are so many terms, and so many places for their sums.
        unsafe { KERNELS.launch::<u64>(device, "sums", SUMS, &[sums, few], &[count as u64, SUMS as u64], &[])? };
        if limit > 0.0 {
            launches.queue(kernel, [0, few], limit)?;
        }
    }
    Ok(device.clone_dtoh(&few)?.iter().sum())
}

/// The launches that change tensors, each as many as its arguments have room for.
struct Launches<'a, T> {
    device: &'a CudaDevice,
    threads: usize,
    pieces: Vec<Piece<T>>,
}

impl<T: DeviceRepr + Real> Launches<'_, T> {
    /// The sums that all launches leave, one of each thread.
    fn sums(&self) -> usize {
        self.pieces.len().div_ceil(PIECES) * self.threads
    }

    /// Queues all of them. `places`: where [`Launches::sums`] sums go, and where [`SUMS`] sums of squares are by which
    /// gradients are limited; 0 for nowhere.
    fn queue(&self, kernel: &str, [mut sums, squares]: [u64; 2], limit: f64) -> Result<()> {
        for pieces in self.pieces.chunks(PIECES) {
            let mut at = [Piece { places: [0; 4], n: 0, numbers: [T::ZERO; 10] }; PIECES];
            at.iter_mut().zip(pieces).for_each(|(at, piece)| *at = *piece);
            let by = Pieces { at, count: pieces.len() as u64, limit };
            // SAFETY: every piece has the entries that it says (`Changed::piece`), and there is room for the sums.
            unsafe { KERNELS.launch(self.device, &named::<T>(kernel), self.threads, &[sums, squares], &[], &[by])? };
            if sums > 0 {
                sums += (self.threads * size_of::<f64>()) as u64;
            }
        }
        Ok(())
    }
}

impl Changed<'_> {
    /// The places of all tensors. They are what the tensors have until this step is queued, since the step borrows them
    /// all; whatever reads or writes them next is queued behind it, in the one stream that there is.
    fn piece<T: CudaDType + DeviceRepr + Real>(&self) -> Result<Piece<T>> {
        let (storage, layout) = self.by.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else { bail!("a tensor on another device") };
        let n = layout.shape().elem_count();
        let by = entries::<T>((storage, layout))?.device_ptr(&storage.device.cuda_stream()).0;
        let mut places = [0, 0, 0, by];
        for (place, tensor) in places.iter_mut().zip(self.tensors) {
            *place = place_of::<T>(tensor, n)?;
        }
        Ok(Piece { places, n: n as u64, numbers: self.numbers.map(T::of) })
    }
}

/// The place of a tensor of n entries of type `T`, to be written to.
fn place_of<T: CudaDType>(tensor: &Tensor, n: usize) -> Result<u64> {
    struct Looked<T> {
        n: usize,
        place: RefCell<u64>,
        kind: std::marker::PhantomData<T>,
    }

    impl<T: CudaDType> InplaceOp1 for Looked<T> {
        fn name(&self) -> &'static str {
            "update in place"
        }

        fn cpu_fwd(&self, _: &mut CpuStorage, _: &Layout) -> Result<()> {
            bail!("a tensor on another device")
        }

        fn cuda_fwd(&self, storage: &mut CudaStorage, layout: &Layout) -> Result<()> {
            let stream = storage.device.cuda_stream();
            match layout.contiguous_offsets() {
                Some((from, to)) if to - from == self.n => {
                    let mut view = storage.as_cuda_slice_mut::<T>()?.slice_mut(from..to);
                    self.place.replace(view.device_ptr_mut(&stream).0);
                    Ok(())
                }
                _ => bail!("an update in place needs {} contiguous entries, got {layout:?}", self.n),
            }
        }
    }

    let looked = Looked::<T> { n, place: RefCell::new(0), kind: std::marker::PhantomData };
    tensor.inplace_op1(&looked)?;
    Ok(looked.place.into_inner())
}
