//! What is measured while a run trains and after: numbers against exact or published values, and pictures.
//!
//! Probes stand in rooms by the question that they answer: how likely the data are ([`likelihood`]), how good the
//! samples are ([`samples`]), how far the scores are from the data's ([`stein`]), what a classifier is worth
//! ([`classifier`]), and the balance of physical systems and separated sources (`physics`).

pub mod classifier;
pub mod diagnose;
pub mod likelihood;
mod physics;
pub mod probe;
pub mod samples;
mod scheduled;
pub mod stein;
mod support;

pub use likelihood::{ais, mode_weights, nll};
pub use probe::{BuildProbe, Finding, Probe, ProbeRow, Schedule, Subject, labelled};
pub use samples::pictures::Picture;
pub use scheduled::Scheduled;
pub use stein::{fisher, gof, lsd};
pub use support::{Scored, items};

use crate::config::{self, Schema};

/// Every probe that `[[probe]] name = "…"` can name.
pub const PROBES: &[ProbeRow] = &[
    likelihood::nll::ENTRY,
    likelihood::exact::ENTRY,
    likelihood::bound::ENTRY,
    likelihood::teaching::ENTRY,
    likelihood::own_density::ENTRY,
    classifier::conditional::ENTRY,
    samples::pictures::ENTRY,
    stein::lsd::ENTRY,
    stein::fisher::ENTRY,
    stein::score_matching::ENTRY,
    physics::amari::ENTRY,
    stein::entropy_gradient::ENTRY,
    classifier::accuracy::ENTRY,
    classifier::ood::ENTRY,
    classifier::robustness::ENTRY,
    samples::frechet::ENTRY,
    samples::modes::ENTRY,
    likelihood::mode_weights::ENTRY,
    samples::mmd::ENTRY,
    samples::sliced_wasserstein::ENTRY,
    samples::memorisation::ENTRY,
    samples::stacked_modes::ENTRY,
    samples::class_balance::ENTRY,
    physics::magnetisation::ENTRY,
    samples::inpainting::ENTRY,
    likelihood::ais::ENTRY,
    likelihood::levels::ENTRY,
    likelihood::ode::ENTRY,
    stein::gof::lsd::PROBE,
    stein::gof::ksd::PROBE,
    stein::gof::lksd::PROBE,
    stein::gof::fssd::PROBE,
];

/// The rows of [`PROBES`] for the configuration.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    config::schemas(PROBES)
}
