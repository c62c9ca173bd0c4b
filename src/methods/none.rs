//! The absence of training: a model as it is built, for experiments that only measure.

use super::example::example;
use super::part::{Named, parts};
use super::{Method, MethodRow, Setup, StepContext};
use crate::Result;
use crate::config::Schema;
use crate::data::Batch;
use crate::density::Model;
use crate::metrics::{Metrics, Spent};
use crate::nets::Params;

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
    cost: Spent { values: 0, gradients: 0 },
    proposal: None,
    init: &[],
    example: example!(plane, "none"),
    build: |_, setup| Ok(Box::new(Untrained::new(setup))),
};

/// The method `none`: keeps the model as it is; one step is enough for the probes to run.
struct Untrained {
    model: Model,
    params: Named<Params>,
}

impl Untrained {
    fn new(setup: Setup) -> Self {
        let params = Named::new("model", setup.model.params().clone());
        Untrained { model: setup.model, params }
    }
}

parts!(Untrained: params);

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
}
