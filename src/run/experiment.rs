//! From a configuration to everything a run needs: data, model, method, sampler, probes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::best::Extreme;
use super::guard::GuardConfig;
use crate::config::{Document, Problems, Resolved, Schema, Section, SectionKind, decode, rule};
use crate::data::{self, Data, Split, Stamp};
use crate::density::{self, Context, Model, Proposal};
use crate::methods::{self, Method, Setup, Standing, State};
use crate::nets::LOG_SCALE;
use crate::probes::{self, Scheduled};
use crate::samplers::{self, Sampler};
use crate::{Error, Result, device, optim, rng::Key};

/// How the learning rate goes from the first step to the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// Stays.
    #[default]
    Constant,
    /// Falls to 0 along a line.
    Linear,
    /// Falls to 0 along half a cosine.
    Cosine,
    /// Is multiplied by `decay_by` at each of `decay_at`.
    Steps,
}

crate::config! {
    /// Keys at the top of the file.
    pub struct TopConfig {
        /// All randomness of the run follows from this number.
        seed: u64 = 0;
        /// cpu, cuda:0, or auto (the first CUDA device if there is one).
        device: String = "cpu".to_owned();
    }
}

crate::config! {
    /// Keys of `[train]`.
    pub struct TrainConfig {
        /// Steps of the method (model updates); 0 to give `epochs` instead.
        steps: u64 = 0;
        /// Passes over the training data; every batch counts, the critic's too. Needs a finite data set; 0 to give `steps`.
        epochs: u64 = 0;
        /// Items in a batch.
        batch_size: usize = 128, rule::at_least(1);
        /// Steps between lines of metrics.jsonl.
        log_every: u64 = 10, rule::at_least(1);
        /// Steps between checkpoints; 0 means at the end only.
        checkpoint_every: u64 = 500;
        /// Checkpoints to keep besides the newest; 0 keeps all.
        keep: usize = 2;
        /// Never delete the checkpoint of a step that is a multiple of this; 0 for none.
        keep_every: u64 = 0;
        /// A number that a probe finds, such as test_ll or test_accuracy: the checkpoint of the step where it is best stays, and
        /// checkpoints/best.safetensors is another name of it. Empty for none.
        best: String = String::new();
        /// What of it is best: max or min.
        best_is: Extreme = Extreme::Max;
        /// Decay of the exponential moving average of the model's weights; 0 switches it off. Sampling and probes
        /// use the average where there is one.
        ema: f64 = 0.0, rule::rate;
        /// Steps over which the learning rates rise from 0.
        warmup: u64 = 0;
        /// Learning-rate schedule after the warm-up: constant, linear, cosine or steps.
        decay: Decay = Decay::Constant;
        /// With decay = "steps": where the rates fall, as shares of the run, such as [0.75, 0.875].
        decay_at: Vec<f64> = Vec::new(), shares;
        /// With decay = "steps": what they are multiplied by there.
        decay_by: f64 = 0.3, rule::rate;
    }
}

#[allow(clippy::ptr_arg)] // A rule takes the type of its key.
fn shares(v: &Vec<f64>) -> rule::Verdict {
    (!v.iter().all(|x| (0.0..=1.0).contains(x))).then(|| format!("must be numbers from 0 to 1, got {v:?}"))
}

impl TrainConfig {
    /// What learning rates are multiplied by at `step` of `total`.
    pub fn lr_scale(&self, step: u64, total: u64) -> f64 {
        if step < self.warmup {
            return (step + 1) as f64 / self.warmup as f64;
        }
        let progress = (step - self.warmup) as f64 / total.saturating_sub(self.warmup).max(1) as f64;
        match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => 1.0 - progress,
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
            Decay::Steps => {
                let share = step as f64 / total.max(1) as f64;
                let falls = self.decay_at.iter().filter(|at| share >= **at).count();
                (0..falls).map(|_| self.decay_by).product()
            }
        }
    }
}

