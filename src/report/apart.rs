//! Findings of one checkpoint that were made in different ways, each in the place of a run of its own.

use std::borrow::Cow;

use super::source::Run;
use crate::run::{Evaluation, evaluations::PREFIX};

/// The key under which the seed of a finding is told, which need not be that of its run.
const SEED: &str = "eval.seed";

/// The value of a key that a finding was made with, where it is not the run's own.
pub(super) fn made_with(finding: &Evaluation, key: &str) -> Option<String> {
    if key == SEED {
        return Some(finding.seed.to_string());
    }
    let value = finding.how.get(key).or_else(|| finding.how.get(&format!("{key}.name")))?;
    Some(value.trim_matches('"').to_owned())
}

/// The runs, a run whose findings were made with several values of one of `keys` once for each of them: with the
/// findings of that value alone, its own numbers where the value is its own. A run of which `metrics` asks for nothing
/// but findings stands with those alone.
pub(super) fn apart<'a>(runs: &'a [Run], keys: &[String], metrics: &[String]) -> Cow<'a, [Run]> {
    let tells = |key: &&String| runs.iter().flat_map(|run| &run.found).any(|one| made_with(one, key).is_some());
    let keys: Vec<&String> = keys.iter().filter(tells).collect();
    if keys.is_empty() {
        return Cow::Borrowed(runs);
    }
    let findings_alone = !metrics.is_empty() && metrics.iter().all(|name| name.starts_with(PREFIX));
    Cow::Owned(runs.iter().flat_map(|run| of_run(run, &keys, findings_alone)).collect())
}

fn of_run(run: &Run, keys: &[&String], findings_alone: bool) -> Vec<Run> {
    let own: Vec<Option<String>> = keys.iter().map(|key| run.key(key).map(str::to_owned)).collect();
    let mut ways: Vec<(Vec<Option<String>>, Vec<Evaluation>)> = vec![(own.clone(), Vec::new())];
    for one in &run.found {
        let values: Vec<_> =
            keys.iter().zip(&own).map(|(key, own)| made_with(one, key).or_else(|| own.clone())).collect();
        match ways.iter_mut().find(|(of, _)| *of == values) {
            Some((_, found)) => found.push(one.clone()),
            None => ways.push((values, vec![one.clone()])),
        }
    }
    let of = |(values, found): (Vec<Option<String>>, Vec<Evaluation>)| {
        let same = values == own;
        let told = keys.iter().zip(values).filter_map(|(key, value)| Some(((*key).clone(), value?)));
        run.looked_at(found, told, same)
    };
    let several = ways.len() > 1;
    ways.into_iter().filter(|(_, found)| !(several && findings_alone && found.is_empty())).map(of).collect()
}
