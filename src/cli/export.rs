//! `ebm export`: a model for other programs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::loaded::{Loaded, WeightsArg, run_folder};
use super::outputs::Outputs;
use super::{GlobalArgs, output, usage};
use crate::exchange::{Export, ExportFormat, OF_ONE_FORMAT, foreign_in};
use crate::store::fs;
use crate::{Error, Result};

/// Writes a model for PyTorch or ONNX, with a model card.
#[derive(Args)]
pub struct ExportArgs {
    /// The checkpoint, or the folder of its run
    #[arg(value_name = "CKPT")]
    ckpt: PathBuf,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// What to write for: torch, onnx; again or with a comma for both
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Form::Torch])]
    format: Vec<Form>,
    /// Replaces files of an earlier export
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    weights: WeightsArg,
}

/// What is written for.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Form {
    /// PyTorch.
    Torch,
    /// ONNX.
    Onnx,
}

impl From<Form> for ExportFormat {
    fn from(form: Form) -> Self {
        match form {
            Form::Torch => ExportFormat::Torch,
            Form::Onnx => ExportFormat::Onnx,
        }
    }
}

/// Loads, describes, writes.
pub fn run(args: &ExportArgs, global: &GlobalArgs) -> Result<()> {
    Outputs::new().folder("--to", &args.to)?;
    refuse_occupied(args)?;
    let loaded = Loaded::load(&args.ckpt, &global.overrides(), args.weights.weights)?;
    let export = Export {
        model: &loaded.model,
        weights: &loaded.weights,
        which: args.weights.weights.into(),
        step: loaded.step,
        experiment: &loaded.experiment,
        data: &loaded.data,
        run: run_folder(&args.ckpt),
    };
    let formats: Vec<ExportFormat> = args.format.iter().copied().map(ExportFormat::from).collect();
    let files = export.files(&formats)?;
    fs::create_dir(&args.to)?;
    let written: Vec<PathBuf> = files.iter().map(|(name, _)| args.to.join(name)).collect();
    for (path, (_, content)) in written.iter().zip(&files) {
        fs::write_atomic(path, content)?;
    }
    // What an earlier export left of another format would be of another model.
    for stale in OF_ONE_FORMAT.map(|name| args.to.join(name)).iter().filter(|path| !written.contains(path)) {
        if stale.exists() {
            std::fs::remove_file(stale).map_err(Error::io(stale))?;
        }
    }
    match global.json {
        true => output::print_json(&json!({"checkpoint": args.ckpt, "step": loaded.step, "files": written})),
        false => output::print(&written.iter().map(|path| format!("{}\n", path.display())).collect::<String>()),
    }
}

/// A folder with something in it is left alone, unless the word is given; and even then files of the names that an
/// export writes, if no export wrote them.
fn refuse_occupied(args: &ExportArgs) -> Result<()> {
    let to = &args.to;
    if !to.is_dir() || std::fs::read_dir(to).map_err(Error::io(to))?.next().is_none() {
        return Ok(());
    }
    if !args.overwrite {
        return Err(usage(format!("--to {}: not empty", to.display()), "another folder, or --overwrite"));
    }
    match foreign_in(to) {
        Some(name) => {
            let what = format!("--to {}: its {name} is of no export, and would be replaced", to.display());
            Err(usage(what, "another folder"))
        }
        None => Ok(()),
    }
}
