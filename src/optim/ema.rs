//! The exponential moving averages of parameters.

use candle_core::Var;

use super::Weights;
use crate::store::{Mismatch, State, overwrite};
use crate::{Error, Result, ops};

/// An exponential moving average s of every parameter p: s ← decay·s + (1 - decay)·p after every update; s begins as p.
pub struct Ema {
    decay: f64,
    shadow: Weights,
}

impl Ema {
    /// The averages of `weights`, which begin as what these are now; `decay` lies in [0, 1).
    ///
    /// # Errors
    /// The decay is out of range.
    pub fn new(decay: f64, weights: &Weights) -> Result<Self> {
        if !(0.0..1.0).contains(&decay) {
            return Err(Error::Other(format!("the decay of an average must be in [0, 1), got {decay}")));
        }
        let copy =
            |(name, var): (&String, &Var)| Ok((name.clone(), Var::from_tensor(&var.as_tensor().detach().copy()?)?));
        Ok(Ema { decay, shadow: weights.iter().map(copy).collect::<Result<_>>()? })
    }

    /// Moves the averages towards the weights.
    ///
    /// # Errors
    /// A weight is missing or has another shape.
    pub fn update(&mut self, weights: &Weights) -> Result<()> {
        let pair = |(name, shadow)| match weights.get(name) {
            Some(var) => Ok((shadow, var.as_tensor())),
            None => Err(Error::Other(format!("parameter `{name}` is missing"))),
        };
        ops::lerp_updates(&self.shadow.iter().map(pair).collect::<Result<Vec<_>>>()?, 1.0 - self.decay)
    }

    /// The averages by name; they share storage and follow later updates.
    pub fn weights(&self) -> &Weights {
        &self.shadow
    }

    /// The averages by name, as handles: they share storage and follow later updates.
    pub fn state(&self) -> State {
        self.shadow.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect()
    }

    /// Copies averages that [`Ema::state`] gave into these.
    ///
    /// # Errors
    /// A tensor is missing, has no average here, or has another shape (the error names all); nothing has changed then.
    pub fn load(&mut self, state: &State) -> Result<()> {
        let vars = || self.shadow.iter().map(|(name, var)| (name.as_str(), var));
        Mismatch::between(vars().map(|(name, var)| (name, var.dims())), state).refuse(WHOSE)?;
        overwrite(WHOSE, vars(), state)
    }
}

/// The owner of the tensors, in messages about those that do not fit.
const WHOSE: &str = "the averages";
