//! `ebm sample`: draws from a checkpoint, with its own sampler or another.

use std::path::{Path, PathBuf};

use clap::Args;
use image::RgbImage;
use serde_json::json;

use super::loaded::{Loaded, WeightsArg};
use super::{GlobalArgs, output, usage};
use crate::data::file;
use crate::metrics::Metrics;
use crate::probes::Picture;
use crate::run::show::{self, counted};
use crate::run::{Progress, signal};
use crate::samplers::{Sampler, Start, Target, Trace};
use crate::store::fs;
use crate::{Error, Result, draw, rng::Key};

/// Draws samples from a checkpoint and writes a picture of them.
#[derive(Args)]
pub struct SampleArgs {
    /// The checkpoint file
    #[arg(long, value_name = "FILE")]
    ckpt: PathBuf,
    /// How many samples
    #[arg(long, default_value_t = 100)]
    n: usize,
    /// Steps of the sampler; short for --set sampler.steps=…
    #[arg(long)]
    steps: Option<u64>,
    /// Seed of the chains; short for --set seed=…
    #[arg(long)]
    seed: Option<u64>,
    /// The picture, PNG [default: samples/ of the run, or the working directory]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Also writes the samples as a NumPy array, in model space
    #[arg(long, value_name = "FILE")]
    save_npy: Option<PathBuf>,
    /// Also writes the chains as an animation
    #[arg(long, value_name = "FILE")]
    gif: Option<PathBuf>,
    #[command(flatten)]
    weights: WeightsArg,
}

/// Pictures in an animation, at most.
const FRAMES: usize = 60;

/// Loads, runs the chains, writes what was asked for.
pub fn run(args: &SampleArgs, global: &GlobalArgs) -> Result<()> {
    if args.n == 0 {
        return Err(usage("--n 0 draws nothing", "--n 100 draws a grid of 10 x 10"));
    }
    let out = args.out.clone().unwrap_or_else(|| default_out(&args.ckpt));
    signal::install()?;
    let stored = Loaded::load(&args.ckpt, &sets(args, global), args.weights.weights)?;
    // Chains that start at data need its files; all others do without.
    let sampler = stored.experiment.sampler()?;
    let data = match sampler.config.init {
        Start::Data => &stored.experiment.data()?,
        _ => &stored.data,
    };
    let picture = Picture::of(data)?;
    let key = Key::new(stored.experiment.top.seed).with("sample");
    let mut frames = Vec::new();
    let (trace, every) = (&mut frames, frame_interval(args, &sampler));
    let (model, proposal) = (&stored.model, stored.proposal.as_deref());
    let start = sampler.start(key.with("start"), model, proposal, data, args.n)?;
    let on = Target::of(model).proposing(proposal);
    let mut progress = Progress::new(sampler.config.steps as u64, 0, global.quiet);
    let end = sampler.run(key.with("steps"), &on, &start, |step, chain| {
        progress.step(step as u64 + 1, &Metrics::new());
        if every.is_some_and(|every| step % every == 0) {
            trace.push(picture.draw(&sampler.items(model, &chain.x)?)?);
        }
        signal::stop_requested().map_or(Ok(()), |signal| Err(Error::Interrupted(signal)))
    })?;
    progress.finish();
    write(args, &out, &picture, &end, frames)?;
    report(args, global, &out, &stored, &sampler, &end)
}

fn sets(args: &SampleArgs, global: &GlobalArgs) -> Vec<String> {
    let mut sets = global.overrides();
    sets.extend(args.steps.map(|n| format!("sampler.steps={n}")));
    sets.extend(args.seed.map(|n| format!("seed={n}")));
    sets
}

/// `RUN/samples/sample-<checkpoint>.png` for a checkpoint in a run folder, numbered when that exists.
fn default_out(ckpt: &Path) -> PathBuf {
    let stem = ckpt.file_stem().and_then(|s| s.to_str()).unwrap_or("checkpoint");
    let run = ckpt.parent().and_then(Path::parent).map(|run| run.join("samples"));
    let folder = run.filter(|f| f.is_dir()).unwrap_or_default();
    let name = |i: usize| match i {
        0 => folder.join(format!("sample-{stem}.png")),
        _ => folder.join(format!("sample-{stem}-{i}.png")),
    };
    (0..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0))
}

fn frame_interval(args: &SampleArgs, sampler: &Sampler) -> Option<usize> {
    args.gif.as_ref().map(|_| sampler.config.steps.div_ceil(FRAMES).max(1))
}

fn write(args: &SampleArgs, out: &Path, picture: &Picture, end: &Trace, mut frames: Vec<RgbImage>) -> Result<()> {
    let last = picture.draw(&end.x)?;
    fs::write_atomic(out, &draw::png(&last)?)?;
    if let Some(path) = &args.gif {
        frames.push(last);
        fs::write_atomic(path, &draw::gif(&frames, 80)?)?;
    }
    match &args.save_npy {
        Some(path) => {
            let values: Vec<f64> = end.x.flatten_all()?.to_dtype(candle_core::DType::F64)?.to_vec1()?;
            fs::write_atomic(path, &file::npy_bytes(end.x.dims(), &values)?)
        }
        None => Ok(()),
    }
}

fn report(
    args: &SampleArgs,
    global: &GlobalArgs,
    out: &Path,
    stored: &Loaded,
    sampler: &Sampler,
    end: &Trace,
) -> Result<()> {
    let on = Target::of(&stored.model);
    let energy: f64 = sampler.energies(&on, &end.chain)?.to_dtype(candle_core::DType::F64)?.mean_all()?.to_scalar()?;
    if global.json {
        return output::print_json(&json!({
            "checkpoint": args.ckpt, "step": stored.step, "sampler": sampler.kernel.describe(),
            "steps": sampler.config.steps, "n": args.n, "mean_energy": energy, "acceptance": end.accept,
            "frozen_chains": end.frozen()?.count, "warnings": end.doubt()?.into_iter().collect::<Vec<_>>(),
            "nonfinite": end.nonfinite, "energy_values": end.spent.values,
            "energy_gradients": end.spent.gradients, "step_size": end.tuning.as_ref().map(|t| t.step_size),
            "picture": out, "npy": args.save_npy, "gif": args.gif,
        }));
    }
    let (samples, steps) = (counted(args.n as u64, "sample"), counted(sampler.config.steps as u64, "step"));
    let mut text = format!("{samples}, {steps} of {}\n", sampler.kernel.describe());
    text += &format!("mean energy {} nats", show::number(energy, 5));
    if let Some(accept) = end.accept {
        text += &format!(", acceptance {:.1} %", 100.0 * accept);
    }
    if let Some(tuning) = &end.tuning {
        text += &format!(", step size tuned to {}", show::number(tuning.step_size, 4));
    }
    if end.nonfinite > 0 {
        text += &format!(", {} without a finite energy", counted(end.nonfinite as u64, "proposal"));
    }
    text += &format!("\n{}", output::cost(end.spent));
    text += &end.doubt()?.map(|doubt| format!("\nwarning: {doubt}")).unwrap_or_default();
    output::print(&format!("{text}\n{}\n", out.display()))
}
