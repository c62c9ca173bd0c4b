//! What changes tensors in place, one pass over memory each: optimiser steps, averages; and the Langevin move. None of
//! it is tracked.
//!
//! Weights that no gradient holds shrink under weight decay, and averages of them, down to subnormal numbers, which
//! made the matrix products of a whole network four times slower. So what an update on the CPU leaves faint it sets to
//! 0. A GPU computes with such numbers as fast as with others.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Tensor, Var};

use super::backend::Backend;
use super::cpu::{Output, update as kernels};
#[cfg(feature = "cuda")]
use super::cuda::{access::Output as OnGpu, update as gpu};
use super::version::{address, updated};
use super::{Adam, Sgd, Stepping, composed, shapes};
use crate::{Error, Result};

/// Calls the kernel of the device on which a tensor is.
macro_rules! on_its_device {
    ($tensor:expr, $kernel:ident($($argument:expr),+)) => {
        match $tensor.device() {
            #[cfg(feature = "cuda")]
            candle_core::Device::Cuda(_) => gpu::$kernel($($argument),+),
            _ => kernels::$kernel($($argument),+),
        }
    };
}

/// The Langevin move x - drift·grad + std·noise, of x's shape, in one pass over memory; it is not tracked.
///
/// # Errors
/// The shapes differ.
pub fn langevin_update(x: &Tensor, grad: &Tensor, noise: &Tensor, drift: f64, std: f64) -> Result<Tensor> {
    shapes::same("langevin update", x, grad)?;
    shapes::same("langevin update", x, noise)?;
    let [x, grad, noise] = [x, grad, noise].map(Tensor::detach);
    Ok(match Backend::of_entries(&[&x, &grad, &noise]) {
        Backend::Kernels => {
            x.contiguous()?.apply_op3_no_bwd(&grad.contiguous()?, &noise.contiguous()?, &Langevin { drift, std })?
        }
        Backend::Composed => composed::langevin(&x, &grad, &noise, drift, std)?,
    })
}

/// The operation (x, g, noise) ↦ x - drift·g + std·noise, entry by entry.
struct Langevin {
    drift: f64,
    std: f64,
}

impl CustomOp3 for Langevin {
    fn name(&self) -> &'static str {
        "langevin update"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, g: &CpuStorage, lg: &Layout, n: &CpuStorage, ln: &Layout) -> Output {
        kernels::langevin((x, lx), (g, lg), (n, ln), self.drift, self.std)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        lx: &Layout,
        g: &CudaStorage,
        lg: &Layout,
        n: &CudaStorage,
        ln: &Layout,
    ) -> OnGpu {
        gpu::langevin((x, lx), (g, lg), (n, ln), self.drift, self.std)
    }
}

/// One Adam step: `var` and its moments change in place, and so does everything that shares their storage.
///
/// The formulas are those of [`Adam`]: Kingma & Ba 2015, algorithm 1, and Loshchilov & Hutter 2019, algorithm 2.
/// Returns Σ g² as [`sum_of_squares`] does, without another pass over memory.
///
/// # Errors
/// The shapes differ, or two of the tensors share their storage.
pub fn adam_update(var: &Var, grad: &Tensor, first: &Var, second: &Var, numbers: &Adam) -> Result<f64> {
    apart(&[var, first, second, grad])?;
    let squares = match Backend::of_entries(&[var, first, second, grad]) {
        Backend::Kernels => on_its_device!(var, adam(var, first, second, grad, numbers))?,
        Backend::Composed => {
            composed::adam(var, first, second, grad, numbers)?;
            sum_of_squares(grad)?
        }
    };
    updated(&[var, first, second]);
    Ok(squares)
}

/// One step of gradient descent with momentum for a parameter p = `var` with gradient g, in place: ĝ = scale·g +
/// weight_decay·p; b ← momentum·b + ĝ; p ← p - lr·b, or p - lr·(ĝ + momentum·b) with `nesterov`. Returns Σ g².
///
/// # Errors
/// The shapes differ, or two of the tensors share their storage.
pub fn sgd_update(var: &Var, grad: &Tensor, velocity: &Var, numbers: &Sgd) -> Result<f64> {
    apart(&[var, velocity, grad])?;
    let squares = match Backend::of_entries(&[var, velocity, grad]) {
        Backend::Kernels => on_its_device!(var, sgd(var, velocity, grad, numbers))?,
        Backend::Composed => {
            composed::sgd(var, velocity, grad, numbers)?;
            sum_of_squares(grad)?
        }
    };
    updated(&[var, velocity]);
    Ok(squares)
}

/// Moves a towards b in place: a ← a + weight·(b - a).
///
/// # Errors
/// The shapes differ, or a and b share their storage.
pub fn lerp_update(a: &Var, b: &Tensor, weight: f64) -> Result<()> {
    apart(&[a, b])?;
    let b = b.detach().contiguous()?;
    match Backend::of_entries(&[a, &b]) {
        Backend::Kernels => on_its_device!(a, lerp(a, &b, weight))?,
        Backend::Composed => composed::lerp(a, &b, weight)?,
    }
    updated(&[a]);
    Ok(())
}

