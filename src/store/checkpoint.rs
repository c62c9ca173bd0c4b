//! Checkpoints: one safetensors file with everything that a run needs to go on, and a checksum over all of it.
//!
//! The header's `__metadata__` begins with `checksum`: the sha256 of the whole file, taken with zeros in the place of
//! these 64 digits. So a flipped bit anywhere, in a weight, a name, a shape or the configuration, is found. Names are
//! sorted and the bytes depend on the content alone: two equal states give two equal files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use sha2::{Digest as _, Sha256};

use super::fs::{Unwatched, Witness, link_atomic_watched, write_atomic_watched};
use crate::{Error, Result};

mod format;
mod keep;

pub use keep::Keep;

/// The newest layout of the header that this program writes and reads.
pub const FORMAT: u64 = 1;

/// All state of a run at one step.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    /// Steps done.
    pub step: u64,
    /// The resolved configuration, as TOML.
    pub config: String,
    /// Whatever is not a tensor, as JSON: the best step so far, the stamp of the data. Floats as text read back exactly.
    pub meta: BTreeMap<String, String>,
    /// Weights, averages, moments, buffers, by name; f32, f64, u32, i64 or u8.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Checkpoint {
    /// Writes the file, all or nothing, reads it back and compares. Returns the sha256 of the file.
    ///
    /// # Errors
    /// The disk is full or fails (what was at `path` is untouched), a tensor has a type that is not stored, or what is
    /// read back is not what was written.
    pub fn save(&self, path: &Path) -> Result<String> {
        self.save_watched(path, &Unwatched)
    }

    /// [`Checkpoint::save`] under the eyes of a witness.
    pub fn save_watched(&self, path: &Path, witness: &dyn Witness) -> Result<String> {
        let bytes = format::encode(self).map_err(|what| cannot_save(path, what))?;
        write_atomic_watched(path, &bytes, witness)?;
        let sum = sha256(&bytes);
        drop(bytes);
        if sha256(&std::fs::read(path).map_err(Error::io(path))?) != sum {
            return Err(Error::checkpoint(
                path,
                "what was read back is not what was written",
                "the disk or the memory of this machine is faulty; earlier checkpoints were kept",
            ));
        }
        Ok(sum)
    }

    /// Reads a checkpoint onto `device`. Sizes are checked before anything is allocated, and no more than the file's
    /// size is read.
    ///
    /// # Errors
    /// The file is missing, empty, truncated, corrupt, not a checkpoint of this program, or of a newer version.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let bytes = format::read(path)?;
        format::decode(&bytes, device).map_err(|wrong| wrong.at(path))
    }

    /// A value of `meta`, read back from its JSON.
    ///
    /// # Errors
    /// It is missing or is something else.
    pub fn meta<T: serde::de::DeserializeOwned>(&self, key: &str, path: &Path) -> Result<T> {
        let text = self.meta.get(key).map_or("null", String::as_str);
        serde_json::from_str(text)
            .map_err(|e| Error::checkpoint(path, format!("metadata `{key}`: {e}"), "use another checkpoint of the run"))
    }

    /// Refuses NaN and infinities, naming the first tensor that has one.
    ///
    /// # Errors
    /// A value is not finite.
    pub fn check_finite(&self, path: &Path) -> Result<()> {
        for (name, tensor) in &self.tensors {
            if let Some((at, value)) = first_not_finite(tensor)? {
                let what = format!("tensor `{name}` has {value} at index {at} of {}", tensor.elem_count());
                return Err(Error::checkpoint(path, what, "use an earlier checkpoint of the run"));
            }
        }
        Ok(())
    }

    /// Compares names and shapes with what the model of the configuration has, both ways.
    ///
    /// # Errors
    /// A tensor is missing, left over or has another shape; all of them are named (the first eight of each kind).
    pub fn check_names<'a>(&self, path: &Path, want: impl IntoIterator<Item = (&'a str, &'a [usize])>) -> Result<()> {
        let want: BTreeMap<&str, &[usize]> = want.into_iter().collect();
        let missing = want.keys().filter(|n| !self.tensors.contains_key(**n)).map(|n| (*n).to_owned()).collect();
        let extra = self.tensors.keys().filter(|n| !want.contains_key(n.as_str())).cloned().collect();
        let shaped = self.tensors.iter().filter_map(|(name, tensor)| {
            let shape = want.get(name.as_str())?;
            (tensor.dims() != *shape).then(|| format!("{name} {:?} instead of {shape:?}", tensor.dims()))
        });
        let lists: [(&str, Vec<String>); 3] =
            [("missing", missing), ("unknown", extra), ("of another shape", shaped.collect())];
        let wrong: Vec<String> = lists.iter().filter_map(|(what, names)| listed(what, names)).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        let remedy = "it was made by another model or another version; `ebm show FILE` prints its configuration";
        Err(Error::checkpoint(path, format!("tensors do not fit the model: {}", wrong.join("; ")), remedy))
    }
}

