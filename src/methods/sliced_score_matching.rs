//! Sliced score matching (Song et al. 2019): the trace of the Hessian along random directions.

use super::example::example;
use super::learning::score::{self, Estimate, SHARP, ScoreDescent, Slices, sliced};
use super::{MethodRow, Noise};
use crate::config::{Schema, decode, rule};
use crate::metrics::Spent;

crate::config! {
    /// Keys of the method `sliced_score_matching`. The "SM" of the LSD paper is this at its defaults.
    pub struct SlicedScoreMatchingConfig {
        /// Distribution of the directions: gaussian or rademacher (less noise in the trace).
        probe: Noise = Noise::Gaussian;
        /// Directions an item and step.
        projections: usize = 1, rule::at_least(1);
        /// Take ½|∇E|² itself instead of ½(v·∇E)² (SSM-VR): one more first-order pass, much less noise.
        variance_reduced: bool = true;
    }
}

const ADVICE: &[&str] =
    &["less noise in the trace (--set method.projections=10, --set method.probe=rademacher)", SHARP];

/// The method `sliced_score_matching`: minimises mean[½|∇E|² - vᵀ∇²E v] over items and random directions v (Song et al.
/// 2019, SSM-VR), or with ½(v·∇E)² in the first term's place (SSM).
pub(super) const ENTRY: MethodRow = MethodRow {
    name: "sliced_score_matching",
    about: "score matching along random directions: second derivatives at the price of a few passes in any dimension",
    cite: "Song, Garg, Shi, Ermon 2019, \"Sliced Score Matching: A Scalable Approach to Density and Score \
           Estimation\", UAI, SSM and SSM-VR; arXiv 1905.07088",
    schema: Schema::of::<SlicedScoreMatchingConfig>(),
    numbers: score::NUMBERS,
    cost: Spent { values: 0, gradients: 512 },
    proposal: None,
    init: score::INIT,
    example: example!(plane, "sliced_score_matching"),
    build: |table, setup| {
        let config: SlicedScoreMatchingConfig = decode(table)?;
        let SlicedScoreMatchingConfig { probe: noise, projections: count, variance_reduced } = config;
        let slices = Slices { noise, count, variance_reduced };
        let estimate: Estimate = Box::new(move |energy, key, x| sliced(energy, key, x, slices));
        Ok(Box::new(ScoreDescent::new(estimate, ADVICE, 0.0, setup)?))
    },
};
