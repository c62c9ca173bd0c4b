//! Numbers on the host.

use candle_core::{DType, Tensor};

use crate::Result;
use crate::metrics::{Number, Unit};

/// The norm of the loss's gradient.
pub(in crate::methods) const GRAD_NORM: Number =
    Number::norm("grad_norm", "Euclidean norm of the loss's gradient in all weights that learn, before clipping")
        .lead();

/// What chains accept.
pub(in crate::methods) const ACCEPTANCE: Number =
    Number::new("acceptance", Unit::Share, "share of the chains' proposals that were accepted")
        .when("a kernel that accepts or rejects");

/// The mean energy of the data.
pub(in crate::methods) const ENERGY: Number = Number::new("energy", Unit::Nats, "mean energy of the batch");

/// The gradients that chains took.
pub(in crate::methods) const ENERGY_GRADIENTS: Number =
    Number::new("energy_gradients", Unit::Count, "gradients of the energy that chains took since the run began");

/// The mean of energies `[B]` or losses, for the log.
pub(in crate::methods) fn mean(t: &Tensor) -> Result<f64> {
    Ok(t.to_dtype(DType::F64)?.mean_all()?.to_scalar()?)
}