fn listed(what: &str, names: &[String]) -> Option<String> {
    let first = names.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
    let more = if names.len() > 8 { ", …" } else { "" };
    (!names.is_empty()).then(|| format!("{} {what}: {first}{more}", names.len()))
}

/// `checkpoints/step-00001000.safetensors`.
pub fn path_of(dir: &Path, step: u64) -> PathBuf {
    dir.join(format!("step-{step:08}.safetensors"))
}

/// `checkpoints/last.safetensors`, what users and scripts name.
pub fn last_of(dir: &Path) -> PathBuf {
    dir.join("last.safetensors")
}

/// `checkpoints/best.safetensors`, the checkpoint that is best by the run's own measure.
pub fn best_of(dir: &Path) -> PathBuf {
    dir.join("best.safetensors")
}

/// The steps that have a file in `dir`, ascending.
///
/// # Errors
/// The folder cannot be listed.
pub fn steps(dir: &Path) -> Result<Vec<u64>> {
    let mut steps = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir))? {
        let name = entry.map_err(Error::io(dir))?.file_name();
        let name = name.to_string_lossy();
        let number = name.strip_prefix("step-").and_then(|n| n.strip_suffix(".safetensors"));
        let number = number.and_then(|n| n.parse::<u64>().ok());
        steps.extend(number.filter(|&n| path_of(dir, n).file_name().is_some_and(|own| own == &*name)));
    }
    steps.sort_unstable();
    Ok(steps)
}

/// Saves into the run's folder: the file of this step, `last` and `best` pointing to theirs, and only then the removal of those that
/// `keep` gives up. Returns the path and the sha256 of the file.
///
/// # Errors
/// As [`Checkpoint::save`]; the earlier checkpoints are then all there.
pub fn save_in(dir: &Path, checkpoint: &Checkpoint, keep: &Keep, best: Option<u64>) -> Result<(PathBuf, String)> {
    save_in_watched(dir, checkpoint, keep, best, &Unwatched)
}

/// [`save_in`] under the eyes of a witness.
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

/// What follows the file of the newest step: `last` points to it and `best` to that of the best step, those that `keep` gives up
/// go. A kill in between is made up for by doing this again.
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
    for step in keep.to_delete(&steps(dir)?, best) {
        let old = path_of(dir, step);
        std::fs::remove_file(&old).map_err(Error::io(&old))?;
    }
    Ok(())
}

/// The newest checkpoint in `dir` that can be read; one that cannot is warned of and passed over.
///
/// # Errors
/// None can be read.
pub fn latest_good(dir: &Path, device: &Device) -> Result<(PathBuf, Checkpoint)> {
    let numbered = steps(dir)?.into_iter().rev().map(|step| path_of(dir, step));
    let mut first = None;
    for path in numbered.chain([last_of(dir)]).filter(|p| p.exists()) {
        match Checkpoint::load(&path, device) {
            Ok(checkpoint) => return Ok((path, checkpoint)),
            Err(error) => {
                tracing::warn!("{error}; trying the one before it");
                first.get_or_insert(error);
            }
        }
    }
    let none = || Error::checkpoint(dir, "no checkpoint here", "start again: ebm train config.toml");
    Err(first.unwrap_or_else(none))
}

/// Index and value of the first NaN or infinity of a tensor of floats.
///
/// # Errors
/// The tensor cannot be read.
pub fn first_not_finite(tensor: &Tensor) -> Result<Option<(usize, f64)>> {
    if !tensor.dtype().is_float() || tensor.elem_count() == 0 {
        return Ok(None);
    }
    // A sum costs little and is not finite if any term is not; only then are the values looked at one by one.
    if tensor.sum_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?.is_finite() {
        return Ok(None);
    }
    let values = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    Ok(values.into_iter().enumerate().find(|(_, v)| !v.is_finite()))
}

fn cannot_save(path: &Path, what: String) -> Error {
    Error::Other(format!("checkpoint {}: cannot be saved: {what}", path.display()))
}

/// The sha256 of some bytes, in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
