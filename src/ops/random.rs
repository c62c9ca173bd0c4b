//! What draws random numbers as it computes: the Langevin move, the Metropolis step, and dropout. The numbers are
//! those of a [`Counter`], so that they are the same on every device and in whatever parts a batch is computed, and no
//! host makes or copies them.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Layout, Tensor};

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

/// Standard normal numbers from `counter`, of x's shape and type and where x is.
///
/// # Errors
/// A tensor operation fails.
pub fn normal_like(x: &Tensor, counter: Counter) -> Result<Tensor> {
    let x = x.detach();
    Ok(match Backend::of_entries(&[&x]) {
        Backend::Kernels => x.contiguous()?.apply_op1_no_bwd(&Normal(counter))?,
        Backend::Composed => composed::normal_like(&x, counter)?,
    })
}

/// The operation x ↦ as many normal numbers.
struct Normal(Counter);

impl CustomOp1 for Normal {
    fn name(&self) -> &'static str {
        "normal numbers"
    }

    fn cpu_fwd(&self, x: &CpuStorage, l: &Layout) -> Output {
        kernels::normal((x, l), self.0)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, l: &Layout) -> OnGpu {
        gpu::normal((x, l), self.0)
    }
}

/// The decisions of a Metropolis step (Metropolis et al. 1953; Hastings 1970), chain by chain and in f64: 1 for a
/// proposal that is accepted, with probability min(1, exp(log-ratio)), else 0; 1 for one whose energy is not finite,
/// which is rejected as is one whose ratio is NaN, else 0; and the probability itself.
///
/// # Shapes
/// Log-ratios and energies of the proposals `[B]`, in f64; the result `[3, B]`.
///
/// # Errors
/// Shapes or types are others.
pub fn metropolis(log_ratio: &Tensor, energy: &Tensor, counter: Counter) -> Result<Tensor> {
    shapes::same("Metropolis step", log_ratio, energy)?;
    log_ratio.dims1()?;
    if [log_ratio, energy].iter().any(|t| t.dtype() != DType::F64) {
        return Err(Error::Other("a Metropolis step is decided in f64".into()));
    }
    let [log_ratio, energy] = [log_ratio, energy].map(Tensor::detach);
    Ok(match Backend::of_entries(&[&log_ratio, &energy]) {
        Backend::Kernels => log_ratio.contiguous()?.apply_op2_no_bwd(&energy.contiguous()?, &Decided(counter))?,
        Backend::Composed => composed::metropolis(&log_ratio, &energy, counter)?,
    })
}

/// The operation (log-ratios, energies) ↦ decisions.
struct Decided(Counter);

impl CustomOp2 for Decided {
    fn name(&self) -> &'static str {
        "Metropolis step"
    }

    fn cpu_fwd(&self, r: &CpuStorage, lr: &Layout, e: &CpuStorage, le: &Layout) -> Output {
        kernels::metropolis((r, lr), (e, le), self.0)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, r: &CudaStorage, lr: &Layout, e: &CudaStorage, le: &Layout) -> OnGpu {
        gpu::metropolis((r, lr), (e, le), self.0)
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
        Ok(Some(dropout(g, &self.0)?))
    }
}
