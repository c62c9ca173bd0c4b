//! `ebm sweep`: a plan in, a folder of runs out; the same command again goes on with it.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};

use super::{GlobalArgs, output, runs_root};
use crate::run::{show, signal};
use crate::sweep::{Folder, Launch, Plan, Trial, TrialEnd, TrialState, threads};
use crate::{Error, Result, device, shell, sweep};

/// Runs every trial of a plan that is not done yet.
#[derive(Args)]
#[command(
    after_help = "Exit codes: 0 every trial finished · 3 some diverged · 1 some failed or were killed · 128 + N \
                        stopped by signal N (the same command goes on)"
)]
pub struct SweepArgs {
    /// The plan, such as configs/sweeps/toy2d.toml
    plan: PathBuf,
    /// Trials at a time, which share the cores [default: as many as cores on the CPU, one on a GPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Shows the trials and how they stand; runs nothing
    #[arg(long)]
    dry_run: bool,
    /// The folder of the sweep [default: runs/<plan>]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// The quick version of the plan, in a folder of its own
    #[arg(long)]
    quick: bool,
    /// Takes up trials that failed, and begins those that diverged again
    #[arg(long)]
    retry: bool,
    /// Runs every N-th trial only, beginning with the I-th: for job arrays
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
}

/// `2/8`: the second of eight parts.
#[derive(Clone, Copy, Debug)]
struct Shard {
    part: usize,
    of: usize,
}

impl FromStr for Shard {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let pair = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        let shard = pair.map(|(part, of)| Shard { part, of }).filter(|s| (1..=s.of).contains(&s.part));
        shard.ok_or("write I/N with I from 1 to N, such as 2/8")
    }
}

/// Checks everything, then runs what is left to do.
pub fn run(args: &SweepArgs, global: &GlobalArgs) -> Result<()> {
    let plan = Plan::load(&args.plan, args.quick)?;
    let all = plan.trials(&global.overrides())?;
    check_devices(&all)?;
    let folder = Folder::of(&args.run_dir.clone().unwrap_or_else(|| runs_root().join(&plan.name)));
    folder.check(&all)?;
    let trials = match args.shard {
        None => all.clone(),
        Some(Shard { part, of }) => all.iter().skip(part - 1).step_by(of).cloned().collect(),
    };
    if args.dry_run {
        return list(&trials, &folder, global);
    }
    signal::install_to_pass_on()?;
    folder.begin(&plan, &all)?;
    let launch = launch(args, &trials, global)?;
    tracing::info!("sweep    {}", folder.dir().display());
    tracing::info!("trials   {}, {} at a time", trials.len(), launch.jobs);
    let outcomes = sweep::run(&folder, &trials, &launch).inspect_err(|error| {
        if matches!(error, Error::Interrupted(_)) {
            tracing::warn!("the same command goes on with it");
        }
    })?;
    report(&trials, &outcomes, &folder, global)
}

/// A device that this binary does not have is better refused once than by every trial.
fn check_devices(trials: &[Trial]) -> Result<()> {
    let mut names: Vec<&str> = trials.iter().map(Trial::device).collect();
    names.sort_unstable();
    names.dedup();
    // Opening a GPU here would take memory from the trials.
    let costly = |name: &str| cfg!(feature = "cuda") && (name == "auto" || name.starts_with("cuda"));
    names.into_iter().filter(|name| !costly(name)).try_for_each(|name| device::open(name).map(drop))
}

fn launch(args: &SweepArgs, trials: &[Trial], global: &GlobalArgs) -> Result<Launch> {
    let on_gpu = |t: &Trial| t.device().starts_with("cuda") || (cfg!(feature = "cuda") && t.device() == "auto");
    // One thread for each of many trials wastes nothing; all threads for one small trial mostly wait for each other.
    let fitting = if trials.iter().any(on_gpu) { 1 } else { threads().min(trials.len()).max(1) };
    let program = std::env::current_exe().map_err(|e| Error::Other(format!("cannot find this program's file: {e}")))?;
    let jobs = args.jobs.map_or(fitting, usize::from);
    Ok(Launch { jobs, retry: args.retry, quiet: global.quiet, program })
}

