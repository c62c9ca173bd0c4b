//! Group norm and its derivatives on a GPU, two launches each, three where parameters are learned: `group_norm.cu`.
#![allow(unsafe_code)] // launches

use candle_core::backend::BackendStorage;
use candle_core::cuda::CudaDType;
use candle_core::cuda::cudarc::driver::{DevicePtr, DevicePtrMut, DeviceRepr};
use candle_core::{CudaStorage, DType, Result, bail};

use super::access::{Argument, Output, entries};
use super::launch::Kernels;
use super::plan::Groups;
use crate::ops::Order;

const KERNELS: Kernels =
    Kernels { name: "ebm_group_norm", ptx: include_str!(concat!(env!("OUT_DIR"), "/group_norm.ptx")) };

/// γ∘x̂ + β, for x in an order, as in all of these functions; what is of its shape lies so too.
///
/// # Errors
/// As all of these functions: an argument is not contiguous or of another type than f32 and f64, the groups do not
/// divide the channels, or a launch fails.
pub fn norm(x: Argument<'_>, gain: Argument<'_>, shift: Argument<'_>, by: Division) -> Output {
    run("normalise", x, [None, Some(gain), Some(shift)], by)
}

/// J t, or J (γ∘t).
///
/// # Errors
/// As [`norm`].
pub fn jacobian(x: Argument<'_>, t: Argument<'_>, gain: Option<Argument<'_>>, by: Division) -> Output {
    run("jacobian", x, [Some(t), gain, None], by)
}

/// [Σ g∘x̂; Σ g] by channel, `[2, C]`.
///
/// # Errors
/// As [`norm`].
pub fn parameters(x: Argument<'_>, g: Argument<'_>, by: Division) -> Output {
    run(SUMS, x, [Some(g), None, None], by)
}

/// The number of groups, and how x lies.
type Division = (usize, Order);

/// The kernel whose result is not of x's shape, and is added by another one.
const SUMS: &str = "channel_parts";

/// Runs the kernel on the moments of x and t. `others` are t, γ and β.
fn run(kernel: &str, x: Argument<'_>, others: [Option<Argument<'_>>; 3], by: Division) -> Output {
    match x.0.dtype() {
        DType::F32 => typed::<f32>(kernel, "f32", x, others, by),
        DType::F64 => typed::<f64>(kernel, "f64", x, others, by),
        other => bail!("the kernels of GPUs work in f32 and f64, got {other:?}"),
    }
}

fn typed<T: CudaDType + DeviceRepr>(
    kernel: &str,
    kind: &str,
    x: Argument<'_>,
    others: [Option<Argument<'_>>; 3],
    (groups, order): Division,
) -> Output {
    let of = Groups::of(x.1.dims(), groups, order)?;
    let lengths = [x.1.shape().elem_count(), of.all(), of.all()];
    let fits =
        |(argument, n): (&Option<Argument<'_>>, usize)| argument.is_none_or(|(_, l)| l.shape().elem_count() == n);
    if !others.iter().zip(lengths).all(fits) {
        bail!("group norm: tensors that do not fit x {:?}", x.1.dims())
    }
    let (device, stream) = (&x.0.device, x.0.device.cuda_stream());
    let sums = kernel == SUMS;
    let (shape, tasks) = if sums { ((2, of.all()).into(), of.parts()) } else { (x.1.shape().clone(), of.lanes()) };
    let views = others.iter().map(|one| one.map(entries::<T>).transpose()).collect::<Result<Vec<_>>>()?;
    let x = entries::<T>(x)?;
    // SAFETY: the kernels write every entry of all three, and nobody reads before them.
    let (mut moments, mut made) =
        unsafe { (device.alloc::<T>(4 * of.lanes())?, device.alloc::<T>(shape.elem_count())?) };
    let mut parts = match sums {
        // SAFETY: as above.
        true => Some(unsafe { device.alloc::<T>(of.parts_each() * shape.elem_count())? }),
        false => None,
    };
    {
        let [mut places, mut adding] = [[0; 6]; 2];
        places[0] = x.device_ptr(&stream).0;
        for (place, view) in places[1..].iter_mut().zip(&views) {
            *place = view.as_ref().map_or(0, |view| view.device_ptr(&stream).0);
        }
        places[4] = moments.device_ptr_mut(&stream).0;
        let to = made.device_ptr_mut(&stream).0;
        places[5] = to;
        if let Some(parts) = &mut parts {
            places[5] = parts.device_ptr_mut(&stream).0;
            (adding[0], adding[5]) = (places[5], to);
        }
        let queue = |kernel: &str, tasks: usize, places: [u64; 6]| {
            // SAFETY: these are the arguments of the kernels. x and t have the entries that `of` counts, γ and β one a
            // channel, and there is room for four numbers of each lane, and for each part of the sums.
            unsafe { KERNELS.launch(device, &format!("{kernel}_{kind}"), tasks, &places, &[tasks as u64], &[of]) }
        };
        queue("moments", of.lanes(), places)?;
        queue(kernel, tasks, places)?;
        if sums {
            queue("channel_sums", shape.elem_count(), adding)?;
        }
    }
    Ok((CudaStorage::wrap_cuda_slice(made, device.clone()), shape))
}
