//! The checkpoints of a run in their folder: their names, saving, and the newest one that is whole.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use candle_core::Device;

use super::super::fs::{Unwatched, Witness, is_hidden, link_atomic, link_atomic_watched};
use super::format::{self, Claim};
use super::{Checkpoint, FORMAT, Keep};
use crate::{Error, Result, shell};

/// The ending of the names of checkpoints.
const ENDING: &str = ".safetensors";

/// The path of the checkpoint of a step, such as `checkpoints/step-00001000.safetensors`.
pub fn path_of(dir: &Path, step: u64) -> PathBuf {
    dir.join(format!("step-{step:08}{ENDING}"))
}

/// The path of the newest checkpoint, `checkpoints/last.safetensors`, which users and scripts name.
pub fn last_of(dir: &Path) -> PathBuf {
    dir.join("last.safetensors")
}

/// The path of the checkpoint that is best by the run's own measure, `checkpoints/best.safetensors`.
pub fn best_of(dir: &Path) -> PathBuf {
    dir.join("best.safetensors")
}

/// The steps that have a file in `dir`, ascending.
///
/// # Errors
/// The folder cannot be listed.
pub fn steps(dir: &Path) -> Result<Vec<u64>> {
    let mut steps: Vec<u64> = files(dir)?.iter().filter_map(|path| step_of(path)).collect();
    steps.sort_unstable();
    Ok(steps)
}

/// The step that a file is named after, if it has such a name.
fn step_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let step = name.strip_prefix("step-")?.strip_suffix(ENDING)?.parse().ok()?;
    (path_of(path.parent()?, step) == path).then_some(step)
}

/// Saves into the run's folder: the file of this step, `last` and `best` pointing to theirs, and only then the removal
/// of those that `keep` gives up. Returns the path and the sha256 of the file.
///
/// # Errors
/// As [`Checkpoint::save`]; the earlier checkpoints are then all there.
pub fn save_in(dir: &Path, checkpoint: &Checkpoint, keep: &Keep, best: Option<u64>) -> Result<(PathBuf, String)> {
    save_in_watched(dir, checkpoint, keep, best, &Unwatched)
}

/// Saves as [`save_in`] does, and shows every operation to `witness`.
///
/// # Errors
/// As [`save_in`], and where the witness fails.
pub fn save_in_watched(
    dir: &Path,
    checkpoint: &Checkpoint,
    keep: &Keep,
    best: Option<u64>,
    witness: &dyn Witness,
) -> Result<(PathBuf, String)> {
    let path = path_of(dir, checkpoint.step);
    let sum = checkpoint.save_watched(&path, witness)?;
    settle_watched(dir, checkpoint.step, keep, best, witness)?;
    Ok((path, sum))
}

/// Completes the saving of the newest step, whose file is there: `last` points to it and `best` to the file of the best
/// step, and those that `keep` gives up are removed. After a kill in between, doing this again completes it.
///
/// # Errors
/// The device is full or fails.
pub fn settle(dir: &Path, newest: u64, keep: &Keep, best: Option<u64>) -> Result<()> {
    settle_watched(dir, newest, keep, best, &Unwatched)
}

fn settle_watched(dir: &Path, newest: u64, keep: &Keep, best: Option<u64>, witness: &dyn Witness) -> Result<()> {
    link_atomic_watched(&path_of(dir, newest), &last_of(dir), witness)?;
    if let Some(best) = best.map(|step| path_of(dir, step)).filter(|path| path.exists()) {
        link_atomic_watched(&best, &best_of(dir), witness)?;
    }
    // Files of later steps are what a damage left behind when the run went back; they don't make this one old.
    let mut steps = steps(dir)?;
    steps.retain(|&step| step <= newest);
    for step in keep.to_delete(&steps, best) {
        let old = path_of(dir, step);
        std::fs::remove_file(&old).map_err(Error::io(&old))?;
    }
    Ok(())
}

