//! Parts that several methods share: losses, trained parts, penalties and diagnostics.

pub(super) mod chain_kl;
pub(super) mod elbo;
pub(super) mod flow;
pub(super) mod jumps;
pub(super) mod level_weight;
pub(super) mod levels;
pub(super) mod likelihood_gap;
pub(super) mod noise_density;
pub(super) mod pretraining;
pub(super) mod readings;
pub mod score;
pub(super) mod spectral_penalty;
pub(super) mod supervised;
pub(super) mod toward_model;
pub(super) mod trainable;
pub(super) mod virtual_adversarial;
pub(super) mod walker_modes;
