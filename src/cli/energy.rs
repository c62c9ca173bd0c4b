//! `ebm energy`: the model as a function on items, into a file: for outliers, and for other tools.

use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::loaded::{Loaded, WeightsArg};
use super::{GlobalArgs, output, usage};
use crate::data::{Split, file};
use crate::density::{Energy as _, Model};
use crate::store::fs;
use crate::{Error, Result, probes};

/// Evaluates a model on items: energies, scores, logits, log-densities, features.
#[derive(Args)]
pub struct EnergyArgs {
    /// The checkpoint, or the folder of its run
    #[arg(long, value_name = "FILE")]
    ckpt: PathBuf,
    /// Items: .npy or .csv, one a row [default: the run's data set; another one: --set dataset.name=…]
    #[arg(long, value_name = "FILE", conflicts_with = "split")]
    data: Option<PathBuf>,
    /// What the numbers of --data are
    #[arg(long, value_enum, default_value_t = Space::Model, requires = "data")]
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

/// What the numbers of a file are.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Space {
    /// What the model takes.
    Model,
    /// Pixels from 0 to 255.
    Pixels,
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

/// Evaluates batch after batch, then writes.
pub fn run(args: &EnergyArgs, global: &GlobalArgs) -> Result<()> {
    if args.batch == 0 {
        return Err(usage("--batch 0 evaluates nothing", "--batch 500 takes 500 items at a time"));
    }
    let form = Form::of(args)?;
    let loaded = Loaded::load(&args.ckpt, &global.overrides(), args.weights.weights)?;
    let (source, x) = items(args, &loaded)?;
    let mut parts: Vec<Vec<Tensor>> = vec![Vec::new(); args.what.len()];
    let n = x.dim(0)?;
    for from in (0..n).step_by(args.batch) {
        let some = x.narrow(0, from, args.batch.min(n - from))?;
        for (parts, what) in parts.iter_mut().zip(&args.what) {
            parts.push(what.of(&loaded.model, &some)?.to_dtype(DType::F32)?.detach());
        }
    }
    let arrays: Vec<(What, Tensor)> =
        args.what.iter().zip(parts).map(|(what, parts)| Ok((*what, Tensor::cat(&parts, 0)?))).collect::<Result<_>>()?;
    form.write(&arrays)?;
    let Some(out) = &args.out else { return Ok(()) };
    let described = |(what, array): &(What, Tensor)| json!({"what": what.name(), "shape": array.dims()});
    match global.json {
        true => output::print_json(&json!({
            "checkpoint": args.ckpt, "step": loaded.step, "source": source, "items": n, "out": out,
            "arrays": arrays.iter().map(described).collect::<Vec<_>>(),
        })),
        false => output::print(&format!("{n} items of {source}\n{}\n", out.display())),
    }
}

/// The items in model space, and where they come from.
fn items(args: &EnergyArgs, loaded: &Loaded) -> Result<(String, Tensor)> {
    let shape = loaded.model.shape();
    let (source, x) = match &args.data {
        Some(path) => {
            let x = file::read(path)?.items(shape, path, loaded.data.device())?;
            let x = match args.space {
                Space::Model => x,
                Space::Pixels => loaded.data.of_unit(&(x / 255.0)?, None)?,
            };
            (path.display().to_string(), x)
        }
        None => {
            let data = loaded.experiment.data()?;
            loaded.fits(&data)?;
            (format!("{} ({})", data.spec().name, args.split), probes::items(&data, args.split, 0)?)
        }
    };
    match x.dim(0)? {
        0 => Err(usage(format!("{source} has no items"), "--split train, or --data FILE")),
        _ => Ok((source, x)),
    }
}

/// How the arrays are written.
enum Form<'a> {
    Csv(Option<&'a Path>),
    Npy(&'a Path),
    Npz(&'a Path),
}

impl<'a> Form<'a> {
    /// As the ending of `--out` says.
    fn of(args: &'a EnergyArgs) -> Result<Self> {
        let Some(path) = args.out.as_deref() else { return Ok(Form::Csv(None)) };
        match path.extension().and_then(|e| e.to_str()) {
            Some("csv") => Ok(Form::Csv(Some(path))),
            Some("npz") => Ok(Form::Npz(path)),
            Some("npy") if args.what.len() == 1 => Ok(Form::Npy(path)),
            Some("npy") => {
                Err(usage("a .npy file holds one array", "end --out in .npz, or ask for one thing by --what"))
            }
            _ => Err(usage(
                format!("{}: no kind of file that is written", path.display()),
                "end --out in .csv, .npy or .npz",
            )),
        }
    }

    fn write(&self, arrays: &[(What, Tensor)]) -> Result<()> {
        let npy =
            |array: &Tensor| file::npy_bytes(array.dims(), &array.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?);
        match (self, arrays) {
            (Form::Csv(path), _) => {
                let text = csv(arrays)?;
                path.map_or_else(|| output::print(&text), |path| fs::write_atomic(path, text.as_bytes()))
            }
            (Form::Npy(path), [(_, array)]) => fs::write_atomic(path, &npy(array)?),
            (Form::Npy(path) | Form::Npz(path), _) => {
                let members: Vec<(&str, Vec<u8>)> =
                    arrays.iter().map(|(what, array)| Ok((what.name(), npy(array)?))).collect::<Result<_>>()?;
                fs::write_atomic(path, &file::npz_bytes(&members)?)
            }
        }
    }
}

/// A column for each number of an item, named `score.0`, `score.1`, … where there are several.
fn csv(arrays: &[(What, Tensor)]) -> Result<String> {
    let mut columns = Vec::new();
    let mut names = Vec::new();
    for (what, array) in arrays {
        let rows = if array.rank() == 1 { array.unsqueeze(1)? } else { array.flatten_from(1)? };
        let width = rows.dim(1)?;
        names.extend((0..width).map(|i| if width == 1 { what.name().into() } else { format!("{}.{i}", what.name()) }));
        columns.push(rows.to_vec2::<f32>()?);
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |e: csv::Error| Error::Other(format!("cannot write CSV: {e}"));
    writer.write_record(&names).map_err(failed)?;
    let n = columns.first().map_or(0, Vec::len);
    for i in 0..n {
        let row = columns.iter().filter_map(|rows| rows.get(i)).flatten().map(f32::to_string);
        writer.write_record(row).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|e| Error::Other(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| Error::Other(e.to_string()))
}
