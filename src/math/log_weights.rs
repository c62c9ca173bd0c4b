//! Importance weights, given by their logarithms: their mean, its error, and their effective number.

use std::f64::consts::PI;

use rand::Rng as _;

use super::{log_mean_exp, logsumexp, stats, student_two_sided};
use crate::rng::Key;

/// log 40: a mean of positive numbers is 40 times its expectation or more with probability 1/40 at most (Markov), so
/// that twice this width holds 95 %, whatever the numbers are.
pub(super) const MARKOV: f64 = 3.688_879_454_113_936;

/// The logarithms log wᵢ of the importance weights of n independent draws, in f64; -∞ is a draw without weight.
#[derive(Clone, Debug, PartialEq)]
pub struct LogWeights(pub Vec<f64>);

impl LogWeights {
    /// The weights log wᵢ = -E(xᵢ) - log q(xᵢ) of draws xᵢ of the density q for an energy E, up to a constant; -∞ where
    /// E(xᵢ) is not finite or log q(xᵢ) is NaN.
    pub fn of(energy: &[f64], log_q: &[f64]) -> Self {
        let weight = |(e, q): (&f64, &f64)| {
            let w = -e - q;
            if e.is_finite() && !w.is_nan() { w } else { f64::NEG_INFINITY }
        };
        LogWeights(energy.iter().zip(log_q).map(weight).collect())
    }

    /// The logarithm of the mean weight, which estimates log Z, with Z = ∫ exp(-E) the normaliser. Its expectation lies
    /// below log Z (Jensen's inequality).
    pub fn log_mean(&self) -> f64 {
        log_mean_exp(&self.0)
    }

    /// The standard error of [`LogWeights::log_mean`] to first order: std(w) / (mean(w) √n).
    pub fn std_error(&self) -> f64 {
        let log_mean = self.log_mean();
        stats::std_error(&self.0.iter().map(|w| (w - log_mean).exp()).collect::<Vec<_>>())
    }

    /// The effective sample size (Σ w)² / Σ w²: from 1, where one weight has all the mass, to n, where all are equal
    /// (Kong 1992).
    pub fn effective(&self) -> f64 {
        let squares: Vec<f64> = self.0.iter().map(|w| 2.0 * w).collect();
        (2.0 * logsumexp(&self.0) - logsumexp(&squares)).exp()
    }

    /// The normalised weights wᵢ/Σw.
    pub fn shares(&self) -> Vec<f64> {
        let total = logsumexp(&self.0);
        self.0.iter().map(|w| (w - total).exp()).collect()
    }

    /// A sample of n indices by weight, in ascending order: index i is chosen ⌊n wᵢ⌋ or ⌈n wᵢ⌉ times, with wᵢ the
    /// normalised weight (systematic resampling, Kitagawa 1996). It is empty where no draw has weight.
    pub fn draw(&self, key: Key, n: usize) -> Vec<u32> {
        systematic(&self.shares(), n, key.rng().random())
    }

    /// A 95 % interval of the logarithm of the expected weight, of independent draws.
    ///
    /// A studentised bootstrap of [`LogWeights::log_mean`] on `draws` resamples (Efron 1979; Hall 1988), Student's
    /// interval for a handful of weights. Its upper end is too low where the largest weights are yet to be drawn, for
    /// then mean and error are both too small. So it is at least that of log-normal weights as wide as the upper half
    /// of these (after Cox; Land 1972): m + s²/2 ± t √(π s²/2n + s⁴/n), m the median of log w and s² the mean square
    /// distance of the upper half from it, which heavy tails on the left, harmless as they are, do not enter. The lower
    /// end is at least log_mean - log 40, which weights of any kind allow (Markov).
    ///
    /// NaN without weights.
    pub fn interval(&self, key: Key, draws: usize) -> (f64, f64) {
        /// Of fewer weights, resamples are too often a few of them again and again.
        const FEWEST: usize = 10;
        let (n, centre, error) = (self.0.len(), self.log_mean(), self.std_error());
        let t = student_two_sided(0.95, n.saturating_sub(1) as u32);
        let ratios = if n < FEWEST { Vec::new() } else { self.ratios(key, draws) };
        let at = |share: f64| ratios.get(((ratios.len() as f64 - 1.0) * share).round() as usize).copied();
        let (low, high) = (centre - at(0.975).unwrap_or(t) * error, centre - at(0.025).unwrap_or(-t) * error);
        let (median, square) = self.upper_half();
        let log_normal = median + 0.5 * square + t * ((0.5 * PI * square + square * square) / n as f64).sqrt();
        (low.max(centre - MARKOV), if log_normal > high { log_normal } else { high })
    }

