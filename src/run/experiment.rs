//! From a configuration to everything a run needs: data, model, method, sampler, probes.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device};

use super::declared::Declared;
use super::guard::GuardConfig;
use super::memory::Memory;
use super::train_config::TrainConfig;
use crate::config::{Document, Problems, Resolved, Schema, Section, SectionKind, decode};
use crate::data::{self, Data, ItemSpec, Moments, Split};
use crate::density::{self, Context, Model, Proposal};
use crate::methods::{self, Method, Setup, Standing, State};
use crate::probes::{self, Scheduled};
use crate::ranks::{Alone, Comm, Group, Sockets};
use crate::samplers::{self, Sampler};
use crate::store::{overwrite_fitting, take};
use crate::{Error, Result, device, optim, rng::Key};

crate::config! {
    /// Keys at the top of the file.
    pub struct TopConfig {
        /// All randomness of the run follows from this number.
        seed: u64 = 0;
        /// cpu, cuda:0, or auto (the first CUDA device if there is one).
        [may_change] device: String = "cpu".to_owned();
    }
}

/// Who reads a section.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Reader {
    /// The steps of training: a run keeps its values to the end, but for keys that [`config!`](macro@crate::config)
    /// marks.
    Training,
    /// Who looks at a run or stops it: no step depends on them, so that a run may go on with other values.
    Onlooker,
}

/// The sections of an experiment file, and who reads them.
pub(super) fn read_sections() -> [(Section, Reader); 9] {
    use Reader::{Onlooker, Training};
    use SectionKind::{List, Named, Plain};
    [
        ("", Plain(Schema::of::<TopConfig>()), Training),
        ("dataset", Named { rows: data::schemas, default: None }, Training),
        ("model", Named { rows: density::schemas, default: Some("neural") }, Training),
        ("method", Named { rows: methods::schemas, default: None }, Training),
        ("optim", Named { rows: optim::schemas, default: Some("adam") }, Training),
        // What the probes draw with; a method that trains with chains has a sampler of its own.
        ("sampler", Named { rows: samplers::schemas, default: Some("langevin") }, Onlooker),
        ("train", Plain(Schema::of::<TrainConfig>()), Training),
        ("guard", Plain(Schema::of::<GuardConfig>()), Onlooker),
        ("probe", List { rows: probes::schemas }, Onlooker),
    ]
    .map(|(key, kind, reader)| (Section { key, kind }, reader))
}

/// The sections of an experiment file.
pub fn sections() -> Vec<Section> {
    read_sections().map(|(section, _)| section).to_vec()
}

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
    /// Who shares the batches.
    group: Arc<Group>,
    /// What the configuration was read from.
    document: Document,
    /// Whether that is the text in a checkpoint, whose lines the user has never seen.
    stored: bool,
}

impl Experiment {
    /// Reads and resolves a configuration file.
    ///
    /// # Errors
    /// All mistakes of the file and of the `--set` arguments at once.
    pub fn load(path: &Path, sets: &[String]) -> Result<Self> {
        Self::of(Document::load(path, sets)?, false)
    }

