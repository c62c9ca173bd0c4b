//! Weights of another program under a model of this one, as a checkpoint.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device};

use super::file::ForeignFile;
use super::map::{Fit, Map};
use crate::data::{Data, ItemSpec, Stamp};
use crate::density::{Context, Model};
use crate::metrics::Spent;
use crate::run::Experiment;
use crate::store::checkpoint::sha256_of;
use crate::store::{Checkpoint, State, put};
use crate::{Error, Result};

/// What `--set` says for a configuration under which weights are put: nothing was trained here.
pub const METHOD: [&str; 2] = ["method.name=none", "train.ema=0"];

/// The note of a `.safetensors` that says what the data of its model were, as `ebm export` writes it.
pub(super) const DATA_NOTE: &str = "ebm.data";

/// The note with the hash of the content of these data.
pub(super) const SHA_NOTE: &str = "ebm.data_sha256";

/// Weights fitted to the model of an experiment.
pub struct Import {
    /// What becomes of every tensor.
    pub fit: Fit,
    /// The first parts of the names in the file.
    tops: Vec<String>,
    /// The hash of the content of the data, where it is known.
    pub data_sha256: Option<String>,
    stamp: Stamp,
    config: String,
    source: (String, String),
}

impl Import {
    /// Fits the weights in the file `from` to the model of `experiment`. Its data are opened unless the file says what
    /// they were.
    ///
    /// # Errors
    /// Files that cannot be read, or a model that does not fit the data.
    pub fn new(experiment: &Experiment, from: &Path, map: &Map) -> Result<Self> {
        let file = ForeignFile::read(from)?;
        let (stamp, data_sha256) = match file.notes.get(DATA_NOTE) {
            Some(note) => {
                let wrong = |e| Error::data(from, format!("its note `{DATA_NOTE}`: {e}"), "export the model again");
                (serde_json::from_str(note).map_err(wrong)?, file.notes.get(SHA_NOTE).cloned())
            }
            None => {
                let data = experiment.data()?;
                (data.stamp(), Some(data.sha256().to_owned()))
            }
        };
        let file = if map.key.is_empty() { file } else { file.below(&map.key, from)? };
        let (spec, context) = (experiment.resolved.spec("model"), context(experiment, &stamp)?);
        let shapes = Model::shapes(&spec, &context, DType::F32, &Device::Cpu).map_err(|e| experiment.placed(e))?;
        let source = (from.display().to_string(), sha256_of(from)?);
        let (fit, tops) = (map.fit(&file, &shapes)?, file.tops());
        Ok(Import { fit, tops, data_sha256, stamp, config: experiment.resolved.to_toml(), source })
    }

    /// What does not fit, in one sentence.
    pub fn complaint(&self) -> String {
        let found = self.fit.rows.iter().any(|row| row.from.is_some());
        let tops = match found || self.tops.is_empty() {
            true => String::new(),
            false => format!("; at the top of the file (--key): {}", self.tops.join(", ")),
        };
        format!("{}{tops}", self.fit.complaint())
    }

    /// The checkpoint of the model on these weights, at step 0, to be written to `path`.
    ///
    /// # Errors
    /// Tensors that are missing, left over or have another shape, or numbers that are not finite.
    pub fn checkpoint(&self, path: &Path) -> Result<Checkpoint> {
        let from = Path::new(&self.source.0);
        if !self.fit.is_whole() {
            let remedy = "`--dry-run` shows every tensor; the rules of --map rename, `skip` passes over what is left, \
                          `fill` makes what is missing (a base density: model.base = \"none\" has none)";
            return Err(Error::data(from, self.complaint(), remedy));
        }
        let json = |value: serde_json::Result<String>| value.map_err(|e| Error::Other(e.to_string()));
        let imported = serde_json::json!({"from": self.source.0, "sha256": self.source.1});
        let meta = BTreeMap::from([
            ("data".to_owned(), json(serde_json::to_string(&self.stamp))?),
            ("imported".to_owned(), imported.to_string()),
            ("spent".to_owned(), json(serde_json::to_string(&Spent::default()))?),
        ]);
        let mut tensors = State::new();
        put(&mut tensors, "method.model", self.fit.tensors.clone());
        let checkpoint = Checkpoint { step: 0, config: self.config.clone(), meta, tensors };
        checkpoint.check_finite(path).map_err(|error| match error {
            Error::Checkpoint { what, .. } => Error::data(from, what, "import weights of an earlier step"),
            other => other,
        })?;
        Ok(checkpoint)
    }
}

/// What a model is built for, from the stamp of its data alone.
fn context(experiment: &Experiment, stamp: &Stamp) -> Result<Context<'static>> {
    let (spec, seed) = (experiment.resolved.spec("dataset"), experiment.top.seed);
    let data = Data::without_items(&spec, stamp.clone(), seed, &Device::Cpu).map_err(|e| experiment.placed(e))?;
    let ItemSpec { shape, classes, .. } = data.spec().clone();
    Ok(Context { shape, classes, moments: None })
}
