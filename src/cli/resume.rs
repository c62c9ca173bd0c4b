//! `ebm resume`: goes on from the newest checkpoint that is whole; the result is that of a run never stopped.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::ranks::{Crew, RankArgs};
use super::{GlobalArgs, output, usage};
use crate::config::Document;
use crate::run::{self, Decay, Experiment, Manifest, Paths, RunFolder, Status, Trainer, sections, signal};
use crate::store::{Checkpoint, checkpoint, fs};
use crate::{Error, Result, shell};

/// Goes on with an interrupted run. `--set` takes keys that its steps do not depend on, such as those of probes, and
/// writes them into the run's configuration.
#[derive(Args)]
pub struct ResumeArgs {
    /// The run folder
    dir: PathBuf,
    /// Trains to so many steps in all: a finished run goes on, and its configuration says the new length
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Stops after so many steps in all, or epochs where those give the run's length; its configuration stays
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    until: Option<u64>,
    #[command(flatten)]
    ranks: RankArgs,
}

/// Refuses new values of what the run's steps depend on.
fn refuse_another(config: &Path, sets: &[String]) -> Result<()> {
    let with = |sets: &[String]| Document::load(config, sets)?.resolve(&sections());
    let bound = run::bound(&with(&[])?, &with(sets)?);
    if bound.is_empty() {
        return Ok(());
    }
    let bound = bound.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let new = shell::ebm_on("train", config);
    Err(usage(
        format!("a resumed run keeps its configuration, --set would make it another run: {bound}"),
        format!("start a new one: {new} --set …; free to change are {}", run::changeable().join(", ")),
    ))
}

/// Restores, cuts the logs back to the checkpoint, trains on.
pub fn run(args: &ResumeArgs, global: &GlobalArgs) -> Result<()> {
    if !global.sets.is_empty() {
        refuse_another(&Paths::of(&args.dir).config(), &global.sets)?;
    }
    signal::install()?;
    let mut crew = Crew::new(&args.ranks)?;
    let result = resume(args, global, &mut crew);
    crew.end(result)
}

fn resume(args: &ResumeArgs, global: &GlobalArgs, crew: &mut Crew) -> Result<()> {
    let longer = args.steps.iter().flat_map(|n| [format!("train.steps={n}"), "train.epochs=0".to_owned()]);
    let longer: Vec<String> = longer.collect();
    let sets = [global.overrides(), longer.clone()].concat();
    if !crew.is_first() {
        let (mut trainer, _) = taken_up(&Paths::of(&args.dir), &sets, crew)?;
        args.until.into_iter().for_each(|part| trainer.stop_after(part));
        return trainer.follow();
    }
    let folder = RunFolder::open(&args.dir)?;
    let checkpoints = folder.checkpoints();
    let (mut trainer, from) = taken_up(&folder, &sets, crew)?;
    match from {
        Some((path, step)) => checkpoint::adopt(&checkpoints, &path, step)?,
        None => {
            refuse_lost(&folder)?;
            tracing::warn!("{}: no checkpoint yet, starting at step 0", args.dir.display());
        }
    }
    if let Some(steps) = args.steps {
        check_longer(&trainer, &folder, steps)?;
    }
    if let Some(part) = args.until {
        trainer.stop_after(part);
        refuse_done(&trainer, &folder, ("--until", part), trainer.until())?;
    }
    // A kill between the last checkpoint and the manifest leaves a run that is done but does not say so; a lost file
    // leaves one that says so without its last checkpoint. Both are settled by driving on.
    let told = Manifest::load(&folder.manifest()).is_ok_and(|manifest| manifest.status == Status::Finished);
    let done = trainer.step() >= trainer.total() && !trainer.is_unseen();
    if told && done && checkpoint::last_of(&checkpoints).exists() {
        let text = format!("{}: already finished at step {}", args.dir.display(), trainer.step());
        refuse_unread(&text, args, global)?;
        return match global.json {
            true => output::print_json(&json!({"run": args.dir, "step": trainer.step(), "finished": true})),
            false => output::print(&(text + "\n")),
        };
    }
    let written = [global.sets.clone(), longer].concat();
    if !written.is_empty() {
        let config = Document::load(&folder.config(), &written)?.resolve(&sections())?;
        fs::write_atomic(&folder.config(), config.to_toml().as_bytes())?;
    }
    super::train::drive(&mut trainer, &folder, global)
}

/// Refuses a run that ended with a checkpoint and has none: to begin anew would cut its numbers away.
fn refuse_lost(folder: &Paths) -> Result<()> {
    let Ok(manifest) = Manifest::load(&folder.manifest()) else { return Ok(()) };
    if manifest.last_step == 0 || !matches!(manifest.status, Status::Finished | Status::Stopped | Status::Interrupted) {
        return Ok(());
    }
    let (dir, step) = (folder.dir(), manifest.last_step);
    let what =
        format!("no checkpoint is left in {}, and the run was saved at step {step}", folder.checkpoints().display());
    let anew = shell::ebm_on("train", &folder.config());
    Err(Error::checkpoint(dir, what, format!("put its checkpoints back; a new run: {anew} --run-dir DIR")))
}

