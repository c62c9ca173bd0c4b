//! `ebm import`: weights of PyTorch under a model of a configuration, as a run that was never trained here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::loaded::stored;
use super::outputs::Outputs;
use super::{GlobalArgs, output, usage};
use crate::exchange::{Import, METHOD, Map};
use crate::run::show::counted;
use crate::run::{Experiment, Manifest, RunFolder, Status};
use crate::store::checkpoint::{self, Keep};
use crate::store::{Checkpoint, fs};
use crate::{Error, Result, shell};

/// Puts weights from elsewhere under a model. Nothing in their file is executed.
#[derive(Args)]
pub struct ImportArgs {
    /// A .safetensors, a .pt or .pth of torch.save, or a folder that `ebm export` wrote
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The configuration that has the model and its data, or a checkpoint or run folder that has it [default: that of
    /// the exported folder]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Rules for names and shapes [default: names are those of the model]
    #[arg(long, value_name = "FILE")]
    map: Option<PathBuf>,
    /// The dictionary of the file that holds the weights, such as model_state_dict; in the place of the map's `key`
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// The run folder, or a checkpoint (.safetensors)
    #[arg(long, value_name = "RUN", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// Shows what becomes of every tensor, and writes nothing; exit code 1 where something does not fit
    #[arg(long)]
    dry_run: bool,
    /// Replaces the checkpoint, or what an earlier run left in the run folder
    #[arg(long)]
    overwrite: bool,
}

/// Reads, fits, and writes or shows.
pub fn run(args: &ImportArgs, global: &GlobalArgs) -> Result<()> {
    let place = args.out.as_deref().map(|out| Place::of(out, args.overwrite)).transpose()?;
    let (from, config) = sources(args)?;
    let mut map = args.map.as_deref().map_or_else(|| Ok(Map::default()), Map::read)?;
    if let Some(key) = &args.key {
        map.key.clone_from(key);
    }
    let sets = [global.overrides(), METHOD.map(str::to_owned).to_vec()].concat();
    let experiment = match stored(&config)? {
        Some(text) => Experiment::parse(&format!("{} (stored configuration)", config.display()), &text, &sets)?,
        None => Experiment::load(&config, &sets)?,
    };
    let import = Import::new(&experiment, &from, &map)?;
    if args.dry_run {
        show(&import, global)?;
        // What fits may hold numbers that no checkpoint has.
        return import.checkpoint(&from).map(drop);
    }
    let Some(place) = place else { return Ok(()) };
    let checkpoint = import.checkpoint(place.path())?;
    let written = place.write(args.overwrite, &experiment, &checkpoint, import.data_sha256.clone())?;
    let tensors = import.fit.rows.len();
    let mut notes: BTreeMap<&str, usize> = BTreeMap::new();
    for row in import.fit.rows.iter().filter(|row| !row.note.is_empty()) {
        *notes.entry(&row.note).or_default() += 1;
    }
    if global.json {
        let skipped = &import.fit.skipped;
        return output::print_json(&json!({"run": place.path(), "checkpoint": written, "from": from,
            "tensors": tensors, "notes": notes, "skipped": skipped}));
    }
    let mut text = format!("{} of {}\n", counted(tensors as u64, "tensor"), from.display());
    notes.iter().for_each(|(note, n)| text += &format!("  {}: {note}\n", counted(*n as u64, "tensor")));
    let energy = shell::ebm_on("energy --ckpt", place.path());
    output::print(&format!("{text}{}\nenergies: {energy}\n", written.display()))
}

/// The file of weights, and the configuration.
fn sources(args: &ImportArgs) -> Result<(PathBuf, PathBuf)> {
    let folder = args.from.is_dir();
    let from = if folder { args.from.join("model.safetensors") } else { args.from.clone() };
    let beside = folder.then(|| args.from.join("config.toml"));
    std::fs::metadata(&args.from).map_err(Error::io(&args.from))?;
    match args.config.clone().or(beside) {
        Some(config) => Ok((from, config)),
        None => Err(usage(
            format!("{} does not say what model its weights are of", from.display()),
            "--config FILE, with [dataset] and [model]",
        )),
    }
}

/// Where the result goes.
enum Place<'a> {
    Run(&'a Path),
    File(&'a Path),
}

impl<'a> Place<'a> {
    fn of(out: &'a Path, overwrite: bool) -> Result<Self> {
        let mut outputs = Outputs::new();
        match out.extension().is_some_and(|ending| ending == "safetensors") {
            true if out.exists() && !overwrite => {
                Err(usage(format!("--out {}: there is such a file", out.display()), "another name, or --overwrite"))
            }
            true => outputs.place("--out", out).map(|()| Place::File(out)),
            false => outputs.folder("--out", out).map(|()| Place::Run(out)),
        }
    }

    fn path(&self) -> &'a Path {
        match self {
            Place::Run(path) | Place::File(path) => path,
        }
    }

    fn write(
        &self,
        overwrite: bool,
        experiment: &Experiment,
        checkpoint: &Checkpoint,
        data_sha256: Option<String>,
    ) -> Result<PathBuf> {
        let dir = match *self {
            Place::File(path) => return checkpoint.save(path).map(|_| path.to_owned()),
            Place::Run(dir) => dir,
        };
        let folder = if overwrite { RunFolder::overwrite(dir)? } else { RunFolder::create(dir)? };
        fs::write_atomic(&folder.config(), experiment.resolved.to_toml().as_bytes())?;
        checkpoint::save_in(&folder.checkpoints(), checkpoint, &Keep { last: 1, every: 0 }, None)?;
        let count = checkpoint.tensors.values().map(candle_core::Tensor::elem_count).sum();
        let mut manifest = Manifest {
            method: experiment.resolved.spec("method").name().into(),
            dataset: experiment.resolved.spec("dataset").name().into(),
            dataset_sha256: data_sha256,
            seed: experiment.top.seed,
            parameters: [("model".to_owned(), count)].into(),
            device: crate::device::name(&experiment.device),
            ..Manifest::begin()
        };
        manifest.end(Status::Finished);
        manifest.save(&folder.manifest())?;
        Ok(checkpoint::last_of(&folder.checkpoints()))
    }
}

/// The table of all tensors.
fn show(import: &Import, global: &GlobalArgs) -> Result<()> {
    let fit = &import.fit;
    if global.json {
        let row = |row: &crate::exchange::Fitted| {
            let (from, shape) = row.from.clone().unzip();
            json!({"name": row.name, "shape": row.shape, "from": from, "from_shape": shape, "note": row.note,
                "wrong": row.wrong})
        };
        let left =
            |(name, shape, kind): &(String, Vec<usize>, String)| json!({"name": name, "shape": shape, "type": kind});
        output::print_json(&json!({
            "fits": fit.is_whole(), "tensors": fit.rows.iter().map(row).collect::<Vec<_>>(),
            "left_over": fit.left_over.iter().map(left).collect::<Vec<_>>(), "skipped": fit.skipped,
        }))?;
    } else {
        let mut rows = vec![["model", "shape", "file", "shape", ""].map(str::to_owned).to_vec()];
        for row in &fit.rows {
            let (from, shape) = row.from.clone().map_or_else(Default::default, |(n, s)| (n, format!("{s:?}")));
            let note = row.wrong.as_ref().map_or_else(|| row.note.clone(), |wrong| format!("✗ {wrong}"));
            rows.push(vec![row.name.clone(), format!("{:?}", row.shape), from, shape, note]);
        }
        for (name, shape, kind) in &fit.left_over {
            rows.push(vec![
                String::new(),
                String::new(),
                name.clone(),
                format!("{shape:?}"),
                format!("✗ left over ({kind})"),
            ]);
        }
        rows.extend(
            fit.skipped
                .iter()
                .map(|name| vec![String::new(), String::new(), name.clone(), String::new(), "skipped".into()]),
        );
        output::print(&output::table(&rows))?;
    }
    match fit.is_whole() {
        true => Ok(()),
        false => Err(Error::Other(format!("the weights do not fit the model: {}", import.complaint()))),
    }
}
