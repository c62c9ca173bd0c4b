//! Groups of runs with their statistics, differences and published values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::alike::alike;
use super::apart::apart;
use super::baseline::Baselines;
use super::difference::paired;
use super::found::{different_files, different_ways};
use super::goal::Choice;
use super::group::{Group, groups};
use super::observe::{At, Observation, metric_names, observe};
use super::published::Published;
use super::request::Request;
use super::source::Run;
use super::summary::{Summary, Tally};
use super::unknown;
use crate::Result;
use crate::metrics::Better;
use crate::run::Declared;

/// One metric of one group.
#[derive(Clone, Debug)]
pub struct GroupMetric {
    /// Its statistics.
    pub summary: Summary,
    /// Statistics of the paired differences to the baseline; none for the baseline itself or where there is none.
    pub difference: Option<Summary>,
    /// What others published for it.
    pub published: Option<String>,
}

/// One group.
#[derive(Clone, Debug)]
pub struct GroupRow {
    /// The values of the keys that make it.
    pub values: Vec<String>,
    /// The folders of the runs in it (of the chosen setting), whatever became of them.
    pub folders: BTreeSet<PathBuf>,
    /// Those that did not finish, by status.
    pub unfinished: Tally,
    /// The chosen setting.
    pub choice: Option<Choice>,
    /// A finding for each metric.
    pub findings: Vec<GroupMetric>,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The keys that make a group.
    pub by: Vec<String>,
    /// The keys that are repeats.
    pub over: Vec<String>,
    /// The keys that were chosen over.
    pub choose: Vec<String>,
    /// The metrics.
    pub metrics: Vec<String>,
    /// The baseline in words, such as `arm=ml`; empty without one.
    pub baseline: String,
    /// The groups.
    pub rows: Vec<GroupRow>,
    /// What a reader must know: settings that were mixed, repeats that came twice, published values without runs.
    pub notes: Vec<String>,
    /// Groups that a metric does not tell apart, a line a metric.
    pub alike: Vec<String>,
}

impl GroupRow {
    /// Runs in it.
    pub fn runs(&self) -> usize {
        self.folders.len()
    }
}

impl Comparison {
    /// The finding of a metric in a group.
    pub fn finding<'a>(&self, row: &'a GroupRow, metric: &str) -> Option<&'a GroupMetric> {
        row.findings.get(self.metrics.iter().position(|m| m == metric)?)
    }
}

/// Groups the runs and summarises every metric of every group.
///
/// # Errors
/// A file of published values that cannot be used, a key or metric that no run has, a baseline that is no group.
pub fn compare(runs: &[Run], request: &Request) -> Result<Comparison> {
    let metrics = metric_names(runs, &request.metrics)?;
    let goal = request.goal.iter().map(|goal| &goal.metric);
    let named = request.rates.iter().chain(goal).cloned().collect::<Vec<_>>();
    if !named.is_empty() {
        metric_names(runs, &named)?;
    }
    let told = request.keys();
    let runs = &*apart(runs, &told, &metrics);
    let by = keys(runs, request)?;
    // Grouped by status, unfinished runs are asked for.
    let unfinished = request.unfinished || by.iter().any(|key| key == "status");
    let observations = observe(runs, request.at, &metrics, request.goal.as_ref(), unfinished)?;
    let mut all = groups(&observations.iter().collect::<Vec<_>>(), &by);
    if !request.choose.is_empty() {
        let Some(goal) = &request.goal else { return Err(Choice::needs_goal(&request.choose.join(","))) };
        all = all.into_iter().map(|group| group.choose(&request.choose, goal)).collect();
    }
    let mut notes = all.iter().flat_map(|group| doubts(group, &by, request)).collect::<Vec<_>>();
    let counted = observations.iter().filter(|seen| seen.counts).map(|seen| seen.run).collect::<Vec<_>>();
    notes.extend(different_ways(&counted, &metrics, &told));
    notes.extend(different_files(&counted));
    let published = request.references.iter().map(|path| Published::load(path, &by)).collect::<Result<Vec<_>>>()?;
    let published = Beside { values: &published.concat(), by: &by, used: BTreeSet::new() };
    let baselines = Baselines::of(&all, &by, request)?;
    let rows = rows(&all, &metrics, request, &baselines, published, &mut notes);
    let base = |group: &Group<'_, '_>| baselines.of_group(group);
    // Along a run, neighbours are steps; and of what nobody asked for, only what can be better or worse is judged.
    let declared = Declared::everything();
    let judged = |name: &&String| {
        !request.metrics.is_empty() || declared.find(name).is_none_or(|found| found.number.better != Better::Neither)
    };
    let judged: Vec<String> = metrics.iter().filter(judged).cloned().collect();
    let alike = match (request.at, request.baseline.is_empty()) {
        (At::Every, _) => Vec::new(),
        (_, true) => alike(&all, &by, &request.over, &judged, None),
        (_, false) => alike(&all, &by, &request.over, &judged, Some(&base)),
    };
    let baseline = request.baseline.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",");
    let (over, choose) = (request.over.clone(), request.choose.clone());
    Ok(Comparison { by, over, choose, metrics, baseline, rows, notes, alike })
}

