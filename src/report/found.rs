//! Whether numbers that were found after training were found in one way.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Run;
use crate::metrics::Unit;
use crate::run::{Declared, Evaluation, evaluations::PREFIX};

/// A sentence for each of `metrics` that was found in several ways in those of `runs` that have it, with other keys of
/// the probe or other weights of the checkpoint: but for the keys that are `told`.
pub fn different_ways(runs: &[&Run], metrics: &[String], told: &[String]) -> Vec<String> {
    metrics.iter().flat_map(|metric| [ways(runs, metric, told), again(runs, metric, told)]).flatten().collect()
}

/// What tells apart findings of one step of a run, of which the newest counts.
fn again(runs: &[&Run], metric: &str, told: &[String]) -> Option<String> {
    let name = metric.strip_prefix(PREFIX)?;
    let of_run = |run: &&&Run| {
        let mut hows: BTreeMap<u64, Vec<&BTreeMap<String, String>>> = BTreeMap::new();
        let has = run.found.iter().filter(|one| one.metrics.get(name).is_some());
        has.for_each(|one| hows.entry(one.step).or_default().push(&one.how));
        let keys: BTreeSet<&String> = hows.values().flatten().flat_map(|how| how.keys()).collect();
        let values = |of: &[&BTreeMap<String, String>], key: &String| -> BTreeSet<String> {
            of.iter().filter_map(|how| how.get(key)).cloned().collect()
        };
        let differs = |key: &&String| hows.values().any(|of| values(of, key).len() > 1);
        keys.into_iter().filter(|key| !is_told(key, told)).filter(differs).cloned().collect::<BTreeSet<String>>()
    };
    let keys: BTreeSet<String> = runs.iter().flat_map(|run| of_run(&run)).collect();
    let list = keys.iter().cloned().collect::<Vec<_>>().join(",");
    (!keys.is_empty()).then(|| {
        format!("`{metric}` was found with several values of {list}: the newest counts; --by {list} tells them apart")
    })
}

/// Whether a key of a finding is among those that make groups or repeats.
fn is_told(key: &str, told: &[String]) -> bool {
    told.iter().any(|one| one == key || Some(one.as_str()) == key.strip_suffix(".name"))
}

fn ways(runs: &[&Run], metric: &str, told: &[String]) -> Option<String> {
    let name = metric.strip_prefix(PREFIX)?;
    let has = |one: &&Evaluation| one.metrics.get(name).is_some();
    let newest = runs.iter().filter_map(|run| run.found.iter().rev().find(has));
    let hows: Vec<&BTreeMap<String, String>> = newest.map(|one| &one.how).collect();
    let keys: BTreeSet<&String> = hows.iter().flat_map(|how| how.keys()).collect();
    let different = keys.into_iter().filter(|key| !is_told(key, told)).filter_map(|key| {
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

/// Those of `names` that are hashes of what numbers were measured with, such as a network of features.
pub fn hashes(names: &[String]) -> Vec<String> {
    let declared = Declared::everything();
    let hashes: Vec<&str> = declared.names().filter(|name| declared.unit(name) == Unit::Hash).collect();
    // A probe with a label puts it in front.
    let is_one = |name: &&String| hashes.iter().any(|hash| name.ends_with(hash));
    names.iter().filter(is_one).cloned().collect()
}

/// A sentence for each hash that is not the same in all of `runs` that have it.
pub fn different_files(runs: &[&Run]) -> Vec<String> {
    let names: BTreeSet<String> =
        runs.iter().flat_map(|run| run.last.iter()).map(|(name, _)| name.to_owned()).collect();
    let names: Vec<String> = names.into_iter().collect();
    let differs = |name: &String| {
        let values: BTreeSet<u64> = runs.iter().filter_map(|run| run.last.get(name)).map(f64::to_bits).collect();
        (values.len() > 1).then(|| {
            let n = values.len();
            format!("`{name}` has {n} values: numbers that were measured with different files cannot be compared")
        })
    };
    hashes(&names).iter().filter_map(differs).collect()
}
