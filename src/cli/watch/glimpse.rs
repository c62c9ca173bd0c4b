//! What an onlooker knows of one run: read from its files, which are neither locked nor changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::config::{Resolved, decode};
use crate::metrics::{Metrics, Watch};
use crate::run::metrics::parse;
use crate::run::timing::Timing;
use crate::run::{Declared, GuardConfig, Manifest, Paths, Reporter, Tail, show, standing_if};

/// Points that are kept of a curve; beyond, every other one goes.
const MOST_POINTS: usize = 20_000;

/// Bytes at the end of a log in which its last words are looked for.
const LAST_WORDS: u64 = 4096;

/// Lines of `timing.jsonl` over which the rate is taken.
const LATELY: usize = 8;

/// A number of the run over its steps.
#[derive(Debug, Default)]
pub struct Curve {
    /// Step and value, in order.
    pub points: Vec<(u64, f64)>,
    /// The two newest values, the newest last.
    pub newest: [Option<f64>; 2],
    /// Of so many points one is kept.
    stride: u64,
    seen: u64,
}

impl Curve {
    fn push(&mut self, step: u64, value: f64) {
        self.newest = [self.newest[1], Some(value)];
        self.stride = self.stride.max(1);
        if self.seen.is_multiple_of(self.stride) {
            self.points.push((step, value));
        }
        self.seen += 1;
        if self.points.len() >= MOST_POINTS {
            let mut place = 0u64;
            self.points.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.stride *= 2;
        }
    }
}

/// One run as it stands.
pub struct Glimpse {
    /// Its folder.
    pub dir: PathBuf,
    /// As of the manifest; nothing before a run has one.
    pub manifest: Option<Manifest>,
    /// `starting`, `running`, `finished`, `diverged`, `failed`, `interrupted` or `killed`.
    pub status: &'static str,
    /// The last step in the log.
    pub step: u64,
    /// Steps of the whole run, where they are known.
    pub total: Option<u64>,
    /// Every number by name.
    pub curves: BTreeMap<String, Curve>,
    /// Their names, in the order in which they came.
    named: Vec<String>,
    /// What they are.
    pub declared: Declared,
    /// Lines of the log that are none.
    pub damaged: usize,
    /// The last line that the run said.
    pub said: String,
    guard: Option<GuardConfig>,
    metrics: Tail,
    timing: Tail,
    times: Vec<Timing>,
}

impl Glimpse {
    /// Of the run in `dir`, as of now.
    pub fn of(dir: &Path) -> Self {
        let paths = Paths::of(dir);
        let mut glimpse = Glimpse {
            dir: dir.into(),
            manifest: None,
            status: "starting",
            step: 0,
            total: None,
            curves: BTreeMap::new(),
            named: Vec::new(),
            declared: Declared::default(),
            damaged: 0,
            said: String::new(),
            guard: None,
            metrics: Tail::of(&paths.metrics()),
            timing: Tail::of(&paths.timing()),
            times: Vec::new(),
        };
        glimpse.refresh();
        glimpse
    }

    /// Reads what is new. What cannot be read now stays as it was.
    pub fn refresh(&mut self) {
        let paths = Paths::of(&self.dir);
        let begun = self.manifest.as_ref().map(|manifest| manifest.started.clone());
        if let Ok(manifest) = Manifest::load(&paths.manifest()) {
            self.status = standing_if(&manifest, || paths.living_user().is_some());
            self.manifest = Some(manifest);
        }
        // Another run in the same folder has another configuration.
        if self.guard.is_none() || begun != self.manifest.as_ref().map(|manifest| manifest.started.clone()) {
            self.configure(&paths);
        }
        self.read_metrics();
        self.read_times();
        self.said = last_words(&paths.log()).unwrap_or_default();
    }

    fn configure(&mut self, paths: &Paths) {
        let text = std::fs::read_to_string(paths.config()).ok();
        let Some(resolved) = text.and_then(|text| toml::from_str(&text).ok()).map(Resolved) else { return };
        self.guard = decode(&resolved.section("guard")).ok();
        self.declared = Declared::of(&resolved).unwrap_or_default();
        let told = self.manifest.as_ref().map(|manifest| manifest.steps);
        let written = resolved.section("train").get("steps").and_then(toml::Value::as_integer);
        let written = written.and_then(|steps| u64::try_from(steps).ok());
        self.total = told.into_iter().chain(written).find(|steps| *steps > 0);
    }

