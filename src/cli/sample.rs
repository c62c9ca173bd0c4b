//! `ebm sample`: draws from a checkpoint, with its own sampler or another.

use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use clap::Args;
use image::RgbImage;
use serde_json::json;

use super::classes;
use super::draws::{self, Draws, as_folder};
use super::items::Space;
use super::loaded::{Loaded, WeightsArg, run_folder, stem};
use super::outputs::{self, Outputs, all_tried};
use super::{GlobalArgs, output, usage};
use crate::data::{Data, beginning};
use crate::density::{self, Proposal};
use crate::math::stats;
use crate::metrics::{Metrics, Spent};
use crate::probes::Picture;
use crate::run::show::{self, counted};
use crate::run::{Progress, signal};
use crate::samplers::{Losses, Sampler, Start, Target, Trace};
use crate::store::fs;
use crate::{Error, Result, draw, rng::Key};

/// Draws samples from a checkpoint and writes a picture of them.
#[derive(Args)]
pub struct SampleArgs {
    /// The checkpoint file, or the folder of its run
    #[arg(long, value_name = "FILE")]
    ckpt: PathBuf,
    /// How many samples [default: 100, or the rows of --init]
    #[arg(long)]
    n: Option<usize>,
    /// Steps of the sampler; short for --set sampler.steps=…
    #[arg(long)]
    steps: Option<u64>,
    /// Seed of the chains; short for --set seed=…
    #[arg(long)]
    seed: Option<u64>,
    /// The picture, .png; or the samples as numbers: .npy, or with energies and labels .npz or .csv; or a folder of
    /// pictures, DIR/ [default: a picture in samples/ of the run, or the working directory; a .npy there of samples
    /// that cannot be drawn]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Draws of this class alone, from p(x|y) of a classifier: its name in the files, or its number from 0
    /// where no class is called a number
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// Starts the chains at the rows of a file, .npy or text
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// The numbers of --out, --init and --save-npy: those of the data set's table, whose scaling is undone, or those of
    /// the model; they differ for tables alone
    #[arg(long, value_enum, default_value_t = Space::Data)]
    space: Space,
    /// Also writes the samples as a NumPy array, .npy, which `ebm gof` and `ebm energy` read
    #[arg(long, value_name = "FILE")]
    save_npy: Option<PathBuf>,
    /// Also writes the chains as an animation, .gif
    #[arg(long, value_name = "FILE")]
    gif: Option<PathBuf>,
    #[command(flatten)]
    weights: WeightsArg,
}

/// Pictures in an animation, at most.
const FRAMES: usize = 60;

/// What is written, and how it is drawn.
struct Forms<'a> {
    picture: Option<(Picture<'a>, Option<PathBuf>)>,
    /// Files of numbers, and what these are.
    numbers: Vec<(PathBuf, Space)>,
    folder: Option<PathBuf>,
    gif: Option<PathBuf>,
}

/// Loads, runs the chains, writes what was asked for.
pub fn run(args: &SampleArgs, global: &GlobalArgs) -> Result<()> {
    if args.n == Some(0) {
        return Err(usage("--n 0 draws nothing", "--n 100 draws a grid of 10 x 10"));
    }
    if args.space == Space::Pixels {
        return Err(usage(
            "--space pixels is for files that are read by `ebm energy` and `ebm gof`",
            "--space data or --space model",
        ));
    }
    try_outputs(args)?;
    let options = [("--steps", "sampler.steps", args.steps), ("--seed", "seed", args.seed)];
    let stored = Loaded::load(&args.ckpt, &global.overrides_with(&options)?, args.weights.weights)?;
    // Chains that start at data need its files; all others do without.
    let sampler = stored.experiment.sampler()?;
    let data = match sampler.config.init {
        Start::Data => &stored.experiment.data()?,
        _ => &stored.data,
    };
    let forms = forms(args, data)?;
    let key = Key::new(stored.experiment.top.seed).with("sample");
    let mut frames = Vec::new();
    let (film, every) = (&mut frames, sampler.config.steps.div_ceil(FRAMES).max(1));
    let (model, proposal) = (&stored.model, stored.proposal.as_deref());
    let class = args.class.as_deref().map(|class| classes::numbered(class, data)).transpose()?;
    let start = starts((args, class), &stored, &sampler, data, key.with("start"))?;
    // Until the chains run there is nothing to stop in order: a signal ends the process, however long starts take.
    signal::install()?;
    // Starts that come down noise levels cost gradients too.
    let mut spent = model.meter().take();
    let of_class = class.map(|class| classes::within(class, model, data, start.dim(0)?)).transpose()?;
    let on = of_class.as_ref().map_or_else(|| Target::of(model), |energy| Target::new(energy)).proposing(proposal);
    let mut progress = Progress::new(sampler.config.steps as u64, 0, global.quiet);
    let end = sampler.run(key.with("steps"), &on, &start, |step, chain| {
        progress.step(step as u64 + 1, &Metrics::new());
        if let Some((picture, _)) = forms.picture.as_ref().filter(|_| forms.gif.is_some() && step % every == 0) {
            film.push(picture.draw(&sampler.items(&on, &chain.x)?)?);
        }
        signal::stop_requested().map_or(Ok(()), |signal| Err(Error::Interrupted(signal)))
    })?;
    progress.finish();
    let energies = sampler.energies(&on, &end.chain)?;
    let losses = end.losses(&energies)?;
    losses.check(losses.chains.saturating_sub(1))?;
    warn(losses);
    let labels = draws::labels(model, &end.x, class)?;
    let written = write(&forms, &Draws { x: &end.x, energies: &energies, labels, data }, frames);
    spent += end.spent;
    spent += proposal.map_or_else(Spent::default, Proposal::take_spent);
    report(args, global, &forms, &stored, &sampler, ((&end, class), spent, losses, mean(&energies)?))?;
    written
}

