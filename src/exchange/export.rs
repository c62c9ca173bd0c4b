//! A model as files for other programs.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value, json};

use super::architecture::Architecture;
use super::floats::Floats;
use super::import::{DATA_NOTE, SHA_NOTE};
use super::subject::{Export, ExportFormat};
use super::{card, onnx};
use crate::run::Paths;
use crate::{Error, Result};

/// A file to be written: its name, and its content.
pub type File = (&'static str, Vec<u8>);

/// The names of the files that belong to one format alone.
pub const OF_ONE_FORMAT: [&str; 4] = ["model.safetensors", "ebm_model.py", "ebm_ladder.py", "model.onnx"];

/// A file in `folder` of a name that an export writes, where no export wrote it: one describes itself in its
/// `config.json`, and is no run.
pub fn foreign_in(folder: &Path) -> Option<&'static str> {
    let text = std::fs::read(folder.join("config.json")).unwrap_or_default();
    let described = serde_json::from_slice::<Value>(&text).is_ok_and(|value| value.get("ebm").is_some());
    if described && !Paths::of(folder).manifest().exists() {
        return None;
    }
    ["config.json", "config.toml", "README.md"].into_iter().chain(OF_ONE_FORMAT).find(|name| folder.join(name).exists())
}

/// The loader for PyTorch.
const LOADER: &str = include_str!("ebm_model.py");

/// What it needs besides for a model of noise levels.
const LADDER: &str = include_str!("ebm_ladder.py");

impl Export<'_> {
    /// The files of these formats; the model card and the configuration belong to both.
    ///
    /// # Errors
    /// A model that a format cannot say; nothing is written then.
    pub fn files(&self, formats: &[ExportFormat]) -> Result<Vec<File>> {
        let name = self.experiment.resolved.spec("model").name().to_owned();
        let architecture = Architecture::of(&name, self.model, self.weights)?;
        let mut files = vec![("config.json", pretty(&self.config(&architecture))?)];
        files.push(("config.toml", self.experiment.resolved.to_toml().into_bytes()));
        if formats.contains(&ExportFormat::Torch) {
            files.push(("model.safetensors", self.safetensors()?));
            files.push(("ebm_model.py", LOADER.as_bytes().to_vec()));
            files.extend(architecture.ladder.as_ref().map(|_| ("ebm_ladder.py", LADDER.as_bytes().to_vec())));
        }
        if formats.contains(&ExportFormat::Onnx) {
            files.push(("model.onnx", onnx::encode(&architecture, self.weights, self.model.shape())?));
        }
        files.push(("README.md", card::write(self, formats, architecture.ladder.is_some())?.into_bytes()));
        Ok(files)
    }

    /// All that a loader needs, and what the model comes from.
    fn config(&self, architecture: &Architecture) -> Value {
        let spec = self.data.spec();
        json!({
            "ebm": env!("CARGO_PKG_VERSION"),
            "item": spec.shape,
            "classes": spec.classes,
            "model_space": self.data.in_words(),
            "input": self.data.rescaling(),
            "energy": architecture.to_json(),
            "step": self.step,
            "weights": self.kind_of_weights(),
            "config": self.experiment.resolved.0,
        })
    }

    fn safetensors(&self) -> Result<Vec<u8>> {
        let stamp = serde_json::to_string(&self.data.stamp()).map_err(|e| Error::Other(e.to_string()))?;
        // What PyTorch's own tools write, and what `ebm import` needs to do without the data.
        let mut notes = HashMap::from([("format".to_owned(), "pt".to_owned()), (DATA_NOTE.to_owned(), stamp)]);
        let sum = self.manifest().and_then(|manifest| manifest.dataset_sha256);
        notes.extend(sum.map(|sum| (SHA_NOTE.to_owned(), sum)));
        let views = self.weights.iter().map(|(name, tensor)| Ok((name.as_str(), Floats::of(tensor)?)));
        let views: Vec<_> = views.collect::<Result<_>>()?;
        safetensors::serialize(views, Some(notes)).map_err(|e| Error::Other(format!("cannot encode the weights: {e}")))
    }
}

fn pretty(value: &Value) -> Result<Vec<u8>> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::Other(e.to_string()))?;
    Ok((text + "\n").into_bytes())
}
