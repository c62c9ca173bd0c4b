//! `ebm train`: a configuration in, a run folder out.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::loaded::Weights;
use super::outcome::outcome;
use super::outputs::Outputs;
use super::picture;
use super::ranks::{Crew, RankArgs};
use super::{GlobalArgs, output, runs_root};
use crate::metrics::Metrics;
use crate::run::metrics as metrics_log;
use crate::run::tensorboard::EventLog;
use crate::run::{
    Declared, Experiment, Manifest, Missing, Paths, Progress, RunFolder, Status, Trainer, WarmStart, around,
    default_dir, show, signal,
};
use crate::store::{checkpoint, fs};
use crate::{Error, Result, config, methods, shell};

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
    /// Stops after so many steps, or epochs where those give the run's length; its schedules stay those of the whole
    /// run, and `ebm resume` goes on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    until: Option<u64>,
    /// A checkpoint, or the folder of a run, whose weights the run begins with; the optimisers begin anew
    #[arg(long, value_name = "CKPT")]
    from: Option<PathBuf>,
    /// Takes what fits of its model by name and shape, where not all does
    #[arg(long, requires = "from")]
    partial: bool,
    /// The weights to take: the moving average where the checkpoint has one, or the weights as trained [default: ema]
    #[arg(long, value_enum, requires = "from")]
    weights: Option<Weights>,
    #[command(flatten)]
    ranks: RankArgs,
}

/// Builds everything, makes the folder, trains.
pub fn run(args: &TrainArgs, global: &GlobalArgs) -> Result<()> {
    signal::install()?;
    let mut crew = Crew::new(&args.ranks)?;
    let result = train(args, global, &mut crew);
    crew.end(result)
}

fn train(args: &TrainArgs, global: &GlobalArgs, crew: &mut Crew) -> Result<()> {
    let sets = [crew.overrides(&args.config, &global.overrides())?, global.overrides()].concat();
    let experiment = crew.share(Experiment::load(&args.config, &sets)?)?;
    if !crew.is_first() {
        let mut trainer = begun(args, experiment)?;
        args.until.into_iter().for_each(|part| trainer.stop_after(part));
        return trainer.follow();
    }
    let stem = args.config.file_stem().and_then(|s| s.to_str()).unwrap_or("run");
    let dir = args.run_dir.clone().unwrap_or_else(|| default_dir(&runs_root(), stem, experiment.top.seed));
    if let Some(run) = std::path::absolute(&dir).ok().and_then(|dir| around(dir.parent()?)) {
        tracing::warn!("{} lies in the run {}, where no list finds it", dir.display(), run.display());
    }
    Outputs::new().folder("--run-dir", &dir)?;
    let mut trainer = begun(args, experiment)?;
    args.until.into_iter().for_each(|part| trainer.stop_after(part));
    let folder = match args.overwrite {
        true => RunFolder::overwrite(&dir)?,
        false => RunFolder::create(&dir)?,
    };
    if trainer.taken().is_some() {
        trainer.save_beginning(&folder)?;
    }
    fs::write_atomic(&folder.config(), trainer.experiment().resolved.to_toml().as_bytes())?;
    drive(&mut trainer, &folder, global)
}

/// The run at step 0.
fn begun(args: &TrainArgs, experiment: Experiment) -> Result<Trainer> {
    let Some(path) = &args.from else { return Trainer::new(experiment) };
    let weights = args.weights.unwrap_or(Weights::Ema);
    let start = WarmStart::load(path, weights.into(), &experiment.device)?;
    Trainer::from_weights(experiment, &start, args.partial)
}

/// Trains to the end and says how it went; the manifest learns it in any case.
pub(super) fn drive(trainer: &mut Trainer, folder: &RunFolder, global: &GlobalArgs) -> Result<()> {
    output::log_to(&folder.log())?;
    banner(trainer, folder.dir());
    trainer.troubles()?.iter().for_each(|trouble| tracing::warn!("known beforehand, as `ebm check` tells: {trouble}"));
    let mut manifest = describe(trainer);
    if let Ok(earlier) = Manifest::load(&folder.manifest()) {
        manifest.started = earlier.started;
    }
    manifest.save(&folder.manifest())?;
    let progress = Progress::new(trainer.until(), trainer.step(), global.quiet);
    let declared = Declared::of(&trainer.experiment().resolved)?;
    let mut progress = progress.showing(declared);
    let result = trainer.run(folder, &mut progress);
    progress.finish();
    manifest.last_step = trainer.step();
    if let Ok(metrics) = &result {
        manifest.last_metrics = metrics.clone();
    }
    manifest.best = trainer.best().cloned();
    manifest.end(Status::of(&result, trainer.step() >= trainer.total()));
    manifest.save(&folder.manifest())?;
    EventLog::end_session(folder.dir(), manifest.status).unwrap_or_else(|error| tracing::warn!("{error}"));
    if matches!(result, Err(Error::Interrupted(_))) {
        tracing::warn!("everything up to here is saved; go on with: {}", shell::ebm_on("resume", folder.dir()));
    }
    report(&result?, trainer, folder.dir(), global)
}