    /// Resolves the configuration kept in a checkpoint, with `--set` on top.
    ///
    /// # Errors
    /// As [`Experiment::load`].
    pub fn parse(name: &str, text: &str, sets: &[String]) -> Result<Self> {
        if text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("extends")) {
            let hint = "a checkpoint's configuration is complete in itself; this file was not written by ebm";
            return Err(Error::config(format!("{name}: `extends` in a stored configuration")).hint(hint));
        }
        Self::of(Document::from_str(name, text, sets)?, true)
    }

    fn of(document: Document, stored: bool) -> Result<Self> {
        let resolved = Self::check(&document)?;
        let top: TopConfig = decode(&resolved.section(""))?;
        let train: TrainConfig = decode(&resolved.section("train"))?;
        let device = device::open(&top.device).map_err(|e| document.placed(e.at_path("device"), stored))?;
        device::set_precision(train.precision);
        device::set_layout(train.layout);
        let (guard, group) = (decode(&resolved.section("guard"))?, Arc::new(Group::new(Box::new(Alone), train.parts)?));
        Ok(Experiment { guard, resolved, top, train, device, group, document, stored })
    }

    /// The same experiment with its batches shared by the ranks that `sockets` connect; their GPUs are connected by
    /// NCCL where this program has it.
    ///
    /// # Errors
    /// The parts of a batch cannot be shared evenly; a rank has gone, or has another configuration.
    pub fn shared(self, sockets: Sockets) -> Result<Self> {
        let comm = connected(sockets, &self.device)?;
        let group = Group::new(comm, self.train.parts).map_err(|e| self.placed(e))?;
        // Each rank has a device of its own.
        let leaves = self.resolved.leaves();
        let kept = leaves.iter().filter(|(path, _)| path != "device");
        let own = kept.map(|(path, value)| format!("{path} = {value}")).collect::<Vec<_>>().join("\n");
        let all = group.tell(own.as_bytes())?;
        let told = |rank: usize| String::from_utf8_lossy(all.get(rank).map_or(&[], Vec::as_slice));
        if let Some(rank) = (0..all.len()).find(|rank| told(*rank) != told(0)) {
            let (first, other) = (told(0), told(rank));
            let own = other.lines().find(|line| !first.lines().any(|of_0| of_0 == *line)).unwrap_or("fewer keys");
            let message = format!("rank {rank} has another configuration than rank 0: {own}");
            return Err(Error::config(message).hint("start every rank with the same file and the same options"));
        }
        Ok(Experiment { group: Arc::new(group), ..self })
    }

    /// Who shares the batches.
    pub fn group(&self) -> &Arc<Group> {
        &self.group
    }

    /// An error of building or running the experiment, with the line of the configuration that it names.
    pub fn placed(&self, error: Error) -> Error {
        self.document.placed(error, self.stored)
    }

    /// Checks all that can be checked without a device and without data, and fills in every default.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn check(document: &Document) -> std::result::Result<Resolved, Problems> {
        let resolved = document.check(&sections())?;
        let length = |key: &str| resolved.section("train").get(key).and_then(toml::Value::as_integer).unwrap_or(0);
        if (length("steps") == 0) == (length("epochs") == 0) {
            let (what, hint) = match length("steps") {
                0 => ("neither is set", "set one of them, such as --set train.steps=1000"),
                _ => ("both are set", "set the other to 0: --set train.epochs=0, or --set train.steps=0"),
            };
            let message = format!("`train.steps` or `train.epochs` says how long to train, but {what}");
            return Err(document.problems_at("train", message, Some(hint.to_owned())));
        }
        let read = |error: Error| document.problems_at("train", error.to_string(), None);
        let train: TrainConfig = decode(&resolved.section("train")).map_err(read)?;
        Declared::of(&resolved).map_err(read)?.check_best(document, &train.best, train.best_is)?;
        Ok(resolved)
    }

    /// Whether every key that `advice` would set is one of this experiment.
    pub fn has_keys_of(&self, advice: &str) -> bool {
        let leaves = self.resolved.leaves();
        let has = |path: &str| leaves.iter().any(|(leaf, _)| leaf == path || leaf.starts_with(&format!("{path}.")));
        let sets = advice.split("--set ").skip(1).filter_map(|rest| rest.trim_start_matches('\'').split_once('='));
        sets.map(|(path, _)| path).all(has)
    }

    /// Opens and verifies the data.
    ///
    /// # Errors
    /// Files that are missing, truncated or not what their name says.
    pub fn data(&self) -> Result<Arc<Data>> {
        let data = Data::open(&self.resolved.spec("dataset"), self.top.seed, &self.device);
        data.map(Arc::new).map_err(|e| self.placed(e))
    }

    /// The pictures of the data set, all of them for training, in the order in which they lie in their files.
    ///
    /// # Errors
    /// As [`Experiment::data`].
    pub fn whole_data(&self) -> Result<Arc<Data>> {
        let data = Data::open_whole(&self.resolved.spec("dataset"), self.top.seed, &self.device);
        data.map(Arc::new).map_err(|e| self.placed(e))
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
        let context = Context { shape, classes, moments: Some(&|| data.mean_std(Moments::ITEMS)) };
        let (spec, key) = (self.resolved.spec("model"), self.key().with("model"));
        let model = Model::new(&spec, &context, key, DType::F32, &self.device).map_err(|e| self.placed(e))?;
        // Weight norm begins at the data: at five batches, as Xiao et al. (2021) do.
        model.calibrate(&|| Ok(data.all(Split::Train, 5 * self.train.batch_size)?.x))?;
        Ok(model)
    }

    /// A lower bound on the memory that a step takes, by the shapes of the model's parameters.
    ///
    /// # Errors
    /// As [`Experiment::model`].
    pub fn memory(&self, data: &Data) -> Result<Memory> {
        let data::ItemSpec { shape, classes, .. } = data.spec().clone();
        let context = Context { shape, classes, moments: None };
        let shapes = Model::shapes(&self.resolved.spec("model"), &context, DType::F32, &self.device);
        Ok(Memory::of(&shapes.map_err(|e| self.placed(e))?, self.train.batch_size))
    }

    /// The method on a fresh model.
    ///
    /// # Errors
    /// A method that does not fit the data, or whose step does not fit into memory.
    pub fn method(&self, data: &Arc<Data>) -> Result<Box<dyn Method>> {
        self.method_on(data, &State::new())
    }

    /// The method on a model that begins with those of `weights` that fit by name, as the state of a method has them,
    /// and shape; so do the model's companions.
    ///
    /// # Errors
    /// As [`Experiment::method`].
    pub fn method_on(&self, data: &Arc<Data>, weights: &State) -> Result<Box<dyn Method>> {
        let left = device::memory_left(&self.device);
        self.memory(data)?.check(left)?;
        let (optim, method) = (self.resolved.spec("optim"), self.resolved.spec("method"));
        if methods::learns_density(&method) {
            data.check_density().map_err(|e| self.placed(e))?;
        }
        let model = self.model(data)?;
        // Before the method is built: it may draw from the model.
        overwrite_fitting(&model.params().all(), &take(weights, "model"))?;
        let setup = Setup { model, optim: &optim, data, key: self.key().with("method") };
        let method = methods::build(&method, setup).map_err(|e| self.placed(e))?;
        overwrite_fitting(&method.learned(), weights)?;
        Memory::of_state(&method.state()?, self.train.batch_size).check(left)?;
        Ok(method)
    }

    /// What the method draws from at once, if it keeps such a thing, on the tensors of its state.
    ///
    /// # Errors
    /// Tensors that are missing or have another shape.
    pub fn proposal(&self, data: &Data, state: &State) -> Result<Option<Box<dyn Proposal>>> {
        let [model, method] = ["model", "method"].map(|section| self.resolved.spec(section));
        let ItemSpec { shape, classes, .. } = data.spec();
        let standing = Standing { shape, model: &model, classes: *classes, state, device: &self.device };
        methods::proposal(&method, &standing).map_err(|e| self.placed(e))
    }

    /// `[sampler]`.
    ///
    /// # Errors
    /// As [`Sampler::new`].
    pub fn sampler(&self) -> Result<Sampler> {
        Sampler::new(&self.resolved.spec("sampler")).map_err(|e| self.placed(e))
    }

    /// Every `[[probe]]`.
    ///
    /// # Errors
    /// None for a resolved configuration.
    pub fn probes(&self) -> Result<Vec<Scheduled>> {
        let probes = self.resolved.list("probe");
        let built = probes.iter().map(|spec| Scheduled::new(spec, &self.device)).collect::<Result<_>>();
        built.map_err(|e| self.placed(e))
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
            let error = Error::config(format!("`{name}` is generated and has no epochs"));
            self.placed(error.at_path("train.epochs").hint("--set train.epochs=0 --set train.steps=1000"))
        })?;
        Ok((self.train.epochs * per_epoch).div_ceil(method.batches_per_step().max(1) as u64).max(1))
    }
}

/// What carries the tensors of ranks on devices of this kind.
#[cfg(feature = "nccl")]
fn connected(sockets: Sockets, device: &Device) -> Result<Box<dyn Comm>> {
    match device {
        Device::Cuda(device) => Ok(Box::new(crate::ranks::Nccl::new(sockets, device)?)),
        _ => Ok(Box::new(sockets)),
    }
}

/// What carries the tensors of ranks: by way of the host on any device.
#[cfg(not(feature = "nccl"))]
#[allow(clippy::unnecessary_wraps)] // NCCL may refuse
fn connected(sockets: Sockets, _: &Device) -> Result<Box<dyn Comm>> {
    Ok(Box::new(sockets))
}
