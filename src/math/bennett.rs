//! A ratio of normalisers from walks both ways (Bennett 1976).

use super::log_weights::{LogWeights, MARKOV};
use super::student_two_sided;

/// log Z from independent walks up, E\[w\] = Z, and down from draws of the target, E\[w\] = 1/Z, each way the other's
/// reversal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bennett {
    /// The estimate with the least variance of all that weigh both ways.
    pub log_z: f64,
    /// Its standard error; beyond all bounds where no walk of one way looks like one of the other.
    pub std_error: f64,
    /// A 95 % interval.
    pub interval: (f64, f64),
}

impl Bennett {
    /// By Crooks' relation a value u of log w up and of -log w down has densities with the ratio exp(u - log Z). So
    /// log Z is the offset of a logistic regression of the way on u with slope 1, Σ P(down | u) = n_down over all
    /// walks, and 1/ΣP(1 - P) - 1/n_up - 1/n_down its variance (Shirts, Bair, Hooker & Pande 2003).
    ///
    /// The interval is log_z ± t times the error, with t of the smaller number, and inside the one that holds for
    /// weights of any kind, up - log 40 to down + log 40 (Markov). It holds the truth where few weights of either way
    /// count.
    pub fn of(up: &LogWeights, down: &LogWeights) -> Self {
        let all: Vec<f64> = up.0.iter().copied().chain(down.0.iter().map(|w| -w)).collect();
        let (n_up, n_down) = (up.0.len() as f64, down.0.len() as f64);
        let odds = (n_down / n_up).ln();
        let is_down = |u: f64, log_z: f64| 1.0 / (1.0 + (log_z - u - odds).exp());
        let finite = || all.iter().copied().filter(|u| u.is_finite());
        let reach = 50.0 + odds.abs();
        let mut low = finite().fold(f64::INFINITY, f64::min) - reach;
        let mut high = finite().fold(f64::NEG_INFINITY, f64::max) + reach;
        for _ in 0..64 {
            let middle = 0.5 * (low + high);
            if all.iter().map(|u| is_down(*u, middle)).sum::<f64>() > n_down { low = middle } else { high = middle }
        }
        let log_z = 0.5 * (low + high);
        let information: f64 = all.iter().map(|u| is_down(*u, log_z)).map(|p| p * (1.0 - p)).sum();
        let std_error = (1.0 / information - 1.0 / n_up - 1.0 / n_down).max(0.0).sqrt();
        let half = student_two_sided(0.95, (up.0.len().min(down.0.len()).saturating_sub(1)) as u32) * std_error;
        let (least, most) = (up.log_mean() - MARKOV, MARKOV - down.log_mean());
        Bennett { log_z, std_error, interval: ((log_z - half).max(least), (log_z + half).min(most)) }
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng as _;
    use rand_distr::StandardNormal;

    use super::*;
    use crate::math::stats;
    use crate::rng::Key;

    /// log w of N(-s²/2, s²) up and of N(-s²/2, s²) down: Crooks' relation holds with Z = 1.
    fn both(key: Key, s: f64, n: [usize; 2]) -> [LogWeights; 2] {
        let mut rng = key.rng();
        n.map(|n| LogWeights((0..n).map(|_| s * rng.sample::<f64, _>(StandardNormal) - 0.5 * s * s).collect()))
    }

    #[test]
    fn the_interval_holds_the_truth_however_few_weights_count() {
        const TRIALS: u64 = 600;
        // With s = 4 the effective share is exp(-16) either way.
        for (s, n) in [(0.1, [50, 50]), (1.0, [100, 20]), (2.0, [50, 50]), (4.0, [100, 100])] {
            let found: Vec<Bennett> =
                (0..TRIALS).map(|i| both(Key::new(3).at(i), s, n)).map(|[up, down]| Bennett::of(&up, &down)).collect();
            let holds = |b: &&Bennett| b.interval.0 <= 0.0 && 0.0 <= b.interval.1;
            let covered = found.iter().filter(holds).count();
            let (low, high) = stats::wilson(covered, TRIALS as usize, 3.0);
            assert!(high > 0.95 && low < 0.96, "s = {s}: {covered} of {TRIALS}");
            let estimates: Vec<f64> = found.iter().map(|b| b.log_z).collect();
            assert!((stats::mean(&estimates) / stats::std_error(&estimates)).abs() < 4.0, "s = {s}");
        }
    }

    #[test]
    fn two_equal_walks_know_log_z_and_strangers_know_only_what_markov_says() {
        let of = |up: [f64; 3], down: [f64; 3]| Bennett::of(&LogWeights(up.to_vec()), &LogWeights(down.to_vec()));
        let sure = of([7.0; 3], [-7.0; 3]);
        assert!((sure.log_z - 7.0).abs() < 1e-12 && sure.std_error < 1e-6, "{sure:?}");
        let strangers = of([-900.0; 3], [-900.0; 3]);
        assert!(strangers.std_error > 1e3, "{strangers:?}");
        assert_eq!(strangers.interval, (-900.0 - MARKOV, 900.0 + MARKOV));
        // A walk up without weight is no walk of the other way.
        let without = of([0.0, 0.1, f64::NEG_INFINITY], [0.0, -0.1, 0.2]);
        assert!(without.log_z.is_finite() && without.std_error.is_finite(), "{without:?}");
    }
}
