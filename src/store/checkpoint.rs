//! Checkpoints: one safetensors file with everything that a run needs to go on, and a checksum over all of it.
//!
//! The header's `__metadata__` begins with `checksum`: the sha256 of the whole file, taken with zeros in the place of
//! these 64 digits. So a flipped bit anywhere, in a weight, a name, a shape or the configuration, is found. Names are
//! sorted and the bytes depend on the content alone: two equal states give two equal files.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use sha2::{Digest as _, Sha256};

use super::fs::{Unwatched, Witness, write_atomic_watched};
use super::{Mismatch, State};
use crate::{Error, Result, shell};

mod folder;
mod format;
mod keep;

pub use folder::{
    adopt, best_of, files, found_in, last_of, latest_good, load_from, path_of, save_in, save_in_watched, settle, steps,
};
pub use keep::Keep;

/// The newest layout of the header that this program writes and reads.
pub const FORMAT: u64 = 1;

/// The state of a run at one step. The tensors of a live run are handles: they are copied when the file is written.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    /// The number of steps done.
    pub step: u64,
    /// The resolved configuration, as TOML.
    pub config: String,
    /// Values that are not tensors, as JSON, by name: the best step so far, the stamp of the data. Floats as text read
    /// back exactly.
    pub meta: BTreeMap<String, String>,
    /// Weights, averages, moments and buffers by name, of type f32, f64, u32, i64 or u8.
    pub tensors: State,
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

    /// Saves as [`Checkpoint::save`] does, and shows every operation to `witness`.
    ///
    /// # Errors
    /// As [`Checkpoint::save`], and where the witness fails.
    pub fn save_watched(&self, path: &Path, witness: &dyn Witness) -> Result<String> {
        let file = format::Encoded::new(self).map_err(|what| cannot_save(path, what))?;
        write_atomic_watched(path, &file, witness)?;
        let sum = file.sha256().map_err(|what| cannot_save(path, what))?;
        if sha256_of(path)? != sum {
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
        Self::decode(path, &format::read(path)?, device)
    }

    /// The checkpoint in the bytes of a file, onto `device`; `path` is named in errors.
    ///
    /// # Errors
    /// The bytes are truncated, corrupt, no checkpoint of this program, or of a newer version.
    pub fn decode(path: &Path, bytes: &[u8], device: &Device) -> Result<Self> {
        format::decode(bytes, device).map_err(|wrong| wrong.at(path))
    }

    /// The value of `meta` called `key`, read from its JSON; `path` is named in errors.
    ///
    /// # Errors
    /// The value is missing or has another type.
    pub fn meta<T: serde::de::DeserializeOwned>(&self, key: &str, path: &Path) -> Result<T> {
        let text = self.meta.get(key).map_or("null", String::as_str);
        serde_json::from_str(text)
            .map_err(|e| Error::checkpoint(path, format!("metadata `{key}`: {e}"), "use another checkpoint of the run"))
    }

    /// Refuses a state with a NaN or an infinity, naming the first tensor that has one.
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

    /// Compares names and shapes with those of `want`, the state that the checkpoint is to be loaded into.
    ///
    /// # Errors
    /// A tensor is missing, left over or has another shape; all of them are named (the first eight of each kind).
    pub fn check_names(&self, path: &Path, want: &State) -> Result<()> {
        let want = want.iter().map(|(name, tensor)| (name.as_str(), tensor.dims()));
        let mismatch = Mismatch::between(want, &self.tensors);
        if mismatch.is_empty() {
            return Ok(());
        }
        let show = shell::ebm_on("show", path);
        let remedy = format!("it was made by another model or another version; `{show}` prints its configuration");
        Err(Error::checkpoint(path, format!("tensors do not fit the model: {mismatch}"), remedy))
    }
}

/// The index and value of the first NaN or infinity of a tensor of floats, if there is one.
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

/// The sha256 of a file, in lower-case hexadecimal; it is read piece by piece.
///
/// # Errors
/// The file cannot be read.
pub fn sha256_of(path: &Path) -> Result<String> {
    let mut file = std::fs::File::open(path).map_err(Error::io(path))?;
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut hash).map_err(Error::io(path))?;
    Ok(hex(&hash.finalize()))
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
