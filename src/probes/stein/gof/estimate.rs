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

/// KSD² and its standard error off the null, 2 std(mean h(xᵢ, ·))/√n, from h `[n, n]`.
pub(super) fn estimate(h: &[f64], n: usize, statistic: Statistic) -> (f64, f64) {
    let rows: Vec<f64> = h.chunks_exact(n.max(1)).map(|row| row.iter().sum()).collect();
    let (own, pairs) = statistic.pairs(h, n);
    let value = (rows.iter().sum::<f64>() - own) / pairs;
    let means: Vec<f64> = rows.iter().map(|sum| sum / n as f64).collect();
    (value, 2.0 * stats::std_error(&means))
}
