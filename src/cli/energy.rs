//! `ebm energy`: the model as a function on items, into a file: for outliers, and for other tools.

use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;

use super::arrays::{self, Arrays};
use super::items::{Items, Space};
use super::loaded::{Loaded, WeightsArg};
use super::outputs::Outputs;
use super::{GlobalArgs, output, usage};
use crate::Result;
use crate::data::Split;
use crate::density::{Energy as _, Model};
use crate::math::Detection;
use crate::run::show;

/// Evaluates a model on items: energies, scores, logits, log-densities, features.
#[derive(Args)]
pub struct EnergyArgs {
    /// The checkpoint, or the folder of its run
    #[arg(long, value_name = "FILE")]
    ckpt: PathBuf,
    /// Items: a file (.npy or text, one a row, gzipped or not), a folder of pictures (in the order of their names), or
    /// the name of a data set [default: the run's data set]. Files may be larger than memory: all but a .npy that is
    /// gzipped and in Fortran's order are read --batch rows at a time
    #[arg(long, value_name = "FILE|FOLDER|SET")]
    data: Option<PathBuf>,
    /// Outliers, named likewise: how well the energy tells them from the items (AUROC), the outliers above. Items of
    /// the run's data set have the noise that it adds, those of a file are as they are
    #[arg(long, value_name = "FILE|FOLDER|SET")]
    against: Option<PathBuf>,
    /// What the numbers of files are
    #[arg(long, value_enum, default_value_t = Space::Data)]
    space: Space,
    /// The part of the data set: train, validation or test
    #[arg(long, default_value = "test")]
    split: Split,
    /// What to evaluate
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [What::Energy])]
    what: Vec<What>,
    /// Where to: .csv; .npy for one array; .npz for several [default: CSV on stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Items evaluated at a time
    #[arg(long, default_value_t = 500)]
    batch: usize,
    #[command(flatten)]
    weights: WeightsArg,
}

/// What is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum What {
    /// E(x), [N].
    Energy,
    /// ∇x log p(x) = -∇x E(x), of an item's shape.
    Score,
    /// Logits of the classes, [N, K].
    Logits,
    /// log p(x) in nats, [N], where Z is known.
    #[value(name = "log_prob")]
    LogProb,
    /// What the last linear layer reads, [N, F].
    Features,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            What::Energy => "energy",
            What::Score => "score",
            What::Logits => "logits",
            What::LogProb => "log_prob",
            What::Features => "features",
        }
    }

    /// The numbers of some items, `[B, ..]`.
    fn of(self, model: &Model, x: &Tensor) -> Result<Tensor> {
        let lacks = |what: &str, hint: &str| usage(format!("this model has no {what}"), hint.to_owned());
        match self {
            What::Energy => model.energy(x),
            What::Score => Ok(model.grad(x)?.1.neg()?),
            What::Logits => model.logits(x)?.ok_or_else(|| lacks("classes", "a `classifier` has logits")),
            What::LogProb => model.log_prob(x)?.ok_or_else(|| {
                lacks("known normaliser", "--what energy, or `ebm eval --probe ais` for an estimate of log Z")
            }),
            What::Features => {
                model.features(x)?.ok_or_else(|| lacks("features", "networks of linear layers have them"))
            }
        }
    }
}

