//! What the page shows, as one JSON document.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::super::compare::{Comparison, GroupRow, compare, differing};
use super::super::json::{number, summary};
use super::super::request::Request;
use super::super::source::Run;
use super::super::thin::thin;
use super::cite;
use super::pictures::{Kind, MOST_BYTES, kinds};
use crate::config::Resolved;
use crate::metrics::Metrics;
use crate::run::{Declared, Manifest, Paths, Remarks, metrics, show};
use crate::{Error, shell};

/// Points of all curves of a page together, of which each curve has its share.
const POINTS: usize = 300_000;

/// No curve needs more points than a screen has columns, and none is readable with fewer.
const POINTS_OF_CURVE: (usize, usize) = (40, 1200);

/// Frames of one kind of picture.
const FRAMES: usize = 24;

/// Everything about `runs`. What cannot be read is left out and said in `notes`, which the page shows.
pub(super) fn document(title: &str, runs: &[Run], mut notes: Vec<String>) -> Value {
    let logs: Vec<Vec<(u64, Metrics)>> = runs.iter().map(|run| log(run, &mut notes)).collect();
    let repeats = vec!["seed".to_owned()];
    let arms = runs.iter().any(|run| run.key("arm").is_some()).then(|| "arm".to_owned());
    let differing: Vec<String> = arms.into_iter().chain(differing(runs.iter(), &[]).into_keys()).collect();
    let request = Request { over: repeats, ..Request::default() };
    // Without a single finished run there is nothing to compare, and the page says what there is.
    let comparison = compare(runs, &request).ok().filter(|_| runs.len() > 1);
    let (pictures, left_out) = pictures(runs, &mut notes);
    let most = points(&logs);
    let each = runs.iter().zip(names(runs)).zip(&logs).zip(pictures);
    json!({
        "title": title,
        "version": env!("CARGO_PKG_VERSION"),
        "numbers": numbers(runs, &logs),
        "runs": each.map(|(((one, name), log), pictures)| run(one, name, log, pictures, most)).collect::<Vec<_>>(),
        "differing": differing,
        "axes": axes(&differing, runs),
        "common": common(runs),
        "groups": comparison.as_ref().map(groups),
        "sources": cite::sources(runs),
        "pictures_left_out": left_out,
        "notes": notes,
    })
}

fn log(run: &Run, notes: &mut Vec<String>) -> Vec<(u64, Metrics)> {
    let path = Paths::of(&run.dir).metrics();
    let log = if path.exists() { metrics::read_noting(&path, notes) } else { Ok(Vec::new()) };
    log.unwrap_or_else(|error| left_out(&error, notes))
}

/// Nothing, in the place of what cannot be read; why is said here and on the page.
fn left_out<T: Default>(error: &Error, notes: &mut Vec<String>) -> T {
    tracing::warn!("{error}");
    notes.push(error.to_string());
    T::default()
}

/// The name of each run's folder, or its path where several folders share a name.
fn names(runs: &[Run]) -> Vec<String> {
    let path = |run: &Run| run.dir.display().to_string();
    let short = |run: &Run| run.dir.file_name().map_or_else(|| path(run), |name| name.to_string_lossy().into_owned());
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    runs.iter().for_each(|run| *counts.entry(short(run)).or_default() += 1);
    let alone = |name: &String| counts.get(name) == Some(&1);
    runs.iter().map(|run| Some(short(run)).filter(alone).unwrap_or_else(|| path(run))).collect()
}

/// The numbers of the last line, or of a run under way, whose manifest is older than its log, the newest of each.
fn last(run: &Run, log: &[(u64, Metrics)]) -> Metrics {
    let mut last = run.last.clone();
    if !run.is_finished() {
        log.iter().for_each(|(_, metrics)| last.extend(metrics.clone()));
    }
    last
}

/// Points that each curve may have.
fn points(logs: &[Vec<(u64, Metrics)>]) -> usize {
    let names = |log: &Vec<(u64, Metrics)>| {
        let all = log.iter().flat_map(|(_, metrics)| metrics.iter().map(|(name, _)| name));
        all.collect::<BTreeSet<_>>().len()
    };
    let curves: usize = logs.iter().map(names).sum();
    let (fewest, most) = POINTS_OF_CURVE;
    (POINTS / curves.max(1)).clamp(fewest, most)
}

/// Every number that a run reported, with what its method or probe declares of it.
fn numbers(runs: &[Run], logs: &[Vec<(u64, Metrics)>]) -> Value {
    let everything = Declared::everything();
    let mut all = Map::new();
    for (run, log) in runs.iter().zip(logs) {
        let declared = declared(run).unwrap_or_else(|| everything.clone());
        for name in log.iter().flat_map(|(_, m)| m.iter()).chain(run.last.iter()).map(|(name, _)| name) {
            if all.contains_key(name) {
                continue;
            }
            let number = declared.find(name).map(|declaration| declaration.number);
            let group = declared.tag(name).split('/').next().unwrap_or_default().to_owned();
            let value = json!({
                "unit": show::unit(declared.unit(name)),
                "kind": declared.unit(name),
                "better": number.map(|n| n.better),
                "lead": number.is_some_and(|n| n.lead),
                "about": number.map_or("", |n| n.about),
                "group": group,
            });
            all.insert(name.to_owned(), value);
        }
    }
    all.into()
}

