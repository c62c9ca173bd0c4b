//! The trait of the optimisers.

use std::collections::BTreeMap;

use candle_core::{Var, backprop::GradStore};

use crate::{Result, store::State};

/// The trained parameters by name. Optimisers change them in place, so whatever shares their storage follows.
pub type Weights = BTreeMap<String, Var>;

/// A rule that changes parameters against their gradients.
pub trait Optimiser {
    /// Takes one step with the learning rate times `lr_scale`, a schedule's value. A parameter without gradient is
    /// skipped: its moments and its step count stay.
    ///
    /// # Errors
    /// A gradient has another shape than its parameter.
    fn step(&mut self, grads: &GradStore, lr_scale: f64) -> Result<GradStats>;

    /// The state that a resumed run needs: moments and step counts by name. Moments share storage with the optimiser's
    /// own and follow later steps.
    ///
    /// # Errors
    /// The device fails.
    fn state(&self) -> Result<State>;

    /// Checks whether [`Optimiser::load`] takes `state`; nothing changes.
    ///
    /// # Errors
    /// A tensor is missing, belongs to no parameter, or has another shape (the error names all); a step count is
    /// negative.
    fn check(&self, state: &State) -> Result<()>;

    /// Copies a state that [`Optimiser::state`] gave into this optimiser.
    ///
    /// # Errors
    /// As [`Optimiser::check`]; nothing has changed then.
    fn load(&mut self, state: &State) -> Result<()>;
}

/// The measurements of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradStats {
    /// The Euclidean norm of all gradients together, before clipping.
    pub norm: f64,
}

/// The function that makes an optimiser of these parameters from its resolved section.
pub type BuildOptim = fn(&toml::Table, &Weights) -> Result<Box<dyn Optimiser>>;
