//! A sweep as a SLURM job array: what is missing is submitted, once; the tasks are `ebm sweep` on their part of it.
//!
//! There is no scheduler here and no record that could be wrong: which trials are done is what their folders say, and
//! which are queued is what `squeue` says, whose jobs of this sweep carry the name of their task list as a comment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::folder::Folder;
use super::launcher::Launcher;
use crate::store::fs::{create_dir, write_atomic};
use crate::{Error, Result, shell};

/// The largest array where SLURM does not say.
const MAX_ARRAY: usize = 1001;

/// Which trials each task of an array runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskList {
    /// The names of the trials, task by task; none: whatever there is to do.
    pub tasks: Vec<Vec<String>>,
}

/// A task of this sweep that SLURM knows of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedTask {
    /// The array.
    pub job: String,
    /// Its place in the array.
    pub task: usize,
    /// As SLURM says it: PENDING, RUNNING, …
    pub state: String,
    /// The node that it runs on; empty before.
    pub node: String,
    /// Its task list.
    pub list: PathBuf,
}

impl TaskList {
    /// `trials` at most `at_a_time` a task, in no more tasks than an array may have.
    pub fn of(trials: &[String], at_a_time: usize, max_array: usize) -> Self {
        let count = trials.len().div_ceil(at_a_time.max(1)).min(max_array.max(1));
        let part = |i: usize| trials.iter().skip(i).step_by(count.max(1)).cloned().collect();
        TaskList { tasks: (0..count).map(part).collect() }
    }

    /// Reads a list.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).map_err(Error::io(path))?;
        let hint = "submit the sweep again";
        serde_json::from_slice(&text).map_err(|e| Error::data(path, format!("not a task list: {e}"), hint))
    }

    /// The part of the task that this process is.
    ///
    /// # Errors
    /// It is none, or the list cannot be read.
    pub fn own_part(path: &Path) -> Result<Vec<String>> {
        let index = std::env::var("SLURM_ARRAY_TASK_ID").ok().and_then(|n| n.parse::<usize>().ok());
        let found = index.and_then(|i| Some((i, Self::load(path).ok()?)));
        found.and_then(|(i, list)| list.tasks.get(i).cloned()).ok_or_else(|| {
            Error::Other(format!("{}: no part of it is for this task (SLURM_ARRAY_TASK_ID)", path.display()))
        })
    }
}

