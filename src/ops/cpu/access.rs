//! The conversions between candle's storages and the slices and matrices of the kernels.

use candle_core::{CpuStorage, Layout, Result, Shape, Tensor, bail};

use super::{raw::Matrix, real::Real};

/// Runs the expression with `$T` = f32 or f64, the type of the storage; other types are an error.
macro_rules! on_floats {
    ($storage:expr, $T:ident => $body:expr) => {
        match $storage {
            candle_core::CpuStorage::F32(_) => {
                type $T = f32;
                $body
            }
            candle_core::CpuStorage::F64(_) => {
                type $T = f64;
                $body
            }
            _ => Err(candle_core::Error::Msg("the CPU kernels work in f32 and f64 only".into())),
        }
    };
}
pub(in crate::ops) use on_floats;

/// What a kernel makes: storage and shape.
pub type Output = Result<(CpuStorage, Shape)>;

/// An argument of a kernel.
pub type Argument<'a> = (&'a CpuStorage, &'a Layout);

/// The entries of a contiguous tensor.
///
/// # Errors
/// The layout is not contiguous, or the storage has another type than `T`.
pub fn slice<'a, T: Real>((storage, layout): Argument<'a>) -> Result<&'a [T]> {
    let data = storage.as_slice::<T>()?;
    match layout.contiguous_offsets().and_then(|(from, to)| data.get(from..to)) {
        Some(entries) => Ok(entries),
        None => bail!("a kernel needs contiguous entries, got {layout:?}"),
    }
}

/// The matrix view of a tensor of two dimensions, with whatever strides it has.
///
/// # Errors
/// The tensor has another number of dimensions, or the storage has another type than `T`.
pub fn matrix<'a, T: Real>((storage, layout): Argument<'a>) -> Result<Matrix<'a, T>> {
    let data = storage.as_slice::<T>()?.get(layout.start_offset()..).unwrap_or_default();
    match (layout.dims(), layout.stride()) {
        (&[rows, columns], &[down, across]) => Matrix::new(data, [rows, columns], [down, across]),
        (dims, _) => bail!("expected a matrix, got shape {dims:?}"),
    }
}

/// The result of a custom operation: storage and shape.
pub fn output<T: Real>(data: Vec<T>, shape: impl Into<Shape>) -> Output {
    Ok((T::to_cpu_storage_owned(data), shape.into()))
}

/// The gradient for `argument` if that is tracked, else `None`: candle would store a gradient in either case.
pub fn wanted(argument: &Tensor, gradient: impl FnOnce() -> Result<Tensor>) -> Result<Option<Tensor>> {
    if argument.track_op() { gradient().map(Some) } else { Ok(None) }
}
