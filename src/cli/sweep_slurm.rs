//! `ebm sweep --launcher slurm`, `--status` and `--cancel`: trials that run elsewhere.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::trials::{counts, in_words, many};
use super::{GlobalArgs, output, usage};
use crate::run::Manifest;
use crate::sweep::slurm::{self, QueuedTask, TaskList};
use crate::sweep::{Folder, Launcher, Plan, Scheduler, Search, Trial, TrialState};
use crate::{Error, Result, shell};

/// Where trials run; what is given here counts above `[launcher]` of the plan.
#[derive(Args)]
#[command(next_help_heading = "Job arrays (`ebm explain launcher`)")]
pub struct SlurmArgs {
    /// local, or slurm: submits what is missing as one job array and returns
    #[arg(long, value_name = "NAME", value_parser = ["local", "slurm"])]
    launcher: Option<String>,
    /// The partition of the tasks
    #[arg(long, value_name = "NAME")]
    partition: Option<String>,
    /// GPUs of a task, which runs as many trials at a time
    #[arg(long, value_name = "N")]
    gpus: Option<u64>,
    /// The time limit of a task, such as 04:00:00; trials save before it, and the task is queued again
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// The memory of a task, such as 8G
    #[arg(long, value_name = "SIZE")]
    mem: Option<String>,
    /// The cores of a task
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    cpus: Option<u64>,
    /// At most so many tasks at a time
    #[arg(long, value_name = "N")]
    array_limit: Option<u64>,
    /// A further argument of sbatch, such as --sbatch-arg=--account=lab. May be given again
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    sbatch_arg: Vec<String>,
    /// The task list that this process is a task of
    #[arg(long, hide = true, value_name = "FILE")]
    task: Option<PathBuf>,
}

impl SlurmArgs {
    /// Whether this process is a task of an array.
    pub fn is_task(&self) -> bool {
        self.task.is_some()
    }

    /// The trials of this task; all of them outside an array, and in a search, whose tasks share them.
    ///
    /// # Errors
    /// The task list cannot be read.
    pub fn part_of(&self, plan: &Plan, all: &[Trial]) -> Result<Vec<Trial>> {
        match &self.task {
            Some(list) if plan.halving.is_none() => {
                let part = TaskList::own_part(list)?;
                Ok(all.iter().filter(|trial| part.contains(&trial.id)).cloned().collect())
            }
            _ => Ok(all.to_vec()),
        }
    }

    /// The launcher of a plan with what the command line says on top.
    pub fn on_top_of(&self, plan: &Launcher) -> Launcher {
        let name = match self.launcher.as_deref() {
            Some("slurm") => Scheduler::Slurm,
            Some(_) => Scheduler::Local,
            None => plan.name,
        };
        let text = |own: &Option<String>, below: &String| own.clone().unwrap_or_else(|| below.clone());
        Launcher {
            name,
            partition: text(&self.partition, &plan.partition),
            gpus: self.gpus.unwrap_or(plan.gpus),
            time: text(&self.time, &plan.time),
            mem: text(&self.mem, &plan.mem),
            cpus: self.cpus.unwrap_or(plan.cpus),
            array_limit: self.array_limit.unwrap_or(plan.array_limit),
            warning: plan.warning,
            sbatch_args: plan.sbatch_args.iter().chain(&self.sbatch_arg).cloned().collect(),
        }
    }
}

/// What a submission hands on to its tasks.
pub struct Asked<'a> {
    pub plan: &'a Plan,
    pub jobs: Option<u16>,
    pub retry: bool,
    pub quick: bool,
}

/// Submits what is missing: trials that are neither done nor with another process, nor in a task that SLURM knows of.
///
/// # Errors
/// SLURM's own; the folder cannot be written.
pub fn submit(
    asked: &Asked<'_>,
    launcher: &Launcher,
    trials: &[Trial],
    folder: &Folder,
    global: &GlobalArgs,
) -> Result<()> {
    let tasks = slurm::queued(folder)?;
    let queued = slurm::trials_of(&tasks);
    let jobs = asked.jobs.map_or(launcher.gpus.max(1), u64::from);
    let jobs = usize::try_from(jobs).unwrap_or(1);
    let list = match &asked.plan.halving {
        None => {
            let left = |trial: &&Trial| is_left(folder.state(trial), asked.retry) && !queued.contains_key(&trial.id);
            let names: Vec<String> = trials.iter().filter(left).map(|trial| trial.id.clone()).collect();
            TaskList::of(&names, jobs, slurm::max_array())
        }
        Some(halving) => {
            // Tasks of a search take what there is to do, so that those that SLURM knows of count.
            let ready = Search::new(halving, trials, folder)?.ready(asked.retry);
            let most = usize::try_from(launcher.array_limit).ok().filter(|n| *n > 0).unwrap_or(usize::MAX);
            let count = ready.div_ceil(jobs).min(most).min(slurm::max_array()).saturating_sub(tasks.len());
            TaskList { tasks: vec![Vec::new(); count] }
        }
    };
    if list.tasks.is_empty() {
        return said(&json!({"sweep": folder.dir(), "job": null, "tasks": 0}), "nothing is left to submit", global);
    }
    let program = std::env::current_exe().map_err(|e| Error::Other(format!("cannot find this program's file: {e}")))?;
    let mut words = vec!["sweep".to_owned(), asked.plan.path.display().to_string(), "--quiet".to_owned()];
    words.extend(["--run-dir".to_owned(), folder.dir().display().to_string(), "--jobs".to_owned(), jobs.to_string()]);
    words.extend(asked.quick.then(|| "--quick".to_owned()));
    words.extend(asked.retry.then(|| "--retry".to_owned()));
    words.extend(global.sets.iter().flat_map(|set| ["--set".to_owned(), set.clone()]));
    words.extend(global.device.iter().flat_map(|device| ["--device".to_owned(), device.clone()]));
    let job = slurm::submit(folder, &asked.plan.name, &list, launcher, &program, &words)?;
    let count = list.tasks.len();
    let status = shell::ebm_on("sweep --status --run-dir", folder.dir());
    let text = format!("job {job}: {count} tasks\nstatus: {status} {}", shell::path(&asked.plan.path));
    said(&json!({"sweep": folder.dir(), "job": job, "tasks": count}), &text, global)
}

