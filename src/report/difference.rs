//! Differences to a baseline, paired by what was repeated.

use std::collections::BTreeMap;

use super::group::Group;
use super::summary::Summary;

/// The differences of a metric between two groups, pair by pair: the values of one seed against those of the same seed.
/// Several values of one seed are averaged first; seeds that only one side has are left out.
pub(super) fn paired(ours: &Group<'_, '_>, base: &Group<'_, '_>, over: &[String], metric: &str) -> Summary {
    let (ours, base) = (by_repeat(ours, over, metric), by_repeat(base, over, metric));
    let pairs = ours.iter().filter_map(|(repeat, a)| Some(Some(a - base.get(repeat)?)));
    Summary::of(&pairs.collect::<Vec<_>>(), false)
}

fn by_repeat(group: &Group<'_, '_>, over: &[String], metric: &str) -> BTreeMap<Vec<String>, f64> {
    let mut values: BTreeMap<Vec<String>, Vec<f64>> = BTreeMap::new();
    for member in group.members.iter().filter(|o| o.counts) {
        if let Some(value) = member.metrics.get(metric).filter(|v| v.is_finite()) {
            let repeat = over.iter().map(|key| member.key(key).into_owned()).collect();
            values.entry(repeat).or_default().push(value);
        }
    }
    values.into_iter().map(|(repeat, v)| (repeat, crate::math::stats::mean(&v))).collect()
}
