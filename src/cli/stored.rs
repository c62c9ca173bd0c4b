//! A model out of a checkpoint file: all that `sample` and `eval-lsd` need.

use std::path::Path;
use std::sync::Arc;

use candle_core::Tensor;
use clap::{Args, ValueEnum};

use crate::data::{Data, Stamp};
use crate::density::{Model, Proposal};
use crate::methods::take;
use crate::run::{Experiment, with_average};
use crate::store::Checkpoint;
use crate::{Error, Result};

/// Which weights of a checkpoint to use.
#[derive(Args, Clone, Copy, Debug)]
pub struct WeightsArg {
    /// The moving average where the checkpoint has one, or the weights as trained
    #[arg(long, value_enum, default_value_t = Weights::Ema)]
    pub weights: Weights,
}

/// The choice of `--weights`.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum Weights {
    /// Exponential moving average.
    Ema,
    /// As trained.
    Raw,
}

/// A model to look at: a checkpoint brought back to life, or a configuration's before training.
pub struct Stored {
    /// Steps trained.
    pub step: u64,
    /// The configuration it was trained by, with `--set` on top.
    pub experiment: Experiment,
    /// The model on its weights.
    pub model: Model,
    /// Shape and transform of the data it was trained on, without the items: no file is read.
    pub data: Arc<Data>,
    /// What its method draws from at once, if it keeps such a thing.
    pub proposal: Option<Box<dyn Proposal>>,
}

impl Stored {
    /// Loads `path`; `sets` override keys of the stored configuration.
    ///
    /// # Errors
    /// A file that is no good checkpoint, or one of another model.
    pub fn load(path: &Path, sets: &[String], weights: Weights) -> Result<Self> {
        let checkpoint = Checkpoint::load(path, &candle_core::Device::Cpu)?;
        let name = format!("{} (stored configuration)", path.display());
        let experiment = Experiment::parse(&name, &checkpoint.config, sets)?;
        let mut state = take(&checkpoint.tensors, "method");
        for tensor in state.values_mut() {
            *tensor = tensor.to_device(&experiment.device)?;
        }
        let mut tensors = take(&state, "model");
        if weights == Weights::Ema {
            let average = take(&checkpoint.tensors, "ema").into_iter();
            let here = |(name, tensor): (String, Tensor)| Ok((name, tensor.to_device(&experiment.device)?));
            tensors = with_average(tensors, average.map(here).collect::<Result<_>>()?);
        }
        let unfit = |e: Error| Error::checkpoint(path, e.to_string(), "the file and its stored configuration disagree");
        let stamp: Stamp = checkpoint.meta("data", path)?;
        let data = experiment.data_without_items(stamp)?;
        let model = experiment.model_on(&data, tensors).map_err(unfit)?;
        let proposal = experiment.proposal(&data, &state).map_err(unfit)?;
        Ok(Stored { step: checkpoint.step, experiment, model, data, proposal })
    }

    /// The model of a configuration as it is before training, with its data.
    ///
    /// # Errors
    /// A configuration that is wrong, data that cannot be used.
    pub fn untrained(config: &Path, sets: &[String]) -> Result<Self> {
        let experiment = Experiment::load(config, sets)?;
        let data = experiment.data()?;
        let model = experiment.model(&data)?.frozen()?;
        Ok(Stored { step: 0, experiment, model, data, proposal: None })
    }
}
