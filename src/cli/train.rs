//! `ebm train`: a configuration in, a run folder out.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{Global, output, runs_root};
use crate::methods::Metrics;
use crate::run::{Experiment, Progress, RunFolder, Status, Trainer, signal};
use crate::{Error, Result, config, methods};

/// Trains the experiment of a configuration file.
#[derive(Args)]
pub struct TrainArgs {
    /// The configuration file
    config: PathBuf,
    /// The run folder [default: runs/<config>-s<seed>-<time>]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Deletes what an earlier run left in the run folder
    #[arg(long)]
    overwrite: bool,
}

/// Builds everything, makes the folder, trains.
pub fn run(args: &TrainArgs, global: &Global) -> Result<()> {
    signal::install()?;
    let experiment = Experiment::load(&args.config, &global.overrides())?;
    let stem = args.config.file_stem().and_then(|s| s.to_str()).unwrap_or("run");
    let dir = args.run_dir.clone().unwrap_or_else(|| RunFolder::default_dir(&runs_root(), stem, experiment.top.seed));
    let mut trainer = Trainer::new(experiment)?;
    let folder = match args.overwrite {
        true => RunFolder::replace(&dir)?,
        false => RunFolder::create(&dir)?,
    };
    folder.begin(&trainer)?;
    drive(&mut trainer, &folder, global)
}

/// Trains to the end and says how it went; the manifest learns it in any case.
pub(super) fn drive(trainer: &mut Trainer, folder: &RunFolder, global: &Global) -> Result<()> {
    if !global.quiet {
        banner(trainer, folder.path());
    }
    let progress = Progress::new("train", trainer.total(), trainer.step(), global.quiet);
    let result = trainer.run(folder, &progress);
    progress.finish();
    folder.end(Status::of(&result), trainer.step(), result.as_ref().ok())?;
    match result {
        Ok(metrics) => report(&metrics, trainer, folder.path(), global),
        Err(error @ (Error::Interrupted(_) | Error::Diverged { .. })) => {
            tracing::warn!("go on with: ebm resume {}", folder.path().display());
            Err(error)
        }
        Err(error) => Err(error),
    }
}

fn banner(trainer: &Trainer, folder: &Path) {
    let experiment = trainer.experiment();
    let method = experiment.resolved.spec("method");
    let cite = config::find(methods::METHODS, method.name()).map_or("", |row| row.cite);
    let spec = trainer.data().spec();
    let params = trainer.model().params().count();
    tracing::info!("run      {}", folder.display());
    tracing::info!("method   {} ({cite})", method.name());
    tracing::info!("data     {} {:?}", spec.name, spec.shape);
    tracing::info!("model    {params} parameters on {}", crate::device::name(&experiment.device));
    tracing::info!("steps    {} to {}, seed {}", trainer.step(), trainer.total(), experiment.top.seed);
}

fn report(metrics: &Metrics, trainer: &Trainer, folder: &Path, global: &Global) -> Result<()> {
    let last = folder.join("checkpoints/last.safetensors");
    if global.json {
        let metrics: serde_json::Map<_, _> = metrics.iter().map(|(k, v)| (k.to_owned(), json!(v))).collect();
        let run = json!({"run": folder, "step": trainer.step(), "checkpoint": last, "metrics": metrics});
        return output::print_json(&run);
    }
    let mut text = format!("{}: {} steps\n", folder.display(), trainer.step());
    for (name, value) in metrics.iter() {
        text += &format!("  {name:<18} {value:.5}\n");
    }
    text += &format!("pictures: {}\n", folder.join("samples").display());
    output::print(&format!("{text}sample:   ebm sample --ckpt {}\n", last.display()))
}
