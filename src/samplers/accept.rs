//! The accept-reject step of Metropolis et al. (1953) and Hastings (1970), chain by chain.

use candle_core::{DType, Device, Tensor};

use super::kernel::{Chain, Info};
use crate::metrics::{Number, Unit};
use crate::{Result, rng::Key};

/// The acceptance, a number that every kernel with accept-reject reports.
pub const ACCEPTANCE: Number =
    Number::new("acceptance", Unit::Share, "share of the proposals that were accepted").lead();

/// The energies of chains whose energies are known, `[B]`, in f64, the type in which ratios are decided.
///
/// # Errors
/// The energies of the chains are not known.
pub fn energies(chain: &Chain) -> Result<Vec<f64>> {
    Ok(chain.value()?.to_dtype(DType::F64)?.to_vec1()?)
}

/// Moves chain i to its proposal with probability min(1, exp(log_ratio\[i\])). A proposal without a finite energy, or a
/// ratio that is NaN, is a rejection, which is counted and has no effect on the other chains.
///
/// # Errors
/// The energies of the chains are not known.
pub fn accept(key: Key, log_ratio: &[f64], proposal: &Chain, chain: &Chain) -> Result<(Chain, Info)> {
    let bad = nonfinite(&energies(proposal)?);
    let ratio: Vec<f64> = log_ratio.iter().zip(&bad).map(|(r, b)| if *b > 0 { f64::NAN } else { *r }).collect();
    let accepted = decide(key, &ratio)?;
    let info = Info { chance: Some(chance(&ratio)), ..Info::of(&accepted, bad) };
    Ok((choose(&accepted, proposal, chain)?, info))
}

/// The choices, 1 with probability min(1, exp(ratio)) for each ratio and 0 for a ratio that is NaN. They are made
/// on the host, where the ratios are.
pub(super) fn decide(key: Key, log_ratio: &[f64]) -> Result<Vec<u8>> {
    // Draws have 24 bits: 0 stands for all that is below the smallest of them, and must not accept everything.
    const LEAST: f64 = 1.0 / (1u64 << 25) as f64;
    let uniform = key.uniform(log_ratio.len(), DType::F64, &Device::Cpu)?.to_vec1::<f64>()?;
    // A comparison with NaN is false.
    Ok(uniform.iter().zip(log_ratio).map(|(u, ratio)| u8::from(u.max(LEAST).ln() < *ratio)).collect())
}

/// The mean of the acceptance probabilities min(1, exp(ratio)).
pub(super) fn chance(log_ratio: &[f64]) -> f64 {
    let one = |r: &f64| if r.is_nan() { 0.0 } else { r.exp().min(1.0) };
    log_ratio.iter().map(one).sum::<f64>() / log_ratio.len().max(1) as f64
}

/// The marks 1 for each energy that is not finite and 0 for the others.
pub(super) fn nonfinite(energies: &[f64]) -> Vec<usize> {
    energies.iter().map(|e| usize::from(!e.is_finite())).collect()
}

/// The chains that are those of `yes` where `mask` is 1 and those of `no` where it is 0, row by row.
pub(super) fn choose(mask: &[u8], yes: &Chain, no: &Chain) -> Result<Chain> {
    let mask = Tensor::new(mask, yes.x.device())?;
    yes.zip(no, |yes, no| rows(&mask, yes, no))
}

/// The rows of `yes` where `mask` `[B]`, u8, is 1, and of `no` where it is 0.
pub(super) fn rows(mask: &Tensor, yes: &Tensor, no: &Tensor) -> Result<Tensor> {
    let mut shape = vec![mask.elem_count()];
    shape.resize(yes.rank(), 1);
    Ok(mask.reshape(shape)?.broadcast_as(yes.shape())?.where_cond(yes, no)?)
}
