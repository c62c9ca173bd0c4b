//! How good the samples are: distances to the data, modes, classes, completions, copies.

pub(super) mod class_balance;
pub(super) mod frechet;
pub(super) mod inpainting;
pub(super) mod memorisation;
pub(super) mod mmd;
pub mod modes;
pub mod pictures;
pub(super) mod sliced_wasserstein;
pub(super) mod stacked_modes;
mod two_sample;
