//! One metric of one group: what its repeats say.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::math::{normal_quantile, stats, student_two_sided};

/// Runs that are not in a mean, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<String, usize>);

impl Tally {
    /// One more for this reason.
    pub fn add(&mut self, reason: &str) {
        *self.0.entry(reason.to_owned()).or_default() += 1;
    }

    /// How many for this reason.
    pub fn of(&self, reason: &str) -> usize {
        self.0.get(reason).copied().unwrap_or(0)
    }

    /// How many in all.
    pub fn total(&self) -> usize {
        self.0.values().sum()
    }

    /// Reasons with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.iter().map(|(reason, n)| (reason.as_str(), *n))
    }

    /// `2 diverged, 1 not finite`; empty if there are none.
    pub fn words(&self) -> String {
        self.iter().map(|(reason, n)| format!("{n} {reason}")).collect::<Vec<_>>().join(", ")
    }
}

/// How a 95 % interval was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// x̄ ± t·s/√n with Student's t of n - 1 degrees of freedom.
    Student,
    /// Wilson's, for a share of yes among yes and no.
    Wilson,
}

/// Student's t for a 95 % interval. Groups of few repeats come by the thousand, so that few degrees of freedom are
/// looked up once.
pub(super) fn student_95(freedom: u32) -> f64 {
    static KNOWN: [OnceLock<f64>; 64] = [const { OnceLock::new() }; 64];
    match KNOWN.get(freedom as usize) {
        Some(known) => *known.get_or_init(|| student_two_sided(0.95, freedom)),
        None => student_two_sided(0.95, freedom),
    }
}

/// Statistics of the values that count.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// How many values.
    pub n: usize,
    /// Their mean; NaN without values.
    pub mean: f64,
    /// Sample standard deviation, with n - 1; NaN for fewer than two.
    pub std: f64,
    /// std / √n.
    pub std_error: f64,
    /// 95 % interval of the mean; NaN for fewer than two values, except for Wilson's.
    pub interval: (f64, f64),
    /// How the interval was made.
    pub kind: Interval,
    /// The smallest value; NaN without values.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// Values that are NaN or infinite: counted here, in no mean.
    pub not_finite: usize,
    /// Finished runs that did not log this metric.
    pub missing: usize,
}

impl Summary {
    /// Statistics of `values`, `None` for a run without this metric; `rate` says that it is a share of ones among zeros
    /// and ones, whose interval is Wilson's (if another value turns up, it is Student's after all).
    pub fn of(values: &[Option<f64>], rate: bool) -> Self {
        let known: Vec<f64> = values.iter().flatten().copied().collect();
        let finite: Vec<f64> = known.iter().copied().filter(|v| v.is_finite()).collect();
        let (n, mean, std_error) = (finite.len(), stats::mean(&finite), stats::std_error(&finite));
        let binary = rate && n > 0 && finite.iter().all(|v| *v == 0.0 || *v == 1.0);
        let kind = if binary { Interval::Wilson } else { Interval::Student };
        let interval = match kind {
            Interval::Wilson => {
                let hits = finite.iter().filter(|v| **v == 1.0).count();
                stats::wilson(hits, n, normal_quantile(0.975))
            }
            Interval::Student => {
                let half = student_95(n.saturating_sub(1) as u32) * std_error;
                (mean - half, mean + half)
            }
        };
        Summary {
            n,
            mean,
            std: stats::std(&finite),
            std_error,
            interval,
            kind,
            min: finite.iter().copied().reduce(f64::min).unwrap_or(f64::NAN),
            max: finite.iter().copied().reduce(f64::max).unwrap_or(f64::NAN),
            not_finite: known.len() - n,
            missing: values.len() - known.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_against_values_by_hand() {
        // Mean 5, Σ(x - 5)² = 10, s² = 10/4; t of 4 degrees is 2.776445.
        let s = Summary::of(&[3.0, 4.0, 5.0, 6.0, 7.0].map(Some), false);
        assert_eq!((s.n, s.mean, s.min, s.max), (5, 5.0, 3.0, 7.0));
        assert!((s.std - 2.5f64.sqrt()).abs() < 1e-15 && (s.std_error - 0.5f64.sqrt()).abs() < 1e-15);
        assert!((s.interval.1 - 5.0 - 2.776_445_105 * 0.5f64.sqrt()).abs() < 1e-8);
        assert!((s.interval.0 + s.interval.1 - 10.0).abs() < 1e-14);
    }

    #[test]
    fn what_is_not_finite_or_missing_is_counted_and_not_averaged() {
        let s = Summary::of(&[Some(1.0), Some(f64::NAN), None, Some(3.0), Some(f64::INFINITY)], false);
        assert_eq!((s.n, s.mean, s.not_finite, s.missing), (2, 2.0, 2, 1));
        let none = Summary::of(&[None, Some(f64::NAN)], true);
        assert!(none.n == 0 && none.mean.is_nan() && none.interval.0.is_nan() && none.min.is_nan());
        let one = Summary::of(&[Some(7.0)], false);
        assert!(one.mean == 7.0 && one.std.is_nan() && one.interval.0.is_nan());
    }

    #[test]
    fn a_rate_has_wilsons_interval_even_at_the_edge() {
        let s = Summary::of(&[Some(0.0); 20], true);
        assert!(s.kind == Interval::Wilson && s.interval.0 == 0.0 && (s.interval.1 - 0.1611).abs() < 5e-5);
        assert_eq!(Summary::of(&[Some(0.0), Some(0.5)], true).kind, Interval::Student);
    }
}
