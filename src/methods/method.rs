//! The trait of training methods, the arguments they are built from, and their row in the registry.

use std::sync::Arc;

use candle_core::Device;

use super::Part;
use crate::config::{Head, Row, Schema, Spec};
use crate::data::{Batch, Data};
use crate::density::{Model, Proposal};
use crate::metrics::{Metrics, Number, Spent};
use crate::store::State;
use crate::{Error, Result, rng::Key};

/// The quantities that a step may depend on besides the batch and the method's own state.
#[derive(Clone, Copy, Debug)]
pub struct StepContext {
    /// The number of this step, from 0.
    pub step: u64,
    /// The key of all randomness of this step.
    pub key: Key,
    /// The factor of the learning rates (schedule, warm-up).
    pub lr_scale: f64,
}

/// A training method with the model it trains. As a [`Part`] it is the whole state of the run, by name; the model's
/// weights are below `model.`.
pub trait Method: Part {
    /// The number of fresh batches that one step takes.
    fn batches_per_step(&self) -> usize {
        1
    }

    /// Updates the model, and all that is trained beside it, once, and returns the numbers to report. `batches` has
    /// [`Method::batches_per_step`] entries.
    ///
    /// # Errors
    /// A tensor operation fails, or a batch lacks something that the method needs, such as labels.
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics>;

    /// The model that is trained.
    fn model(&self) -> &Model;

    /// The key that gives the length of a first phase, and that length in steps, where what is to be trained comes
    /// after it.
    fn first_phase(&self) -> Option<(&'static str, u64)> {
        None
    }

    /// The advice for a run that diverges, best first, which comes before the general advice.
    fn advice(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The batch of a step that takes a single one.
///
/// # Errors
/// There is no batch.
pub(super) fn only(batches: &[Batch]) -> Result<&Batch> {
    batches.first().ok_or_else(|| Error::Other("a step needs a batch".into()))
}

/// The arguments that a method is built from.
pub struct Setup<'a> {
    /// The model to train, with fresh parameters.
    pub model: Model,
    /// The section `[optim]`: the model's optimiser.
    pub optim: &'a Spec,
    /// The data from which batches will come.
    pub data: &'a Arc<Data>,
    /// The key of the initialisation's randomness.
    pub key: Key,
}

/// The function that makes a method from its resolved section.
pub type BuildMethod = fn(&toml::Table, Setup) -> Result<Box<dyn Method>>;

/// A row of [`METHODS`](super::METHODS): everything that the program knows about a method.
pub struct MethodRow {
    /// The name in the configuration, as in `name = "lsd"`.
    pub name: &'static str,
    /// The description for listings, in one line.
    pub about: &'static str,
    /// The source: authors, year, equation or algorithm; empty for common knowledge.
    pub cite: &'static str,
    /// The keys of the method's section.
    pub schema: Schema,
    /// The numbers that the method reports at every step.
    pub numbers: &'static [Number],
    /// The evaluations of the energy in the first eight steps of its `example` on batches of 16 items.
    pub cost: Spent,
    /// The function that rebuilds its proposal when a run is at rest, if it keeps one.
    pub proposal: Option<BuildProposal>,
    /// What `ebm init` writes in the place of a default: names of rows (`dataset`, `model`, `model.base`), for a method
    /// that trains one kind of model or needs labels, or values of keys, as TOML. What holds for one model alone, for
    /// every flow, or for pictures of 16 pixels and more a side, says so in front: `classifier: method.classify`,
    /// `flow: …`, `pictures: …`, `flow pictures: …`. Of two values for a key the first that applies counts.
    pub init: &'static [(&'static str, &'static str)],
    /// A small experiment that the method trains, as TOML: `[dataset]`, `[model]` and `[method]`. The contract tests
    /// run it.
    pub example: &'static str,
    /// The function that makes the method from its resolved section.
    pub build: BuildMethod,
}

impl Row for MethodRow {
    fn head(&self) -> Head {
        Head { name: self.name, about: self.about, cite: self.cite, schema: self.schema, numbers: self.numbers }
    }
}

/// The state of a method at rest, from which its proposal is rebuilt.
pub struct Standing<'a> {
    /// The shape of one item.
    pub shape: &'a [usize],
    /// The section `[model]`.
    pub model: &'a Spec,
    /// The number K of classes, where the data have labels from 0 to K - 1.
    pub classes: Option<usize>,
    /// The state of the method, [`Part::state`], live or from a checkpoint.
    pub state: &'a State,
    /// The device of the tensors.
    pub device: &'a Device,
}

/// The function that rebuilds the proposal of a method, frozen.
pub type BuildProposal = fn(&Spec, &Standing) -> Result<Box<dyn Proposal>>;
