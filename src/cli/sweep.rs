//! `ebm sweep`: a plan in, a folder of runs out; the same command again goes on with it.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};

use super::sweep_slurm::{self, Asked, SlurmArgs};
use super::trials::{counts, in_words, many};
use super::{GlobalArgs, output, runs_root, usage};
use crate::run::{show, signal};
use crate::sweep::{Folder, Halving, Launch, Plan, Rung, Scheduler, Search, Trial, TrialEnd, TrialState, gpus, on_gpu};
use crate::{Error, Result, device, process, shell, sweep};

/// Runs every trial of a plan that is not done yet.
#[derive(Args)]
#[command(
    after_help = "Exit codes: 0 every trial finished or was stopped by [halving] · 3 some diverged · 1 some failed or \
                        were killed · 128 + N stopped by signal N (the same command goes on)"
)]
pub struct SweepArgs {
    /// The plan, such as configs/sweeps/toy2d.toml
    plan: PathBuf,
    /// Trials at a time, which share the cores [default: as many as cores on the CPU, one on each GPU]
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
    /// Runs every N-th trial only, beginning with the I-th
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Shows how every trial stands: queued, running and where, finished, failed and why; runs nothing
    #[arg(long, conflicts_with_all = ["dry_run", "cancel"])]
    status: bool,
    /// Tells the trials that are queued or running to save and stop
    #[arg(long, conflicts_with = "dry_run")]
    cancel: bool,
    #[command(flatten)]
    slurm: SlurmArgs,
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
    if args.shard.is_some() && plan.halving.is_some() {
        let hint = "start the same command several times: searches in one folder share the work";
        return Err(usage("--shard would compare the trials of each part with each other alone", hint));
    }
    let trials = match args.shard {
        None => args.slurm.part_of(&plan, &all)?,
        Some(Shard { part, of }) => all.iter().skip(part - 1).step_by(of).cloned().collect(),
    };
    let launcher = args.slurm.on_top_of(&plan.launcher);
    match (args.dry_run, args.status, args.cancel) {
        (true, ..) => return list(&trials, &folder, global),
        (_, true, _) => return sweep_slurm::status(&trials, &folder, global),
        (.., true) => return sweep_slurm::cancel(&trials, &folder, global),
        _ => {}
    }
    if launcher.name == Scheduler::Slurm && !args.slurm.is_task() {
        folder.begin(&plan, &all)?;
        let asked = Asked { plan: &plan, jobs: args.jobs, retry: args.retry, quick: args.quick };
        return sweep_slurm::submit(&asked, &launcher, &trials, &folder, global);
    }
    signal::install_to_pass_on()?;
    if !args.slurm.is_task() {
        folder.begin(&plan, &all)?;
    }
    work(args, &plan, &trials, &folder, global)
}

/// Runs what is left to do of these trials, and says how they stand.
fn work(args: &SweepArgs, plan: &Plan, trials: &[Trial], folder: &Folder, global: &GlobalArgs) -> Result<()> {
    let (launch, is_task) = (launch(args, trials, global)?, args.slurm.is_task());
    tracing::info!("sweep    {}", folder.dir().display());
    tracing::info!("trials   {}, {} at a time", trials.len(), launch.jobs);
    let ran = match &plan.halving {
        None => sweep::run(folder, trials, &launch),
        Some(halving) => sweep::search(folder, halving, trials, &launch, !is_task),
    };
    let outcomes = ran.inspect_err(|error| match error {
        Error::Interrupted(signal) if is_task => sweep_slurm::stopped(*signal),
        Error::Interrupted(_) => tracing::warn!("everything up to here is saved, and the same command goes on with it"),
        _ => {}
    })?;
    if is_task {
        // What the other tasks have is not this one's to judge.
        let own: Vec<TrialState> = outcomes.iter().filter(|end| end.ran).map(|end| end.state).collect();
        return verdict(&counts(&own), folder, plan.halving.is_some());
    }
    let search = plan.halving.as_ref().map(|halving| Search::new(halving, trials, folder)).transpose()?;
    report(trials, &outcomes, folder, search.as_ref().zip(plan.halving.as_ref()), global)
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
    // One thread for each of many trials wastes nothing; all threads for one small trial mostly wait for each other.
    let gpus = gpus();
    let fitting =
        if trials.iter().any(on_gpu) { gpus.len().max(1) } else { process::threads().min(trials.len()).max(1) };
    let program = std::env::current_exe().map_err(|e| Error::Other(format!("cannot find this program's file: {e}")))?;
    let jobs = args.jobs.map_or(fitting, usize::from);
    Ok(Launch { jobs, retry: args.retry, quiet: global.quiet, program, gpus })
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
    output::print(&format!("{}{}: {}\n", output::table(&rows), many(trials), in_words(counts(&states))))
}

