//! The norm of a gradient.

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