/// All checkpoint files in `dir`, whatever they are called: what ends in `.safetensors` and is not hidden, in order of
/// name.
///
/// # Errors
/// The folder cannot be listed.
pub fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir))? {
        let path = entry.map_err(Error::io(dir))?.path();
        files.extend((path.to_string_lossy().ends_with(ENDING) && !is_hidden(&path)).then_some(path));
    }
    files.sort();
    Ok(files)
}

/// The checkpoint in a file; of a run folder, or of its folder of checkpoints, the newest that is whole.
///
/// # Errors
/// As [`Checkpoint::load`] and [`latest_good`].
pub fn load_from(path: &Path, device: &Device) -> Result<Checkpoint> {
    found_in(path, device).map(|(_, checkpoint)| checkpoint)
}

/// The checkpoint as [`load_from`] finds it, with the path of its file.
///
/// # Errors
/// As [`load_from`].
pub fn found_in(path: &Path, device: &Device) -> Result<(PathBuf, Checkpoint)> {
    if !path.is_dir() {
        return Ok((path.to_owned(), Checkpoint::load(path, device)?));
    }
    let inner = path.join("checkpoints");
    latest_good(if inner.is_dir() { &inner } else { path }, device)
}

/// The checkpoint of the most steps in `dir` that is whole, and its path. The step is the one that the file itself
/// says, whatever its name. A corrupt file is reported by a warning and passed over.
///
/// # Errors
/// There is none, or none is whole. A file that may be good but cannot be read here (no permission, or of a newer
/// version of this program) is an error too: going on from an older one would overwrite it in the end.
pub fn latest_good(dir: &Path, device: &Device) -> Result<(PathBuf, Checkpoint)> {
    let mut candidates: Vec<Candidate> = files(dir)?.into_iter().map(Candidate::new).collect();
    candidates.sort_by_key(|candidate| Reverse(candidate.rank(dir)));
    let mut broken = Vec::new();
    for Candidate { path, claim } in candidates {
        match Checkpoint::load(&path, device) {
            Ok(checkpoint) => return Ok((path, checkpoint)),
            Err(Error::Checkpoint { what, .. }) if claim.is_none_or(|claim| claim.format <= FORMAT) => {
                tracing::warn!("checkpoint {}: {what}; passed over", path.display());
                broken.push((step_of(&path), format!("{}: {what}", path.display())));
            }
            Err(error) => return Err(error),
        }
    }
    let count = broken.len();
    let train = shell::ebm_on("train", &dir.with_file_name("config.toml"));
    Err(match broken.into_iter().max_by_key(|(step, _)| *step) {
        None => Error::checkpoint(dir, "no checkpoint here", format!("start again: {train}")),
        Some((_, newest)) => {
            let what = format!("none of the checkpoints here is whole ({count} tried), the newest: {newest}");
            let remedy = format!(
                "nothing was changed; put back a copy of one, or start again in another folder: {train} --run-dir DIR"
            );
            Error::checkpoint(dir, what, remedy)
        }
    })
}

/// A file that may be the newest checkpoint.
struct Candidate {
    path: PathBuf,
    /// The step and format that its header claims, if the header can be read.
    claim: Option<Claim>,
}

impl Candidate {
    fn new(path: PathBuf) -> Self {
        Candidate { claim: format::claim(&path), path }
    }

    /// The order in which files are tried, the largest first: by step; of equal steps the file that is named after the
    /// step, then `last`. A file whose header cannot be read has the step of its name, so that its loss is reported.
    fn rank(&self, dir: &Path) -> (u64, bool, bool) {
        let step = self.claim.map(|claim| claim.step).or(step_of(&self.path)).unwrap_or(u64::MAX);
        (step, self.path == path_of(dir, step), self.path == last_of(dir))
    }
}

/// Names a checkpoint that a run goes on from after its step, if it has another name. The steps that follow (pointing
/// `last` and `best` to files of steps, removing old ones) then find it.
///
/// # Errors
/// The device is full or fails.
pub fn adopt(dir: &Path, path: &Path, step: u64) -> Result<()> {
    let named = path_of(dir, step);
    if named == path { Ok(()) } else { link_atomic(path, &named) }
}