/// The keys to group by, each of which some run has.
fn keys(runs: &[Run], request: &Request) -> Result<Vec<String>> {
    let stepwise = |key: &String| key == "step" && request.at == At::Every;
    for key in &request.keys() {
        if !stepwise(key) && !runs.iter().any(|run| run.key(key).is_some()) {
            let known: BTreeSet<&str> = runs.iter().flat_map(|run| run.keys().map(|(k, _)| k)).collect();
            let short = known.iter().filter_map(|k| k.strip_suffix(".name")).chain(known.iter().copied());
            return Err(unknown("key", key, &short.map(str::to_owned).collect::<Vec<_>>()));
        }
    }
    let mut by = if request.by.is_empty() { what_differs(runs, request) } else { request.by.clone() };
    // One key in two spellings is one key; that of the axes and columns is looked for later, so it stays.
    let short = |key: &str| key.strip_suffix(".name").unwrap_or(key).to_owned();
    for also in &request.also {
        match by.iter_mut().find(|key| short(key) == short(also)) {
            Some(key) => also.clone_into(key),
            None => by.push(also.clone()),
        }
    }
    // Steps apart are no repeats of each other.
    if request.at == At::Every && !by.iter().chain(&request.over).any(|key| key == "step") {
        by.push("step".into());
    }
    Ok(by)
}

/// The arms where a sweep named them and what differs within one, or else every key that has more than one value and is
/// neither repeated nor chosen.
fn what_differs(runs: &[Run], request: &Request) -> Vec<String> {
    let mut arms: BTreeMap<Option<&str>, Vec<&Run>> = BTreeMap::new();
    runs.iter().for_each(|run| arms.entry(run.key("arm")).or_default().push(run));
    let named = arms.keys().any(Option::is_some);
    let within = |runs: &Vec<&Run>| differing(runs.iter().copied(), &[&request.over, &request.choose]).into_keys();
    let keys: BTreeSet<String> = arms.values().flat_map(within).collect();
    // `method` says as much as `method.name` and is shorter.
    let short = |key: String| key.strip_suffix(".name").map_or(key.clone(), str::to_owned);
    let by: Vec<String> = named.then(|| "arm".to_owned()).into_iter().chain(keys.into_iter().map(short)).collect();
    if by.is_empty() { vec!["method".into()] } else { by }
}

/// Keys of the configuration that have more than one value among `runs`, with their values; `except` those named, and
/// those that say where something ran or is kept.
pub(super) fn differing<'a>(
    runs: impl Iterator<Item = &'a Run>,
    except: &[&[String]],
) -> BTreeMap<String, BTreeSet<String>> {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (key, value) in runs.flat_map(|run| run.keys()) {
        values.entry(key).or_default().insert(value);
    }
    let aside = |key: &str| {
        let short = key.strip_suffix(".name");
        let named = except.iter().any(|keys| keys.iter().any(|k| k == key || Some(k.as_str()) == short));
        named || ["run", "status", "device", "dataset.path", "arm"].contains(&key)
    };
    let several = values.into_iter().filter(|(k, v)| v.len() > 1 && !aside(k));
    several.map(|(k, v)| (k.to_owned(), v.into_iter().map(str::to_owned).collect())).collect()
}