/// Where the chains start, `[n, ..]`: at the rows of a file, at the proposal's draws of a class, or where the sampler
/// says.
fn starts(
    (args, class): (&SampleArgs, Option<u32>),
    stored: &Loaded,
    sampler: &Sampler,
    data: &Data,
    key: Key,
) -> Result<Tensor> {
    let (model, proposal, n) = (&stored.model, stored.proposal.as_deref(), args.n.unwrap_or(100));
    if let Some(path) = &args.init {
        if sampler.config.space != density::Space::Data {
            return Err(usage("--init gives items, and these chains move in noise", "--set sampler.space=data"));
        }
        let begin = beginning(&stored.experiment.resolved.spec("dataset"), path);
        let rows = data.of_file(path, (args.space == Space::Data, begin))?;
        let x = rows.items(model.shape(), path, data.device())?;
        let (have, n) = (x.dim(0)?, args.n.unwrap_or(x.dim(0)?));
        return match n <= have {
            true => Ok(x.narrow(0, 0, n)?),
            false => Err(usage(format!("--n {n}: {} has {have} rows", path.display()), format!("--n {have}"))),
        };
    }
    let items = sampler.config.space == density::Space::Data;
    if let (Some(class), Start::Proposal, Some(proposal), true) = (class, sampler.config.init, proposal, items) {
        classes::within(class, model, data, 1)?;
        return classes::of_class(class, proposal, model, n, key);
    }
    sampler.start(key, model, proposal, data, n)
}

/// Looks at the files that the command line names, before anything is loaded.
fn try_outputs(args: &SampleArgs) -> Result<()> {
    let mut outputs = Outputs::new();
    args.init.iter().for_each(|path| outputs.read("--init", path));
    for (option, path, endings) in [
        ("--out", &args.out.clone().filter(|out| as_folder(out).is_none()), &["png", "npy", "npz", "csv"][..]),
        ("--save-npy", &args.save_npy, &["npy"]),
        ("--gif", &args.gif, &["gif"]),
    ] {
        path.iter().try_for_each(|path| outputs.file(option, path, endings))?;
    }
    args.out.iter().filter_map(|out| as_folder(out)).try_for_each(|folder| {
        outputs.folder("--out", &folder)?;
        draws::check_folder(&folder)
    })
}

/// The forms asked for by name must be possible. Besides, without being asked: a picture, where the data can be drawn
/// and there is a place to write; samples that cannot be drawn as numbers.
fn forms<'a>(args: &SampleArgs, data: &'a Data) -> Result<Forms<'a>> {
    let SampleArgs { out, save_npy, gif, ckpt, space, .. } = args;
    let folder = out.as_ref().and_then(|out| as_folder(out));
    if folder.is_some() {
        draws::check_pictures(data)?;
    }
    let (array, out) = match out {
        Some(path) if draws::ENDINGS.contains(&outputs::ending(path).as_str()) => (Some(path), None),
        out => (None, out.as_ref().filter(|_| folder.is_none())),
    };
    let mut numbers: Vec<(PathBuf, Space)> = array.iter().map(|path| ((*path).clone(), *space)).collect();
    numbers.extend(save_npy.iter().map(|path| (path.clone(), *space)));
    let place = |ending| {
        let path = default_out(ckpt, ending);
        fs::try_file(&path).map(|()| path)
    };
    let picture = match (Picture::of(data), out) {
        // With an array in its place, a picture that nobody asked for is drawn for the film alone.
        (Ok(picture), _) if array.is_some() || folder.is_some() => Ok((picture, None)),
        (Ok(picture), Some(out)) => Ok((picture, Some(out.clone()))),
        (Ok(picture), None) => place("png").map(|path| (picture, Some(path))),
        (Err(error), _) => Err(error),
    };
    let picture = match picture {
        Ok(picture) => Some(picture),
        Err(error) if out.is_some() || gif.is_some() => return Err(error),
        Err(error) => {
            array.is_none().then(|| tracing::warn!("no picture: {error}"));
            None
        }
    };
    if numbers.is_empty() && picture.is_none() {
        numbers.push((place("npy")?, *space));
    }
    Ok(Forms { numbers, folder, gif: gif.clone(), picture })
}

