//! No training: a model as it is built, for experiments that only measure.

use super::{Method, MethodRow, Setup, State, StepContext, put, take};
use crate::Result;
use crate::config::Schema;
use crate::data::Batch;
use crate::density::Model;
use crate::metrics::Metrics;

crate::config! {
    /// The method `none` has no keys.
    pub struct NoneConfig {}
}

pub(super) const ENTRY: MethodRow = MethodRow {
    name: "none",
    about: "trains nothing: the model as it is built goes to the probes (goodness-of-fit tests, evaluations)",
    cite: "",
    schema: Schema::of::<NoneConfig>(),
    numbers: &[],
    proposal: None,
    example: "",
    build: |_, setup| Ok(Box::new(Untrained::new(setup))),
};

/// Keeps the model as it is; one step is enough for the probes to run.
struct Untrained {
    model: Model,
}

impl Untrained {
    fn new(setup: Setup) -> Self {
        Untrained { model: setup.model }
    }
}

impl Method for Untrained {
    fn batches_per_step(&self) -> usize {
        0
    }

    fn step(&mut self, _: &StepContext, _: &[Batch]) -> Result<Metrics> {
        Ok(Metrics::new())
    }

    fn model(&self) -> &Model {
        &self.model
    }

    fn state(&self) -> Result<State> {
        let mut state = State::new();
        put(&mut state, "model", self.model.params().tensors());
        Ok(state)
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.model.params().load(&take(state, "model"))
    }
}
