//! Denoising score matching (Vincent 2011): the score of slightly blurred data, from first derivatives alone.

use super::MethodRow;
use super::example::example;
use super::learning::score::{self, Estimate, ScoreDescent, denoising};
use crate::config::{Schema, decode, rule};
use crate::metrics::Spent;

crate::config! {
    /// Keys of the method `denoising_score_matching`.
    pub struct DenoisingScoreMatchingConfig {
        /// Standard deviation σ of the blur, in units of model space: the model learns the data plus this noise. The
        /// gradient's noise grows as 1/σ.
        sigma: f64 = 0.1, rule::positive;
    }
}

const ADVICE: &[&str] = &["a stronger blur, since the gradient's noise grows as 1/σ (--set method.sigma=…)"];

/// The method `denoising_score_matching`: minimises mean ½|∇E(x + σε) - ε/σ|², ε ~ N(0, I), without the part that does
/// not depend on the model (Vincent 2011).
pub(super) const ENTRY: MethodRow = MethodRow {
    name: "denoising_score_matching",
    about: "the model's score points from noisy items to clean ones: score matching of the blurred data, first order \
            only",
    cite: "Vincent 2011, \"A Connection Between Score Matching and Denoising Autoencoders\", Neural Computation 23(7), \
           J_DSM",
    schema: Schema::of::<DenoisingScoreMatchingConfig>(),
    numbers: score::NUMBERS,
    cost: Spent { values: 0, gradients: 256 },
    proposal: None,
    init: score::INIT,
    example: example!(plane, "denoising_score_matching"),
    build: |table, setup| {
        let DenoisingScoreMatchingConfig { sigma } = decode(table)?;
        let estimate: Estimate = Box::new(move |energy, key, x| denoising(energy, key, x, sigma));
        Ok(Box::new(ScoreDescent::new(estimate, ADVICE, sigma, setup)?))
    },
};
