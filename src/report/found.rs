//! Whether numbers that were found after training were found in one way.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Run;
use crate::run::{Evaluation, evaluations::PREFIX};

/// A sentence for each of `metrics` that was found in several ways in those of `runs` that have it: with other keys of
/// the probe, other weights of the checkpoint.
pub fn different_ways(runs: &[&Run], metrics: &[String]) -> Vec<String> {
    metrics.iter().filter_map(|metric| ways(runs, metric)).collect()
}

fn ways(runs: &[&Run], metric: &str) -> Option<String> {
    let name = metric.strip_prefix(PREFIX)?;
    let has = |one: &&Evaluation| one.metrics.get(name).is_some();
    let newest = runs.iter().filter_map(|run| run.found.iter().rev().find(has));
    let hows: Vec<&BTreeMap<String, String>> = newest.map(|one| &one.how).collect();
    let keys: BTreeSet<&String> = hows.iter().flat_map(|how| how.keys()).collect();
    let different = keys.into_iter().filter_map(|key| {
        let mut values: BTreeMap<&str, usize> = BTreeMap::new();
        for how in &hows {
            *values.entry(how.get(key).map_or("not set", String::as_str)).or_default() += 1;
        }
        let told: Vec<String> = values.iter().map(|(value, runs)| format!("{value} in {runs}")).collect();
        (values.len() > 1).then(|| format!("{key} is {}", told.join(", ")))
    });
    let different: Vec<String> = different.collect();
    (!different.is_empty()).then(|| format!("`{metric}` was not found in one way: {}", different.join("; ")))
}
