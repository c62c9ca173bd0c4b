//! What proposals that do not look at x have in common: where they are drawn from, and their importance weights.

use candle_core::{DType, Tensor};

use crate::Result;
use crate::density::Density;
use crate::math::LogWeights;

/// log w(x) = -E(x) - log q(x) in f64, up to a constant; -∞ where E or q is no number, which is never chosen.
///
/// Computed anew at every move, not kept with the chain: both E and q may have changed since.
pub(super) fn log_weights(energy: &Tensor, q: &dyn Density, x: &Tensor) -> Result<Vec<f64>> {
    let host = |t: &Tensor| -> Result<Vec<f64>> { Ok(t.detach().to_dtype(DType::F64)?.to_vec1()?) };
    Ok(LogWeights::of(&host(energy)?, &host(&q.log_prob(x)?)?).0)
}