    fn read_metrics(&mut self) {
        let Ok(news) = self.metrics.news() else { return };
        if news.anew {
            (self.curves, self.named, self.step, self.damaged) = (BTreeMap::new(), Vec::new(), 0, 0);
        }
        for line in news.lines {
            let Some((step, metrics)) = parse(&line) else {
                self.damaged += 1;
                continue;
            };
            self.step = step;
            for (name, value) in metrics {
                if !self.curves.contains_key(&name) {
                    self.named.push(name.clone());
                }
                self.curves.entry(name).or_default().push(step, value);
            }
        }
    }

    fn read_times(&mut self) {
        let Ok(news) = self.timing.news() else { return };
        if news.anew {
            self.times.clear();
        }
        self.times.extend(news.lines.iter().filter_map(|line| serde_json::from_slice::<Timing>(line).ok()));
        self.times.drain(..self.times.len().saturating_sub(LATELY));
    }

    /// Steps a second, lately.
    pub fn rate(&self) -> Option<f64> {
        let pair = |pair: &[Timing]| match pair {
            // A process that goes on begins its clock anew.
            [a, b] if b.seconds > a.seconds && b.step > a.step => Some((b.step - a.step, b.seconds - a.seconds)),
            _ => None,
        };
        let pairs = self.times.windows(2).filter_map(pair);
        let (steps, seconds) = pairs.fold((0, 0.0), |(n, t), (steps, seconds)| (n + steps, t + seconds));
        (steps > 0).then(|| steps as f64 / seconds)
    }

    /// How long it will still take, if it is under way.
    pub fn left(&self) -> Option<Duration> {
        if self.status != "running" {
            return None;
        }
        let steps = self.total?.saturating_sub(self.step) as f64;
        Duration::try_from_secs_f64(steps / self.rate()?).ok()
    }

    /// How much of it is done, from 0 to 1.
    pub fn share(&self) -> Option<f64> {
        match (self.status, self.total) {
            ("finished", _) => Some(1.0),
            (_, Some(total)) if total > 0 => Some((self.step as f64 / total as f64).min(1.0)),
            _ => None,
        }
    }

    /// How long ago it logged a line.
    pub fn quiet(&self) -> Option<Duration> {
        let modified = std::fs::metadata(Paths::of(&self.dir).metrics()).and_then(|m| m.modified()).ok()?;
        SystemTime::now().duration_since(modified).ok()
    }

    /// The newest value of every number.
    pub fn newest(&self) -> Metrics {
        let newest = |name: &String| Some((name.clone(), self.curves.get(name)?.newest[1]?));
        self.named.iter().filter_map(newest).collect()
    }

    /// The names of all numbers: those that a probe declares to matter, those of the method, then the others.
    pub fn names(&self) -> Vec<String> {
        let newest = self.newest();
        let leads: Vec<&str> = self.declared.leads(&newest).into_iter().map(|(name, _)| name).collect();
        let rank = |name: &String| match self.declared.find(name).map(|declared| declared.by) {
            _ if !leads.contains(&name.as_str()) => 2,
            Some(Reporter::Probe(_)) => 0,
            _ => 1,
        };
        let mut names = self.named.clone();
        names.sort_by_key(rank);
        names
    }

    /// What the guard sees, and whether it is calm.
    pub fn guarded(&self) -> (String, bool) {
        let Some(guard) = self.guard.as_ref() else { return ("not known".into(), true) };
        if self.status == "diverged" {
            return ("stopped the run".into(), false);
        }
        if !guard.enabled {
            return ("off".into(), true);
        }
        let newest = self.newest();
        if let Some((name, _)) = newest.iter().find(|(_, value)| !value.is_finite()) {
            return (format!("{name} is not finite"), false);
        }
        let limited = newest.iter().filter_map(|(name, value)| {
            let limit = match self.declared.find(name)?.number.watch {
                Watch::Norm => guard.max_grad_norm,
                Watch::Gap => guard.max_energy_gap,
                Watch::Finite => return None,
            };
            Some((value.abs() / limit, name, value, limit))
        });
        match limited.max_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((share, name, value, limit)) => {
                let [value, limit] = [value, limit].map(|number| show::number(number, 3));
                (format!("all finite; {name} {value} of at most {limit}"), share < 0.1)
            }
            None => ("all finite".into(), true),
        }
    }
}

/// The last line of a log that has something in it.
fn last_words(path: &Path) -> Option<String> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = std::fs::File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS))).ok()?;
    let mut bytes = Vec::new();
    file.take(LAST_WORDS).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}
