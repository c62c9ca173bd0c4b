//! How far the model's scores are from the data's: discrepancies, divergences and tests without a normaliser.

pub(super) mod entropy_gradient;
pub mod fisher;
pub mod gof;
pub mod lsd;
pub mod score_matching;
