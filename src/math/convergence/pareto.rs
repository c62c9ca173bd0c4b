//! Pareto-smoothed importance sampling: the tail index of importance weights, and weights without the noise of the
//! tail.

use crate::math::logsumexp;

/// Importance weights with a smoothed tail.
#[derive(Clone, Debug, PartialEq)]
pub struct Smoothed {
    /// The shape k̂ of the generalised Pareto density fitted to the tail: above 0.7 no average over these weights is
    /// reliable. It is +∞ if the tail is too short or too flat to be fitted, NaN without weights.
    pub k: f64,
    /// The logarithms of the smoothed weights, which sum to 1, in the order given.
    pub log_weights: Vec<f64>,
}

/// Smooths the largest min(S/5, 3√(S/r)) of S importance weights by Pareto-smoothed importance sampling (Vehtari,
/// Simpson, Gelman, Yao & Gabry 2024). r = `efficiency` is ESS/S of the draws they belong to, 1 for independent draws.
///
/// A NaN among the weights gives NaN.
pub fn psis(log_weights: &[f64], efficiency: f64) -> Smoothed {
    let n = log_weights.len();
    let largest = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() || log_weights.iter().any(|w| w.is_nan()) {
        return Smoothed { k: f64::NAN, log_weights: vec![f64::NAN; n] };
    }
    let mut x: Vec<f64> = log_weights.iter().map(|w| w - largest).collect();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| value(&x, *a).total_cmp(&value(&x, *b)));
    let tail = (n as f64 / 5.0).min(3.0 * (n as f64 / efficiency).sqrt()).ceil() as usize;
    let place = order.get(n.saturating_sub(tail + 1)).copied().unwrap_or(0);
    let cutoff = value(&x, place).max(f64::MIN_POSITIVE.ln());
    let above: Vec<usize> = order.into_iter().filter(|i| value(&x, *i) > cutoff).collect();
    let k = smooth(&mut x, &above, cutoff.exp());
    let total = logsumexp(&x);
    x.iter_mut().for_each(|w| *w -= total);
    Smoothed { k, log_weights: x }
}

fn value(x: &[f64], i: usize) -> f64 {
    x.get(i).copied().unwrap_or(f64::NAN)
}

/// Replaces the weights `tail`, which are in ascending order, by quantiles of the density fitted to them, and returns
/// k̂.
fn smooth(x: &mut [f64], tail: &[usize], cutoff: f64) -> f64 {
    if tail.len() <= 4 {
        return f64::INFINITY;
    }
    let excess: Vec<f64> = tail.iter().map(|i| value(x, *i).exp() - cutoff).collect();
    let (k, sigma) = fit(&excess);
    if !k.is_finite() {
        return k;
    }
    for (rank, i) in tail.iter().enumerate() {
        let p = (rank as f64 + 0.5) / tail.len() as f64;
        if let Some(w) = x.get_mut(*i) {
            *w = (quantile(p, k, sigma) + cutoff).ln().min(0.0);
        }
    }
    k
}

/// The shape k̂ and the scale σ of the generalised Pareto density by Zhang & Stephens (2009), with k̂ drawn towards ½
/// by a prior worth ten draws.
fn fit(sorted: &[f64]) -> (f64, f64) {
    const PRIOR_B: f64 = 3.0;
    const PRIOR_K: f64 = 10.0;
    let n = sorted.len();
    let count = 30 + (n as f64).sqrt() as usize;
    let quartile = value(sorted, (n as f64 / 4.0 + 0.5) as usize - 1);
    let candidate = |j: usize| {
        let root = (count as f64 / (j as f64 + 0.5)).sqrt();
        (1.0 - root) / (PRIOR_B * quartile) + 1.0 / value(sorted, n - 1)
    };
    let shape = |b: f64| sorted.iter().map(|v| (-b * v).ln_1p()).sum::<f64>() / n as f64;
    let b: Vec<f64> = (0..count).map(candidate).collect();
    let likelihood = |b: &f64| {
        let k = shape(*b);
        n as f64 * ((-b / k).ln() - k - 1.0)
    };
    let scores: Vec<f64> = b.iter().map(likelihood).collect();
    let share = |s: &f64| 1.0 / scores.iter().map(|other| (other - s).exp()).sum::<f64>();
    let kept: Vec<(f64, f64)> = scores.iter().map(share).zip(b).filter(|(w, _)| *w >= 10.0 * f64::EPSILON).collect();
    let total: f64 = kept.iter().map(|(w, _)| w).sum();
    let posterior = kept.iter().map(|(w, b)| w / total * b).sum::<f64>();
    let k = shape(posterior);
    ((n as f64 * k + PRIOR_K * 0.5) / (n as f64 + PRIOR_K), -k / posterior)
}

/// The p-quantile of the generalised Pareto density with shape k and scale σ.
fn quantile(p: f64, k: f64, sigma: f64) -> f64 {
    match (sigma <= 0.0, k.abs() < f64::EPSILON) {
        (true, _) => f64::NAN,
        (_, true) => -sigma * (-p).ln_1p(),
        _ => sigma * (-k * (-p).ln_1p()).exp_m1() / k,
    }
}