/// Evaluates batch after batch; what was evaluated is written before more is read.
pub fn run(args: &EnergyArgs, global: &GlobalArgs) -> Result<()> {
    if args.batch == 0 {
        return Err(usage("--batch 0 evaluates nothing", "--batch 500 takes 500 items at a time"));
    }
    let sets = global.overrides();
    let names: Vec<&str> = args.what.iter().map(|what| what.name()).collect();
    if let Some(out) = &args.out {
        let mut outputs = Outputs::new();
        args.data.iter().for_each(|path| outputs.read("--data", path));
        args.against.iter().for_each(|path| outputs.read("--against", path));
        outputs.file("--out", out, arrays::ENDINGS)?;
    }
    // Beside areas under curves there is no room for a table on standard output.
    let (written, wanted) = (args.out.is_some() || args.against.is_none(), args.out.as_deref());
    let mut arrays = if written { Some(Arrays::begin(wanted, &names)?) } else { None };
    let loaded = Loaded::load(&args.ckpt, &sets, args.weights.weights)?;
    let of = |name: Option<&Path>| Items::of(name, args.split, args.space, (&args.ckpt, &sets), &loaded);
    let items = of(args.data.as_deref())?;
    let other = args.against.as_deref().map(|name| of(Some(name))).transpose()?;
    let mut inside = Vec::new();
    let count = items.for_each(&loaded, args.batch, &mut |x| {
        if other.is_some() {
            inside.extend(numbers(&loaded.model.energy(x)?)?);
        }
        let Some(arrays) = &mut arrays else { return Ok(()) };
        let pieces = args.what.iter().map(|what| Ok(what.of(&loaded.model, x)?.to_dtype(DType::F32)?.detach()));
        arrays.push(&pieces.collect::<Result<Vec<_>>>()?)
    })?;
    let detection = other.as_ref().map(|other| detected(&loaded, other, &inside, args.batch)).transpose()?;
    let shapes = arrays.map_or(Ok(Vec::new()), Arrays::finish)?;
    report(args, global, (&items.source, count, &shapes), (loaded.step, detection))
}

/// How well the energy tells outliers.
#[derive(Serialize)]
struct Detected {
    /// Where the outliers come from.
    against: String,
    /// How many they are.
    outliers: usize,
    /// P(energy of an outlier > energy of an item), ties counted half.
    auroc: f64,
    average_precision: f64,
    /// The share of the items that 95 % of the outliers lie above the threshold with.
    false_positives_at_95: f64,
}

/// Energies of outliers beside those of the items.
fn detected(loaded: &Loaded, other: &Items, inside: &[f64], batch: usize) -> Result<Detected> {
    let mut outside = Vec::new();
    let outliers = other.for_each(loaded, batch, &mut |x| {
        outside.extend(numbers(&loaded.model.energy(x)?)?);
        Ok(())
    })?;
    if inside.iter().chain(&outside).any(|energy| energy.is_nan()) {
        let hint = "the model diverged: use an earlier checkpoint".to_owned();
        return Err(usage("an energy is no number: nothing can be ranked by it", hint));
    }
    let found = Detection::new(&outside, inside);
    Ok(Detected {
        against: other.source.clone(),
        outliers,
        auroc: found.auroc(),
        average_precision: found.average_precision(),
        false_positives_at_95: found.false_positives_at(0.95),
    })
}

fn numbers(energies: &Tensor) -> Result<Vec<f64>> {
    Ok(energies.to_dtype(DType::F64)?.to_vec1()?)
}

fn report(
    args: &EnergyArgs,
    global: &GlobalArgs,
    (source, count, shapes): (&str, usize, &[(&str, Vec<usize>)]),
    (step, detection): (u64, Option<Detected>),
) -> Result<()> {
    if args.out.is_none() && detection.is_none() {
        return Ok(());
    }
    if global.json {
        let described = |(what, shape): &(&str, Vec<usize>)| json!({"what": what, "shape": shape});
        return output::print_json(&json!({
            "checkpoint": args.ckpt, "step": step, "source": source, "items": count, "out": args.out,
            "arrays": shapes.iter().map(described).collect::<Vec<_>>(), "detection": detection,
        }));
    }
    let mut text = format!("{count} items of {source}\n");
    if let Some(Detected { against, outliers, auroc, average_precision, false_positives_at_95 }) = &detection {
        let [auroc, area, rate] = [auroc, average_precision, false_positives_at_95].map(|value| show::fixed(*value, 4));
        text += &format!(
            "{outliers} items of {against} as outliers, by their energy: AUROC {auroc}, average precision {area}, \
             false positives at 95 % {rate}\n"
        );
    }
    args.out.iter().for_each(|out| text += &format!("{}\n", out.display()));
    output::print(&text)
}
