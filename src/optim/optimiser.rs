//! What an optimiser is.

use std::collections::BTreeMap;

use candle_core::{Var, backprop::GradStore};

use crate::{Result, store::State};

/// Trained parameters by name. Optimisers change them in place, so whatever shares their storage follows.
pub type Weights = BTreeMap<String, Var>;

/// Changes parameters against their gradients.
pub trait Optimiser {
    /// One step with the learning rate times `lr_scale` (a schedule's value). A parameter without gradient is skipped:
    /// its moments and its step count stay.
    ///
    /// # Errors
    /// A gradient of another shape than its parameter.
    fn step(&mut self, grads: &GradStore, lr_scale: f64) -> Result<GradStats>;

    /// Everything that a resumed run needs: moments and step counts by name. Moments share storage with the optimiser's
    /// own and follow later steps.
    ///
    /// # Errors
    /// The device's own.
    fn state(&self) -> Result<State>;

    /// Whether [`Optimiser::load`] takes `state`; nothing changes.
    ///
    /// # Errors
    /// A tensor is missing, is not ours, or has another shape (all are named); a step count is negative.
    fn check(&self, state: &State) -> Result<()>;

    /// Takes a copy of a state that [`Optimiser::state`] gave.
    ///
    /// # Errors
    /// As [`Optimiser::check`]; nothing has changed then.
    fn load(&mut self, state: &State) -> Result<()>;
}

/// What a step saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradStats {
    /// Euclidean norm of all gradients together, before clipping.
    pub norm: f64,
}

/// Makes an optimiser of these parameters from its resolved section.
pub type BuildOptim = fn(&toml::Table, &Weights) -> Result<Box<dyn Optimiser>>;