/// Refuses new values that a finished run would never read.
fn refuse_unread(finished: &str, args: &ResumeArgs, global: &GlobalArgs) -> Result<()> {
    if global.sets.is_empty() {
        return Ok(());
    }
    let sets = global.sets.iter().map(shell::word).collect::<Vec<_>>().join(" --set ");
    let [longer, eval] = ["resume", "eval --ckpt"].map(|words| shell::ebm_on(words, &args.dir));
    let remedy = format!("{longer} --steps N --set {sets}; what a probe finds in this model: {eval} --set …");
    Err(usage(format!("{finished}, so that nothing would read --set {sets}"), remedy))
}

/// Whether a run may have so many steps; says what becomes of its learning rate.
fn check_longer(trainer: &Trainer, folder: &RunFolder, steps: u64) -> Result<()> {
    refuse_done(trainer, folder, ("--steps", steps), steps)?;
    let done = trainer.step();
    let experiment = trainer.experiment();
    if !matches!(experiment.train.decay, Decay::Constant | Decay::Steps) && done > 0 {
        let decay = experiment.resolved.section("train").get("decay").map(ToString::to_string).unwrap_or_default();
        tracing::warn!(
            "train.decay = {decay} falls to 0 at the new length: the learning rate goes up where the run goes on"
        );
    }
    Ok(())
}

/// Refuses an option whose value stands for fewer `steps` than the run has done.
fn refuse_done(trainer: &Trainer, folder: &RunFolder, (option, given): (&str, u64), steps: u64) -> Result<()> {
    let done = trainer.step();
    if steps >= done {
        return Ok(());
    }
    let what = format!("{option} {given}: {} has done {done} steps already", folder.dir().display());
    let more = given.saturating_mul(2 * done).div_ceil(steps.max(1));
    Err(usage(what, format!("give more, such as {option} {more}")))
}

/// The run in a folder as its newest checkpoint has it, and that checkpoint; at its beginning where there is none. All
/// ranks take the one that rank 0 finds.
fn taken_up(folder: &Paths, sets: &[String], crew: &mut Crew) -> Result<(Trainer, Option<(PathBuf, u64)>)> {
    if let [parts, ..] = crew.overrides(&folder.config(), sets)?.as_slice() {
        let what = format!("the run divides no batch, which `--ranks` wants ({parts}), and goes on as it began");
        return Err(usage(what, "resume it without --ranks; a new run takes them: ebm train … --ranks N"));
    }
    let experiment = crew.share(Experiment::load(&folder.config(), sets)?)?;
    let (checkpoints, group) = (folder.checkpoints(), Arc::clone(experiment.group()));
    let newest = match crew.is_first() && !checkpoint::files(&checkpoints)?.is_empty() {
        true => Some(checkpoint::latest_good(&checkpoints, &experiment.device)?),
        false => None,
    };
    let name = newest.as_ref().and_then(|(path, _)| path.file_name()?.to_str()).unwrap_or_default();
    let name = String::from_utf8_lossy(&group.heard(name.as_bytes())?).into_owned();
    if name.is_empty() {
        return Ok((Trainer::new(experiment)?, None));
    }
    let (path, checkpoint) = match newest {
        Some(newest) => newest,
        None => (checkpoints.join(&name), checkpoint::load_from(&checkpoints.join(&name), &experiment.device)?),
    };
    // What follows may remove it.
    group.tell(&[])?;
    Ok((restored(experiment, &folder.config(), &path, &checkpoint)?, Some((path, checkpoint.step))))
}

/// The run as it stood when `checkpoint` was written, if its configuration is still the same in what training reads.
fn restored(experiment: Experiment, config: &Path, path: &Path, checkpoint: &Checkpoint) -> Result<Trainer> {
    let edits = run::edits(&experiment, path, checkpoint)?;
    if edits.is_empty() {
        let mut trainer = Trainer::new(experiment)?;
        trainer.restore(path, checkpoint)?;
        return Ok(trainer);
    }
    let edits = edits.iter().map(|edit| format!("  {edit}")).collect::<Vec<_>>().join("\n");
    // Where the tensors do not fit either, it may as well be the checkpoint of another run.
    if let Ok(mut trainer) = Trainer::new(experiment)
        && let Err(Error::Checkpoint { path, what, remedy }) = trainer.restore(path, checkpoint)
    {
        let what = format!("{what}\n\nits configuration is another one:\n\n{edits}");
        return Err(Error::Checkpoint { path, what, remedy });
    }
    let what = format!(
        "{}: changed since {} was written, and a run goes on under the configuration that it began with\n\n{edits}",
        config.display(),
        path.display()
    );
    let remedy = format!(
        "undo the change to go on; with the new values it is another run: ebm train {} --run-dir DIR. Free to change \
         are {} and where the same data lie",
        config.display(),
        run::changeable().join(", ")
    );
    Err(Error::config(what).hint(remedy))
}