/// Runs a command of SLURM; its standard output.
fn ask(program: &str, args: &[String]) -> Result<String> {
    let output = Command::new(program).args(args).output().map_err(|e| {
        Error::Other(format!(
            "cannot run {program}: {e}\n\n\
             hint: --launcher slurm needs the commands of SLURM; run it where `sinfo` works"
        ))
    })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(Error::Other(format!("{program} says: {}", text(&output.stderr)))),
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

/// The tasks of this sweep that SLURM knows of; of one that is told off or ends, nothing.
///
/// # Errors
/// `squeue` cannot be asked.
pub fn queued(folder: &Folder) -> Result<Vec<QueuedTask>> {
    let lists = absolute(&folder.slurm())?;
    let text = ask("squeue", &words(["--me", "--noheader", "--array", "--format=%F|%K|%T|%N|%k"]))?;
    Ok(text.lines().filter_map(|line| task(line, &lists)).collect())
}

fn task(line: &str, lists: &Path) -> Option<QueuedTask> {
    let mut parts = line.splitn(5, '|').map(str::trim);
    let (job, task, state, node) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let list = PathBuf::from(parts.next()?);
    let ours = list.parent() == Some(lists) && !["COMPLETING", "CANCELLED"].contains(&state);
    let task = task.parse().ok()?;
    ours.then(|| QueuedTask { job: job.into(), task, state: state.into(), node: node.into(), list })
}

/// The trials in those tasks, each with its task.
pub fn trials_of(tasks: &[QueuedTask]) -> BTreeMap<String, QueuedTask> {
    let mut found = BTreeMap::new();
    for task in tasks {
        let list = TaskList::load(&task.list).unwrap_or_default();
        let names = list.tasks.get(task.task).cloned().unwrap_or_default();
        found.extend(names.into_iter().map(|name| (name, task.clone())));
    }
    found
}

/// How many tasks an array may have.
pub fn max_array() -> usize {
    let config = ask("scontrol", &words(["show", "config"])).unwrap_or_default();
    let line = config.lines().find_map(|line| line.strip_prefix("MaxArraySize"));
    line.and_then(|rest| rest.split('=').nth(1)?.trim().parse().ok()).unwrap_or(MAX_ARRAY)
}

/// Submits one array of `list`, whose tasks run `words` behind this program's name; the number of the job.
///
/// # Errors
/// `sbatch` refuses it; the folder cannot be written.
pub fn submit(
    folder: &Folder,
    name: &str,
    list: &TaskList,
    launcher: &Launcher,
    program: &Path,
    words: &[String],
) -> Result<String> {
    let dir = absolute(&folder.slurm())?;
    create_dir(&dir)?;
    let taken = |n: &usize| dir.join(format!("{n}.json")).exists();
    let n = (1..).find(|n| !taken(n)).unwrap_or(1);
    let (tasks, script) = (dir.join(format!("{n}.json")), dir.join(format!("{n}.sh")));
    let text = serde_json::to_string_pretty(list).map_err(|e| Error::Other(e.to_string()))?;
    write_atomic(&tasks, (text + "\n").as_bytes())?;
    let here = std::env::current_dir().map_err(|e| Error::Other(format!("no working directory: {e}")))?;
    let command: Vec<String> = words.iter().map(shell::word).collect();
    let text = format!(
        "#!/usr/bin/env bash\n# Written by ebm sweep: a task of its job array.\ncd {} || exit 1\n\
         export RAYON_NUM_THREADS=\"${{SLURM_CPUS_PER_TASK:-1}}\"\n\
         # In the place of the shell, so that signals reach it.\nexec {} {} --task {}\n",
        shell::path(&here),
        shell::path(program),
        command.join(" "),
        shell::path(&tasks)
    );
    write_atomic(&script, text.as_bytes())?;
    let mut args = launcher.sbatch(list.tasks.len());
    args.push(format!("--job-name=ebm-{name}"));
    args.push(format!("--comment={}", tasks.display()));
    args.push(format!("--output={}", dir.join("%A_%a.txt").display()));
    args.extend(launcher.sbatch_args.iter().cloned());
    args.push(script.display().to_string());
    let said = ask("sbatch", &args)?;
    Ok(said.split(';').next().unwrap_or_default().to_owned())
}

/// Tells off all tasks; the numbers of their jobs.
///
/// # Errors
/// `scancel` cannot be asked.
pub fn cancel(tasks: &[QueuedTask]) -> Result<Vec<String>> {
    let mut jobs: Vec<String> = tasks.iter().map(|task| task.job.clone()).collect();
    jobs.sort();
    jobs.dedup();
    if !jobs.is_empty() {
        ask("scancel", &jobs)?;
    }
    Ok(jobs)
}

/// Has SLURM queue the task again that this process is: its time is nearly used up, or it is preempted by a signal that
/// the user chose.
///
/// # Errors
/// `scontrol` refuses.
pub fn requeue_self() -> Result<()> {
    let part = |name: &str| std::env::var(name).unwrap_or_default();
    let task = format!("{}_{}", part("SLURM_ARRAY_JOB_ID"), part("SLURM_ARRAY_TASK_ID"));
    ask("scontrol", &words(["requeue", &task])).map(drop)
}

/// The path from the root, whether or not anything is there.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trial_is_in_one_task() {
        let names: Vec<String> = (0..10).map(|i| format!("t{i}")).collect();
        for (at_a_time, max, tasks) in [(1, 100, 10), (4, 100, 3), (1, 3, 3), (20, 5, 1)] {
            let list = TaskList::of(&names, at_a_time, max);
            assert_eq!(list.tasks.len(), tasks);
            let mut all = list.tasks.concat();
            all.sort();
            assert_eq!(all, names);
        }
        assert!(TaskList::of(&[], 1, 5).tasks.is_empty());
    }

    #[test]
    fn the_tasks_of_this_sweep_are_told_from_others() {
        let lists = Path::new("/a b/runs/p/slurm");
        let found = task("12|3|RUNNING|n1|/a b/runs/p/slurm/1.json", lists).unwrap();
        assert_eq!((found.job.as_str(), found.task, found.node.as_str()), ("12", 3, "n1"));
        assert_eq!(task("12|3|PENDING||/a b/runs/p/slurm/1.json", lists).unwrap().node, "");
        for other in
            ["12|3|RUNNING|n1|(null)", "12|N/A|RUNNING|n1|/a b/runs/p/slurm/1.json", "", "12|3|RUNNING|n1|/x/1.json"]
        {
            assert_eq!(task(other, lists), None, "{other}");
        }
        assert_eq!(task("12|3|COMPLETING|n1|/a b/runs/p/slurm/1.json", lists), None);
    }
}
