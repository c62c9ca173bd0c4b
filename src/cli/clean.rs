//! `ebm clean`: the checkpoints that nobody needs any more, listed, and with `--yes` removed.

use std::path::{Path, PathBuf};

use candle_core::Device;
use clap::Args;
use serde_json::json;

use super::{GlobalArgs, no_runs, output};
use crate::run::{Manifest, Paths, RunFolder, folders_of_all, show};
use crate::store::checkpoint::{self, Keep};
use crate::{Error, Result};

/// Removes old checkpoints; without --yes it only says which.
#[derive(Args)]
pub struct CleanArgs {
    /// Run folders, folders of run folders, or sweeps
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// How many of each run stay: the newest N, with the best and `last` besides
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    keep: u32,
    /// Also keeps those whose step is a multiple of this
    #[arg(long, value_name = "STEPS", default_value_t = 0, hide_default_value = true)]
    every: u64,
    /// Removes them
    #[arg(long)]
    yes: bool,
}

/// What there is to remove of one run.
struct Old {
    run: PathBuf,
    files: Vec<PathBuf>,
    bytes: u64,
}

/// Lists what the policy gives up, and removes it if that was asked for. Runs under way are left alone.
pub fn run(args: &CleanArgs, global: &GlobalArgs) -> Result<()> {
    let keep = Keep { last: args.keep as usize, every: args.every };
    let mut found = Vec::new();
    let runs = folders_of_all(&args.runs, &|dir| Paths::of(dir).manifest().exists())?;
    for dir in &runs {
        match Manifest::load(&Paths::of(dir).manifest()) {
            Ok(manifest) => found.extend(one(dir, &manifest, &keep, args.yes)?),
            // Without it nobody knows which checkpoint is the best.
            Err(error) => tracing::warn!("left alone: {error}"),
        }
    }
    if runs.is_empty() {
        return Err(no_runs(&args.runs));
    }
    report(&found, args.yes, global)
}

fn one(dir: &Path, manifest: &Manifest, keep: &Keep, remove: bool) -> Result<Option<Old>> {
    let paths = Paths::of(dir);
    let folder = paths.checkpoints();
    if !folder.is_dir() {
        return Ok(None);
    }
    if paths.is_in_use() {
        tracing::warn!("left alone: {} is under way", dir.display());
        return Ok(None);
    }
    let best = manifest.best.as_ref().map(|(step, _)| *step);
    let steps = keep.to_delete(&checkpoint::steps(&folder)?, best);
    let files: Vec<PathBuf> = steps.into_iter().map(|step| checkpoint::path_of(&folder, step)).collect();
    if files.is_empty() {
        return Ok(None);
    }
    let size = |path: &PathBuf| std::fs::metadata(path).map(|m| m.len()).map_err(Error::io(path));
    let bytes = files.iter().map(size).sum::<Result<u64>>()?;
    if remove {
        let _lock = RunFolder::open(dir)?;
        // None is removed before a newer one has been read in full.
        let (_, newest) = checkpoint::latest_good(&folder, &Device::Cpu)?;
        if checkpoint::steps(&folder)?.last() != Some(&newest.step) {
            tracing::warn!("left alone: the newest checkpoint of {} is damaged", dir.display());
            return Ok(None);
        }
        checkpoint::settle(&folder, newest.step, keep, best)?;
    }
    Ok(Some(Old { run: dir.to_owned(), files, bytes }))
}

fn report(found: &[Old], removed: bool, global: &GlobalArgs) -> Result<()> {
    let bytes: u64 = found.iter().map(|old| old.bytes).sum();
    if global.json {
        let row = |old: &Old| json!({"run": old.run.to_string_lossy(), "files": old.files, "bytes": old.bytes});
        let rows: Vec<_> = found.iter().map(row).collect();
        return output::print_json(&json!({"removed": removed, "bytes": bytes, "runs": rows}));
    }
    let size = |bytes: u64| format!("{} MiB", show::number(bytes as f64 / f64::from(1 << 20), 3));
    let line = |old: &Old| {
        let files = old.files.iter().filter_map(|path| path.file_name()?.to_str()).collect::<Vec<_>>().join(" ");
        vec![old.run.display().to_string(), size(old.bytes), files]
    };
    let head = ["run", "size", "checkpoints"].map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(head).chain(found.iter().map(line)).collect();
    let files = show::counted(found.iter().map(|old| old.files.len() as u64).sum(), "checkpoint");
    let verb = if removed { "removed" } else { "nothing is removed without --yes" };
    let table = if found.is_empty() { String::new() } else { output::table(&rows) };
    output::print(&format!("{table}{files}, {}: {verb}\n", size(bytes)))
}
