//! What draws random numbers as it computes: the Langevin move, and dropout. The numbers are those of a [`Counter`], so
//! that they are the same on every device and in whatever parts a batch is computed, and no host makes or copies them.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Tensor};

use super::backend::Backend;
use super::cpu::{Output, random as kernels};
#[cfg(feature = "cuda")]
use super::cuda::{access::Output as OnGpu, random as gpu};
use super::{Dropping, LangevinMove, composed, shapes};
use crate::rng::Counter;
use crate::{Error, Result};

/// The chains x after a Langevin move with noise from `counter`, in one pass over memory; it is not tracked.
///
/// # Errors
/// The shapes differ.
pub fn langevin_move(x: &Tensor, grad: &Tensor, by: &LangevinMove, counter: Counter) -> Result<Tensor> {
    shapes::same("Langevin move", x, grad)?;
    let [x, grad] = [x, grad].map(Tensor::detach);
    Ok(match Backend::of_entries(&[&x, &grad]) {
        Backend::Kernels => x.contiguous()?.apply_op2_no_bwd(&grad.contiguous()?, &Moved { by: *by, counter })?,
        Backend::Composed => composed::langevin_move(&x, &grad, by, counter)?,
    })
}

/// The operation (x, g) ↦ x after a Langevin move.
struct Moved {
    by: LangevinMove,
    counter: Counter,
}

impl CustomOp2 for Moved {
    fn name(&self) -> &'static str {
        "Langevin move"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, g: &CpuStorage, lg: &Layout) -> Output {
        kernels::langevin((x, lx), (g, lg), &self.by, self.counter)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, lx: &Layout, g: &CudaStorage, lg: &Layout) -> OnGpu {
        gpu::langevin((x, lx), (g, lg), &self.by, self.counter)
    }
}

/// The numbers x∘m/(1-p), m ~ Bernoulli(1-p), p = `rate` (Srivastava et al. 2014), with the mask made in passing. It is
/// linear in x and its own pull-back.
///
/// # Errors
/// The rate is no probability below 1, or the rows cannot be divided into so many blocks.
pub fn dropout(x: &Tensor, by: &Dropping) -> Result<Tensor> {
    shapes::splits(x, by.blocks)?;
    if !(0.0..1.0).contains(&by.rate) {
        return Err(Error::Other(format!("dropout at a rate of {}, which is not in [0, 1)", by.rate)));
    }
    Ok(match Backend::of_entries(&[x]) {
        Backend::Kernels => x.contiguous()?.apply_op1(Dropped(*by))?,
        Backend::Composed => composed::dropout(x, by)?,
    })
}

/// The operation x ↦ x∘m/(1-p).
struct Dropped(Dropping);

impl CustomOp1 for Dropped {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, l: &Layout) -> Output {
        kernels::dropout((x, l), &self.0)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, l: &Layout) -> OnGpu {
        gpu::dropout((x, l), &self.0)
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, g: &Tensor) -> candle_core::Result<Option<Tensor>> {
        dropout(g, &self.0).map(Some).map_err(candle_core::Error::wrap)
    }
}
