//! R̂, the potential scale reduction: whether chains that started apart agree.

use super::{Draws, variance};
use crate::math::stats;

impl Draws {
    /// The potential scale reduction R̂: the larger of the rank-normalised split R̂ of the draws, which sees chains
    /// that disagree on where the mass is, and of their distances from the median, which sees chains that disagree on
    /// how wide it is (Vehtari et al. 2021, section 4). It should be below 1.01 for chains that are used.
    ///
    /// It is NaN for fewer than two chains or four draws, with a NaN among them, or if nothing ever moved; +∞ for
    /// chains that stand still at different places.
    pub fn rhat(&self) -> f64 {
        if self.chains().len() < 2 || self.is_unfit() {
            return f64::NAN;
        }
        let split = self.split();
        let centre = median(&split);
        let (bulk, tail) = (plain(&split.normalised()), plain(&split.map(|v| (v - centre).abs()).normalised()));
        // As a maximum that lets NaN through, unlike f64::max, where the first is one.
        if tail > bulk { tail } else { bulk }
    }
}

/// The plain R̂ = √((B/W + n - 1)/n), with n the draws of a chain, B/n the variance of the chains' means and W the mean
/// of their variances (Vehtari et al. 2021, eq. 1 to 4).
fn plain(draws: &Draws) -> f64 {
    let n = draws.len() as f64;
    let means: Vec<f64> = draws.chains().iter().map(|c| stats::mean(c)).collect();
    let within = stats::mean(&draws.chains().iter().map(|c| variance(c)).collect::<Vec<_>>());
    ((n * variance(&means) / within + n - 1.0) / n).sqrt()
}

fn median(draws: &Draws) -> f64 {
    let mut all: Vec<f64> = draws.flat().collect();
    all.sort_by(f64::total_cmp);
    let at = |i: usize| all.get(i).copied().unwrap_or(f64::NAN);
    if all.len() % 2 == 1 { at(all.len() / 2) } else { 0.5 * (at((all.len() / 2).wrapping_sub(1)) + at(all.len() / 2)) }
}
