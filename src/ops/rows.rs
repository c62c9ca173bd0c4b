//! The choice between two tensors, row by row.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Tensor};

use super::backend::Backend;
use super::cpu::{Output, rows as kernels};
#[cfg(feature = "cuda")]
use super::cuda::{access::Output as OnGpu, rows as gpu};
use super::{composed, shapes};
use crate::{Error, Result};

/// The rows of `yes` where `mask` is not 0, and those of `no` where it is; it is not tracked.
///
/// # Shapes
/// `mask` `[B]` in f64, the others `[B, ..]`.
///
/// # Errors
/// The shapes do not fit, or the mask is of another type.
pub fn choose_rows(mask: &Tensor, yes: &Tensor, no: &Tensor) -> Result<Tensor> {
    shapes::same("choice of rows", yes, no)?;
    if mask.dtype() != DType::F64 || yes.rank() == 0 || mask.dims() != &yes.dims()[..1] {
        return Err(Error::Other(format!("choice of rows: a mask {mask:?} does not fit {:?}", yes.dims())));
    }
    let [mask, yes, no] = [mask, yes, no].map(Tensor::detach);
    Ok(match Backend::of_entries(&[&yes, &no]) {
        Backend::Kernels => mask.contiguous()?.apply_op3_no_bwd(&yes.contiguous()?, &no.contiguous()?, &Choice)?,
        Backend::Composed => composed::choose_rows(&mask, &yes, &no)?,
    })
}

/// The operation (mask, y, n) ↦ rows of y or n.
struct Choice;

impl CustomOp3 for Choice {
    fn name(&self) -> &'static str {
        "choice of rows"
    }

    fn cpu_fwd(&self, m: &CpuStorage, lm: &Layout, y: &CpuStorage, ly: &Layout, n: &CpuStorage, ln: &Layout) -> Output {
        kernels::choose((m, lm), (y, ly), (n, ln))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        m: &CudaStorage,
        lm: &Layout,
        y: &CudaStorage,
        ly: &Layout,
        n: &CudaStorage,
        ln: &Layout,
    ) -> OnGpu {
        gpu::choose((m, lm), (y, ly), (n, ln))
    }
}
