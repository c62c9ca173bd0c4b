//! Trials as processes of this same program, a few at a time.

use std::collections::VecDeque;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::folder::{Failure, Folder, TrialState};
use super::progress::Progress;
use super::trial::Trial;
use crate::run::signal;
use crate::{Error, Result};

/// How often running trials are looked at: small beside the start of a process, and no load.
const LOOK: Duration = Duration::from_millis(5);
/// How often trials that another process has are looked at.
const LOOK_ELSEWHERE: Duration = Duration::from_millis(200);
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
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrialEnd {
    /// How it stands now.
    pub state: TrialState,
    /// Whether this call ran it.
    pub ran: bool,
}

/// The threads that this process may use: `RAYON_NUM_THREADS`, or as many as there are cores.
pub fn threads() -> usize {
    let told = std::env::var("RAYON_NUM_THREADS").ok().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
    told.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Runs every trial that is not done; gives the outcome of each, in their order. A trial that another process has is
/// left to it, and waited for.
///
/// # Errors
/// [`Error::Interrupted`] after a signal, when every trial has saved its state; a folder that cannot be written.
pub fn run(folder: &Folder, trials: &[Trial], launch: &Launch) -> Result<Vec<TrialEnd>> {
    let states: Vec<TrialState> = trials.iter().map(|trial| folder.state(trial)).collect();
    let done = states.iter().filter(|state| settled(**state, launch.retry)).count();
    let outcome = |state: &TrialState| settled(*state, launch.retry).then_some(TrialEnd { state: *state, ran: false });
    let mut work = Work {
        folder,
        trials,
        launch,
        outcomes: states.iter().map(outcome).collect(),
        queue: (0..trials.len()).collect(),
        elsewhere: VecDeque::new(),
        running: Vec::new(),
        progress: Progress::new(trials.len(), done, launch.quiet),
    };
    work.queue.retain(|i| work.outcomes.get(*i).is_some_and(Option::is_none));
    let result = work.run();
    if let Err(error) = &result {
        work.stop(matches!(error, Error::Interrupted(signal) if signal::insists(*signal)));
    }
    work.progress.finish();
    result?;
    let nothing = TrialEnd { state: TrialState::Waiting, ran: false };
    Ok(work.outcomes.into_iter().map(|outcome| outcome.unwrap_or(nothing)).collect())
}

/// Whether a trial that stands like this is left as it is.
fn settled(state: TrialState, retry: bool) -> bool {
    state.is_final() && !(retry && state != TrialState::Finished)
}

struct Work<'a> {
    folder: &'a Folder,
    trials: &'a [Trial],
    launch: &'a Launch,
    outcomes: Vec<Option<TrialEnd>>,
    queue: VecDeque<usize>,
    /// Trials that another process has.
    elsewhere: VecDeque<usize>,
    running: Vec<(usize, &'a Trial, Child)>,
    progress: Progress,
}

impl Work<'_> {
    fn run(&mut self) -> Result<()> {
        loop {
            if let Some(signal) = signal::take() {
                return Err(Error::Interrupted(signal));
            }
            self.reap()?;
            self.fill()?;
            self.show();
            match (self.queue.is_empty(), self.elsewhere.is_empty()) {
                (true, true) if self.running.is_empty() => return Ok(()),
                (true, false) => std::thread::sleep(LOOK_ELSEWHERE),
                _ => std::thread::sleep(LOOK),
            }
        }
    }

    fn show(&mut self) {
        let done = self.outcomes.iter().flatten().count();
        let running: Vec<&str> = self.running.iter().map(|(_, trial, _)| trial.id.as_str()).collect();
        self.progress.show(done, &running);
    }

    /// Starts trials while there is room, those that nobody has first.
    fn fill(&mut self) -> Result<()> {
        while self.running.len() < self.launch.jobs {
            let Some(i) = self.queue.pop_front() else { break };
            self.start(i, self.launch.retry)?;
        }
        if self.running.len() < self.launch.jobs && self.queue.is_empty() {
            for i in std::mem::take(&mut self.elsewhere) {
                // What another process made of it counts, and is not tried again.
                self.start(i, false)?;
            }
        }
        Ok(())
    }

    fn start(&mut self, i: usize, retry: bool) -> Result<()> {
        let Some(trial) = self.trials.get(i) else { return Ok(()) };
        let state = self.folder.state(trial);
        if settled(state, retry) {
            self.end(i, state, false);
            return Ok(());
        }
        let free = state != TrialState::Running && self.running.len() < self.launch.jobs;
        let Some(claim) = (if free { self.folder.claim(trial)? } else { None }) else {
            self.elsewhere.push_back(i);
            return Ok(());
        };
        // Between looking and claiming, another process may have come to its end with it.
        let state = self.folder.state_when_free(trial);
        if settled(state, retry) {
            self.end(i, state, false);
            return Ok(());
        }
        self.folder.record_failure(trial, None)?;
        self.folder.label(trial)?;
        let mut command = self.command(trial, state);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(claim);
        let child = command.spawn().map_err(Error::io(&self.launch.program))?;
        self.running.push((i, trial, child));
        Ok(())
    }

    /// `ebm train` or `ebm resume`, in a process group of its own: a Ctrl-C at the terminal reaches this process alone,
    /// which passes it on once.
    fn command(&self, trial: &Trial, state: TrialState) -> Command {
        let run = self.folder.run(trial);
        let mut command = Command::new(&self.launch.program);
        command.process_group(0).arg("--quiet");
        let threads = (threads() / self.launch.jobs).max(1).to_string();
        for name in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
            command.env(name, &threads);
        }
        if matches!(state, TrialState::Interrupted | TrialState::Failed) && run.config().is_file() {
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

    fn end(&mut self, i: usize, state: TrialState, ran: bool) {
        if let Some(outcome) = self.outcomes.get_mut(i) {
            *outcome = Some(TrialEnd { state, ran });
        }
    }

    /// Takes note of every trial that has ended.
    fn reap(&mut self) -> Result<()> {
        let mut still = Vec::new();
        for (i, trial, mut child) in std::mem::take(&mut self.running) {
            match child.try_wait().map_err(Error::io(&self.launch.program))? {
                None => still.push((i, trial, child)),
                Some(status) => self.ended(i, trial, status)?,
            }
        }
        self.running = still;
        Ok(())
    }

    fn ended(&mut self, i: usize, trial: &Trial, status: ExitStatus) -> Result<()> {
        let failure = Failure { exit_code: status.code().unwrap_or(-1), error: self.said(trial) };
        let state = match (status.code(), status.signal()) {
            (Some(0), _) => TrialState::Finished,
            (None, _) => TrialState::Interrupted,
            (Some(code), _) if signal::is_stop(code) => TrialState::Interrupted,
            // Somebody started it by hand in the same moment.
            _ if self.folder.run(trial).is_in_use() => {
                self.elsewhere.push_back(i);
                return Ok(());
            }
            (Some(3), _) => TrialState::Diverged,
            _ => TrialState::Failed,
        };
        let bad = matches!(state, TrialState::Diverged | TrialState::Failed);
        self.folder.record_failure(trial, bad.then_some(&failure))?;
        if state != TrialState::Finished {
            let why = self.folder.reason(trial).or_else(|| status.signal().map(|s| format!("signal {s}")));
            tracing::warn!("{} {}: {}", trial.id, state.name(), why.unwrap_or_default());
        }
        self.end(i, state, true);
        Ok(())
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
    fn stop(&mut self, mut insisted: bool) {
        self.send(Signal::USR1);
        loop {
            self.running.retain_mut(|(_, trial, child)| match child.try_wait() {
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
        for (_, trial, child) in &self.running {
            if let Err(error) = kill_process(Pid::from_child(child), signal) {
                tracing::debug!("{}: {error}", trial.id);
            }
        }
    }
}
