//! `ebm resume`: goes on from the newest checkpoint that is whole; the result is that of a run never stopped.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{GlobalArgs, output, usage};
use crate::Result;
use crate::run::{Experiment, Manifest, RunFolder, Status, Trainer, signal};
use crate::store::checkpoint;

/// Goes on with an interrupted run.
#[derive(Args)]
pub struct ResumeArgs {
    /// The run folder
    dir: PathBuf,
}

/// Restores, cuts the logs back to the checkpoint, trains on.
pub fn run(args: &ResumeArgs, global: &GlobalArgs) -> Result<()> {
    if !global.sets.is_empty() {
        return Err(usage(
            "a resumed run keeps its configuration, --set would make it another run",
            "start a new one: ebm train RUN/config.toml --set …",
        ));
    }
    signal::install()?;
    let folder = RunFolder::open(&args.dir)?;
    let config = folder.config();
    let experiment = Experiment::load(&config, &global.overrides())?;
    let mut trainer = Trainer::new(experiment)?;
    let checkpoints = folder.checkpoints();
    if checkpoint::files(&checkpoints)?.is_empty() {
        tracing::warn!("{}: no checkpoint yet, starting at step 0", args.dir.display());
    } else {
        let (path, checkpoint) = checkpoint::latest_good(&checkpoints, &trainer.experiment().device)?;
        trainer.restore(&path, &checkpoint)?;
        checkpoint::adopt(&checkpoints, &path, checkpoint.step)?;
    }
    // A kill between the last checkpoint and the manifest leaves a run that is done but does not say so; a lost file
    // leaves one that says so without its last checkpoint. Both are settled by driving on.
    let told = Manifest::load(&folder.manifest()).is_ok_and(|manifest| manifest.status == Status::Finished);
    let done = trainer.step() >= trainer.total() && !trainer.is_unseen();
    if told && done && checkpoint::last_of(&checkpoints).exists() {
        let text = format!("{}: already finished at step {}", args.dir.display(), trainer.step());
        return match global.json {
            true => output::print_json(&json!({"run": args.dir, "step": trainer.step(), "finished": true})),
            false => output::print(&(text + "\n")),
        };
    }
    super::train::drive(&mut trainer, &folder, global)
}
