//! A model out of a checkpoint file: all that `sample` and `eval-lsd` need.

use std::path::Path;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::usage;
use crate::data::Data;
use crate::density::{Model, Proposal, Stored, WeightsOf, unfit};
use crate::run::Experiment;
use crate::store::Checkpoint;
use crate::{Result, shell};

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

impl From<Weights> for WeightsOf {
    fn from(weights: Weights) -> Self {
        match weights {
            Weights::Ema => WeightsOf::Average,
            Weights::Raw => WeightsOf::Training,
        }
    }
}

/// A model to look at: a checkpoint brought back to life, or a configuration's before training.
pub struct Loaded {
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

impl Loaded {
    /// Loads `path`; `sets` override keys of the stored configuration.
    ///
    /// # Errors
    /// A file that is no good checkpoint, or one of another model.
    pub fn load(path: &Path, sets: &[String], weights: Weights) -> Result<Self> {
        let checkpoint = Checkpoint::load(path, &candle_core::Device::Cpu)?;
        let name = format!("{} (stored configuration)", path.display());
        let experiment = Experiment::parse(&name, &checkpoint.config, sets)?;
        let config = experiment.resolved.0.clone();
        let Stored { step, model, data, state, .. } =
            Stored::of(path, checkpoint, config, weights.into(), &experiment.device)?;
        let proposal = experiment.proposal(&data, &state).map_err(|e| unfit(path, &e))?;
        Ok(Loaded { step, experiment, model, data, proposal })
    }

    /// The model of a configuration as it is before training, with its data.
    ///
    /// # Errors
    /// A configuration that is wrong, data that cannot be used.
    pub fn untrained(config: &Path, sets: &[String]) -> Result<Self> {
        let experiment = Experiment::load(config, sets)?;
        let data = experiment.data()?;
        let model = experiment.model(&data)?.frozen()?;
        Ok(Loaded { step: 0, experiment, model, data, proposal: None })
    }
    /// Checks that the model sees items of the shape that `data` has.
    ///
    /// # Errors
    /// Another shape.
    pub fn fits(&self, data: &Data) -> Result<()> {
        let (have, want) = (&data.spec().shape, self.model.shape());
        if have == want {
            return Ok(());
        }
        let size = |shape: &[usize]| shape.iter().product::<usize>();
        let can_be_flat = self.experiment.resolved.section("dataset").contains_key("flatten");
        let remedy = match can_be_flat && size(have) == size(want) {
            true => format!("--set dataset.flatten={}", want.len() == 1),
            false => format!("choose a data set of the model's shape: `{}`", shell::ebm("data list")),
        };
        Err(usage(format!("items of `{}` have shape {have:?}, the model's {want:?}", data.spec().name), remedy))
    }
}
