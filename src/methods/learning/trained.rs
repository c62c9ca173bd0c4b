//! Parameters with the optimiser that trains them: what every method has.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};

use crate::Result;
use crate::config::Spec;
use crate::density::Model;
use crate::nets::Params;
use crate::optim::{self, Optimiser};
use crate::store::{State, put, take};

/// A network's parameters and their optimiser: a generator, an encoder, a flow beside the energy.
pub(in crate::methods) struct Learner {
    /// Weights and buffers.
    pub params: Params,
    /// Trains the weights.
    pub optim: Box<dyn Optimiser>,
}

impl Learner {
    /// Trains all weights of `params` by the section `spec`.
    pub fn new(params: Params, spec: &Spec) -> Result<Self> {
        Ok(Learner { optim: optim::build(spec, &params.weights)?, params })
    }

    /// One step down the gradient of the loss; its global norm.
    pub fn descend(&mut self, loss: &Tensor, lr_scale: f64) -> Result<f64> {
        Ok(self.optim.step(&loss.backward()?, lr_scale)?.norm)
    }

    /// Adds parameters under `name.` and the optimiser's state under `name_optim.`.
    pub fn save(&self, name: &str, state: &mut State) -> Result<()> {
        put(state, name, self.params.tensors());
        put(state, &format!("{name}_optim"), self.optim.state()?);
        Ok(())
    }

    /// Takes what [`Learner::save`] put under `name`.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn load(&mut self, name: &str, state: &State) -> Result<()> {
        self.params.load(&take(state, name))?;
        self.optim.load(&take(state, &format!("{name}_optim")))
    }
}

/// The model and its optimiser. Their state is under `model.` and `optim.`.
pub(in crate::methods) struct Trained {
    /// The model being trained.
    pub model: Model,
    optim: Box<dyn Optimiser>,
}

impl Trained {
    /// Trains all weights of the model by the `[optim]` of `spec`.
    pub fn new(model: Model, spec: &Spec) -> Result<Self> {
        Self::with(model, spec, BTreeMap::new())
    }

    /// Trains the weights whose name `learns` only; the others stay.
    pub fn only(model: Model, spec: &Spec, learns: impl Fn(&str) -> bool) -> Result<Self> {
        let weights = model.params().weights.iter().filter(|(name, _)| learns(name));
        let weights = weights.map(|(name, var)| (name.clone(), var.clone())).collect();
        Ok(Trained { optim: optim::build(spec, &weights)?, model })
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
