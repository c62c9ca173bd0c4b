//! What a classifier is worth: accuracy, calibration, detection of foreign items, robustness, class conditions.

pub(super) mod accuracy;
pub(super) mod conditional;
pub(super) mod ood;
pub mod robustness;
