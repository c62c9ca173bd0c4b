//! Numbers on the host.

use candle_core::{DType, Tensor};

use crate::Result;

/// The mean of energies `[B]` or losses, for the log.
pub(in crate::methods) fn mean(t: &Tensor) -> Result<f64> {
    Ok(t.to_dtype(DType::F64)?.mean_all()?.to_scalar()?)
}