fn said(document: &serde_json::Value, text: &str, global: &GlobalArgs) -> Result<()> {
    if global.json { output::print_json(document) } else { output::print(&format!("{text}\n")) }
}

/// Whether a trial that stands like this waits to be submitted.
fn is_left(state: TrialState, retry: bool) -> bool {
    match state {
        TrialState::Finished | TrialState::Running => false,
        TrialState::Diverged | TrialState::Failed => retry,
        TrialState::Waiting | TrialState::Interrupted | TrialState::Stopped => true,
    }
}

/// Has the task queued again that was told to stop before its time is up. One that is preempted or cancelled (SIGTERM)
/// is SLURM's to queue again, or not.
pub fn stopped(signal: i32) {
    if signal == Signal::USR1.as_raw()
        && let Err(error) = slurm::requeue_self()
    {
        tracing::warn!("the task is not queued again: {error}; the same command submits what is missing");
    }
}

/// The tasks of the sweep, where there is SLURM and it was ever asked.
fn tasks(folder: &Folder) -> Result<Vec<QueuedTask>> {
    if folder.slurm().is_dir() { slurm::queued(folder) } else { Ok(Vec::new()) }
}

/// `--status`.
///
/// # Errors
/// SLURM's own.
pub fn status(trials: &[Trial], folder: &Folder, global: &GlobalArgs) -> Result<()> {
    let queued = slurm::trials_of(&tasks(folder)?);
    let mut states = BTreeMap::<&str, usize>::new();
    let (mut rows, mut list) =
        (vec![["state", "trial", "step", "where", "error"].map(str::to_owned).to_vec()], Vec::new());
    for trial in trials {
        let (state, run, task) = (folder.state(trial), folder.run(trial), queued.get(&trial.id));
        let waits = is_left(state, false) && task.is_some_and(|task| task.state != "RUNNING");
        let name = if waits { "queued" } else { state.name() };
        let place = match (state, task) {
            (TrialState::Running, Some(task)) => format!("{}, job {}_{}", task.node, task.job, task.task),
            (TrialState::Running, None) => run.user().map(|pid| format!("process {pid}")).unwrap_or_default(),
            (_, Some(task)) if waits => format!("job {}_{}", task.job, task.task),
            _ => String::new(),
        };
        let manifest = Manifest::load(&run.manifest()).unwrap_or_default();
        let error = folder.reason(trial);
        let step = crate::store::checkpoint::steps(&run.checkpoints()).ok().and_then(|steps| steps.last().copied());
        let step = step.unwrap_or(0).max(manifest.last_step);
        list.push(json!({
            "id": trial.id, "state": name, "step": step, "steps": manifest.steps, "where": place, "error": error,
        }));
        let of = if manifest.steps > 0 { format!("{step}/{}", manifest.steps) } else { "-".to_owned() };
        rows.push(vec![name.to_owned(), trial.id.clone(), of, place, error.unwrap_or_default()]);
        *states.entry(name).or_default() += 1;
    }
    if global.json {
        return output::print_json(&json!({"sweep": folder.dir(), "counts": states, "trials": list}));
    }
    output::print(&format!("{}{}: {}\n", output::table(&rows), many(trials), in_words(states)))
}

/// `--cancel`.
///
/// # Errors
/// SLURM's own; there is nothing to cancel.
pub fn cancel(trials: &[Trial], folder: &Folder, global: &GlobalArgs) -> Result<()> {
    let jobs = slurm::cancel(&tasks(folder)?)?;
    let drivers = if jobs.is_empty() { folder.drivers() } else { Vec::new() };
    let mut told = ask_to_stop(&drivers, Signal::TERM);
    if jobs.is_empty() && told == 0 {
        // Trials whose sweep was killed.
        let orphans: Vec<u32> = trials.iter().filter_map(|trial| folder.run(trial).user()).collect();
        told = ask_to_stop(&orphans, Signal::USR1);
    }
    if jobs.is_empty() && told == 0 {
        let hint = format!("{} shows how its trials stand", shell::ebm("sweep PLAN --status"));
        return Err(usage(format!("{}: nothing is queued or running here", folder.dir().display()), hint));
    }
    let states: Vec<TrialState> = trials.iter().map(|trial| folder.state(trial)).collect();
    let stand = in_words(counts(&states));
    let what = if jobs.is_empty() { format!("{told} processes") } else { format!("job {}", jobs.join(", ")) };
    let text = format!("told to save and stop: {what}\n{}: {stand}", many(trials));
    said(&json!({"sweep": folder.dir(), "jobs": jobs, "processes": told}), &text, global)
}

fn ask_to_stop(processes: &[u32], signal: Signal) -> usize {
    let pid = |pid: &u32| Pid::from_raw(i32::try_from(*pid).ok()?);
    processes.iter().filter_map(pid).filter(|pid| kill_process(*pid, signal).is_ok()).count()
}
