//! The optimisers, whose whole state can be saved, exponential averages of parameters, and gradient norms.

mod adam;
mod clip;
mod ema;
mod optimiser;
mod sgd;
mod slots;

pub use adam::AdamConfig;
pub use clip::global_norm;
pub use ema::Ema;
pub use optimiser::{BuildOptim, GradStats, Optimiser, Weights};
pub use sgd::SgdConfig;

use crate::{
    Error, Result,
    config::{Entry, Schema, Spec, find},
};

/// The optimisers that `[optim] name = "..."` can choose.
pub const OPTIMISERS: &[Entry<BuildOptim>] = &[adam::ENTRY, sgd::ENTRY];

/// The rows of [`OPTIMISERS`] as a section's `name` selects them.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    OPTIMISERS.iter().map(|row| (row.name, row.schema)).collect()
}

/// The optimiser of `weights` that `spec` names.
///
/// # Errors
/// The name is unknown or a value out of range; resolved configurations have neither.
pub fn build(spec: &Spec, weights: &Weights) -> Result<Box<dyn Optimiser>> {
    match find(OPTIMISERS, spec.name()) {
        Some(row) => spec.within((row.build)(&spec.table, weights)),
        None => {
            let known: Vec<&str> = OPTIMISERS.iter().map(|row| row.name).collect();
            Err(Error::config(format!("no optimiser `{}`; there are {}", spec.name(), known.join(", "))).at("name"))
        }
    }
}

/// Adam at its defaults but for the learning rate, for parameters that are fitted beside the model.
///
/// # Errors
/// The device fails.
pub fn adam(lr: f64, weights: &Weights) -> Result<Box<dyn Optimiser>> {
    build(&Spec::of(adam::ENTRY.name, &AdamConfig { lr, ..AdamConfig::default() }), weights)
}

#[cfg(test)]
mod tests;
