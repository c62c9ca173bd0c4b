//! The runs under some folders, with every key that they can be grouped by.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::Resolved;
use crate::metrics::Metrics;
use crate::run::{Manifest, Paths, folders, metrics, standing};
use crate::{Error, Result};

/// One run as far as it can be read.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Its folder.
    pub dir: PathBuf,
    /// `finished`, `diverged`, `failed`, `interrupted`, `killed`, `running`; `unreadable` for a damaged manifest and
    /// `unstarted` for a trial without one.
    pub status: &'static str,
    /// Metrics of the last logged step.
    pub last: Metrics,
    /// Metrics of the best probe, where the run kept one.
    pub best: Option<Metrics>,
    /// Every key with its value as text: dotted paths of the configuration, `arm`, `seed`, `status`, `run`.
    keys: BTreeMap<String, String>,
}

impl Run {
    /// The value of a key; `method` is short for `method.name`, and so for every section.
    pub fn key(&self, key: &str) -> Option<&str> {
        self.keys.get(key).or_else(|| self.keys.get(&format!("{key}.name"))).map(String::as_str)
    }

    /// All keys with their values.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &str)> {
        self.keys.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// How long it trained.
    pub fn seconds(&self) -> Option<f64> {
        metrics::seconds(&Paths::of(&self.dir).timing())
    }

    /// Whether it ran to its end.
    pub fn is_finished(&self) -> bool {
        self.status == "finished"
    }
}

/// What a sweep says of one of its trials.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Trial {
    arm: Option<String>,
    settings: BTreeMap<String, serde_json::Value>,
    seed: Option<u64>,
}

/// All runs at or under `roots`, each once, and a sentence for each that cannot be read in full.
///
/// # Errors
/// A folder that cannot be listed.
pub fn read(roots: &[PathBuf]) -> Result<(Vec<Run>, Vec<String>)> {
    let is_run = |dir: &Path| Paths::of(dir).manifest().exists() || dir.join("trial.json").exists();
    let mut seen = BTreeSet::new();
    let (mut runs, mut warnings) = (Vec::new(), Vec::new());
    for root in roots {
        for dir in folders(root, &is_run)? {
            if seen.insert(dir.canonicalize().unwrap_or_else(|_| dir.clone())) {
                runs.push(run(dir, &mut warnings));
            }
        }
    }
    Ok((runs, warnings))
}

fn run(dir: PathBuf, warnings: &mut Vec<String>) -> Run {
    let paths = Paths::of(&dir);
    let mut keys = configuration(&paths.config(), warnings);
    let trial_path = dir.join("trial.json");
    let trial: Trial = if trial_path.exists() { trial(&trial_path, warnings) } else { Trial::default() };
    for (path, value) in trial.settings {
        keys.entry(path).or_insert_with(|| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    keys.extend(trial.arm.map(|arm| ("arm".to_owned(), arm)));
    if let Some(seed) = trial.seed {
        keys.entry("seed".into()).or_insert_with(|| seed.to_string());
    }
    let (mut run, path) = (Run { dir: dir.clone(), ..Run::default() }, paths.manifest());
    match Manifest::load(&path) {
        _ if !path.exists() => run.status = "unstarted",
        Err(error) => {
            warnings.push(error.to_string());
            run.status = "unreadable";
        }
        Ok(manifest) => {
            run.status = standing(&dir, &manifest);
            for (key, value) in [("method.name", manifest.method), ("dataset.name", manifest.dataset)] {
                if !value.is_empty() {
                    keys.entry(key.into()).or_insert(value);
                }
            }
            keys.entry("seed".into()).or_insert(manifest.seed.to_string());
            run.last = manifest.last_metrics;
            run.best = manifest.best.map(|(_, metrics)| metrics);
        }
    }
    keys.insert("status".into(), run.status.into());
    keys.insert("run".into(), dir.display().to_string());
    run.keys = keys;
    run
}

/// Every value of `config.toml` under its dotted path, words without their quotes.
fn configuration(path: &Path, warnings: &mut Vec<String>) -> BTreeMap<String, String> {
    let table = std::fs::read_to_string(path).map_err(Error::io(path)).and_then(|text| {
        toml::from_str::<toml::Table>(&text).map_err(|e| Error::Other(format!("{}: {}", path.display(), e.message())))
    });
    let plain = |value: String| match value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) {
        Some(word) => word.to_owned(),
        None => value,
    };
    match table {
        Ok(table) => Resolved(table).leaves().into_iter().map(|(key, value)| (key, plain(value))).collect(),
        Err(error) => {
            warnings.push(format!("{error} (its keys are unknown)"));
            BTreeMap::new()
        }
    }
}

fn trial(path: &Path, warnings: &mut Vec<String>) -> Trial {
    let text = std::fs::read(path).map_err(|e| e.to_string());
    let trial = text.and_then(|text| serde_json::from_slice(&text).map_err(|e| e.to_string()));
    trial.unwrap_or_else(|error| {
        warnings.push(format!("{}: {error} (its arm is unknown)", path.display()));
        Trial::default()
    })
}
