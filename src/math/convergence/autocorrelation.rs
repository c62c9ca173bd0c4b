//! How like a chain is to itself some steps later.

use super::is_constant;
use crate::math::stats;

/// γ_t = 1/n Σ_{i < n-t} (x_i - x̄)(x_{i+t} - x̄) of values from which the mean has been taken.
pub(super) fn autocovariance(centred: &[f64], lag: usize) -> f64 {
    let later = centred.get(lag..).unwrap_or_default();
    centred.iter().zip(later).map(|(a, b)| a * b).sum::<f64>() / centred.len() as f64
}

/// The values without their mean; zeros, not rounding errors, for a chain that never moved.
pub(super) fn centred(chain: &[f64]) -> Vec<f64> {
    let mean = if is_constant(chain) { chain.first().copied().unwrap_or(0.0) } else { stats::mean(chain) };
    chain.iter().map(|v| v - mean).collect()
}

/// ρ_t = γ_t/γ_0 of one chain at the lags 0 to `lags`, fewer for a shorter chain; NaN for one that never moved.
pub fn autocorrelation(chain: &[f64], lags: usize) -> Vec<f64> {
    let centred = centred(chain);
    let most = lags.min(chain.len().saturating_sub(1));
    (0..=most).map(|lag| autocovariance(&centred, lag) / autocovariance(&centred, 0)).collect()
}
