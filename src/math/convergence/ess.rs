//! The effective sample size: the number of independent draws that would determine an average as well.

use super::autocorrelation::{autocovariance, centred};
use super::{Draws, stats, variance};

/// The range below which all draws count as one number, as in ArviZ (the decimal resolution of f64).
const RESOLUTION: f64 = 1e-15;

impl Draws {
    /// The bulk effective sample size: that of the rank-normalised split chains (Vehtari et al. 2021, section 4.1).
    ///
    /// It is NaN for fewer than four draws or with a NaN among them. Draws that are all one number are worth their
    /// count by ArviZ's convention, which says nothing about the chains: see [`Draws::stuck`].
    pub fn ess_bulk(&self) -> f64 {
        if self.is_unfit() { f64::NAN } else { ess(&self.split().normalised()) }
    }

    /// The tail effective sample size: the smaller one of those for the 5 % and 95 % quantiles (Vehtari et al. 2021,
    /// section 4.3). It is NaN where [`Draws::ess_bulk`] is.
    pub fn ess_tail(&self) -> f64 {
        if self.is_unfit() {
            return f64::NAN;
        }
        let mut sorted: Vec<f64> = self.flat().collect();
        sorted.sort_by(f64::total_cmp);
        let below = |q: f64| ess(&self.split().map(|v| f64::from(u8::from(v <= q))));
        let (low, high) = (below(quantile(&sorted, 0.05)), below(quantile(&sorted, 0.95)));
        if high < low { high } else { low }
    }

    /// The effective sample size for the mean: that of the split chains as they are, without ranks. It is NaN where
    /// [`Draws::ess_bulk`] is.
    pub fn ess_mean(&self) -> f64 {
        if self.is_unfit() { f64::NAN } else { ess(&self.split()) }
    }

    /// The autocorrelation time τ = S/ESS for the mean: the number of draws, of S in all, that are worth one
    /// independent draw. It is NaN where nothing moved.
    pub fn autocorrelation_time(&self) -> f64 {
        if self.is_constant() { f64::NAN } else { self.total() as f64 / self.ess_mean() }
    }
}

/// The p-quantile of ascending numbers, type 7 of Hyndman & Fan (1996), in ArviZ's order of operations. The quantile of
/// a value that repeats may come out one rounding below it, and the value then counts as above the quantile, as in
/// ArviZ.
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let n = sorted.len() as f64;
    let place = n * p + (1.0 - p);
    let k = place.clamp(1.0, (n - 1.0).max(1.0)).floor();
    let share = (place - k).clamp(0.0, 1.0);
    let at = |i: f64| sorted.get(i as usize).copied().unwrap_or(f64::NAN);
    (1.0 - share) * at(k - 1.0) + share * at(k)
}

/// The autocorrelations ρ_t = 1 - (W - mean γ_t)/var⁺ over chains (Vehtari et al. 2021, eq. 10), one lag after the
/// other, with γ_t a chain's autocovariance, W the variance within chains and var⁺ the pooled estimate.
struct Correlation {
    chains: Vec<Vec<f64>>,
    within: f64,
    var_plus: f64,
}

impl Correlation {
    fn of(draws: &Draws) -> Self {
        let chains: Vec<Vec<f64>> = draws.chains().iter().map(|c| centred(c)).collect();
        let n = draws.len() as f64;
        let means: Vec<f64> = draws.chains().iter().map(|c| stats::mean(c)).collect();
        let biased = mean_autocovariance(&chains, 0);
        let between = if means.len() > 1 { variance(&means) } else { 0.0 };
        Correlation { chains, within: biased * n / (n - 1.0), var_plus: biased + between }
    }

    fn at(&self, lag: usize) -> f64 {
        1.0 - (self.within - mean_autocovariance(&self.chains, lag)) / self.var_plus
    }
}

fn mean_autocovariance(chains: &[Vec<f64>], lag: usize) -> f64 {
    chains.iter().map(|c| autocovariance(c, lag)).sum::<f64>() / chains.len() as f64
}

/// The effective sample size S/τ of S draws, with τ = -1 + 2 Σ ρ_t over Geyer's initial monotone sequence (Vehtari et
/// al. 2021, eq. 13), at least 1/log₁₀ S.
fn ess(draws: &Draws) -> f64 {
    let (low, high) = draws.flat().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let total = draws.total() as f64;
    if high - low < RESOLUTION {
        return total;
    }
    let (pairs, next) = initial_positive(&Correlation::of(draws), draws.len());
    let tau = 2.0 * monotone(&pairs).iter().sum::<f64>() - 1.0 + next;
    let tau = if tau.is_nan() { tau } else { tau.max(1.0 / total.log10()) };
    total / tau
}

/// The sums ρ_{2k} + ρ_{2k+1} while they are positive, and the even term that follows them, 0 unless it is positive.
fn initial_positive(rho: &Correlation, n: usize) -> (Vec<f64>, f64) {
    let (mut even, mut odd, mut t) = (1.0, rho.at(1), 1);
    let mut pairs = vec![even + odd];
    while t + 3 < n && even + odd > 0.0 {
        (even, odd) = (rho.at(t + 1), rho.at(t + 2));
        pairs.push((even + odd).max(0.0));
        t += 2;
    }
    // The pair at which the loop ended is no part of the sequence; of it, only an even term above 0 counts.
    pairs.pop();
    (pairs, if even > 0.0 { even } else { 0.0 })
}

/// The sequence with each pair cut to at most the one before it.
fn monotone(pairs: &[f64]) -> Vec<f64> {
    let mut least = f64::INFINITY;
    let cut = |p: &f64| {
        least = if *p > least { least } else { *p };
        least
    };
    pairs.iter().map(cut).collect()
}
