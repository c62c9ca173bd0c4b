//! The importance weights of proposals that do not depend on x.

use candle_core::{DType, Tensor};

use crate::Result;
use crate::density::Density;
use crate::math::LogWeights;

/// The log-weights log w(x) = -E(x) - log q(x) in f64, up to a constant; -∞, which is never chosen, where E or log q is
/// NaN or E is +∞.
///
/// They are computed anew at every move and not kept with the chain, since both E and q may have changed.
pub(super) fn log_weights(energy: &Tensor, q: &dyn Density, x: &Tensor) -> Result<Vec<f64>> {
    let host = |t: &Tensor| -> Result<Vec<f64>> { Ok(t.detach().to_dtype(DType::F64)?.to_vec1()?) };
    Ok(LogWeights::of(&host(energy)?, &host(&q.log_prob(x)?)?).0)
}
