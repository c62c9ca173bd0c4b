//! What draws random numbers as it computes: the Langevin move, and dropout. The numbers are those of a [`Counter`], so
//! that they are the same on every device and in whatever parts a batch is computed, and no host makes or copies them.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Tensor, bail};

use super::backend::Backend;
use super::cpu::{Output, random as kernels};
#[cfg(feature = "cuda")]
use super::cuda::{access::Output as OnGpu, random as gpu};
use super::{composed, shapes};
use crate::rng::Counter;
use crate::{Error, Result};

/// The Langevin move y = [x - drift·[g] + std·z], with z standard normal, and brackets for what is kept between bounds:
/// entries of the gradient g between ± `clip`, those of y between two numbers.
#[derive(Clone, Copy, Debug)]
pub struct LangevinMove {
    /// The factor of the gradient.
    pub drift: f64,
    /// The standard deviation of the noise.
    pub std: f64,
    /// The bound on each entry of the gradient, infinite for none.
    pub clip: f64,
    /// The bounds of each coordinate, infinite for none.
    pub bounds: [f64; 2],
}

impl LangevinMove {
    /// The move without bounds.
    pub fn free(drift: f64, std: f64) -> Self {
        LangevinMove { drift, std, clip: f64::INFINITY, bounds: [f64::NEG_INFINITY, f64::INFINITY] }
    }

    /// All five numbers, as the kernels take them.
    pub(super) fn numbers(&self) -> [f64; 5] {
        [self.drift, self.std, self.clip, self.bounds[0], self.bounds[1]]
    }
}

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

/// Inverted dropout: each number is dropped with probability `rate`, and the others grow by 1/(1 - rate).
#[derive(Clone, Copy, Debug)]
pub struct Dropping {
    /// The probability, in [0, 1).
    pub rate: f64,
    /// What decides: a number is kept where its word is not below `rate`·2³².
    pub counter: Counter,
    /// The number of equal blocks of the batch, such as values and tangents, that have one mask.
    pub blocks: usize,
}

impl Dropping {
    /// The factor of what is kept.
    pub(super) fn scale(&self) -> f64 {
        1.0 / (1.0 - self.rate)
    }

    /// The least word that keeps a number.
    pub(super) fn least(&self) -> u32 {
        (self.rate * 4_294_967_296.0).round() as u32
    }

    /// The numbers of a block, of which a batch has n in all.
    pub(super) fn block(&self, n: usize) -> candle_core::Result<usize> {
        match n.checked_rem(self.blocks) {
            Some(0) => Ok((n / self.blocks).max(1)),
            _ => bail!("dropout of {n} numbers in {} equal blocks", self.blocks),
        }
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