fn describe(trial: &Trial, state: TrialState, folder: &Folder) -> Value {
    let (label, run) = (&trial.label, folder.run(trial));
    json!({
        "id": trial.id, "state": state, "run": run.dir(), "arm": label.arm, "settings": label.settings,
        "seed": label.seed, "error": folder.reason(trial),
    })
}

/// `--dry-run`.
fn list(trials: &[Trial], folder: &Folder, global: &GlobalArgs) -> Result<()> {
    let states: Vec<TrialState> = trials.iter().map(|trial| folder.state(trial)).collect();
    if global.json {
        let rows: Vec<Value> = trials.iter().zip(&states).map(|(t, s)| describe(t, *s, folder)).collect();
        return output::print_json(&json!({"sweep": folder.dir(), "trials": rows}));
    }
    let mut rows = vec![["state", "trial", "experiment", "overrides"].map(str::to_owned).to_vec()];
    for (trial, state) in trials.iter().zip(&states) {
        let config = trial.config.display().to_string();
        let sets: Vec<String> = trial.sets.iter().map(shell::word).collect();
        rows.push(vec![state.name().into(), trial.id.clone(), config, sets.join(" ")]);
    }
    let total = counts(&states).into_iter().map(|(name, n)| format!("{n} {name}")).collect::<Vec<_>>().join(", ");
    output::print(&format!("{}{}: {total}\n", output::table(&rows), many(trials)))
}

/// `1 trial`, `12 trials`.
fn many(trials: &[Trial]) -> String {
    show::counted(trials.len() as u64, "trial")
}

/// How many trials stand how, those that occur.
fn counts(states: &[TrialState]) -> Vec<(&'static str, usize)> {
    use TrialState::{Diverged, Failed, Finished, Interrupted, Running, Waiting};
    let count = |state: TrialState| (state.name(), states.iter().filter(|s| **s == state).count());
    [Finished, Diverged, Failed, Interrupted, Running, Waiting].map(count).into_iter().filter(|(_, n)| *n > 0).collect()
}

fn report(trials: &[Trial], outcomes: &[TrialEnd], folder: &Folder, global: &GlobalArgs) -> Result<()> {
    let states: Vec<TrialState> = outcomes.iter().map(|outcome| outcome.state).collect();
    let ran = outcomes.iter().filter(|outcome| outcome.ran).count();
    let counted = counts(&states);
    let printed = if global.json {
        let rows: Vec<Value> = trials.iter().zip(&states).map(|(t, s)| describe(t, *s, folder)).collect();
        let counts: serde_json::Map<_, _> = counted.iter().map(|(name, n)| ((*name).to_owned(), json!(n))).collect();
        output::print_json(&json!({"sweep": folder.dir(), "counts": counts, "ran": ran, "trials": rows}))
    } else {
        let words: Vec<String> = counted.iter().map(|(name, n)| format!("{n} {name}")).collect();
        let dir = folder.dir().display();
        let text = format!("{dir}: {}, {ran} of them run now: {}\n", many(trials), words.join(", "));
        output::print(&format!("{text}table: {}\n", shell::ebm_on("compare", folder.dir())))
    };
    // How the trials ended is the exit code, whether or not it could be printed.
    verdict(&counted, folder).and(printed)
}

/// Nothing if every trial finished, or the error that says how many did not.
fn verdict(counted: &[(&'static str, usize)], folder: &Folder) -> Result<()> {
    let bad: Vec<_> = counted.iter().filter(|(name, _)| *name != TrialState::Finished.name()).collect();
    if bad.is_empty() {
        return Ok(());
    }
    let diverged = bad.iter().all(|(name, _)| *name == TrialState::Diverged.name());
    let what = bad.iter().map(|(name, n)| format!("{n} {name}")).collect::<Vec<_>>().join(", ");
    let errors = folder.dir().join("errors");
    let remedy = format!(
        "{} says why; --retry takes up what failed and begins again what diverged; what was interrupted goes on with \
         the same command",
        errors.display()
    );
    Err(Error::Trials { diverged, what: format!("trials that did not finish: {what}"), remedy })
}