    /// The error of the logarithm of the mean over its standard error, on resamples, in ascending order; without those
    /// that are one weight again and again.
    fn ratios(&self, key: Key, draws: usize) -> Vec<f64> {
        let (n, centre) = (self.0.len(), self.log_mean());
        let shares: Vec<f64> = self.0.iter().map(|w| (w - centre).exp()).collect();
        let mut rng = key.rng();
        let mut ratio = || {
            let drawn = (0..n).filter_map(|_| shares.get(rng.random_range(0..n)));
            let (sum, squares) = drawn.fold((0.0, 0.0), |(sum, squares), w| (sum + w, squares + w * w));
            let mean = sum / n as f64;
            let variance = (squares - sum * mean) / (n as f64 - 1.0);
            mean.ln() * mean / (variance / n as f64).sqrt()
        };
        let mut ratios: Vec<f64> = (0..draws).map(|_| ratio()).filter(|ratio| ratio.is_finite()).collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    }

    /// The effective number that n weights come to if they are log-normal, as wide as the upper half of these: n
    /// exp(-s²). Where few weights count, [`LogWeights::effective`] is too large by luck: the weights that would make
    /// it small are those that were not drawn.
    pub fn effective_to_expect(&self) -> f64 {
        self.0.len() as f64 * (-self.upper_half().1).exp()
    }

    /// The median of log w, and the mean square distance from it of those that are not below it.
    fn upper_half(&self) -> (f64, f64) {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let (below, upper) = sorted.split_at(sorted.len() / 2);
        let middle = if sorted.len().is_multiple_of(2) {
            below.last().zip(upper.first())
        } else {
            upper.first().zip(upper.first())
        };
        let median = middle.map_or(f64::NAN, |(a, b)| 0.5 * (a + b));
        (median, stats::mean(&upper.iter().map(|w| (w - median).powi(2)).collect::<Vec<_>>()))
    }
}

/// The indices at which the points (i + u)/n, i from 0, fall on the cumulative sums of the shares.
fn systematic(shares: &[f64], n: usize, u: f64) -> Vec<u32> {
    // The shares may sum to a little less than 1.
    let Some(last) = shares.iter().rposition(|share| *share > 0.0) else { return Vec::new() };
    let (mut chosen, mut reached) = (Vec::with_capacity(n), 0.0);
    for (place, share) in shares.iter().enumerate() {
        reached += share * n as f64;
        while chosen.len() < n && chosen.len() as f64 + u < reached {
            chosen.push(place as u32);
        }
    }
    chosen.resize(n, last as u32);
    chosen
}

#[cfg(test)]
mod tests {
    use rand_distr::StandardNormal;

    use super::*;

    #[test]
    fn equal_weights_all_count_and_a_single_one_counts_as_one() {
        let equal = LogWeights(vec![-700.0; 40]);
        assert!((equal.log_mean() + 700.0).abs() < 1e-12 && (equal.effective() - 40.0).abs() < 1e-9);
        assert!(equal.std_error() < 1e-12);
        let (low, high) = equal.interval(Key::new(1), 100);
        assert!((low + 700.0).abs() < 1e-9 && (high + 700.0).abs() < 1e-9 && equal.effective_to_expect() == 40.0);
        let mut one = vec![f64::NEG_INFINITY; 9];
        one.push(3.0);
        let one = LogWeights(one);
        assert!((one.log_mean() - (3.0 - 10f64.ln())).abs() < 1e-12 && (one.effective() - 1.0).abs() < 1e-12);
        let none = LogWeights(vec![]);
        assert!(none.log_mean().is_nan() && none.interval(Key::new(1), 100).0.is_nan());
    }

    #[test]
    fn a_place_is_drawn_as_often_as_its_share_says() {
        assert_eq!(systematic(&[0.5, 0.0, 0.25, 0.25], 4, 0.5), [0, 0, 2, 3]);
        assert_eq!(systematic(&[0.1, 0.9], 2, 0.1), [0, 1]);
        assert_eq!(systematic(&[0.1, 0.9], 2, 0.9), [1, 1]);
        assert_eq!(systematic(&[0.5, 0.5 - 1e-9, 0.0], 3, 0.999_999_999_9), [0, 1, 1]);
        let none = LogWeights(vec![f64::NEG_INFINITY; 3]).draw(Key::new(1), 5);
        assert_eq!(none, [0u32; 0]);
    }

