//! The norm of a gradient, and the factor that limits it.

use candle_core::Tensor;

use crate::{Result, ops};

/// The global norm √Σ‖g‖² over all gradients, in f64 and in the order given: pass them sorted by name.
///
/// # Errors
/// The device fails.
pub fn global_norm<'a>(grads: impl IntoIterator<Item = &'a Tensor>) -> Result<f64> {
    let squares: Result<Vec<f64>> = grads.into_iter().map(ops::sum_of_squares).collect();
    Ok(squares?.iter().sum::<f64>().sqrt())
}

/// The factor that brings gradients of this norm to at most `limit`; 1 for the limit 0, which stands for none.
pub(super) fn factor(norm: f64, limit: f64) -> f64 {
    if limit > 0.0 && norm > limit { limit / norm } else { 1.0 }
}