/// One Adam step of several parameters ([`adam_update`]), with gradients scaled down to the norm `limit` over all of
/// them together; 0 leaves them. Returns that norm √Σ‖g‖² before. On a GPU it is one launch, with another two for the
/// norm, and one number for the host to wait for.
///
/// # Errors
/// As [`adam_update`].
pub fn adam_steps(all: &[Stepping<'_, Adam, 2>], limit: f64) -> Result<f64> {
    #[cfg(feature = "cuda")]
    if on_gpu(all.iter().map(|step| (step.var, step.grad, &step.memory[..])))? {
        return Ok(gpu::adam_steps(all, limit)?.sqrt());
    }
    let factor = factor(all.iter().map(|step| step.grad), limit)?;
    let one = |step: &Stepping<'_, Adam, 2>| {
        let ([first, second], numbers) = (step.memory, step.numbers);
        adam_update(step.var, step.grad, first, second, &Adam { scale: factor * numbers.scale, ..numbers })
    };
    Ok(all.iter().map(one).sum::<Result<f64>>()?.sqrt())
}

/// One step of gradient descent with momentum of several parameters ([`sgd_update`]), as [`adam_steps`].
///
/// # Errors
/// As [`sgd_update`].
pub fn sgd_steps(all: &[Stepping<'_, Sgd, 1>], limit: f64) -> Result<f64> {
    #[cfg(feature = "cuda")]
    if on_gpu(all.iter().map(|step| (step.var, step.grad, &step.memory[..])))? {
        return Ok(gpu::sgd_steps(all, limit)?.sqrt());
    }
    let factor = factor(all.iter().map(|step| step.grad), limit)?;
    let one = |step: &Stepping<'_, Sgd, 1>| {
        let ([velocity], numbers) = (step.memory, step.numbers);
        sgd_update(step.var, step.grad, velocity, &Sgd { scale: factor * numbers.scale, ..numbers })
    };
    Ok(all.iter().map(one).sum::<Result<f64>>()?.sqrt())
}

/// Moves each a towards its b in place ([`lerp_update`]); one launch on a GPU.
///
/// # Errors
/// As [`lerp_update`].
pub fn lerp_updates(all: &[(&Var, &Tensor)], weight: f64) -> Result<()> {
    #[cfg(feature = "cuda")]
    if on_gpu(all.iter().map(|(a, b)| (*a, *b, &[][..])))? {
        return Ok(gpu::lerp_updates(all, weight)?);
    }
    all.iter().try_for_each(|(a, b)| lerp_update(a, b, weight))
}

/// The factor that brings gradients to a norm of at most `limit`; 1 for the limit 0, which stands for none.
fn factor<'a>(grads: impl Iterator<Item = &'a Tensor>, limit: f64) -> Result<f64> {
    if limit <= 0.0 {
        return Ok(1.0);
    }
    let norm = grads.map(sum_of_squares).sum::<Result<f64>>()?.sqrt();
    Ok(if norm > limit { limit / norm } else { 1.0 })
}

/// Whether the kernels of a GPU take all of these at once; what they change counts as changed then.
#[cfg(feature = "cuda")]
fn on_gpu<'a>(all: impl Iterator<Item = (&'a Var, &'a Tensor, &'a [&'a Var])>) -> Result<bool> {
    let (mut tensors, mut changed) = (Vec::new(), Vec::new());
    for (var, grad, memory) in all {
        let here: Vec<&Tensor> = std::iter::once(var).chain(memory.iter().copied()).map(Var::as_tensor).collect();
        apart(&[&here[..], &[grad]].concat())?;
        tensors.extend(here.iter().copied().chain([grad]));
        changed.extend(here);
    }
    let served = tensors.first().is_some_and(|t| t.device().is_cuda())
        && Backend::of_entries(&tensors) == Backend::Kernels
        && tensors.iter().all(|t| t.device().same_device(tensors[0].device()));
    if served {
        updated(&changed);
    }
    Ok(served)
}

/// The sum of squares Σ x² in f64, whatever x's type.
///
/// # Errors
/// The device fails.
pub fn sum_of_squares(x: &Tensor) -> Result<f64> {
    let x = x.detach().contiguous()?;
    Ok(match Backend::of_entries(&[&x]) {
        Backend::Kernels => on_its_device!(x, sum_of_squares(&x))?,
        Backend::Composed => composed::sum_of_squares(&x)?,
    })
}

/// Whether tensors have one shape and storages of their own; an error if not.
fn apart(tensors: &[&Tensor]) -> Result<()> {
    let Some((first, others)) = tensors.split_first() else { return Ok(()) };
    for (i, other) in others.iter().enumerate() {
        shapes::same("update in place", first, other)?;
        // Locking one storage for reading and for writing would wait for ever.
        if tensors.iter().take(i + 1).any(|t| address(t) == address(other)) {
            return Err(Error::Other("update in place of tensors that share their storage".into()));
        }
    }
    Ok(())
}