fn declared(run: &Run) -> Option<Declared> {
    let text = std::fs::read_to_string(Paths::of(&run.dir).config()).ok()?;
    Declared::of(&Resolved(toml::from_str(&text).ok()?)).ok()
}

fn run(run: &Run, name: String, log: &[(u64, Metrics)], pictures: Vec<Value>, most: usize) -> Value {
    let manifest = Manifest::load(&Paths::of(&run.dir).manifest()).ok();
    json!({
        "name": name,
        "dir": run.dir.to_string_lossy(),
        "status": run.status,
        "seconds": run.seconds(),
        "keys": run.keys().collect::<BTreeMap<_, _>>(),
        "last": last(run, log),
        "best": manifest.as_ref().and_then(|m| m.best.clone()),
        "curves": curves(log, most),
        "pictures": pictures,
        "environment": manifest.as_ref().map(|manifest| environment(manifest, &run.remarks)),
    })
}

/// What people say of a run stands here where there is something.
fn environment(m: &Manifest, remarks: &Remarks) -> Value {
    let git = m.git.as_ref().map(|git| format!("{}{}", git.hash, if git.dirty { ", with changes" } else { "" }));
    let mut all = json!({
        "command": m.command.iter().map(shell::word).collect::<Vec<_>>().join(" "),
        "version": m.version, "source": git, "device": m.device, "threads": m.threads,
        "started": m.started, "finished": m.finished, "steps": m.last_step,
        "weights": m.parameters, "sha256 of the data": m.dataset_sha256,
    });
    for (name, said) in [("tags", remarks.listed()), ("note", remarks.note.clone())] {
        if !said.is_empty() {
            all[name] = said.into();
        }
    }
    all
}

/// Steps and values of every number, in the order in which they first came.
fn curves(log: &[(u64, Metrics)], most: usize) -> Value {
    let mut curves: Vec<(&str, Vec<(u64, f64)>)> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (step, metrics) in log {
        for (name, value) in metrics.iter() {
            let place = *places.entry(name).or_insert(curves.len());
            match curves.get_mut(place) {
                Some((_, points)) => points.push((*step, value)),
                None => curves.push((name, vec![(*step, value)])),
            }
        }
    }
    let curve = |(name, points): (&str, Vec<(u64, f64)>)| {
        let thinned = thin(&points, most).into_iter().map(|(step, value)| (step, number(value)));
        let (steps, values): (Vec<u64>, Vec<Value>) = thinned.unzip();
        (name.to_owned(), json!({"steps": steps, "values": values, "all": points.len()}))
    };
    curves.into_iter().map(curve).collect::<Map<_, _>>().into()
}

/// Keys with one value in all runs.
fn common(runs: &[Run]) -> BTreeMap<&str, &str> {
    let Some(first) = runs.first() else { return BTreeMap::new() };
    let shared = |(key, value): &(&str, &str)| *key != "run" && runs.iter().all(|run| run.key(key) == Some(*value));
    first.keys().filter(shared).collect()
}

/// The keys of `differing` that every run has: what belongs to one method or data set alone is no axis to compare on.
fn axes<'a>(differing: &'a [String], runs: &[Run]) -> Vec<&'a String> {
    differing.iter().filter(|key| runs.iter().all(|run| run.key(key).is_some())).collect()
}

/// The pictures of each run, as many frames as the size of a page allows, and how many kinds of picture were left out.
fn pictures(runs: &[Run], notes: &mut Vec<String>) -> (Vec<Vec<Value>>, usize) {
    let all: Vec<Vec<Kind>> = runs.iter().map(|run| kinds(&run.dir)).collect();
    let size = |frames: usize| all.iter().flatten().map(|kind| kind.bytes(frames)).sum::<usize>();
    let frames = [FRAMES, 12, 6, 3, 1].into_iter().find(|frames| size(*frames) <= MOST_BYTES).unwrap_or(1);
    let (mut left, mut too_large) = (MOST_BYTES, 0);
    let mut one = |kind: &Kind| match left.checked_sub(kind.bytes(frames)) {
        Some(rest) => {
            left = rest;
            kind.embedded(frames).map_or_else(|error| left_out(&error, notes), Some)
        }
        None => {
            too_large += 1;
            None
        }
    };
    let shown = all.iter().map(|kinds| kinds.iter().filter_map(&mut one).collect()).collect();
    (shown, too_large)
}

/// Means over repeats, as `ebm compare` makes them.
fn groups(c: &Comparison) -> Value {
    let row = |row: &GroupRow| {
        let metrics = c.metrics.iter().zip(&row.findings).map(|(name, f)| (name.clone(), summary(&f.summary)));
        json!({"values": row.values, "runs": row.runs(), "metrics": metrics.collect::<Map<_, _>>()})
    };
    json!({"by": c.by, "metrics": c.metrics, "rows": c.rows.iter().map(row).collect::<Vec<_>>(), "notes": c.notes})
}