    #[test]
    fn a_draw_where_energy_or_density_is_no_number_has_no_weight() {
        const INF: f64 = f64::INFINITY;
        let found = LogWeights::of(&[1.0, INF, -INF, f64::NAN, 1.0, 1.0], &[-3.0, 0.0, 0.0, 0.0, f64::NAN, INF]);
        assert_eq!(found.0, [2.0, -INF, -INF, -INF, -INF, -INF]);
    }

    #[test]
    fn log_normal_weights_have_the_moments() {
        // log w ~ N(-s²/2, s²): mean weight 1, effective share exp(-s²).
        let (s, n, trials) = (0.7, 400, 300);
        let draw = |key: Key| {
            let mut rng = key.rng();
            LogWeights((0..n).map(|_| s * rng.sample::<f64, _>(StandardNormal) - 0.5 * s * s).collect())
        };
        let sets: Vec<LogWeights> = (0..trials).map(|i| draw(Key::new(7).at(i))).collect();
        let means: Vec<f64> = sets.iter().map(|w| w.log_mean().exp()).collect();
        assert!(((stats::mean(&means) - 1.0) / stats::std_error(&means)).abs() < 4.0);
        let errors: Vec<f64> = sets.iter().map(LogWeights::std_error).collect();
        let want = ((s * s).exp_m1() / n as f64).sqrt();
        assert!((stats::mean(&errors) / want - 1.0).abs() < 0.1, "{} and {want}", stats::mean(&errors));
        let shares: Vec<f64> = sets.iter().map(|w| w.effective() / n as f64).collect();
        assert!((stats::mean(&shares) / (-s * s).exp() - 1.0).abs() < 0.05);
    }

    /// How many of the sets have 0 in their interval.
    fn covered(sets: &[LogWeights]) -> usize {
        let holds = |w: &&LogWeights| {
            let (low, high) = w.interval(Key::new(3), 200);
            low <= 0.0 && 0.0 <= high
        };
        sets.iter().filter(holds).count()
    }

    #[test]
    fn the_interval_holds_the_truth_also_where_few_weights_count() {
        const TRIALS: u64 = 300;
        // Log-normal weights from nearly equal ones to such as a handful has it all; and, with a heavy tail on the
        // left, log w = -a χ²₄ + 2 log(1 + 2a).
        let normal = |n: usize, s: f64| {
            let draw = move |i: u64| {
                let mut rng = Key::new(7).at(i).rng();
                LogWeights((0..n).map(|_| s * rng.sample::<f64, _>(StandardNormal) - 0.5 * s * s).collect())
            };
            (0..TRIALS).map(draw).collect::<Vec<_>>()
        };
        let left = |i: u64| {
            let mut rng = Key::new(8).at(i).rng();
            let mut square = || rng.sample::<f64, _>(StandardNormal).powi(2);
            LogWeights((0..50).map(|_| 2.0 * 3f64.ln() - (0..4).map(|_| square()).sum::<f64>()).collect())
        };
        let left: Vec<LogWeights> = (0..TRIALS).map(left).collect();
        let cases = [(50, 0.1), (50, 0.4), (50, 1.0), (50, 2.0), (100, 2.0)].map(|(n, s)| (s, normal(n, s)));
        for (s, sets) in cases.into_iter().chain([(-1.0, left)]) {
            let (low, high) = stats::wilson(covered(&sets), TRIALS as usize, 3.0);
            assert!(high > 0.95 && low < 0.97, "s = {s}: {} of {TRIALS}", covered(&sets));
        }
    }

    #[test]
    fn the_number_to_expect_does_not_hope_for_luck() {
        // s = 2: the share is exp(-4), 1.8 of 100, while the effective number is often above 10.
        let mut rng = Key::new(5).rng();
        let mut set = || LogWeights((0..100).map(|_| 2.0 * rng.sample::<f64, _>(StandardNormal)).collect());
        let sets: Vec<LogWeights> = (0..300).map(|_| set()).collect();
        let share = |of: fn(&LogWeights) -> f64| sets.iter().filter(|w| of(w) > 12.0).count();
        let (lucky, expected) = (share(LogWeights::effective), share(LogWeights::effective_to_expect));
        assert!(lucky > 80 && expected < 15, "{lucky} {expected}");
    }
}
