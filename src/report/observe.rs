//! From runs to observations: which numbers of a run count.

use std::borrow::Cow;
use std::str::FromStr;

use rayon::prelude::*;

use super::found::hashes;
use super::goal::{Choice, Goal};
use super::source::Run;
use super::{refusal, unknown};
use crate::math::stats;
use crate::metrics::Metrics;
use crate::run::evaluations::PREFIX;
use crate::run::{Declared, Paths, Reporter, evaluations, metrics};
use crate::{Error, Result};

/// A metric that every run has and no table shows unasked: it is not the same twice.
const SECONDS: &str = "seconds";

/// Where in a run its metrics are read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum At {
    /// The last logged step.
    #[default]
    Last,
    /// The logged step at which the metric of `--max` or `--min` is best; without one, the best probe of the manifest.
    Best,
    /// Each metric at its own smallest value.
    Min,
    /// Each metric at its own largest value.
    Max,
    /// Each logged step that has all metrics is an observation of its own.
    Every,
    /// Each metric's mean over what was logged in this many last steps of the run.
    Mean(u64),
    /// This logged step.
    Step(u64),
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = |_| "last, best, min, max, every, mean:STEPS or a step";
        Ok(match text {
            "last" => At::Last,
            "best" => At::Best,
            "min" => At::Min,
            "max" => At::Max,
            "every" => At::Every,
            number => match number.strip_prefix("mean:") {
                Some(steps) => At::Mean(steps.parse::<std::num::NonZeroU64>().map_err(wrong)?.get()),
                None => At::Step(number.parse().map_err(wrong)?),
            },
        })
    }
}

/// The numbers of one run, or of one step of it.
#[derive(Clone, Debug)]
pub struct Observation<'a> {
    /// The run.
    pub run: &'a Run,
    /// The step, where steps are told apart.
    pub step: Option<u64>,
    /// What was measured; empty for a run that does not count.
    pub metrics: Metrics,
    /// Whether its numbers count: the run finished, or unfinished ones were asked for.
    pub counts: bool,
}

impl Observation<'_> {
    /// The value of a key of the run, or its `step`; `-` where it has none.
    pub fn key(&self, key: &str) -> Cow<'_, str> {
        match self.step {
            Some(step) if key == "step" => step.to_string().into(),
            _ => self.run.key(key).unwrap_or("-").into(),
        }
    }
}

/// The metrics that the asked names stand for. None asked: those that the probes wrote at the end but for hashes, which
/// are those of the last step that the first line of the log does not have; all of the last step if there are none.
///
/// # Errors
/// A name that no run has.
pub fn metric_names(runs: &[Run], asked: &[String]) -> Result<Vec<String>> {
    let mut known: Vec<String> = Vec::new();
    if asked.is_empty() {
        let finished: Vec<&Run> = runs.iter().filter(|run| run.is_finished()).collect();
        let ends: Vec<Metrics> = finished.into_par_iter().map(found_at_the_end).collect();
        ends.iter().for_each(|metrics| add_names(&mut known, metrics));
        // A mean of hashes says nothing; that they differ is told.
        let hashes = hashes(&known);
        known.retain(|name| !hashes.contains(name));
        return Ok(known);
    }
    runs.iter().for_each(|run| add_names(&mut known, &run.last));
    known.extend(asked.iter().filter(|name| *name == SECONDS).cloned());
    // A metric that is logged on the way only is worth a look at the logs, which costs more.
    if asked.iter().any(|name| !known.contains(name)) {
        let lines = runs.iter().flat_map(|run| run.log().unwrap_or_default());
        lines.for_each(|(_, metrics)| add_names(&mut known, &metrics));
    }
    match asked.iter().find(|name| !known.contains(name)) {
        Some(wrong) => Err(unknown_metric(wrong, &known)),
        None => Ok(asked.to_vec()),
    }
}

/// The error for a metric that no run has. One that a probe declares is not misspelt: the runs lack the probe.
fn unknown_metric(wrong: &str, known: &[String]) -> Error {
    match Declared::everything().find(wrong).map(|declared| declared.by) {
        Some(Reporter::Probe(probe)) => refusal(
            &format!("no run has the metric `{wrong}`"),
            &format!("the probe `{probe}` reports it, which none of these runs has"),
        ),
        _ => unknown("metric", wrong, known),
    }
}

fn add_names(known: &mut Vec<String>, metrics: &Metrics) {
    for (name, _) in metrics.iter() {
        if !known.iter().any(|k| k == name) {
            known.push(name.to_owned());
        }
    }
}