fn describe(trainer: &Trainer) -> Manifest {
    let experiment = trainer.experiment();
    let model = ("model".to_owned(), trainer.model().params().count());
    Manifest {
        method: experiment.resolved.spec("method").name().into(),
        dataset: trainer.data().spec().name.clone(),
        dataset_sha256: Some(trainer.data().sha256().into()),
        seed: experiment.top.seed,
        last_step: trainer.step(),
        until: trainer.until(),
        steps: trainer.total(),
        parameters: [model].into(),
        from: trainer.taken().cloned(),
        device: crate::device::name(&experiment.device),
        ..Manifest::begin()
    }
}

fn banner(trainer: &Trainer, folder: &Path) {
    let experiment = trainer.experiment();
    let method = experiment.resolved.spec("method");
    let cite = config::find(methods::METHODS, method.name()).map_or("", |row| row.cite);
    let spec = trainer.data().spec();
    let params = trainer.model().params().count();
    tracing::info!("run      {}", folder.display());
    let cite = if cite.is_empty() { String::new() } else { format!(" ({cite})") };
    tracing::info!("method   {}{cite}", method.name());
    tracing::info!("data     {} {:?}", spec.name, spec.shape);
    let (params, device) = (show::counted(params as u64, "parameter"), crate::device::name(&experiment.device));
    let ranks = match experiment.group().ranks() {
        1 => String::new(),
        n => format!(", {n} ranks with one each"),
    };
    tracing::info!("model    {params} on {device}{ranks}");
    if let Some(taken) = trainer.taken() {
        tracing::info!("from     {}", taken.summary());
        taken.rest().iter().for_each(|line| tracing::info!("  {line}"));
    }
    tracing::info!("steps    {} to {}, seed {}", trainer.step(), trainer.until(), experiment.top.seed);
}

fn report(metrics: &Metrics, trainer: &Trainer, folder: &Path, global: &GlobalArgs) -> Result<()> {
    let checkpoints = folder.join("checkpoints");
    let last = checkpoint::last_of(&checkpoints);
    let best = trainer.best().map(|(step, _)| (*step, checkpoint::best_of(&checkpoints)));
    if global.json {
        let declared = Declared::of(&trainer.experiment().resolved)?;
        let metrics = output::numbers(metrics, |name| declared.unit(name));
        let best = best.map(|(step, path)| json!({"step": step, "checkpoint": path}));
        let run = json!({"run": folder, "step": trainer.step(), "checkpoint": last, "metrics": metrics, "best": best,
            "missing": trainer.missing(), "from": trainer.taken()});
        return output::print_json(&run);
    }
    let journal = metrics_log::read(&Paths::of(folder).metrics())?;
    let stopped = trainer.step() < trainer.total();
    let of_all = if stopped { format!(" of {}, stopped", trainer.total()) } else { String::new() };
    let (steps, method) = (show::counted(trainer.step(), "step"), trainer.experiment().resolved.spec("method"));
    let (method, data) = (method.name(), &trainer.data().spec().name);
    let mut text = format!("{}: {steps}{of_all} of {method} on {data}\n", folder.display());
    text += &outcome(metrics, &Declared::of(&trainer.experiment().resolved)?, &journal);
    for Missing { probe, step, why, .. } in trainer.missing() {
        let why = why.lines().next().unwrap_or_default();
        text += &format!("missing:  numbers of {probe} at step {step}: {}\n", why.trim_start_matches("error: "));
    }
    if let Some((step, path)) = best {
        text += &format!("best:     step {step}, {}\n", path.display());
    }
    if stopped {
        text += &format!("go on:    {}\n", shell::ebm_on("resume", folder));
    }
    let samples = newest_samples(&Paths::of(folder).samples());
    samples.iter().for_each(|path| picture::show(path));
    text += &format!("pictures: {}\n", samples.unwrap_or_else(|| folder.join("samples")).display());
    text += &format!("sample:   {}\n", shell::ebm_on("sample --ckpt", &last));
    text += &format!("report:   {}\n", shell::ebm_on("report", folder));
    if !stopped {
        text += &format!("longer:   {} --steps {}\n", shell::ebm_on("resume", folder), 2 * trainer.total());
    }
    output::print(&text)
}

/// The last picture of samples that the run drew.
fn newest_samples(folder: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let samples = files.filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("samples-") && name.ends_with(".png")
    });
    samples.max()
}
