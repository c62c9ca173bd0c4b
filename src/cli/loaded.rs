//! A model out of a checkpoint file: all that `sample` and `eval-lsd` need.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::usage;
use crate::config::{Difference, Document, Resolved, Setting};
use crate::data::Data;
use crate::density::{Model, Proposal, Stored, WeightsOf, unfit};
use crate::run::{Experiment, Paths};
use crate::store::{State, checkpoint, put};
use crate::{Error, Result, methods, shell};

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

impl std::fmt::Display for Weights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Weights::Ema => "ema",
            Weights::Raw => "raw",
        })
    }
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
    /// What `--set` made other than it was trained by.
    pub changed: Vec<Difference>,
    /// The model on its weights.
    pub model: Model,
    /// The tensors on which it stands, by name.
    pub weights: State,
    /// Shape and transform of the data it was trained on, without the items: no file is read.
    pub data: Arc<Data>,
    /// What its method draws from at once, if it keeps such a thing.
    pub proposal: Option<Box<dyn Proposal>>,
}

impl Loaded {
    /// Loads `path`, a checkpoint or the folder of its run; `sets` override keys of the stored configuration.
    ///
    /// # Errors
    /// A file that is no good checkpoint, or one of another model; a key of `sets` that only training reads.
    pub fn load(path: &Path, sets: &[String], weights: Weights) -> Result<Self> {
        let checkpoint = checkpoint::load_from(path, &candle_core::Device::Cpu)?;
        let name = format!("{} (stored configuration)", path.display());
        let experiment = Experiment::parse(&name, &checkpoint.config, sets)?;
        sets.iter().try_for_each(|set| refuse_training(set))?;
        let changed = match sets {
            [] => Vec::new(),
            // Resolved alone: what an experiment asks of the device is asked once.
            _ => Experiment::check(&Document::from_str(&name, &checkpoint.config, &[])?)?
                .differences(&experiment.resolved),
        };
        let config = experiment.resolved.0.clone();
        let written = checkpoint.config.parse().unwrap_or_default();
        let stored = Stored::of(path, checkpoint, config, weights.into(), &experiment.device);
        let stored =
            stored.map_err(|error| if sets.is_empty() { error } else { overridden(error, &written, &experiment) });
        let Stored { step, model, weights, data, mut state, .. } = stored?;
        put(&mut state, "model", weights.clone());
        let proposal = experiment.proposal(&data, &state).map_err(|e| unfit(path, &e))?;
        let log_z = methods::level_log_z(&experiment.resolved.spec("method"), &state).map_err(|e| unfit(path, &e))?;
        let model = model.with_level_log_z(log_z);
        Ok(Loaded { step, experiment, changed, model, weights, data, proposal })
    }

    /// The model of a configuration as it is before training, with its data.
    ///
    /// # Errors
    /// A configuration that is wrong, data that cannot be used.
    pub fn untrained(config: &Path, sets: &[String]) -> Result<Self> {
        let experiment = Experiment::load(config, sets)?;
        let data = experiment.data()?;
        let model = experiment.model(&data)?.frozen()?;
        Ok(Loaded {
            step: 0,
            experiment,
            changed: Vec::new(),
            weights: model.params().tensors(),
            model,
            data,
            proposal: None,
        })
    }

    /// How the checkpoint is looked at by what has the keys `own`, as it is kept with what is found: these, those of
    /// the sampler, which may be another when the run goes on, those that `--set` made other than it was trained by,
    /// and which weights.
    pub fn how(
        &self,
        own: impl IntoIterator<Item = (String, String)>,
        weights: WeightsArg,
    ) -> BTreeMap<String, String> {
        // A key that another name of a section does not have is none.
        let changed =
            self.changed.iter().map(|one| (one.key.clone(), one.is.clone().unwrap_or_else(|| "-".to_owned())));
        let sampler = self.experiment.resolved.section("sampler");
        let sampler = Resolved(toml::Table::from_iter([("sampler".to_owned(), sampler.into())])).leaves();
        let how =
            own.into_iter().chain(sampler).chain(changed).chain([("weights".to_owned(), weights.weights.to_string())]);
        how.filter(|(key, _)| key != "seed").collect()
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
        let remedy = format!("choose a data set of the model's shape: `{}`", shell::ebm("data list"));
        Err(usage(format!("items of `{}` have shape {have:?}, the model's {want:?}", data.spec().name), remedy))
    }
}

