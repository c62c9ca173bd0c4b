//! The conversions between candle's storages and the memory that kernels are given.

use candle_core::cuda::CudaDType;
use candle_core::cuda::cudarc::driver::CudaView;
use candle_core::{CudaStorage, Layout, Result, Shape, bail};

/// What a kernel makes: storage and shape.
pub type Output = Result<(CudaStorage, Shape)>;

/// An argument of a kernel.
pub type Argument<'a> = (&'a CudaStorage, &'a Layout);

/// The entries of a contiguous tensor.
///
/// # Errors
/// The layout is not contiguous, or the storage has another type than `T`.
pub fn entries<T: CudaDType>((storage, layout): Argument<'_>) -> Result<CudaView<'_, T>> {
    let Some((from, to)) = layout.contiguous_offsets() else {
        bail!("a kernel needs contiguous entries, got {layout:?}")
    };
    Ok(storage.as_cuda_slice::<T>()?.slice(from..to))
}
