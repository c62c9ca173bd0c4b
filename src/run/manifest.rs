//! `manifest.json`: what ran, with what, and how it ended. `ebm ls` and `ebm compare` read nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::folder::Paths;
use super::warm_start::Inherited;
use crate::metrics::Metrics;
use crate::store::fs::{place_of, write_atomic};
use crate::{Error, Result, shell};

/// How a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Under way, or killed: [`Paths::is_in_use`] tells which.
    #[default]
    Running,
    /// All steps done.
    Finished,
    /// Stopped by the guard.
    Diverged,
    /// Stopped by a signal; it can be resumed.
    Interrupted,
    /// Stopped where it was to stop, before its last step; it can be resumed.
    Stopped,
    /// Stopped by an error.
    Failed,
}

impl Status {
    /// The status that a run's result stands for, `whole`: at its last step.
    pub fn of<T>(result: &Result<T>, whole: bool) -> Self {
        match result {
            Ok(_) if whole => Status::Finished,
            Ok(_) => Status::Stopped,
            Err(Error::Diverged { .. }) => Status::Diverged,
            Err(Error::Interrupted(_)) => Status::Interrupted,
            Err(_) => Status::Failed,
        }
    }
}

/// The source tree that a run was started in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Git {
    /// The commit.
    pub hash: String,
    /// Whether tracked files differ from it.
    pub dirty: bool,
}

/// The content of `manifest.json`. Keys unknown to this version are passed over, missing ones take their default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// How the run stands.
    pub status: Status,
    /// Registry name of the method.
    pub method: String,
    /// Registry name of the data set.
    pub dataset: String,
    /// sha256 of the data, where it comes from files.
    pub dataset_sha256: Option<String>,
    /// The seed.
    pub seed: u64,
    /// Steps done.
    pub last_step: u64,
    /// The step that the run was last sent to: its last one, or one to stop at before; 0 where an earlier version ran.
    pub until: u64,
    /// Steps of the whole run; 0 where an earlier version ran.
    pub steps: u64,
    /// Metrics of the last logged step.
    pub last_metrics: Metrics,
    /// Step and metrics of the best probe.
    pub best: Option<(u64, Metrics)>,
    /// The checkpoint that its first weights were taken from, if they were.
    pub from: Option<Inherited>,
    /// Number of weights of each part of the model.
    pub parameters: BTreeMap<String, usize>,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads on the CPU.
    pub threads: usize,
    /// Version of `ebm`.
    pub version: String,
    /// The source tree, where the run was started inside one.
    pub git: Option<Git>,
    /// The command line.
    pub command: Vec<String>,
    /// When it was started, RFC 3339 in UTC.
    pub started: String,
    /// When it ended.
    pub finished: Option<String>,
}

/// The words by which this process was called.
pub(crate) fn command_line() -> Vec<String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect()
}

impl Manifest {
    /// One of a run that starts now in this process: version, source tree, command line, threads and time filled in.
    pub fn begin() -> Self {
        Manifest {
            version: env!("CARGO_PKG_VERSION").into(),
            git: git(Path::new(".")),
            command: command_line(),
            threads: rayon::current_num_threads(),
            started: now(),
            ..Default::default()
        }
    }

    /// Notes how the run ended, and when.
    pub fn end(&mut self, status: Status) {
        self.status = status;
        self.finished = Some(now());
    }

    /// Writes the file, all or nothing.
    ///
    /// # Errors
    /// As [`write_atomic`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::Other(format!("{}: {e}", path.display())))?;
        write_atomic(path, (text + "\n").as_bytes())
    }

    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read or is not a manifest.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).map_err(Error::io(path))?;
        serde_json::from_slice(&text).map_err(|e| {
            let resume = shell::ebm_on("resume", path.parent().unwrap_or(path));
            let remedy = format!("`{resume}` writes it anew; the checkpoints do not need it");
            Error::data(path, format!("not a manifest: {e}"), remedy)
        })
    }
}

/// Every run under `root` (itself, or in a folder at any depth), by name, with its manifest or why that cannot be read.
///
/// # Errors
/// The folder cannot be listed.
pub fn list(root: &Path) -> Result<Vec<(PathBuf, Result<Manifest>)>> {
    let is_run = |dir: &Path| Paths::of(dir).manifest().exists();
    let load = |dir: PathBuf| (dir.clone(), Manifest::load(&Paths::of(&dir).manifest()));
    Ok(folders(root, &is_run)?.into_par_iter().map(load).collect())
}

/// The nearest run folder among `path` and what it lies in.
pub fn around(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    path.ancestors().find(|folder| Paths::of(folder).manifest().is_file()).map(Path::to_owned)
}

/// The [`folders`] of several roots, each once, also where a root is named twice or lies in another.
///
/// # Errors
/// A root that cannot be listed.
pub fn folders_of_all(roots: &[PathBuf], wanted: &dyn Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let all = roots.iter().map(|root| folders(root, wanted)).collect::<Result<Vec<_>>>()?;
    let mut seen = BTreeSet::new();
    let is_new = |dir: &PathBuf| seen.insert(place_of(dir));
    Ok(all.into_iter().flatten().filter(is_new).collect())
}

