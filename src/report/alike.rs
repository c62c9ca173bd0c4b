//! Groups whose difference in a metric is below its error.

use super::difference::paired;
use super::group::Group;
use super::number::{Flavour, with_error};
use super::summary::{Summary, student_95};
use crate::metrics::Unit;

/// Pairs that are named for each metric; the others are counted.
const NAMED: usize = 4;

/// A difference with half its 95 % interval.
struct Gap {
    mean: f64,
    half: f64,
    /// The larger of the two magnitudes.
    size: f64,
}

impl Gap {
    /// Whether the difference is inside its interval. Numbers that are the same in every run differ by 0 ± 0, or by
    /// what their means were rounded by, and that is no estimate.
    fn hides(&self) -> bool {
        self.half > 1e-14 * self.size && self.mean.abs() <= self.half
    }
}

/// The baseline of a group, if it has one.
pub(super) type Baseline<'f, 'g, 'a, 'b> = dyn Fn(&Group<'a, 'b>) -> Option<&'g Group<'a, 'b>> + 'f;

/// One line for each metric that does not tell groups apart which follow each other in the order of their means, or a
/// group from its baseline where there is one: the difference is inside its own 95 % interval. Groups of one run have
/// no error, and nothing is said of them.
pub(super) fn alike<'g, 'a, 'b>(
    all: &'g [Group<'a, 'b>],
    by: &[String],
    over: &[String],
    metrics: &[String],
    baseline: Option<&Baseline<'_, 'g, 'a, 'b>>,
) -> Vec<String> {
    let line = |metric: &String| {
        let pairs: Vec<[&Group<'_, '_>; 2]> = match baseline {
            None => neighbours(all, metric),
            Some(of) => all.iter().filter_map(|group| Some([group, of(group)?])).collect(),
        };
        let words = |[a, b]: [&Group<'_, '_>; 2]| {
            let Gap { mean, half, .. } = gap([a, b], over, metric).filter(Gap::hides)?;
            Some(format!(
                "{} and {} ({})",
                name(a, by),
                name(b, by),
                with_error(mean, half, Unit::Plain, Flavour::Plain)
            ))
        };
        let found: Vec<String> = pairs.into_iter().filter_map(words).collect();
        let more = found.len().saturating_sub(NAMED);
        let more = if more > 0 { format!("; and {more} more pairs") } else { String::new() };
        let named = found.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
        (!found.is_empty()).then(|| format!("{metric}: the difference is below its error between {named}{more}"))
    };
    metrics.iter().filter_map(line).collect()
}

/// Groups that follow each other in the order of their means.
fn neighbours<'g, 'a, 'b>(all: &'g [Group<'a, 'b>], metric: &str) -> Vec<[&'g Group<'a, 'b>; 2]> {
    let mean = |group: &'g Group<'a, 'b>| (Summary::of(&group.values_of(metric), false).mean, group);
    let mut known: Vec<(f64, &Group<'_, '_>)> = all.iter().map(mean).filter(|(mean, _)| mean.is_finite()).collect();
    known.sort_by(|a, b| a.0.total_cmp(&b.0));
    known.windows(2).filter_map(|pair| Some([pair.first()?.1, pair.get(1)?.1])).collect()
}

/// a - b by pairs of the same repeat, or by Welch's interval (1947) where fewer than two repeats are shared.
fn gap([a, b]: [&Group<'_, '_>; 2], over: &[String], metric: &str) -> Option<Gap> {
    let pairs = paired(a, b, over, metric);
    let [a, b] = [a, b].map(|group| Summary::of(&group.values_of(metric), false));
    let size = a.mean.abs().max(b.mean.abs());
    if pairs.n >= 2 {
        return Some(Gap { mean: pairs.mean, half: pairs.interval.1 - pairs.mean, size });
    }
    let [u, v] = [a.std_error.powi(2), b.std_error.powi(2)];
    let freedom = (u + v).powi(2) / (u * u / (a.n as f64 - 1.0) + v * v / (b.n as f64 - 1.0));
    let half = student_95(freedom.floor().max(1.0) as u32) * (u + v).sqrt();
    (a.n >= 2 && b.n >= 2).then_some(Gap { mean: a.mean - b.mean, half, size })
}

fn name(group: &Group<'_, '_>, by: &[String]) -> String {
    by.iter().zip(&group.values).map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}