/// The sections of an experiment file.
pub fn sections() -> Vec<Section> {
    use SectionKind::{List, Named, Plain};
    [
        ("", Plain(Schema::of::<TopConfig>())),
        ("dataset", Named { rows: data::schemas, default: None }),
        ("model", Named { rows: density::schemas, default: Some("neural") }),
        ("method", Named { rows: methods::schemas, default: None }),
        ("optim", Named { rows: optim::schemas, default: Some("adam") }),
        ("sampler", Named { rows: samplers::schemas, default: Some("langevin") }),
        ("train", Plain(Schema::of::<TrainConfig>())),
        ("guard", Plain(Schema::of::<GuardConfig>())),
        ("probe", List { rows: probes::schemas }),
    ]
    .map(|(key, kind)| Section { key, kind })
    .to_vec()
}

/// Training items that the base density's first moments are taken from.
const MOMENT_ITEMS: usize = 10_000;

/// A configuration, checked and completed, with what is known without opening data.
pub struct Experiment {
    /// The completed configuration.
    pub resolved: Resolved,
    /// Keys at the top of the file.
    pub top: TopConfig,
    /// `[train]`.
    pub train: TrainConfig,
    /// `[guard]`.
    pub guard: GuardConfig,
    /// Where tensors live.
    pub device: Device,
}

impl Experiment {
    /// Reads and resolves a configuration file.
    ///
    /// # Errors
    /// All mistakes of the file and of the `--set` arguments at once.
    pub fn load(path: &Path, sets: &[String]) -> Result<Self> {
        Self::of(&Document::load(path, sets)?)
    }

