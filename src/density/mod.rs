//! The models: an [`Energy`] gives p(x) ∝ exp(-E(x)), and a [`Density`] also has a known normaliser.
//!
//! Every `Result` in this module also fails where a tensor operation does: on shapes that do not fit, or on a device
//! without memory. The `# Errors` of an item name what else can fail.

mod affine;
mod bridge;
mod capabilities;
mod clamped;
mod classifier;
mod context;
mod counted;
mod energy;
pub mod flow;
mod form;
mod gaussian;
mod generator;
mod ica;
#[cfg(test)]
pub(crate) mod known;
mod ladder;
mod model;
mod net_potential;
mod neural;
pub mod noise_space;
mod parts;
mod phi4;
mod potential;
mod probability_flow;
mod proposal;
mod rbm;
mod recovery;
mod row;
mod stored;
mod tilted;
mod top;
pub mod vae;

pub use affine::{Affine, Coordinates};
pub use bridge::Bridge;
pub use capabilities::{BlockGibbs, Capabilities};
pub use clamped::{Clamped, Freedom, Hole};
pub use classifier::{Classifier, energy_of};
pub use context::{BuildModel, Context};
pub use counted::{Counted, Meter, SetAside};
pub use energy::{Density, Energy, laplacian_along_axes, laplacian_axis_by_axis, slope_of_grad};
pub use form::{Form, LadderForm, LadderScales, Normal, OfNet};
pub use gaussian::{Gaussian, GaussianConfig};
pub use generator::{Generator, GeneratorConfig, Squash};
pub use ica::Ica;
pub use ladder::{beside, by_row, with_level};
pub use model::Model;
pub use net_potential::{NetPotential, PotentialForm};
pub use neural::Neural;
pub use noise_space::{NoiseSpace, Potential, Space};
pub use parts::{by_parts_of, of_parts};
pub use probability_flow::{Laplacian, ProbabilityFlow};
pub use proposal::Proposal;
pub use rbm::{Rbm, RbmConfig, RbmInit};
pub use recovery::Recovery;
pub use row::{ANY_ITEMS, ModelRow};
pub use stored::{Stored, WeightsOf, unfit};
pub use vae::{Likelihood, Vae};

use std::sync::Arc;

use crate::config::{self, Schema, Spec, find};
use crate::nets::Builder;
use crate::{Error, Result};

/// The models that `[model] name = "…"` can name.
pub const MODELS: &[ModelRow] = &[
    neural::ENTRY,
    ladder::ENTRY,
    classifier::ENTRY,
    gaussian::ENTRY,
    rbm::ENTRY,
    ica::ENTRY,
    phi4::ENTRY,
    potential::ENTRY,
    flow::NICE,
    flow::REAL_NVP,
    flow::SPLINE,
    flow::GLOW,
    vae::ENTRY,
    tilted::ENTRY,
];

/// The rows of [`MODELS`] for the configuration.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    config::schemas(MODELS)
}

fn build(spec: &Spec, context: &Context, builder: &Builder) -> Result<Arc<dyn Capabilities>> {
    let row = find(MODELS, spec.name()).ok_or_else(|| Error::Other(format!("unknown model `{}`", spec.name())))?;
    spec.within((row.build)(&spec.table, context, builder)).map(Arc::from)
}
