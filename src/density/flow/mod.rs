//! Normalising flows: an invertible map f: x ↦ z with a known log-determinant, and a factorised prior π on z. Then log
//! p(x) = log π(f(x)) + log|det ∂f/∂x| exactly, and x = f⁻¹(z) with z ~ π is an exact draw.
//!
//! A new kind of map is one [`Bijection`]; a new architecture puts maps together with an [`Assembly`].

mod act_norm;
mod assembly;
mod bijection;
mod chain;
mod coupling;
mod density;
mod glow;
mod neutra;
mod nice;
mod prior;
mod rational_quadratic;
mod real_nvp;
mod reorder;
mod series;
mod spline;
mod split;
mod undo;

pub use act_norm::ActNorm;
pub use assembly::{Assembly, Mask, first_widths};
pub use bijection::{Bijection, BijectionPullback, InversePullback};
pub use chain::Composition;
pub use coupling::{Coupling, Kind};
pub use density::{BuildFlow, Flow, Latent};
pub use neutra::neutra;
pub use prior::Prior;
pub use reorder::Reorder;
pub use split::SplitOff;

pub(super) use glow::ENTRY as GLOW;
pub(super) use nice::ENTRY as NICE;
pub(super) use real_nvp::ENTRY as REAL_NVP;
pub(super) use spline::ENTRY as SPLINE;

use super::Context;
use crate::config::{Schema, Spec};
use crate::nets::Builder;
use crate::{Error, Result};

/// The flows among the rows of [`MODELS`](super::MODELS), by name; `tests/it/flows.rs` tests every one of them.
pub const FLOWS: &[(&str, BuildFlow)] =
    &[(NICE.name, nice::flow), (REAL_NVP.name, real_nvp::flow), (SPLINE.name, spline::flow), (GLOW.name, glow::flow)];

/// The rows of the flows, for a part such as `[method.flow]`.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    [NICE, REAL_NVP, SPLINE, GLOW].iter().map(|row| (row.name, row.schema)).collect()
}

/// Builds the flow that a part such as `[method.flow]` names.
///
/// # Errors
/// The flow does not fit the items.
pub fn build(spec: &Spec, context: &Context, builder: &Builder) -> Result<Flow> {
    let row = FLOWS.iter().find(|(name, _)| *name == spec.name());
    let (_, build) = row.ok_or_else(|| Error::Other(format!("unknown flow `{}`", spec.name())))?;
    spec.within(build(&spec.table, context, builder))
}