/// `RUN/samples/sample-<checkpoint>.<ending>` for a checkpoint in a run folder, numbered when that exists.
fn default_out(ckpt: &Path, ending: &str) -> PathBuf {
    let stem = stem(ckpt);
    let run = run_folder(ckpt).map(|run| run.join("samples"));
    let folder = run.filter(|f| f.is_dir()).unwrap_or_default();
    let name = |i: usize| match i {
        0 => folder.join(format!("sample-{stem}.{ending}")),
        _ => folder.join(format!("sample-{stem}-{i}.{ending}")),
    };
    (0..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0))
}

/// Every form is tried, whatever becomes of the others.
fn write(forms: &Forms, draws: &Draws, mut frames: Vec<RgbImage>) -> Result<()> {
    let mut outcomes: Vec<Result<()>> = forms.numbers.iter().map(|(path, space)| draws.write(path, *space)).collect();
    outcomes.extend(forms.folder.iter().map(|folder| draws.pictures(folder)));
    if let Some((picture, path)) = &forms.picture {
        let last = picture.draw(draws.x)?;
        if let Some(path) = path {
            outcomes.push(draw::png(&last).and_then(|bytes| fs::write_atomic(path, &bytes)));
        }
        if let Some(path) = &forms.gif {
            frames.push(last);
            outcomes.push(draw::gif(&frames, 80).and_then(|bytes| fs::write_atomic(path, &bytes)));
        }
    }
    all_tried(outcomes)
}

/// Chains that left no draw among others that did.
fn warn(losses: Losses) {
    let Losses { chains, nonfinite, .. } = losses;
    if nonfinite > 0 {
        tracing::warn!(
            "{nonfinite} of {chains} chains ended at values that are not finite, which are among the samples: smaller \
             steps (--set sampler.step_size=…), or a kernel that rejects (--set sampler.name=mala)"
        );
    }
}

/// The mean of those that are finite, if one is.
fn mean(energies: &Tensor) -> Result<Option<f64>> {
    let energies: Vec<f64> = energies.to_dtype(DType::F64)?.to_vec1()?;
    let finite: Vec<f64> = energies.into_iter().filter(|e| e.is_finite()).collect();
    Ok((!finite.is_empty()).then(|| stats::mean(&finite)))
}

fn report(
    args: &SampleArgs,
    global: &GlobalArgs,
    forms: &Forms,
    stored: &Loaded,
    sampler: &Sampler,
    ((end, class), spent, losses, energy): ((&Trace, Option<u32>), Spent, Losses, Option<f64>),
) -> Result<()> {
    let picture = forms.picture.as_ref().and_then(|(_, path)| path.as_ref());
    let numbers: Vec<&PathBuf> = forms.numbers.iter().map(|(path, _)| path).collect();
    if global.json {
        return output::print_json(&json!({
            "checkpoint": args.ckpt, "step": stored.step, "sampler": sampler.kernel.describe(),
            "steps": sampler.config.steps, "n": losses.chains, "mean_energy": energy, "acceptance": end.accept,
            "nonfinite": losses.nonfinite, "nonfinite_proposals": end.nonfinite,
            "frozen_chains": losses.unmoved, "warnings": end.doubt()?.into_iter().collect::<Vec<_>>(),
            "energy_values": spent.values, "energy_gradients": spent.gradients,
            "step_size": end.tuning.as_ref().map(|t| t.step_size),
            "picture": picture, "npy": numbers.first(), "numbers": numbers, "gif": forms.gif,
            "folder": forms.folder,
            "class": class,
        }));
    }
    let (samples, steps) = (counted(losses.chains as u64, "sample"), counted(sampler.config.steps as u64, "step"));
    let mut text = format!("{samples}, {steps} of {}\n", sampler.kernel.describe());
    let mean = |energy| format!("mean energy {} nats", show::number(energy, 5));
    text += &energy.map_or_else(|| "no finite energy".into(), mean);
    if let Some(accept) = end.accept {
        text += &format!(", acceptance {:.1} %", 100.0 * accept);
    }
    if let Some(tuning) = &end.tuning {
        text += &format!(", step size tuned to {}", show::number(tuning.step_size, 4));
    }
    if end.nonfinite > 0 {
        text += &format!(", {} without a finite energy", counted(end.nonfinite as u64, "proposal"));
    }
    text += &format!("\n{}\n", output::cost(spent));
    text += &end.doubt()?.map(|doubt| format!("warning: {doubt}\n")).unwrap_or_default();
    let written = numbers.into_iter().chain(&forms.folder).chain(&forms.gif).chain(picture);
    written.into_iter().for_each(|path| text += &format!("{}\n", path.display()));
    output::print(&text)
}
