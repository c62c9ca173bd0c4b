//! The folder of a sweep: a run folder for each trial, and how each stands.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::plan::Plan;
use super::trial::Trial;
use crate::config::Document;
use crate::run::{Experiment, Label, Manifest, Paths, Status, command_line};
use crate::store::fs::{create_dir, is_locked, write_atomic};
use crate::{Error, Result};

/// What marks of processes that start trials begin with, in `.trials/`.
const DRIVER: &str = ".driver-";

/// How a trial stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TrialState {
    /// Not begun.
    Waiting,
    /// A process is at it.
    Running,
    /// Stopped or killed on the way; it goes on where it was saved.
    Interrupted,
    /// Stopped at a rung of a search, because others are better: done, unless the search goes on.
    Stopped,
    /// Done.
    Finished,
    /// Left the region where numbers mean anything.
    Diverged,
    /// Ended with an error.
    Failed,
}

impl TrialState {
    /// As the summary says it.
    pub fn name(self) -> &'static str {
        match self {
            TrialState::Waiting => "waiting",
            TrialState::Running => "running",
            TrialState::Interrupted => "interrupted",
            TrialState::Stopped => "stopped",
            TrialState::Finished => "finished",
            TrialState::Diverged => "diverged",
            TrialState::Failed => "failed",
        }
    }

    /// Whether there is nothing left to do, unless somebody asks for it again.
    pub fn is_final(self) -> bool {
        matches!(self, TrialState::Finished | TrialState::Diverged | TrialState::Failed)
    }
}

/// What is kept of a trial that ended badly; one that failed early has no run folder to say it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    pub exit_code: i32,
    pub error: String,
}

