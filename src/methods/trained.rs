//! A model with the optimiser that trains it: what every method has.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};

use super::{State, put, take};
use crate::Result;
use crate::config::Spec;
use crate::density::Model;
use crate::optim::{self, Optimiser};

/// The model and its optimiser. Their state is under `model.` and `optim.`.
pub(super) struct Trained {
    /// The model being trained.
    pub model: Model,
    optim: Box<dyn Optimiser>,
}

impl Trained {
    /// Trains all weights of the model by the `[optim]` of `spec`.
    pub fn new(model: Model, spec: &Spec) -> Result<Self> {
        Self::with(model, spec, BTreeMap::new())
    }

    /// Trains `beside` together with the model; its values are the caller's to keep.
    pub fn with(model: Model, spec: &Spec, beside: BTreeMap<String, Var>) -> Result<Self> {
        let mut weights = model.params().weights.clone();
        weights.extend(beside);
        Ok(Trained { optim: optim::build(spec, &weights)?, model })
    }

    /// One step down the gradient of the loss; its global norm.
    pub fn descend(&mut self, loss: &Tensor, lr_scale: f64) -> Result<f64> {
        let norm = self.optim.step(&loss.backward()?, lr_scale)?.norm;
        self.model.after_update()?;
        Ok(norm)
    }

    /// Weights and the optimiser's state.
    pub fn state(&self) -> Result<State> {
        let mut state = State::new();
        put(&mut state, "model", self.model.params().tensors());
        put(&mut state, "optim", self.optim.state()?);
        Ok(state)
    }

    /// Continues from `state`.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn load(&mut self, state: &State) -> Result<()> {
        self.model.params().load(&take(state, "model"))?;
        self.optim.load(&take(state, "optim"))
    }
}
