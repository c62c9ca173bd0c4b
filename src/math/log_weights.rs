//! Importance weights, given by their logarithms: their mean, its error, and their effective number.

use rand::Rng as _;

use super::{log_mean_exp, logsumexp, stats};
use crate::rng::Key;

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

    /// The percentile bootstrap interval of [`LogWeights::log_mean`], which holds 95 % of its values on `draws`
    /// resamples (Efron 1979). It is too narrow where few weights count, and NaN without weights or draws.
    pub fn interval(&self, key: Key, draws: usize) -> (f64, f64) {
        let (n, log_mean) = (self.0.len(), self.log_mean());
        let shares: Vec<f64> = self.0.iter().map(|w| (w - log_mean).exp()).collect();
        let mut rng = key.rng();
        let mut resample = || (0..n).filter_map(|_| shares.get(rng.random_range(0..n))).sum::<f64>() / n as f64;
        let mut means: Vec<f64> = (0..if n == 0 { 0 } else { draws }).map(|_| resample()).collect();
        means.sort_by(f64::total_cmp);
        let at = |share: f64| means.get(((means.len() as f64 - 1.0) * share).round() as usize).copied();
        let end = |share: f64| at(share).map_or(f64::NAN, |mean| log_mean + mean.ln());
        (end(0.025), end(0.975))
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
        assert_eq!(equal.interval(Key::new(1), 100), (equal.log_mean(), equal.log_mean()));
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
    fn log_normal_weights_have_the_moments_and_the_intervals_cover() {
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
        let holds = |w: &LogWeights| {
            let (low, high) = w.interval(Key::new(3), 400);
            low <= 0.0 && 0.0 <= high
        };
        let covered = sets.iter().filter(|w| holds(w)).count();
        let (low, high) = stats::wilson(covered, trials as usize, 4.0);
        // The percentile bootstrap of a skewed mean covers a little less than it says.
        assert!(low < 0.95 && high > 0.93, "{covered} of {trials}");
    }
}
