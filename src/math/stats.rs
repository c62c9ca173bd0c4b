//! Statistics of samples, in f64. Those that are undefined for a sample (the mean of none, the spread of one) are NaN.

/// The mean x̄.
pub fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

/// The unbiased variance, Σ(x - x̄)² / (n - 1).
pub fn variance(x: &[f64]) -> f64 {
    let centre = mean(x);
    let squares: f64 = x.iter().map(|v| (v - centre).powi(2)).sum();
    squares / (x.len() as f64 - 1.0).max(0.0)
}

/// The standard deviation, the root of [`variance`].
pub fn std(x: &[f64]) -> f64 {
    variance(x).sqrt()
}

/// The standard error of the mean of n independent values, std / √n.
pub fn std_error(x: &[f64]) -> f64 {
    std(x) / (x.len() as f64).sqrt()
}

/// The total variation ½ Σ |p - q| of two distributions over the same things.
pub fn total_variation(p: &[f64], q: &[f64]) -> f64 {
    0.5 * p.iter().zip(q).map(|(p, q)| (p - q).abs()).sum::<f64>()
}

/// Wilson's interval (1927) for the probability of an event seen `hits` times in n trials, at the normal quantile z,
/// with p̂ = hits/n: (p̂ + z²/2n ± z √(p̂(1 - p̂)/n + z²/4n²)) / (1 + z²/n).
///
/// It is never outside [0, 1] and never empty, also at 0 of n, where p̂ ± z·se would be a point. It is NaN for n = 0.
pub fn wilson(hits: usize, n: usize, z: f64) -> (f64, f64) {
    let (none, all) = (hits == 0 && n > 0, hits == n && n > 0);
    let (n, p) = (n as f64, hits as f64 / n as f64);
    let (middle, scale) = (p + z * z / (2.0 * n), 1.0 + z * z / n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    // At the edges the ends are exact, but for rounding.
    (if none { 0.0 } else { (middle - half) / scale }, if all { 1.0 } else { (middle + half) / scale })
}

/// The Kolmogorov–Smirnov test: the largest distance D between the sample's distribution function and `cdf`, and its
/// p-value.
///
/// With n the sample's size, p comes from Kolmogorov's series Q(λ) = 2 Σ (-1)^{k-1} exp(-2k²λ²) at λ = (√n + 0.12 +
/// 0.11/√n) D (Stephens 1970).
pub fn kolmogorov_smirnov(sample: &[f64], cdf: impl Fn(f64) -> f64) -> (f64, f64) {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let distance = sorted.iter().enumerate().map(|(i, &x)| {
        let f = cdf(x);
        (f - i as f64 / n).max((i as f64 + 1.0) / n - f)
    });
    let d = distance.fold(if sorted.is_empty() { f64::NAN } else { 0.0 }, f64::max);
    (d, kolmogorov_tail((n.sqrt() + 0.12 + 0.11 / n.sqrt()) * d))
}

/// Kolmogorov's series Q(λ); below λ = 0.2 it is 1 to 13 digits, and the series would not converge.
fn kolmogorov_tail(lambda: f64) -> f64 {
    if lambda < 0.2 {
        return 1.0;
    }
    let term = |k: i32| f64::from(1 - 2 * (k % 2)) * (-2.0 * f64::from(k * k) * lambda * lambda).exp();
    (-2.0 * (1..=100).map(term).sum::<f64>()).clamp(0.0, 1.0)
}

/// Spearman's rank correlation: Pearson's correlation of the ranks, where equal values share their mean rank.
///
/// It is NaN if the lengths differ, there are fewer than two pairs, or one side is constant.
pub fn spearman(x: &[f64], y: &[f64]) -> f64 {
    if x.len() == y.len() { pearson(&ranks(x), &ranks(y)) } else { f64::NAN }
}

/// Pearson's correlation, in [-1, 1].
pub fn pearson(x: &[f64], y: &[f64]) -> f64 {
    let (mx, my) = (mean(x), mean(y));
    let sum = |f: &dyn Fn(f64, f64) -> f64| x.iter().zip(y).map(|(a, b)| f(a - mx, b - my)).sum::<f64>();
    sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
}

/// The ranks from 1; equal values share their mean rank.
pub(super) fn ranks(x: &[f64]) -> Vec<f64> {
    let mut sorted = x.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = |v: &f64| {
        let below = sorted.partition_point(|o| o.total_cmp(v).is_lt());
        let not_above = sorted.partition_point(|o| o.total_cmp(v).is_le());
        (below + not_above + 1) as f64 / 2.0
    };
    x.iter().map(rank).collect()
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::math::normal_cdf;
    use crate::rng::Key;

    #[test]
    fn moments_of_a_known_sample() {
        let x = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        assert_eq!(mean(&x), 5.0);
        assert_eq!(variance(&x), 32.0 / 7.0);
        assert_eq!(std_error(&x), (32.0f64 / 7.0).sqrt() / 8f64.sqrt());
        assert!(mean(&[]).is_nan() && std(&[]).is_nan() && std(&[1.0]).is_nan());
    }

    #[test]
    fn wilsons_interval_of_known_counts() {
        // Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
        let known =
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)];
        for (hits, n, low, high) in known {
            let (a, b) = wilson(hits, n, 1.959_963_984_540_054);
            assert!((a - low).abs() < 5.1e-5 && (b - high).abs() < 5.1e-5, "{hits} of {n}: {a}, {b}");
        }
        // The ends are the p with |p̂ - p| = z √(p(1 - p)/n).
        let (a, b) = wilson(3, 11, 1.5);
        for p in [a, b] {
            assert!(((3.0 / 11.0 - p).abs() - 1.5 * (p * (1.0 - p) / 11.0).sqrt()).abs() < 1e-15);
        }
        assert_eq!((wilson(0, 5, 2.0).0, wilson(5, 5, 2.0).1), (0.0, 1.0));
        assert!(wilson(0, 0, 2.0).0.is_nan());
    }

    #[test]
    fn kolmogorovs_critical_values() {
        // The asymptotic 5 % and 1 % points.
        assert!((kolmogorov_tail(1.358_098_6) - 0.05).abs() < 1e-6);
        assert!((kolmogorov_tail(1.627_623_6) - 0.01).abs() < 1e-6);
        assert_eq!(kolmogorov_tail(0.1), 1.0);
        let (d, _) = kolmogorov_smirnov(&[0.25, 0.75], |x| x);
        assert_eq!(d, 0.25);
    }

    #[test]
    fn p_values_are_uniform_under_the_null_and_tiny_off_it() {
        let draws = |i: u64| Key::new(3).at(i).normal(60, DType::F64, &Device::Cpu).unwrap().to_vec1::<f64>().unwrap();
        let p: Vec<f64> = (0..500).map(|i| kolmogorov_smirnov(&draws(i), normal_cdf).1).collect();
        assert!(kolmogorov_smirnov(&p, |x| x.clamp(0.0, 1.0)).1 > 0.01);
        let shifted: Vec<f64> = (0..5).flat_map(draws).map(|x| x + 0.5).collect();
        assert!(kolmogorov_smirnov(&shifted, normal_cdf).1 < 1e-6);
    }

    #[test]
    fn rank_correlation_of_known_pairs() {
        let x = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert!((spearman(&x, &x.map(|v: f64| v.exp())) - 1.0).abs() < 1e-15);
        assert!((spearman(&x, &x.map(|v| -v)) + 1.0).abs() < 1e-15);
        // 1 - 6 Σd² / (n(n² - 1)) with d = 1, -1, 0, 1, -1.
        assert!((spearman(&x, &[2.0, 1.0, 3.0, 5.0, 4.0]) - (1.0 - 6.0 * 4.0 / 120.0)).abs() < 1e-15);
        assert_eq!(ranks(&[7.0, 1.0, 7.0]), [2.5, 1.0, 2.5]);
        assert!(spearman(&x, &[1.0; 5]).is_nan() && spearman(&x, &[1.0]).is_nan());
    }
}
