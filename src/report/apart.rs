//! Findings of one checkpoint that were made in different ways, each in the place of a run of its own.

use std::borrow::Cow;

use super::source::Run;
use crate::run::{Evaluation, evaluations::PREFIX};

/// The runs, a run whose findings were made with several values of one of `keys` once for each of them: with the
/// findings of that value alone, its own numbers where the value is its own. Where `metrics` are findings alone, a run
/// stands with those values that some of them were made with.
pub(super) fn apart<'a>(runs: &'a [Run], keys: &[String], metrics: &[String]) -> Cow<'a, [Run]> {
    let asked: Vec<&str> = metrics.iter().filter_map(|name| name.strip_prefix(PREFIX)).collect();
    let tells = |key: &&String| runs.iter().flat_map(|run| &run.found).any(|one| one.made_with(key).is_some());
    let keys: Vec<&String> = keys.iter().filter(tells).collect();
    if keys.is_empty() || asked.is_empty() {
        return Cow::Borrowed(runs);
    }
    let findings_alone = asked.len() == metrics.len();
    Cow::Owned(runs.iter().flat_map(|run| of_run(run, &keys, (&asked, findings_alone))).collect())
}

fn of_run(run: &Run, keys: &[&String], (asked, findings_alone): (&[&str], bool)) -> Vec<Run> {
    let has = |one: &&Evaluation| asked.iter().any(|name| one.metrics.get(name).is_some());
    let own: Vec<Option<String>> = keys.iter().map(|key| run.key(key).map(str::to_owned)).collect();
    let mut ways: Vec<(Vec<Option<String>>, Vec<Evaluation>)> = vec![(own.clone(), Vec::new())];
    for one in run.found.iter().filter(has) {
        let values: Vec<_> =
            keys.iter().zip(&own).map(|(key, own)| one.made_with(key).or_else(|| own.clone())).collect();
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