/// The folders at or under `root` of which `wanted` says yes, by name; nothing is looked for inside one.
///
/// # Errors
/// `root` cannot be listed; a folder below that cannot is passed over.
pub fn folders(root: &Path, wanted: &dyn Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    if wanted(root) {
        return Ok(vec![root.into()]);
    }
    let entries = std::fs::read_dir(root).map_err(Error::io(root))?;
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(folders(&path, wanted).unwrap_or_default()),
            // A link to a run counts; links are not walked through, since they can lead in circles.
            Ok(kind) if kind.is_symlink() && wanted(&path) => found.push(path),
            _ => {}
        }
    }
    found.sort();
    Ok(found)
}

/// The manifest's word, except that a run that nobody runs any more was killed.
pub fn standing(dir: &Path, manifest: &Manifest) -> &'static str {
    standing_if(manifest, || Paths::of(dir).is_in_use())
}

/// The same where somebody else says whether a run that should be under way is.
pub fn standing_if(manifest: &Manifest, is_alive: impl FnOnce() -> bool) -> &'static str {
    match manifest.status {
        Status::Running if !is_alive() => "killed",
        Status::Running => "running",
        Status::Finished => "finished",
        Status::Diverged => "diverged",
        Status::Interrupted => "interrupted",
        Status::Stopped => "stopped",
        Status::Failed => "failed",
    }
}

/// The commit of the source tree around `dir`; none without git or outside a repository.
fn git(dir: &Path) -> Option<Git> {
    let ask = |args: &[&str]| {
        let output =
            Command::new("git").current_dir(dir).args(args).stderr(std::process::Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let hash = ask(&["rev-parse", "HEAD"])?;
    let dirty = ask(&["--no-optional-locks", "status", "--porcelain", "--untracked-files=no"]);
    Some(Git { hash, dirty: dirty.is_none_or(|changes| !changes.is_empty()) })
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest.json");
        let mut manifest = Manifest { method: "lsd".into(), seed: u64::MAX, last_step: 9, ..Manifest::begin() };
        manifest.last_metrics.set("loss", 0.1 + 0.2);
        manifest.best = Some((4, [("val_nll", -1.5)].into_iter().collect()));
        manifest.parameters.insert("energy".into(), 12);
        assert!(manifest.started.ends_with('Z') && !manifest.command.is_empty() && manifest.threads > 0);
        manifest.save(&path).unwrap();
        assert_eq!(Manifest::load(&path).unwrap(), manifest);
        manifest.end(Status::of::<()>(&Err(Error::Interrupted(2)), true));
        manifest.save(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"status\": \"interrupted\"") && manifest.finished.is_some(), "{text}");
    }

    #[test]
    fn other_versions_are_read_and_damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest.json");
        std::fs::write(&path, r#"{"status": "finished", "seed": 3, "of_the_future": 1}"#).unwrap();
        let manifest = Manifest::load(&path).unwrap();
        assert_eq!((manifest.status, manifest.seed), (Status::Finished, 3));
        std::fs::write(&path, r#"{"status": "fin"#).unwrap();
        let error = Manifest::load(&path).unwrap_err();
        assert!(error.exit_code() == 4 && error.to_string().contains("manifest.json"), "{error}");
    }

    #[test]
    fn runs_are_listed_by_name_good_or_bad() {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in [("b", "{}"), ("a", "oops")] {
            std::fs::create_dir(root.path().join(name)).unwrap();
            std::fs::write(root.path().join(name).join("manifest.json"), text).unwrap();
        }
        std::fs::create_dir(root.path().join("no-run")).unwrap();
        let runs = list(root.path()).unwrap();
        let seen: Vec<_> =
            runs.iter().map(|(dir, m)| (dir.file_name().unwrap().to_str().unwrap(), m.is_ok())).collect();
        assert_eq!(seen, [("a", false), ("b", true)]);
        let deep = root.path().join("no-run/deeper/c");
        std::fs::create_dir_all(deep.join("checkpoints")).unwrap();
        std::fs::write(deep.join("manifest.json"), "{}").unwrap();
        assert_eq!(list(root.path()).unwrap()[2].0, deep);
        assert_eq!(list(&deep).unwrap().len(), 1, "a run is a folder of one run");
        assert_eq!(standing(&deep, &Manifest::default()), "killed");
    }

    #[test]
    fn the_source_tree_is_named_where_there_is_one() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(git(dir.path()), None);
        let run = |args: &[&str]| Command::new("git").current_dir(dir.path()).args(args).output();
        assert!(run(&["init", "-q"]).expect("these tests need git").status.success());
        std::fs::write(dir.path().join("x"), "1").unwrap();
        run(&["add", "x"]).unwrap();
        run(&["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]).unwrap();
        let clean = git(dir.path()).unwrap();
        assert!(clean.hash.len() >= 40 && !clean.dirty);
        std::fs::write(dir.path().join("x"), "2").unwrap();
        assert!(git(dir.path()).unwrap().dirty);
    }
}