fn found_at_the_end(run: &Run) -> Metrics {
    // The first line alone: ten thousand logs in full are gigabytes.
    let first = metrics::first(&Paths::of(&run.dir).metrics()).ok().flatten();
    let first = first.map(|(_, metrics)| metrics).unwrap_or_default();
    let late: Metrics = run.last.iter().filter(|(name, _)| first.get(name).is_none()).collect();
    if late.is_empty() { run.last.clone() } else { late }
}

/// The observations of all runs. A run whose numbers do not count is an observation without metrics, so that it is
/// seen wherever runs are counted.
///
/// # Errors
/// [`At::Best`] without saying what is best; a log that cannot be read.
pub fn observe<'a>(
    runs: &'a [Run],
    at: At,
    names: &[String],
    goal: Option<&Goal>,
    unfinished: bool,
) -> Result<Vec<Observation<'a>>> {
    let mut all = Vec::new();
    for run in runs {
        let counts = unfinished || run.is_finished();
        let shown = |metrics: Metrics| match run.found_alone {
            true => metrics.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect(),
            false => metrics,
        };
        let one = |step, metrics| Observation { run, step, metrics: shown(metrics), counts };
        if !counts {
            all.push(one(None, Metrics::new()));
            continue;
        }
        match at {
            At::Last => {
                let mut metrics = run.last.clone();
                if names.iter().any(|name| name == SECONDS)
                    && let Some(seconds) = run.seconds()
                {
                    metrics.set(SECONDS, seconds);
                }
                all.push(one(None, metrics));
            }
            At::Best => all.push(one(None, best(run, goal)?)),
            At::Min => all.push(one(None, extremes(run, names, f64::min)?)),
            At::Max => all.push(one(None, extremes(run, names, f64::max)?)),
            At::Mean(steps) => all.push(one(None, means(run, names, steps)?)),
            At::Step(step) => {
                let line = run.log()?.into_iter().rev().find(|(s, _)| *s == step);
                all.push(one(None, line.map(|(_, metrics)| metrics).unwrap_or_default()));
            }
            At::Every => {
                let whole = |m: &Metrics| names.iter().all(|name| m.get(name).is_some());
                let steps = run.log()?.into_iter().map(|(step, m)| one(Some(step), m));
                all.extend(steps.filter(|seen| whole(&seen.metrics)));
            }
        }
    }
    Ok(all)
}

/// All metrics at the logged step that is best by the goal.
fn best(run: &Run, goal: Option<&Goal>) -> Result<Metrics> {
    let Some(goal) = goal else {
        let Some((step, mut metrics)) = run.best.clone() else {
            return Err(refusal("`--at best` needs to know what is best", "add `--max METRIC` or `--min METRIC`"));
        };
        metrics.extend(evaluations::at(&run.found, step));
        return Ok(metrics);
    };
    let value = |m: &Metrics| m.get(&goal.metric).filter(|v| v.is_finite());
    let lines = run.log()?.into_iter().filter_map(|(_, m)| Some((value(&m)?, m)));
    let best = lines.reduce(|a, b| if goal.prefers(b.0, a.0) { b } else { a });
    Ok(best.map(|(_, metrics)| metrics).unwrap_or_default())
}

/// Each metric at its own extreme over the log; NaN if it was never finite.
fn extremes(run: &Run, names: &[String], pick: fn(f64, f64) -> f64) -> Result<Metrics> {
    let extreme = |values: &[f64]| values.iter().copied().filter(|v| v.is_finite()).reduce(pick).unwrap_or(f64::NAN);
    Ok(folded(&run.log()?, names, extreme))
}

/// Each metric's mean over the lines of the last steps that have it; not finite where one of them was not.
fn means(run: &Run, names: &[String], steps: u64) -> Result<Metrics> {
    let mut log = run.log()?;
    let end = log.iter().map(|(step, _)| *step).max().unwrap_or(0);
    log.retain(|(step, _)| step.saturating_add(steps) > end);
    Ok(folded(&log, names, stats::mean))
}

/// Of each metric what `fold` makes of all its values, which are one or more.
fn folded(log: &[(u64, Metrics)], names: &[String], fold: impl Fn(&[f64]) -> f64) -> Metrics {
    let one = |name: &String| {
        let values: Vec<f64> = log.iter().filter_map(|(_, metrics)| metrics.get(name)).collect();
        (!values.is_empty()).then(|| (name.clone(), fold(&values)))
    };
    names.iter().filter_map(one).collect()
}

impl Choice {
    /// The error of a choice that no goal was given for.
    pub(super) fn needs_goal(key: &str) -> Error {
        refusal(&format!("`--choose {key}` needs to know what is best"), "add `--max METRIC` or `--min METRIC`")
    }
}
