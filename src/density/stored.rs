//! A model out of a checkpoint, for what uses one model inside another run: features, a first stage, a frozen flow.

use std::path::Path;

use candle_core::{DType, Device};

use super::{Context, Model};
use crate::config::Spec;
use crate::data::{Data, Stamp};
use crate::nets::Params;
use crate::store::{Checkpoint, State, take};
use crate::{Error, Result};

/// The model of a checkpoint, frozen, as it was trained.
pub struct Stored {
    /// Steps trained.
    pub step: u64,
    /// On the weights of the checkpoint, averaged ones where there are some.
    pub model: Model,
    /// The weights that the model stands on.
    pub weights: State,
    /// Shape and transform of the data it was trained on, without the items.
    pub data: Data,
    /// The whole configuration of its run.
    pub config: toml::Table,
    /// All state of its method, by name.
    pub state: State,
}

impl Stored {
    /// Loads `path`.
    ///
    /// # Errors
    /// A file that is no good checkpoint, or whose configuration this version does not know.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let checkpoint = Checkpoint::load(path, device)?;
        let unfit = |e: Error| Error::checkpoint(path, e.to_string(), "the file and its stored configuration disagree");
        let config: toml::Table =
            checkpoint.config.parse().map_err(|e| unfit(Error::Other(format!("its configuration: {e}"))))?;
        let stamp: Stamp = checkpoint.meta("data", path)?;
        let seed = config.get("seed").and_then(toml::Value::as_integer).unwrap_or(0);
        let data = Data::without_items(&section(&config, "dataset"), stamp, seed as u64, device)?;
        let state = take(&checkpoint.tensors, "method");
        let mut weights = take(&state, "model");
        weights.extend(take(&checkpoint.tensors, "ema"));
        let crate::data::ItemSpec { shape, classes, .. } = data.spec().clone();
        let context = Context { shape, classes, moments: None };
        let model = Model::bound(&section(&config, "model"), &context, weights.clone(), DType::F32, device);
        let model = model.map_err(unfit)?;
        Ok(Stored { step: checkpoint.step, model, weights, data, config, state })
    }

    /// Overwrites `params` with the weights of the same names below the first of `sources`, each of which ends in a dot or is
    /// empty, that the checkpoint has anything below.
    ///
    /// # Errors
    /// A weight that is missing or has another shape; `remedy` says what to do about it.
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

fn section(config: &toml::Table, name: &str) -> Spec {
    Spec(config.get(name).and_then(toml::Value::as_table).cloned().unwrap_or_default())
}
