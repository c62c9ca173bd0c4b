//! The estimate of the squared kernelised Stein discrepancy from the matrix of h(xᵢ, xⱼ).

use serde::{Deserialize, Serialize};

use crate::math::stats;

/// Which pairs the estimate averages over.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// Different items only: unbiased.
    U,
    /// All pairs, as kgof has it: never negative. Under random signs both move by the same constant, so that the
    /// p-value is the same.
    V,
}

impl Statistic {
    /// What of Σ h over all of h `[n, n]` is left out, and the number of pairs that stay.
    pub(super) fn pairs(self, h: &[f64], n: usize) -> (f64, f64) {
        match self {
            Statistic::U => (h.iter().step_by(n + 1).sum(), (n * n.saturating_sub(1)) as f64),
            Statistic::V => (0.0, (n * n) as f64),
        }
    }
}

/// KSD² and its jackknife standard error, √((n - 1)/n Σ (θ₋ᵢ - θ̄₋)²) over the estimates θ₋ᵢ that leave out one item
/// (Arvesen 1969), from h `[n, n]`.
///
/// Of [`Statistic::U`], 2(n - 1)/(n - 2) std(aᵢ)/√n with aᵢ the mean of h(xᵢ, xⱼ) over j ≠ i: no h(xᵢ, xᵢ) enters,
/// which one outlier makes as large as the square of its score. Under the null, where the aᵢ vanish, it is √2 times too
/// large.
pub(super) fn estimate(h: &[f64], n: usize, statistic: Statistic) -> (f64, f64) {
    let rows: Vec<f64> = h.chunks_exact(n.max(1)).map(|row| row.iter().sum()).collect();
    let (own, pairs) = statistic.pairs(h, n);
    let total = rows.iter().sum::<f64>() - own;
    let count = n as f64;
    // What an item takes along: its row and its column, and h(xᵢ, xᵢ), which is in both, once.
    let without = |(row, h): (f64, f64)| match statistic {
        Statistic::U => (total - 2.0 * (row - h)) / ((count - 1.0) * (count - 2.0)),
        Statistic::V => (total - 2.0 * row + h) / (count - 1.0).powi(2),
    };
    let left: Vec<f64> = rows.into_iter().zip(h.iter().step_by(n + 1).copied()).map(without).collect();
    (total / pairs, (count - 1.0) * stats::std_error(&left))
}