/// The folder of the run that a checkpoint lies in, or that stands for its last one, as its checkpoints/ do; none of a
/// checkpoint elsewhere.
pub fn run_folder(ckpt: &Path) -> Option<PathBuf> {
    let is_checkpoints = |folder: &Path| folder.file_name().is_some_and(|name| name == "checkpoints");
    // A path that is too short names the folders above it only in full.
    let short = |path: &&Path| path.parent().and_then(Path::parent).is_none_or(|above| above.as_os_str().is_empty());
    let whole = Some(ckpt).filter(short).and_then(|ckpt| std::path::absolute(ckpt).ok());
    let path = whole.as_deref().unwrap_or(ckpt);
    let folder = match (ckpt.is_dir(), path.parent()) {
        (true, Some(above)) if is_checkpoints(path) => above,
        (true, _) => ckpt,
        (false, Some(above)) if is_checkpoints(above) => above.parent()?,
        (false, _) => return None,
    };
    Paths::of(folder).config().is_file().then(|| folder.to_owned())
}

/// The folder of the run that is to keep what is found of a checkpoint.
///
/// # Errors
/// The checkpoint lies in none.
pub fn keeper(ckpt: &Path) -> Result<PathBuf> {
    run_folder(ckpt).ok_or_else(|| {
        let what = format!("--keep: {} lies in no run's folder, which would keep the finding", ckpt.display());
        usage(what, "give the folder of a run, or a file in its checkpoints/; or leave --keep out")
    })
}

/// What files that are made of a checkpoint are called after: its own name without the ending.
pub fn stem(ckpt: &Path) -> &str {
    let own = if ckpt.is_dir() { None } else { ckpt.file_stem().and_then(|stem| stem.to_str()) };
    own.unwrap_or("last")
}

/// Whether a path is that of a checkpoint, or of a run folder, which stands for its last one.
pub fn is_checkpoint(path: &Path) -> bool {
    path.is_dir() || path.extension().is_some_and(|extension| extension == "safetensors")
}

/// The configuration inside a checkpoint; nothing for any other file.
///
/// # Errors
/// A checkpoint that cannot be read.
pub fn stored(path: &Path) -> Result<Option<String>> {
    if !is_checkpoint(path) {
        return Ok(None);
    }
    Ok(Some(checkpoint::load_from(path, &candle_core::Device::Cpu)?.config))
}

/// Keys of `[train]` that say how a device computes, whatever it computes.
const OF_DEVICE: [&str; 2] = ["train.precision", "train.layout"];

/// Refuses an override of what nothing but a training reads.
fn refuse_training(set: &str) -> Result<()> {
    // What is no path is refused where it is read.
    let key = Setting::path_of(set).unwrap_or_default();
    let section = key.split('.').next().unwrap_or_default();
    if !["optim", "train", "guard"].contains(&section) || OF_DEVICE.contains(&key.as_str()) {
        return Ok(());
    }
    let what = format!("--set {}: `{key}` is read by training alone, and this model is trained", shell::word(set));
    Err(usage(what, format!("leave it out; to train on from this model: `{}`", shell::ebm("train CONFIG --from CKPT"))))
}

/// The error of weights that do not fit what `--set` made of the configuration, which was `written` in the checkpoint.
fn overridden(error: Error, written: &toml::Table, experiment: &Experiment) -> Error {
    let Error::Checkpoint { path, what, .. } = error else { return error };
    let flat = |dataset: Option<&toml::Value>| dataset.and_then(toml::Value::as_bool);
    let trained = flat(written.get("dataset").and_then(|dataset| dataset.get("flatten")));
    let now = flat(experiment.resolved.section("dataset").get("flatten"));
    let remedy = match (trained, now) {
        (Some(trained), Some(now)) if trained != now => {
            format!("the model was trained on items of another shape: --set dataset.flatten={trained}")
        }
        _ => "leave out what --set says of the model and of the shape of the data".to_owned(),
    };
    Error::Checkpoint { path, what, remedy }
}
