//! The model of a checkpoint, for its use inside another run: for features, as a first stage, as a frozen flow.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::{Context, Model, schemas};
use crate::config::Spec;
use crate::data::{self, Data, Stamp};
use crate::nets::Params;
use crate::store::{Checkpoint, State, checkpoint, take};
use crate::{Error, Result};

/// The choice between the two sets of weights that a checkpoint may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightsOf {
    /// The moving average, where the checkpoint has one.
    Average,
    /// The weights as trained.
    Training,
}

/// The model of a checkpoint, frozen, as it was trained.
pub struct Stored {
    /// The number of steps it was trained for.
    pub step: u64,
    /// The model on the weights of the checkpoint that [`WeightsOf`] chose.
    pub model: Model,
    /// The weights on which the model stands, by name.
    pub weights: State,
    /// The data that it was trained on, with their shape and transform but without the items: no file is read.
    pub data: Arc<Data>,
    /// The whole configuration of its run.
    pub config: toml::Table,
    /// The state of its method, by name.
    pub state: State,
}

impl Stored {
    /// The model of the checkpoint at `path`, on averaged weights where there are some.
    ///
    /// # Errors
    /// The file is no good checkpoint, or this version does not know its configuration.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        Self::whole(path, checkpoint::load_from(path, device)?, device)
    }

    /// The model of the checkpoint in the bytes of a file; `path` is named in errors.
    ///
    /// # Errors
    /// As [`Stored::load`].
    pub fn decode(path: &Path, bytes: &[u8], device: &Device) -> Result<Self> {
        Self::whole(path, Checkpoint::decode(path, bytes, device)?, device)
    }

    fn whole(path: &Path, checkpoint: Checkpoint, device: &Device) -> Result<Self> {
        let config = checkpoint.config.parse();
        let config = config.map_err(|e| unfit(path, &Error::Other(format!("its configuration: {e}"))))?;
        Self::of(path, checkpoint, config, WeightsOf::Average, device)
    }

    /// The model of a checkpoint that was read from `path`, with the configuration `config` in the place of its own.
    ///
    /// # Errors
    /// The checkpoint does not say what its data were, or its tensors do not fit the configuration.
    pub fn of(
        path: &Path,
        checkpoint: Checkpoint,
        mut config: toml::Table,
        weights: WeightsOf,
        device: &Device,
    ) -> Result<Self> {
        let stamp: Stamp = checkpoint.meta("data", path)?;
        let model = section(&config, "model").completed(schemas);
        config.insert("model".into(), model.table.clone().into());
        let seed = config.get("seed").and_then(toml::Value::as_integer).unwrap_or(0);
        let data =
            Data::without_items(&section(&config, "dataset").completed(data::schemas), stamp, seed as u64, device)?;
        let here = |(name, tensor): (String, Tensor)| Ok((name, tensor.to_device(device)?));
        let state: State = take(&checkpoint.tensors, "method").into_iter().map(here).collect::<Result<_>>()?;
        let mut chosen = take(&state, "model");
        if weights == WeightsOf::Average {
            let average: State = take(&checkpoint.tensors, "ema").into_iter().map(here).collect::<Result<_>>()?;
            chosen.extend(average);
        }
        let crate::data::ItemSpec { shape, classes, .. } = data.spec().clone();
        let context = Context { shape, classes, moments: None };
        let model = Model::bound(&model, &context, chosen.clone(), DType::F32, device);
        let model = model.map_err(|e| unfit(path, &e))?;
        Ok(Stored { step: checkpoint.step, model, weights: chosen, data: Arc::new(data), config, state })
    }

    /// Overwrites `params` with the weights of the same names below a prefix: the first of `sources`, each of which
    /// ends in a dot or is empty, below which the checkpoint has any weight.
    ///
    /// # Errors
    /// A weight is missing or has another shape; the error gives `remedy` as advice.
    pub fn overwrite(&self, params: &Params, sources: &[&str], path: &Path, remedy: &str) -> Result<()> {
        let has = |source: &&&str| self.weights.keys().any(|name| name.starts_with(**source));
        let source = sources.iter().find(has).copied().unwrap_or_default();
        let below =
            self.weights.iter().filter_map(|(name, t)| Some((name.strip_prefix(source)?.to_owned(), t.clone())));
        params.load(&below.collect()).map_err(|e| {
            let what = if source.is_empty() { e.to_string() } else { format!("below `{source}`, {e}") };
            Error::checkpoint(path, what, remedy)
        })
    }

    /// The section `name` of the run's configuration.
    pub fn section(&self, name: &str) -> Spec {
        section(&self.config, name)
    }
}

/// The error for a checkpoint whose tensors are not those of its configuration, which `error` says in detail.
pub fn unfit(path: &Path, error: &Error) -> Error {
    Error::checkpoint(path, error.to_string(), "the file and its stored configuration disagree")
}

fn section(config: &toml::Table, name: &str) -> Spec {
    Spec::new(config.get(name).and_then(toml::Value::as_table).cloned().unwrap_or_default())
}
