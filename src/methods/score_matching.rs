//! Score matching with the exact Laplacian (Hyvärinen 2005): for few dimensions, and for models with a closed form.

use super::example::example;
use super::learning::score::{self, Estimate, SHARP, ScoreDescent, exact};
use super::{MethodRow, Setup};
use crate::config::Schema;
use crate::metrics::Spent;
use crate::{Error, Result};

crate::config! {
    /// The method `score_matching` has no keys of its own; `[optim]` is the model's optimiser.
    pub struct ScoreMatchingConfig {}
}

/// The method `score_matching`: minimises mean[½|∇E|² - ΔE] (Hyvärinen 2005, theorem 1). A step costs D second-order
/// passes for models of D coordinates without a closed form of ΔE: take `sliced_score_matching` beyond a few
/// dimensions. Energies with zero curvature (rectifiers) give it nothing to learn from.
pub(super) const ENTRY: MethodRow = MethodRow {
    name: "score_matching",
    about: "score matching with the exact trace of the Hessian: few dimensions, or models in closed form",
    cite: "Hyvärinen 2005, \"Estimation of Non-Normalized Statistical Models by Score Matching\", JMLR 6, theorem 1",
    schema: Schema::of::<ScoreMatchingConfig>(),
    numbers: score::NUMBERS,
    cost: Spent { values: 0, gradients: 512 },
    proposal: None,
    init: score::INIT,
    example: example!(plane, "score_matching"),
    build: |_, setup| {
        few_directions(&setup)?;
        let estimate: Estimate = Box::new(|energy, _, x| exact(energy, x));
        Ok(Box::new(ScoreDescent::new(estimate, &[SHARP], 0.0, setup)?))
    },
};

/// The most coordinates of a model without a closed form. The graph of a step keeps what every layer makes of an item D
/// times over: of CIFAR-10, more than 24 GB.
const MOST: usize = 1024;

/// Refuses items of so many coordinates that a step is killed for its memory.
fn few_directions(setup: &Setup) -> Result<()> {
    let dim = setup.data.spec().dim();
    if dim <= MOST || setup.model.has_closed_laplacian() {
        return Ok(());
    }
    let what = format!("the exact trace takes {dim} second-order passes an item, and {MOST} are the most");
    Err(Error::config(what).at("name").hint("random directions instead: --set method.name=sliced_score_matching"))
}