    /// Resolves the configuration kept in a checkpoint, with `--set` on top.
    ///
    /// # Errors
    /// As [`Experiment::load`].
    pub fn parse(name: &str, text: &str, sets: &[String]) -> Result<Self> {
        if text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("extends")) {
            let hint = "a checkpoint's configuration is complete in itself; this file was not written by ebm";
            return Err(Error::Config(format!("error: {name}: `extends` in a stored configuration\n\nhint: {hint}")));
        }
        Self::of(&Document::from_str(name, text, sets)?)
    }

    fn of(document: &Document) -> Result<Self> {
        let resolved = Self::check(document)?;
        let top: TopConfig = decode(&resolved.section(""))?;
        let train: TrainConfig = decode(&resolved.section("train"))?;
        let device = device::open(&top.device)?;
        Ok(Experiment { guard: decode(&resolved.section("guard"))?, resolved, top, train, device })
    }

    /// Checks all that can be checked without a device and without data, and fills in every default.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn check(document: &Document) -> std::result::Result<Resolved, Problems> {
        let resolved = document.check(&sections())?;
        let length = |key: &str| resolved.section("train").get(key).and_then(toml::Value::as_integer).unwrap_or(0);
        if (length("steps") == 0) == (length("epochs") == 0) {
            let what = if length("steps") == 0 { "neither is set" } else { "both are set" };
            let message = format!("`train.steps` or `train.epochs` says how long to train, but {what}");
            let hint = "set one of them, such as --set train.steps=1000".to_owned();
            return Err(document.problems_at("train", message, Some(hint)));
        }
        Ok(resolved)
    }

    /// Opens and verifies the data.
    ///
    /// # Errors
    /// Files that are missing, truncated or not what their name says.
    pub fn data(&self) -> Result<Arc<Data>> {
        Data::open(&self.resolved.spec("dataset"), self.top.seed, &self.device).map(Arc::new)
    }

    /// The data set as a checkpoint remembers it: transform and shape, no items.
    ///
    /// # Errors
    /// Keys that contradict each other.
    pub fn data_without_items(&self, stamp: Stamp) -> Result<Arc<Data>> {
        Data::without_items(&self.resolved.spec("dataset"), stamp, self.top.seed, &self.device).map(Arc::new)
    }

    /// The root of the run's randomness.
    pub fn key(&self) -> Key {
        Key::new(self.top.seed)
    }

    /// A fresh model for the data.
    ///
    /// # Errors
    /// A network that does not fit the data's shape.
    pub fn model(&self, data: &Data) -> Result<Model> {
        let data::ItemSpec { shape, classes, .. } = data.spec().clone();
        let context = Context { shape, classes, moments: Some(&|| data.mean_std(MOMENT_ITEMS)) };
        let model =
            Model::new(&self.resolved.spec("model"), &context, self.key().with("model"), DType::F32, &self.device)?;
        // Weight norm begins at the data: at five batches, as Xiao et al. (2021) do.
        if model.params().weights.keys().any(|name| name.ends_with(LOG_SCALE)) {
            model.calibrate(&data.all(Split::Train, 5 * self.train.batch_size)?.x)?;
        }
        Ok(model)
    }

    /// A model on stored weights. Needs no data.
    ///
    /// # Errors
    /// Weights that are missing or have another shape.
    pub fn model_on(&self, data: &Data, weights: BTreeMap<String, Tensor>) -> Result<Model> {
        let data::ItemSpec { shape, classes, .. } = data.spec().clone();
        let context = Context { shape, classes, moments: None };
        Model::bound(&self.resolved.spec("model"), &context, weights, DType::F32, &self.device)
    }

    /// The method on a fresh model.
    ///
    /// # Errors
    /// A method that does not fit the data.
    pub fn method(&self, data: &Arc<Data>) -> Result<Box<dyn Method>> {
        let optim = self.resolved.spec("optim");
        let setup = Setup { model: self.model(data)?, optim: &optim, data, key: self.key().with("method") };
        methods::build(&self.resolved.spec("method"), setup)
    }

    /// What the method draws from at once, if it keeps such a thing, on the tensors of its state.
    ///
    /// # Errors
    /// Tensors that are missing or have another shape.
    pub fn proposal(&self, data: &Data, state: &State) -> Result<Option<Box<dyn Proposal>>> {
        let subject = Standing { shape: &data.spec().shape, classes: data.spec().classes, state, device: &self.device };
        methods::proposal(&self.resolved.spec("method"), &subject)
    }

    /// `[sampler]`.
    ///
    /// # Errors
    /// As [`Sampler::new`].
    pub fn sampler(&self) -> Result<Sampler> {
        Sampler::new(&self.resolved.spec("sampler"))
    }

    /// Every `[[probe]]`.
    ///
    /// # Errors
    /// None for a resolved configuration.
    pub fn probes(&self) -> Result<Vec<Scheduled>> {
        self.resolved.list("probe").iter().map(Scheduled::new).collect()
    }

    /// How many steps the run has.
    ///
    /// # Errors
    /// Epochs of a data set that has no end.
    pub fn total_steps(&self, data: &Data, method: &dyn Method) -> Result<u64> {
        if self.train.steps > 0 {
            return Ok(self.train.steps);
        }
        let per_epoch = data.batches_per_epoch(self.train.batch_size).ok_or_else(|| {
            let name = &data.spec().name;
            Error::Config(format!(
                "error: `{name}` is generated and has no epochs\n\nhint: --set train.epochs=0 --set train.steps=1000"
            ))
        })?;
        Ok((self.train.epochs * per_epoch).div_ceil(method.batches_per_step().max(1) as u64).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_then_falls() {
        let config = TrainConfig { warmup: 10, decay: Decay::Linear, ..TrainConfig::default() };
        assert_eq!(config.lr_scale(0, 110), 0.1);
        assert_eq!(config.lr_scale(9, 110), 1.0);
        assert_eq!(config.lr_scale(10, 110), 1.0);
        assert_eq!(config.lr_scale(60, 110), 0.5);
        let cosine = TrainConfig { decay: Decay::Cosine, ..TrainConfig::default() };
        assert!((cosine.lr_scale(50, 100) - 0.5).abs() < 1e-12);
        let decay_at = vec![0.75, 0.875];
        let steps = TrainConfig { decay: Decay::Steps, decay_at, decay_by: 0.5, ..TrainConfig::default() };
        assert_eq!([0, 74, 75, 87, 88].map(|step| steps.lr_scale(step, 100)), [1.0, 1.0, 0.5, 0.5, 0.25]);
    }
}
