//! The methods that train an energy: one file a method, with its state and its step; `learning` holds what several
//! share.
//!
//! Every `Result` in this module also fails where a tensor operation does. The `# Errors` of an item name what else can
//! fail.

mod classifier;
mod cnce;
mod contrastive_divergence;
mod cooperative;
mod denoising_score_matching;
mod diffclf;
mod drl;
mod dsm_ladder;
mod energy_discrepancy;
mod energy_matching;
mod example;
mod flow_mcmc;
mod jarzynski;
mod learning;
mod lsd;
mod lsd_ladder;
mod method;
mod ml;
mod ml_grid;
mod nce;
mod none;
mod nt_ebm;
mod part;
mod score_matching;
#[cfg(test)]
#[path = "../../docs/skeletons/method.rs"]
mod skeleton;
mod sliced_score_matching;
mod snl;
mod stein;
mod time_score;
mod vae;
mod vaebm;
pub mod vera;

pub use learning::score;
pub use lsd::{Lsd, LsdConfig};
pub use method::{BuildMethod, BuildProposal, Method, MethodRow, Setup, Standing, StepContext};
pub use part::Part;
pub use stein::{Critic, CriticConfig, Noise, Objective, SteinSample};

use crate::config::{self, Schema, Spec, find};
use crate::density::{Model, Proposal};
use crate::nets::NamedNet;
pub use crate::store::{State, put, take};
use crate::{Error, Result};

/// The methods that `[method] name = "…"` can name.
pub const METHODS: &[MethodRow] = &[
    lsd::ENTRY,
    ml::ENTRY,
    ml_grid::ENTRY,
    score_matching::ENTRY,
    sliced_score_matching::ENTRY,
    denoising_score_matching::ENTRY,
    dsm_ladder::ENTRY,
    lsd_ladder::ENTRY,
    diffclf::ENTRY,
    time_score::ENTRY,
    drl::ENTRY,
    energy_discrepancy::ENTRY,
    energy_matching::ENTRY,
    nce::ENTRY,
    snl::ENTRY,
    cnce::ENTRY,
    contrastive_divergence::CD,
    contrastive_divergence::PCD,
    contrastive_divergence::SHORT_RUN,
    contrastive_divergence::JEM,
    jarzynski::ENTRY,
    vera::ENTRY,
    classifier::ENTRY,
    vae::ENTRY,
    cooperative::VAE_SAMPLER,
    cooperative::COOPNETS,
    cooperative::COOPFLOW,
    vaebm::ENTRY,
    nt_ebm::ENTRY,
    flow_mcmc::ENTRY,
    none::ENTRY,
];

/// The rows of [`METHODS`] for the configuration.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    config::schemas(METHODS)
}

/// Builds the method of the section `[method]`.
///
/// # Errors
/// The specification does not fit the model or the data.
pub fn build(spec: &Spec, setup: Setup) -> Result<Box<dyn Method>> {
    let row = find(METHODS, spec.name()).ok_or_else(|| Error::Other(format!("unknown method `{}`", spec.name())))?;
    spec.within((row.build)(&spec.table, setup))
}

/// The networks of the model that `method` trains and of the model's companions, by the prefixes of their parameters in
/// the state.
pub fn networks(method: &dyn Method) -> Vec<NamedNet> {
    let mut networks = networks_of_model(method.model());
    networks.extend(method.networks());
    networks
}

/// The networks of a model, by the prefixes of their parameters in the state of a method.
pub fn networks_of_model(model: &Model) -> Vec<NamedNet> {
    model.networks().iter().map(|network| network.clone().within("model")).collect()
}

/// Whether the method of `spec` learns a density of the items: all but the classifier, which learns p(y|x) alone.
pub fn learns_density(spec: &Spec) -> bool {
    spec.name() != classifier::ENTRY.name
}

/// Whether the method of `spec` learns log-normalisers of noise levels, so that [`level_log_z`] needs its state.
pub fn has_level_log_z(spec: &Spec) -> bool {
    spec.name() == diffclf::ENTRY.name
}

/// The log-normalisers of the noise levels, up to one constant, that the method of `spec` learned; `None` for methods
/// without.
///
/// # Errors
/// The state lacks them.
pub fn level_log_z(spec: &Spec, state: &State) -> Result<Option<Vec<f64>>> {
    has_level_log_z(spec).then(|| diffclf::log_normalisers(spec, state)).transpose()
}

/// Whether the method of `spec` keeps a proposal, so that [`proposal`] needs its state.
pub fn has_proposal(spec: &Spec) -> bool {
    find(METHODS, spec.name()).is_some_and(|row| row.proposal.is_some())
}

/// The proposal of the method of `spec`, frozen; `None` for methods without.
///
/// # Errors
/// A tensor is missing from the state or has another shape.
pub fn proposal(spec: &Spec, standing: &Standing) -> Result<Option<Box<dyn Proposal>>> {
    let build = find(METHODS, spec.name()).and_then(|row| row.proposal);
    build.map(|build| build(spec, standing)).transpose()
}
