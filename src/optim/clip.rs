//! The norm of a gradient, and what brings it down.

use candle_core::Tensor;

use crate::{Result, ops};

/// √Σ‖g‖² over all gradients, in f64 and in the order given: pass them sorted by name.
///
/// # Errors
/// The device's own.
pub fn global_norm<'a>(grads: impl IntoIterator<Item = &'a Tensor>) -> Result<f64> {
    let squares: Result<Vec<f64>> = grads.into_iter().map(ops::sum_of_squares).collect();
    Ok(squares?.iter().sum::<f64>().sqrt())
}

/// What gradients of this norm are multiplied by so that it is at most `limit`; 0 is no limit.
pub(super) fn factor(norm: f64, limit: f64) -> f64 {
    if limit > 0.0 && norm > limit { limit / norm } else { 1.0 }
}
