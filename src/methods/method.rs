//! What a method of training is: the trait, what it is built from, and its row in the registry.

use std::sync::Arc;

use candle_core::Device;

use super::Part;
use crate::config::{Head, Row, Schema, Spec};
use crate::data::{Batch, Data};
use crate::density::{Model, Proposal};
use crate::metrics::{Metrics, Number, Spent};
use crate::store::State;
use crate::{Error, Result, rng::Key};

/// What a step may depend on besides the batch and the method's own state.
#[derive(Clone, Copy, Debug)]
pub struct StepContext {
    /// Number of this step, from 0.
    pub step: u64,
    /// All randomness of this step.
    pub key: Key,
    /// Learning rates are multiplied by this (schedule, warm-up).
    pub lr_scale: f64,
}

/// A training method with the model it trains. As a [`Part`] it is ALL state of the run, by name; the model's weights
/// are under `model.`.
pub trait Method: Part {
    /// How many fresh batches one step takes.
    fn batches_per_step(&self) -> usize {
        1
    }

    /// One update of the model, and of all that is trained beside it. `batches` has
    /// [`Method::batches_per_step`] entries.
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics>;

    /// The model being trained.
    fn model(&self) -> &Model;

    /// What to try when a run diverges, best first, before the general advice.
    fn advice(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The batch of a step that takes one.
///
/// # Errors
/// A step without a batch.
pub(super) fn only(batches: &[Batch]) -> Result<&Batch> {
    batches.first().ok_or_else(|| Error::Other("a step needs a batch".into()))
}

/// What a method is built from.
pub struct Setup<'a> {
    /// The model to train, with fresh parameters.
    pub model: Model,
    /// `[optim]`: the model's optimiser.
    pub optim: &'a Spec,
    /// The data that batches will come from.
    pub data: &'a Arc<Data>,
    /// Randomness of initialisation.
    pub key: Key,
}

/// Makes a method from its resolved section.
pub type BuildMethod = fn(&toml::Table, Setup) -> Result<Box<dyn Method>>;

/// A row of [`METHODS`](super::METHODS): all that the house knows about a method.
pub struct MethodRow {
    /// What the configuration says: `name = "lsd"`.
    pub name: &'static str,
    /// One line for listings.
    pub about: &'static str,
    /// Where it comes from: authors, year, equation or algorithm; empty where it is folklore.
    pub cite: &'static str,
    /// The keys of its section.
    pub schema: Schema,
    /// The numbers that it reports at every step.
    pub numbers: &'static [Number],
    /// What the first eight steps of its `example` on batches of 16 items ask of the energy.
    pub cost: Spent,
    /// What it draws from at once when a run is at rest, if it keeps such a thing.
    pub proposal: Option<BuildProposal>,
    /// What `ebm init` writes in the place of a default: names of rows (`dataset`, `model`, `model.base`), for a method
    /// that trains one kind of model or needs labels, or values of keys, as TOML.
    pub init: &'static [(&'static str, &'static str)],
    /// A small experiment that it trains, as TOML: `[dataset]`, `[model]` and `[method]`. The contract tests run it.
    pub example: &'static str,
    /// Makes it from its resolved section.
    pub build: BuildMethod,
}

impl Row for MethodRow {
    fn head(&self) -> Head {
        Head { name: self.name, about: self.about, cite: self.cite, schema: self.schema, numbers: self.numbers }
    }
}

/// A method at rest: what its proposal is rebuilt from.
pub struct Standing<'a> {
    /// Shape of one item.
    pub shape: &'a [usize],
    /// K, where the data have labels 0..K.
    pub classes: Option<usize>,
    /// [`Part::state`] of the method, live or from a checkpoint.
    pub state: &'a State,
    /// Where tensors live.
    pub device: &'a Device,
}

/// Rebuilds what a method draws from at once.
pub type BuildProposal = fn(&Spec, &Standing) -> Result<Box<dyn Proposal>>;
