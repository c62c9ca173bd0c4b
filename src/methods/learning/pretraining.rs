//! First stages of training: a density is trained before the energy that it is the base of or that learns from it.

use crate::density::Model;
use crate::optim::Weights;

/// The prefix of a base density's parameters among those of a tilted model.
pub(in crate::methods) const BASE: &str = "base.";

/// The weights of a model's base density, and all others.
pub(in crate::methods) fn base_and_rest(model: &Model) -> (Weights, Weights) {
    model.params().weights.clone().into_iter().partition(|(name, _)| name.starts_with(BASE))
}

/// The factor on the learning rate in step `step` of a first stage of `steps`: from 1 to 0 along half a cosine.
pub(in crate::methods) fn half_cosine(step: u64, steps: u64) -> f64 {
    let progress = step as f64 / steps.max(1) as f64;
    0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}
