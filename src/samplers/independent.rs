//! What proposals that do not look at x have in common: where they are drawn from, and their importance weights.

use candle_core::{DType, Tensor};

use crate::density::{Density, Energy};
use crate::math::LogWeights;
use crate::{Error, Result};

/// The proposal given, or the density that the energy tilts, or the energy's own where its normaliser is known.
///
/// # Errors
/// None of the three.
pub(super) fn proposal<'a>(given: Option<&'a dyn Density>, e: &'a dyn Energy) -> Result<&'a dyn Density> {
    given.or_else(|| e.base()).or_else(|| e.density()).ok_or_else(|| {
        Error::Config(
            "error: the sampler proposes from a density that can be drawn from, and `model` has no base density\n\nhint: \
             --set model.base=diagonal for a neural energy, or a Markov chain that needs none, such as \
             --set sampler.name=mala"
                .into(),
        )
    })
}

/// log w(x) = -E(x) - log q(x) in f64, up to a constant; -∞ where E or q is no number, which is never chosen.
///
/// Computed anew at every move, not kept with the chain: both E and q may have changed since.
pub(super) fn log_weights(energy: &Tensor, q: &dyn Density, x: &Tensor) -> Result<Vec<f64>> {
    let host = |t: &Tensor| -> Result<Vec<f64>> { Ok(t.detach().to_dtype(DType::F64)?.to_vec1()?) };
    Ok(LogWeights::of(&host(energy)?, &host(&q.log_prob(x)?)?).0)
}