/// `runs/<sweep>`: the trials, `sweep.json`, `errors/`, and a lock file for each trial.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The sweep in `dir`, which need not exist.
    pub fn of(dir: &Path) -> Self {
        Folder(dir.into())
    }

    /// The folder itself.
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// The run folder of a trial.
    pub fn run(&self, trial: &Trial) -> Paths {
        Paths::of(&self.0.join(&trial.id))
    }

    /// What a trial says on standard error. Its lock says that the trial is taken.
    pub(super) fn said(&self, trial: &Trial) -> PathBuf {
        self.0.join(".trials").join(&trial.id)
    }

    /// Task lists, scripts and output of job arrays.
    pub fn slurm(&self) -> PathBuf {
        self.0.join("slurm")
    }

    fn error(&self, trial: &Trial) -> PathBuf {
        self.0.join("errors").join(format!("{}.json", trial.id))
    }

    /// How a trial stands, from what lies in its folder.
    pub fn state(&self, trial: &Trial) -> TrialState {
        match self.state_when_free(trial) {
            TrialState::Finished => TrialState::Finished,
            _ if self.is_taken(trial) => TrialState::Running,
            state => state,
        }
    }

    /// How a trial stands that no other process has.
    pub(super) fn state_when_free(&self, trial: &Trial) -> TrialState {
        let run = self.run(trial);
        let told = Manifest::load(&run.manifest()).ok().map(|manifest| manifest.status);
        match (told, self.failure(trial)) {
            (Some(Status::Finished), _) => TrialState::Finished,
            (_, Some(failure)) if failure.exit_code == 3 => TrialState::Diverged,
            (_, Some(_)) | (Some(Status::Failed), _) => TrialState::Failed,
            (Some(Status::Diverged), _) => TrialState::Diverged,
            (Some(Status::Stopped), _) => TrialState::Stopped,
            _ if run.config().is_file() => TrialState::Interrupted,
            _ => TrialState::Waiting,
        }
    }

    fn is_taken(&self, trial: &Trial) -> bool {
        is_locked(&self.said(trial)) || self.run(trial).is_in_use()
    }

    /// Takes a trial for this process: nothing if another has it. The lock lives as long as the file is open anywhere,
    /// so a trial that holds it as its standard error keeps it when this process is killed.
    ///
    /// # Errors
    /// The file cannot be opened or locked.
    pub(super) fn claim(&self, trial: &Trial) -> Result<Option<File>> {
        let path = self.said(trial);
        // Appending: who opens it without getting the lock must not disturb what its owner writes.
        let file = File::options().create(true).append(true).open(&path).map_err(Error::io(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            // A file system without locks: `ebm train` warns of it.
            Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(e)) => return Err(Error::io(&path)(e)),
        }
        if self.run(trial).is_in_use() {
            return Ok(None);
        }
        file.set_len(0).map_err(Error::io(&path))?;
        Ok(Some(file))
    }

    /// What was recorded of a trial that ended badly.
    pub(super) fn failure(&self, trial: &Trial) -> Option<Failure> {
        serde_json::from_slice(&std::fs::read(self.error(trial)).ok()?).ok()
    }

    /// Why a trial ended badly, in a line.
    pub fn reason(&self, trial: &Trial) -> Option<String> {
        first_error(&self.failure(trial)?.error)
    }

    /// Records that a trial ended badly, or forgets that it once did.
    pub(super) fn record_failure(&self, trial: &Trial, failure: Option<&Failure>) -> Result<()> {
        let path = self.error(trial);
        match failure {
            Some(failure) => write_json(&path, &json!(failure)),
            None if path.exists() => std::fs::remove_file(&path).map_err(Error::io(&path)),
            None => Ok(()),
        }
    }

    /// Marks this process as one that starts trials here, until the file is dropped or the process ends.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(super) fn mark_driver(&self) -> Result<File> {
        let path = self.0.join(".trials").join(format!("{DRIVER}{}", std::process::id()));
        let file = File::create(&path).map_err(Error::io(&path))?;
        // Without locks on this file system, nobody finds the mark.
        let _ = file.try_lock();
        Ok(file)
    }

    /// The processes that start trials here; marks of dead ones are removed.
    pub fn drivers(&self) -> Vec<u32> {
        let entries = std::fs::read_dir(self.0.join(".trials")).into_iter().flatten().flatten();
        let mut found = Vec::new();
        for entry in entries {
            let pid = entry.file_name().to_str().and_then(|name| name.strip_prefix(DRIVER)?.parse().ok());
            let Some(pid) = pid else { continue };
            match is_locked(&entry.path()) {
                true => found.push(pid),
                false => drop(std::fs::remove_file(entry.path())),
            }
        }
        found
    }

    /// Makes the folder and writes `sweep.json`: the plan, every command line so far, and the trials.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn begin(&self, plan: &Plan, trials: &[Trial]) -> Result<()> {
        self.refuse_foreign()?;
        for dir in [self.0.clone(), self.0.join(".trials"), self.0.join("errors")] {
            create_dir(&dir)?;
        }
        let path = self.0.join("sweep.json");
        let earlier: Option<Value> = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut commands = earlier.and_then(|v| v.get("commands")?.as_array().cloned()).unwrap_or_default();
        let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let command = command_line();
        commands.push(json!({"started": time, "command": command, "version": env!("CARGO_PKG_VERSION")}));
        let list: Vec<Value> = trials.iter().map(describe).collect();
        let text = std::fs::read_to_string(&plan.path).unwrap_or_default();
        let plan = json!({"file": plan.path, "text": text});
        write_json(&path, &json!({"plan": plan, "commands": commands, "trials": list}))
    }

    /// Refuses the folder of a run, whose trials no list would find, and one with another `sweep.json`.
    fn refuse_foreign(&self) -> Result<()> {
        let Folder(dir) = self;
        let refused = |what: &str| {
            Err(Error::config(format!("{}: {what}", dir.display())).hint("name another folder with --run-dir DIR"))
        };
        if Paths::of(dir).manifest().exists() {
            return refused("this is the folder of a run");
        }
        let path = dir.join("sweep.json");
        let ours = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).is_ok_and(|v| v.get("trials").is_some());
        match std::fs::read(&path) {
            Ok(bytes) if !ours(&bytes) => refused("its sweep.json is none that a sweep wrote"),
            _ => Ok(()),
        }
    }

    /// Writes `trial.json` into the run folder of a trial, where it is not there in order.
    pub(super) fn label(&self, trial: &Trial) -> Result<()> {
        let run = self.run(trial);
        create_dir(run.dir())?;
        match Label::of(run.dir()) {
            Ok(Some(_)) => Ok(()),
            _ => write_json(&run.trial(), &json!(trial.label)),
        }
    }

    /// Refuses to go on where a trial was run with another configuration than it would have now.
    ///
    /// # Errors
    /// [`Error::Config`], naming a trial and the keys that differ.
    pub fn check(&self, trials: &[Trial]) -> Result<()> {
        for trial in trials {
            let path = self.run(trial).config();
            let text = match std::fs::read_to_string(&path) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.map_err(Error::io(&path))?,
            };
            let wanted = trial.resolved();
            if text == wanted.to_toml() {
                continue;
            }
            let name = path.display().to_string();
            let stored = Document::from_str(&name, &text, &[]).and_then(|document| Ok(Experiment::check(&document)?));
            let differs = match stored {
                Err(error) => vec![error.to_string()],
                // Another machine may go on with a sweep.
                Ok(stored) => {
                    let differing = stored.differences(&wanted).into_iter().filter(|d| d.key != "device");
                    differing.map(|difference| format!("  {difference}")).collect()
                }
            };
            if !differs.is_empty() {
                let what = format!("{name}: this trial was run with another configuration\n\n{}", differs.join("\n"));
                return Err(Error::config(what).hint("undo the change, or start elsewhere with --run-dir DIR"));
            }
        }
        Ok(())
    }
}

fn describe(trial: &Trial) -> Value {
    let label = &trial.label;
    json!({"id": trial.id, "arm": label.arm, "settings": label.settings, "seed": label.seed})
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::Other(format!("{}: {e}", path.display())))?;
    write_atomic(path, (text + "\n").as_bytes())
}

/// The first line that says what went wrong, warnings before it passed over; a killed process may have left none.
fn first_error(text: &str) -> Option<String> {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines().find_map(|line| line.strip_prefix("error: ")).or_else(|| lines().next());
    line.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_found_behind_warnings() {
        assert_eq!(first_error("WARN no checkpoint yet\n\nerror: diverged\nhint: x").as_deref(), Some("diverged"));
        assert_eq!(first_error("\nkilled \n").as_deref(), Some("killed"));
        assert_eq!(first_error(" \n"), None);
    }
}
