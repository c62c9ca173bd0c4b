//! Files of tensors of other programs: `.safetensors`, and the `.pt` and `.pth` of PyTorch.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use super::foreign::{Foreign, Raw};
use super::torch;
use crate::{Error, Result};

/// The tensors of a file, and what it says beside them.
#[derive(Debug, Default)]
pub struct ForeignFile {
    /// By name; those of nested dictionaries have the keys on the way, joined by dots.
    pub tensors: BTreeMap<String, Foreign>,
    /// The metadata of a `.safetensors`.
    pub notes: BTreeMap<String, String>,
}

impl ForeignFile {
    /// Reads a file, whatever its name: its first bytes say what it is. Nothing in it is executed.
    ///
    /// # Errors
    /// It cannot be read, or is none of the formats, or is broken.
    pub fn read(path: &Path) -> Result<Self> {
        Self::of_bytes(&std::fs::read(path).map_err(Error::io(path))?, path)
    }

    /// The tensors in the bytes of a file; `path` is named in errors.
    ///
    /// # Errors
    /// As [`ForeignFile::read`].
    pub fn of_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        let read = match bytes {
            [b'P', b'K', 3, 4, ..] => torch::of_archive(bytes).map(of_torch),
            [0x80, ..] => torch::of_stream(bytes).map(of_torch),
            _ => of_safetensors(bytes),
        };
        let file = read.map_err(|what| Error::data(path, what, REMEDY))?;
        match file.tensors.is_empty() {
            true => Err(Error::data(path, "no tensor is in it", REMEDY)),
            false => Ok(file),
        }
    }

    /// The first parts of all names.
    pub fn tops(&self) -> Vec<String> {
        let tops: BTreeSet<&str> = self.tensors.keys().filter_map(|name| Some(name.split_once('.')?.0)).collect();
        tops.into_iter().map(str::to_owned).collect()
    }

    /// The tensors below `key`, without it; nested keys are joined by dots.
    ///
    /// # Errors
    /// There is none.
    pub fn below(self, key: &str, path: &Path) -> Result<Self> {
        let remedy = format!("`key` names a dictionary of the file; at its top: {}", self.tops().join(", "));
        let strip = |name: &String| Some(name.strip_prefix(key)?.strip_prefix('.')?.to_owned());
        let tensors: BTreeMap<_, _> =
            self.tensors.iter().filter_map(|(name, tensor)| Some((strip(name)?, tensor.clone()))).collect();
        match tensors.is_empty() {
            true => Err(Error::data(path, format!("there is nothing below `{key}`"), remedy)),
            false => Ok(ForeignFile { tensors, notes: self.notes }),
        }
    }
}

const REMEDY: &str = "name a .safetensors, or a .pt or .pth as torch.save writes it: a state dict, a dictionary with \
                      one, or a module";

fn of_torch(tensors: BTreeMap<String, Foreign>) -> ForeignFile {
    ForeignFile { tensors, notes: BTreeMap::new() }
}

fn of_safetensors(bytes: &[u8]) -> std::result::Result<ForeignFile, String> {
    let wrong = |e: safetensors::SafeTensorError| format!("neither .safetensors nor a file of torch.save: {e}");
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(wrong)?;
    let views = SafeTensors::deserialize(bytes).map_err(wrong)?;
    let notes = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
    let mut tensors = BTreeMap::new();
    for (name, view) in views.tensors() {
        let kind = match view.dtype() {
            Dtype::BOOL => "bool".to_owned(),
            dtype => format!("{dtype:?}").to_lowercase(),
        };
        let raw = Raw { shape: view.shape().to_vec(), kind: &kind, bytes: view.data() };
        tensors.insert(name.clone(), Foreign::of(&raw).map_err(|what| format!("`{name}`: {what}"))?);
    }
    Ok(ForeignFile { tensors, notes })
}
