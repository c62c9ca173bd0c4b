//! The accept-reject step of Metropolis et al. (1953) and Hastings (1970), chain by chain. It is drawn and decided
//! where the chains are, so that nobody waits for a device.

use candle_core::{DType, Tensor};

use super::info::Info;
use super::kernel::Chain;
use crate::metrics::{Number, Unit};
use crate::{Result, device, ops, rng::Key};

/// The acceptance, a number that every kernel with accept-reject reports.
pub const ACCEPTANCE: Number =
    Number::new("acceptance", Unit::Share, "share of the proposals that were accepted").lead();

/// The energies of chains whose energies are known, `[B]`, in f64, the type in which ratios are decided.
///
/// # Errors
/// The energies of the chains are not known.
pub fn energies(chain: &Chain) -> Result<Tensor> {
    Ok(chain.value()?.to_dtype(DType::F64)?)
}

/// The sums of squares of the items of x, `[B]`, in f64.
///
/// # Errors
/// x has no dimension.
pub fn squares(x: &Tensor) -> Result<Tensor> {
    let _shapes = device::keep_shapes(x.device());
    Ok(x.to_dtype(DType::F64)?.sqr()?.flatten_from(1)?.sum(1)?)
}

/// Moves chain i to its proposal with probability min(1, exp(log_ratio\[i\])). A proposal without a finite energy, or a
/// ratio that is NaN, is a rejection, which is counted and has no effect on the other chains.
///
/// # Shapes
/// The log-ratios `[B]`, in f64.
///
/// # Errors
/// The energies of the chains are not known.
pub fn accept(key: Key, log_ratio: &Tensor, proposal: &Chain, chain: &Chain) -> Result<(Chain, Info)> {
    let decided = ops::metropolis(log_ratio, &energies(proposal)?, key.counter())?;
    Ok((choose(&decided.get(0)?, proposal, chain)?, Info::of(decided)))
}

/// The chains that are those of `yes` where `mask` is not 0 and those of `no` where it is, row by row.
pub(super) fn choose(mask: &Tensor, yes: &Chain, no: &Chain) -> Result<Chain> {
    yes.zip(no, |yes, no| ops::choose_rows(mask, yes, no))
}
