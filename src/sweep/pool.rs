//! Trials as processes of this same program, a few at a time.

use std::fs::File;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::folder::{Failure, Folder, TrialState};
use super::gpus::{VISIBLE, takes_any};
use super::trial::Trial;
use crate::run::signal;
use crate::{Error, Result, process};

/// How often running trials are looked at: small beside the start of a process, and no load.
pub(super) const LOOK: Duration = Duration::from_millis(5);
/// Of what a trial said, this much is kept.
const MOST_SAID: usize = 8 << 10;

/// How to run trials.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Trials at a time; they share the cores.
    pub jobs: usize,
    /// Takes up trials that failed, and begins those that diverged again.
    pub retry: bool,
    /// Shows no progress.
    pub quiet: bool,
    /// This program.
    pub program: PathBuf,
    /// The GPUs that trials are spread over, as `CUDA_VISIBLE_DEVICES` names them.
    pub gpus: Vec<String>,
}

/// How a trial stands in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrialEnd {
    /// How it stands now.
    pub state: TrialState,
    /// Whether this call ran it.
    pub ran: bool,
}
/// A trial under way.
struct Running<'a> {
    index: usize,
    trial: &'a Trial,
    child: Child,
    /// Its place among the trials that run at a time.
    slot: usize,
}

/// The trials that this process has started.
pub(super) struct Pool<'a> {
    pub folder: &'a Folder,
    pub trials: &'a [Trial],
    pub launch: &'a Launch,
    running: Vec<Running<'a>>,
}

impl<'a> Pool<'a> {
    pub fn new(folder: &'a Folder, trials: &'a [Trial], launch: &'a Launch) -> Self {
        Pool { folder, trials, launch, running: Vec::new() }
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// Whether another may be started.
    pub fn has_room(&self) -> bool {
        self.len() < self.launch.jobs
    }

    /// Whether this pool has the trial.
    pub fn holds(&self, index: usize) -> bool {
        self.running.iter().any(|running| running.index == index)
    }

    /// The names of those under way.
    pub fn names(&self) -> Vec<&str> {
        self.running.iter().map(|running| running.trial.id.as_str()).collect()
    }

    /// Starts a trial that stands like this and whose `claim` this process has; `until`: to a rung, not to its end.
    pub fn start(&mut self, index: usize, claim: File, state: TrialState, until: Option<u64>) -> Result<()> {
        let Some(trial) = self.trials.get(index) else { return Ok(()) };
        self.folder.record_failure(trial, None)?;
        self.folder.label(trial)?;
        let slot = (0..).find(|slot| !self.running.iter().any(|running| running.slot == *slot)).unwrap_or(0);
        let mut command = self.command(trial, state);
        if let Some(length) = until {
            command.arg("--until").arg(length.to_string());
        }
        if let Some(gpu) = self.launch.gpus.get(slot % self.launch.gpus.len().max(1)).filter(|_| takes_any(trial)) {
            command.env(VISIBLE, gpu);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(claim);
        let child = command.spawn().map_err(Error::io(&self.launch.program))?;
        self.running.push(Running { index, trial, child, slot });
        Ok(())
    }

    /// `ebm train` or `ebm resume`, in a process group of its own: a Ctrl-C at the terminal reaches this process alone,
    /// which passes it on once.
    fn command(&self, trial: &Trial, state: TrialState) -> Command {
        let run = self.folder.run(trial);
        let mut command = Command::new(&self.launch.program);
        command.process_group(0).arg("--quiet");
        let threads = (process::threads() / self.launch.jobs).max(1).to_string();
        for name in [process::THREADS, "CANDLE_NUM_THREADS"] {
            command.env(name, &threads);
        }
        let begun = matches!(state, TrialState::Interrupted | TrialState::Stopped | TrialState::Failed);
        if begun && run.config().is_file() {
            command.arg("resume").arg(run.dir()).arg("--device").arg(trial.device());
            return command;
        }
        command.arg("train").arg(&trial.config).arg("--run-dir").arg(run.dir());
        if state == TrialState::Diverged {
            command.arg("--overwrite");
        }
        command.args(trial.sets.iter().flat_map(|set| ["--set", set]));
        command
    }

    /// Every trial that has ended, with how; nothing of one that somebody started by hand in the same moment.
    pub fn reap(&mut self) -> Result<Vec<(usize, Option<TrialState>)>> {
        let (mut still, mut ended) = (Vec::new(), Vec::new());
        for mut running in std::mem::take(&mut self.running) {
            match running.child.try_wait().map_err(Error::io(&self.launch.program))? {
                None => still.push(running),
                Some(status) => ended.push((running.index, self.ended(running.trial, status)?)),
            }
        }
        self.running = still;
        Ok(ended)
    }

    fn ended(&self, trial: &Trial, status: ExitStatus) -> Result<Option<TrialState>> {
        let failure = Failure { exit_code: status.code().unwrap_or(-1), error: self.said(trial) };
        let state = match (status.code(), status.signal()) {
            (Some(0), _) => self.folder.state_when_free(trial),
            (None, _) => TrialState::Interrupted,
            (Some(code), _) if signal::is_stop(code) => TrialState::Interrupted,
            _ if self.folder.run(trial).is_in_use() => return Ok(None),
            (Some(3), _) => TrialState::Diverged,
            _ => TrialState::Failed,
        };
        let bad = matches!(state, TrialState::Diverged | TrialState::Failed);
        self.folder.record_failure(trial, bad.then_some(&failure))?;
        if !matches!(state, TrialState::Finished | TrialState::Stopped) {
            let why = self.folder.reason(trial).or_else(|| status.signal().map(|s| format!("signal {s}")));
            tracing::warn!("{} {}: {}", trial.id, state.name(), why.unwrap_or_default());
        }
        Ok(Some(state))
    }

    /// The end of what a trial said on standard error.
    fn said(&self, trial: &Trial) -> String {
        let text = std::fs::read(self.folder.said(trial)).unwrap_or_default();
        let from = text.len().saturating_sub(MOST_SAID);
        String::from_utf8_lossy(text.get(from..).unwrap_or_default()).trim().to_owned()
    }

    /// Asks every running trial to save and stop, and waits until they have. They are asked with a signal that does not
    /// insist, since who signals a whole job has signalled the trials too. A second signal from who insists ends all of
    /// them at once; `insisted`: the first one was of that kind.
    pub fn stop(&mut self, mut insisted: bool) {
        self.send(Signal::USR1);
        loop {
            self.running.retain_mut(|Running { trial, child, .. }| match child.try_wait() {
                Ok(ended) => ended.is_none(),
                Err(error) => {
                    tracing::warn!("{}: {error}", trial.id);
                    false
                }
            });
            if self.running.is_empty() {
                return;
            }
            if signal::take().is_some_and(signal::insists) {
                if insisted {
                    self.send(Signal::KILL);
                }
                insisted = true;
            }
            std::thread::sleep(LOOK);
        }
    }

    fn send(&self, signal: Signal) {
        for Running { trial, child, .. } in &self.running {
            if let Err(error) = kill_process(Pid::from_child(child), signal) {
                tracing::debug!("{}: {error}", trial.id);
            }
        }
    }
}