fn report(
    trials: &[Trial],
    outcomes: &[TrialEnd],
    folder: &Folder,
    search: Option<(&Search<'_>, &Halving)>,
    global: &GlobalArgs,
) -> Result<()> {
    let states: Vec<TrialState> = outcomes.iter().map(|outcome| outcome.state).collect();
    let ran = outcomes.iter().filter(|outcome| outcome.ran).count();
    let counted = counts(&states);
    let printed = if global.json {
        let rows: Vec<Value> = trials.iter().zip(&states).map(|(t, s)| describe(t, *s, folder)).collect();
        let counts: serde_json::Map<_, _> = counted.iter().map(|(name, n)| ((*name).to_owned(), json!(n))).collect();
        let halving = search.map(|(search, halving)| halving_json(search, halving, trials, folder));
        let (dir, halving) = (folder.dir(), halving.unwrap_or_default());
        output::print_json(&json!({"sweep": dir, "counts": counts, "ran": ran, "halving": halving, "trials": rows}))
    } else {
        let stand = in_words(counted.iter().copied());
        let dir = folder.dir().display();
        let text = format!("{dir}: {}, {ran} of them run now: {}\n", many(trials), stand);
        let found = search.map(|(search, halving)| halving_text(search, halving, trials, folder)).unwrap_or_default();
        output::print(&format!("{text}{found}table: {}\n", shell::ebm_on("compare", folder.dir())))
    };
    // How the trials ended is the exit code, whether or not it could be printed.
    verdict(&counted, folder, search.is_some()).and(printed)
}

/// The rungs of a search, and its winners.
fn halving_text(search: &Search<'_>, halving: &Halving, trials: &[Trial], folder: &Folder) -> String {
    let objective = &halving.objective;
    let head = ["", "length", "trials", &format!("best {objective}"), "of"].map(str::to_owned).to_vec();
    let id = |trial: usize| trials.get(trial).map(|trial| trial.id.clone()).unwrap_or_default();
    let row = |rung: &Rung| {
        let lengths = rung.lengths.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let value = rung.best.map_or_else(|| "-".to_owned(), |(_, value)| show::number(value, 6));
        let best = rung.best.map(|(trial, _)| id(trial)).unwrap_or_default();
        vec![rung.of.clone(), lengths, rung.reached.to_string(), value, best]
    };
    let rows: Vec<_> = std::iter::once(head).chain(search.rungs().iter().map(row)).collect();
    let steps = show::counted(search.steps(), "step");
    let share = show::number(100.0 * search.share(folder), 3);
    format!("{}{steps} trained, {share} % of all trials in full\n", output::table(&rows))
}

fn halving_json(search: &Search<'_>, halving: &Halving, trials: &[Trial], folder: &Folder) -> Value {
    let rung = |rung: Rung| {
        let best = rung.best.and_then(|(trial, value)| Some(json!({"trial": trials.get(trial)?.id, "value": value})));
        json!({"of": rung.of, "lengths": rung.lengths, "settings": rung.reached, "best": best})
    };
    let rungs: Vec<Value> = search.rungs().into_iter().map(rung).collect();
    json!({"objective": halving.objective, "rungs": rungs, "steps": search.steps(), "share": search.share(folder)})
}

/// Nothing if every trial finished, or was stopped by a search; or the error that says how many did not.
fn verdict(counted: &[(&'static str, usize)], folder: &Folder, search: bool) -> Result<()> {
    let good = |name: &str| name == TrialState::Finished.name() || (search && name == TrialState::Stopped.name());
    let bad: Vec<_> = counted.iter().filter(|(name, _)| !good(name)).copied().collect();
    if bad.is_empty() {
        return Ok(());
    }
    let diverged = bad.iter().all(|(name, _)| *name == TrialState::Diverged.name());
    let what = in_words(bad);
    let errors = folder.dir().join("errors");
    let remedy = format!(
        "{} says why; --retry takes up what failed and begins again what diverged; what was interrupted goes on with \
         the same command",
        errors.display()
    );
    Err(Error::Trials { diverged, what: format!("trials that did not finish: {what}"), remedy })
}