/// Settings that a group mixes, and repeats that it has twice.
fn doubts(group: &Group<'_, '_>, by: &[String], request: &Request) -> Vec<String> {
    let name = || by.iter().zip(&group.values).map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ");
    let mut doubts = Vec::new();
    let of_several = group.members.iter().map(|o| o.run).filter(|_| group.members.len() > 1);
    let mixed = differing(of_several, &[by, &request.over, &request.choose]);
    if !mixed.is_empty() {
        let values = |(key, values): (&String, &BTreeSet<String>)| {
            format!("{key} ({})", values.iter().take(4).cloned().collect::<Vec<_>>().join(", "))
        };
        let list: Vec<_> = mixed.iter().take(4).map(values).collect();
        doubts.push(format!(
            "{}: a mean over runs that also differ in {}; add that to --by, or to --over if it is a repeat",
            name(),
            list.join(", ")
        ));
    }
    let repeat = |o: &&&Observation<'_>| request.over.iter().map(|k| o.key(k).into_owned()).collect::<Vec<_>>();
    let mut seen = BTreeSet::new();
    let twice = group.members.iter().filter(|o| o.counts && !seen.insert((repeat(o), o.step))).count();
    if twice > 0 {
        let repeats = if twice == 1 { "1 run repeats".to_owned() } else { format!("{twice} runs repeat") };
        doubts.push(format!("{}: {repeats} a {} that is there already", name(), request.over.join(", ")));
    }
    for key in group.choice.iter().flat_map(|c| &c.at_edge) {
        doubts.push(format!("{}: the best {key} is the last that was tried; a better one may lie beyond", name()));
    }
    doubts
}

struct Beside<'a> {
    values: &'a [Published],
    by: &'a [String],
    used: BTreeSet<usize>,
}

impl Beside<'_> {
    fn find(&mut self, values: &[String], metric: &str, first: bool) -> Option<String> {
        let fits = |(_, p): &(usize, &Published)| p.fits(self.by, values, metric, first);
        let (i, found) = self.values.iter().enumerate().find(fits)?;
        self.used.insert(i);
        Some(found.value.clone())
    }

    fn left(&self) -> Vec<String> {
        let unused = self.values.iter().enumerate().filter(|(i, _)| !self.used.contains(i));
        let name = |p: &Published| p.keys.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ");
        unused.map(|(_, p)| format!("{}: published {}, but there is no such group here", name(p), p.value)).collect()
    }
}

fn rows(
    all: &[Group<'_, '_>],
    metrics: &[String],
    request: &Request,
    baselines: &Baselines<'_, '_, '_>,
    mut beside: Beside<'_>,
    notes: &mut Vec<String>,
) -> Vec<GroupRow> {
    let mut rows = Vec::new();
    for group in all {
        let base = baselines.of_group(group);
        let find = |(i, metric): (usize, &String)| GroupMetric {
            summary: Summary::of(&group.values_of(metric), is_rate(metric, request)),
            difference: base.map(|base| paired(group, base, &request.over, metric)),
            published: beside.find(&group.values, metric, i == 0),
        };
        let findings = metrics.iter().enumerate().map(find).collect();
        rows.push(GroupRow { findings, ..row(group) });
    }
    notes.extend(beside.left());
    rows
}

fn row(group: &Group<'_, '_>) -> GroupRow {
    let (mut unfinished, mut folders) = (Tally::default(), BTreeSet::new());
    for member in &group.members {
        if folders.insert(member.run.dir.clone()) && !member.run.is_finished() {
            unfinished.add(member.run.status);
        }
    }
    GroupRow { values: group.values.clone(), folders, unfinished, choice: group.choice.clone(), findings: Vec::new() }
}

fn is_rate(metric: &str, request: &Request) -> bool {
    metric.ends_with("_reject") || metric == "reject" || request.rates.iter().any(|m| m == metric)
}
