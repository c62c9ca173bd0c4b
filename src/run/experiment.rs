//! From a configuration to everything a run needs: data, model, method, sampler, probes.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device};

use super::declared::Declared;
use super::guard::GuardConfig;
use super::train_config::TrainConfig;
use crate::config::{Document, Problems, Resolved, Schema, Section, SectionKind, decode};
use crate::data::{self, Data, Split};
use crate::density::{self, Context, Model, Proposal};
use crate::methods::{self, Method, Setup, Standing, State};
use crate::nets::LOG_SCALE;
use crate::probes::{self, Scheduled};
use crate::samplers::{self, Sampler};
use crate::{Error, Result, device, optim, rng::Key};

crate::config! {
    /// Keys at the top of the file.
    pub struct TopConfig {
        /// All randomness of the run follows from this number.
        seed: u64 = 0;
        /// cpu, cuda:0, or auto (the first CUDA device if there is one).
        device: String = "cpu".to_owned();
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
        let read = |error: Error| document.problems_at("train", error.to_string(), None);
        let train: TrainConfig = decode(&resolved.section("train")).map_err(read)?;
        Declared::of(&resolved).map_err(read)?.check_best(document, &train.best, train.best_is)?;
        Ok(resolved)
    }

    /// Opens and verifies the data.
    ///
    /// # Errors
    /// Files that are missing, truncated or not what their name says.
    pub fn data(&self) -> Result<Arc<Data>> {
        Data::open(&self.resolved.spec("dataset"), self.top.seed, &self.device).map(Arc::new)
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
        self.resolved.list("probe").iter().map(|spec| Scheduled::new(spec, &self.device)).collect()
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
