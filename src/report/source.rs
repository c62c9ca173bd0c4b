//! The runs under some folders, with every key that they can be grouped by.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::config::Resolved;
use crate::metrics::Metrics;
use crate::run::{Evaluation, Label, Manifest, Paths, Remarks, evaluations, folders_of_all, metrics, standing, timing};
use crate::{Error, Result};

/// One run as far as it can be read.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Its folder.
    pub dir: PathBuf,
    /// `finished`, `diverged`, `failed`, `interrupted`, `killed`, `running`; `unreadable` for a damaged manifest and
    /// `unstarted` for a trial without one.
    pub status: &'static str,
    /// Steps done, where its manifest says so.
    pub step: Option<u64>,
    /// When it was started, RFC 3339 in UTC; empty where that is not known.
    pub started: String,
    /// Metrics of the last logged step, and what was found of it later.
    pub last: Metrics,
    /// The step of the best probe and its metrics, where the run kept one.
    pub best: Option<(u64, Metrics)>,
    /// What was found of its checkpoints after training.
    pub found: Vec<Evaluation>,
    /// Its tags and its note.
    pub remarks: Remarks,
    /// Whether it stands for findings alone, which were made in another way than its own numbers: these choose a step,
    /// and are not shown.
    pub(super) found_alone: bool,
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

    /// Whether it has the key, or a finding of it was made with one.
    pub(super) fn tells(&self, key: &str) -> bool {
        self.key(key).is_some() || self.found.iter().any(|one| one.made_with(key).is_some())
    }

    /// The run with these findings in the place of all, made with the values `told` of some keys; with its own numbers,
    /// or without.
    pub(super) fn looked_at(
        &self,
        found: Vec<Evaluation>,
        told: impl Iterator<Item = (String, String)>,
        own: bool,
    ) -> Run {
        let mut run = Run { found, found_alone: !own, ..self.clone() };
        run.keys.extend(told);
        run.last = self.last.iter().filter(|(name, _)| own && !name.starts_with(evaluations::PREFIX)).collect();
        run.last.extend(run.step.map(|step| evaluations::at(&run.found, step)).unwrap_or_default());
        run
    }

    /// All lines of its log, with what was found later at their steps; a step that is only found later has a line of
    /// its own.
    pub(super) fn log(&self) -> Result<Vec<(u64, Metrics)>> {
        let path = Paths::of(&self.dir).metrics();
        let mut lines = if path.exists() { metrics::read(&path)? } else { Vec::new() };
        let steps: BTreeSet<u64> = self.found.iter().map(|evaluation| evaluation.step).collect();
        for step in steps {
            let found = evaluations::at(&self.found, step);
            match lines.iter_mut().find(|(s, _)| *s == step) {
                Some((_, metrics)) => metrics.extend(found),
                None => lines.push((step, found)),
            }
        }
        lines.sort_by_key(|(step, _)| *step);
        Ok(lines)
    }

    /// How long it trained.
    pub fn seconds(&self) -> Option<f64> {
        if self.found_alone {
            return None;
        }
        timing::seconds(&Paths::of(&self.dir).timing())
    }

    /// Whether it ran to its end.
    pub fn is_finished(&self) -> bool {
        self.status == "finished"
    }

    /// The run in `dir` by its manifest alone, or by what is wrong with that: the keys are those that the manifest
    /// knows, until [`Self::read_configuration`] adds the others.
    pub fn of_manifest(dir: &Path, manifest: Option<Result<Manifest>>, warnings: &mut Vec<String>) -> Self {
        let mut run = Run { dir: dir.into(), status: "unstarted", ..Run::default() };
        match manifest {
            None => {}
            Some(Err(error)) => {
                warnings.push(error.to_string());
                run.status = "unreadable";
            }
            Some(Ok(manifest)) => {
                run.status = standing(dir, &manifest);
                for (key, value) in [("method.name", manifest.method), ("dataset.name", manifest.dataset)] {
                    if !value.is_empty() {
                        run.keys.insert(key.into(), value);
                    }
                }
                run.keys.insert("seed".into(), manifest.seed.to_string());
                run.step = Some(manifest.last_step);
                run.started = manifest.started;
                run.last = manifest.last_metrics;
                run.best = manifest.best;
            }
        }
        run.found = evaluations::of(dir, warnings).unwrap_or_else(|error| {
            warnings.push(error.to_string());
            Vec::new()
        });
        run.last.extend(run.step.map(|step| evaluations::at(&run.found, step)).unwrap_or_default());
        run.remarks = Remarks::of(dir).unwrap_or_else(|error| {
            warnings.push(error.to_string());
            Remarks::default()
        });
        run.keys.insert("status".into(), run.status.into());
        run.keys.insert("run".into(), dir.display().to_string());
        run
    }

    /// Adds the keys of `config.toml`, whose word counts before the manifest's, and those of a sweep's `trial.json`.
    pub fn read_configuration(&mut self, warnings: &mut Vec<String>) {
        let paths = Paths::of(&self.dir);
        self.keys.extend(configuration(&paths.config(), warnings));
        let label = Label::of(&self.dir).unwrap_or_else(|error| {
            warnings.push(format!("{error} (its arm is unknown)"));
            None
        });
        let Some(label) = label else { return };
        for (path, value) in label.settings {
            self.keys.entry(path).or_insert_with(|| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        self.keys.extend(label.arm.map(|arm| ("arm".to_owned(), arm)));
        self.keys.entry("seed".into()).or_insert_with(|| label.seed.to_string());
    }

    /// A finished run in `dir` with this configuration.
    #[cfg(test)]
    pub(super) fn written(dir: &str, config: &str) -> Self {
        let manifest = Manifest { status: crate::run::Status::Finished, ..Manifest::default() };
        let mut run = Self::of_manifest(Path::new(dir), Some(Ok(manifest)), &mut Vec::new());
        run.keys.extend(plain_leaves(toml::from_str(config).unwrap()));
        run
    }
}

/// All runs at or under `roots`, each once, and a sentence for each that cannot be read in full.
///
/// # Errors
/// A folder that cannot be listed.
pub fn read(roots: &[PathBuf]) -> Result<(Vec<Run>, Vec<String>)> {
    let is_run = |dir: &Path| Paths::of(dir).manifest().exists() || Paths::of(dir).trial().exists();
    let dirs = folders_of_all(roots, &is_run)?;
    // In the order of the folders, whichever thread reads them.
    let read: Vec<(Run, Vec<String>)> = dirs.par_iter().map(|dir| run(dir)).collect();
    let (runs, warnings): (Vec<_>, Vec<_>) = read.into_iter().unzip();
    Ok((runs, warnings.concat()))
}

fn run(dir: &Path) -> (Run, Vec<String>) {
    let (path, mut warnings) = (Paths::of(dir).manifest(), Vec::new());
    let manifest = path.exists().then(|| Manifest::load(&path));
    let mut run = Run::of_manifest(dir, manifest, &mut warnings);
    run.read_configuration(&mut warnings);
    (run, warnings)
}

/// Every value of `config.toml` under its dotted path, words without their quotes.
fn configuration(path: &Path, warnings: &mut Vec<String>) -> BTreeMap<String, String> {
    let table = std::fs::read_to_string(path).map_err(Error::io(path)).and_then(|text| {
        toml::from_str::<toml::Table>(&text).map_err(|e| Error::Other(format!("{}: {}", path.display(), e.message())))
    });
    match table {
        Ok(table) => plain_leaves(table),
        Err(error) => {
            warnings.push(format!("{error} (its keys are unknown)"));
            BTreeMap::new()
        }
    }
}

fn plain_leaves(table: toml::Table) -> BTreeMap<String, String> {
    let plain = |value: String| match value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) {
        Some(word) => word.to_owned(),
        None => value,
    };
    Resolved(table).leaves().into_iter().map(|(key, value)| (key, plain(value))).collect()
}
