//! Optimisers whose whole state can be saved, exponential averages and gradient norms.

mod adam;
mod clip;
mod ema;
mod sgd;

use std::collections::BTreeMap;

use candle_core::{DType, Tensor, Var, backprop::GradStore};

pub use adam::AdamConfig;
pub use clip::global_norm;
pub use ema::Ema;
pub use sgd::SgdConfig;

use crate::{
    Error, Result,
    config::{Entry, Schema, Spec, find},
};

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

    /// A copy of all that a resumed run needs: moments and step counts by name.
    ///
    /// # Errors
    /// The device's own.
    fn state(&self) -> Result<BTreeMap<String, Tensor>>;

    /// Takes a state that [`Optimiser::state`] gave.
    ///
    /// # Errors
    /// A tensor is missing, is not ours, or has another shape; nothing has changed then.
    fn load(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()>;
}

/// What a step saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradStats {
    /// Euclidean norm of all gradients together, before clipping.
    pub norm: f64,
}

/// Makes an optimiser of these parameters from its resolved section.
pub type BuildOptim = fn(&toml::Table, &Weights) -> Result<Box<dyn Optimiser>>;

/// The optimisers that `[optim] name = "..."` can choose.
pub const OPTIMISERS: &[Entry<BuildOptim>] = &[adam::ENTRY, sgd::ENTRY];

/// The rows of [`OPTIMISERS`] as a section's `name` selects them.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    OPTIMISERS.iter().map(|row| (row.name, row.schema)).collect()
}

/// Makes the optimiser that `spec` names.
///
/// # Errors
/// An unknown name or a value out of range; resolved configurations have neither.
pub fn build(spec: &Spec, weights: &Weights) -> Result<Box<dyn Optimiser>> {
    match find(OPTIMISERS, spec.name()) {
        Some(row) => (row.build)(&spec.0, weights),
        None => {
            let known: Vec<&str> = OPTIMISERS.iter().map(|row| row.name).collect();
            Err(Error::Config(format!("error: no optimiser `{}`; there are {}", spec.name(), known.join(", "))))
        }
    }
}

/// Adam at its defaults but for the learning rate, for what is fitted beside the model.
///
/// # Errors
/// The device's own.
pub fn adam(lr: f64, weights: &Weights) -> Result<Box<dyn Optimiser>> {
    let mut table = adam::ENTRY.schema.defaults();
    table.insert("lr".into(), lr.into());
    (adam::ENTRY.build)(&table, weights)
}

/// One parameter with what its optimiser remembers about it.
struct Slot<const K: usize> {
    name: String,
    var: Var,
    /// Moments or velocity, of var's shape.
    memory: [Var; K],
    steps: u64,
}

/// The parameters in order of name, each with K tensors of memory called `labels`.
struct Slots<const K: usize> {
    labels: [&'static str; K],
    slots: Vec<Slot<K>>,
}

impl<const K: usize> Slots<K> {
    fn new(weights: &Weights, labels: [&'static str; K]) -> Result<Self> {
        let slot = |(name, var): (&String, &Var)| {
            let mut memory = Vec::with_capacity(K);
            for _ in 0..K {
                memory.push(Var::from_tensor(&var.zeros_like()?)?);
            }
            let memory = memory.try_into().map_err(|_| Error::Other("an optimiser's memory is incomplete".into()))?;
            Ok(Slot { name: name.clone(), var: var.clone(), memory, steps: 0 })
        };
        Ok(Slots { labels, slots: weights.iter().map(slot).collect::<Result<_>>()? })
    }

    /// Calls `update` for each parameter that has a gradient, with the factor that clips the global norm to `clip_norm`.
    /// An update returns the sum of its gradient's squares; only clipping needs them beforehand.
    fn step(
        &mut self,
        grads: &GradStore,
        clip_norm: f64,
        mut update: impl FnMut(&Slot<K>, &Tensor, f64) -> Result<f64>,
    ) -> Result<GradStats> {
        let mut pairs: Vec<(&mut Slot<K>, &Tensor)> =
            self.slots.iter_mut().filter_map(|slot| grads.get(&slot.var).map(|g| (slot, g))).collect();
        let factor = match clip_norm > 0.0 {
            true => clip::factor(clip::global_norm(pairs.iter().map(|(_, g)| *g))?, clip_norm),
            false => 1.0,
        };
        let mut squares = 0.0;
        for (slot, grad) in &mut pairs {
            slot.steps += 1;
            squares += update(slot, grad, factor)?;
        }
        Ok(GradStats { norm: squares.sqrt() })
    }

    fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut state = BTreeMap::new();
        for slot in &self.slots {
            for (label, memory) in self.labels.iter().zip(&slot.memory) {
                state.insert(format!("{label}.{}", slot.name), memory.as_tensor().detach().copy()?);
            }
            let steps = Tensor::new(slot.steps as i64, slot.var.device())?;
            state.insert(format!("steps.{}", slot.name), steps);
        }
        Ok(state)
    }

    fn load(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        let mine = self.state()?;
        check_names("optimiser", &mine, state)?;
        for slot in &mut self.slots {
            for (label, memory) in self.labels.iter().zip(&slot.memory) {
                let saved = take(state, &format!("{label}.{}", slot.name))?;
                memory.set(&saved.to_dtype(memory.dtype())?.to_device(memory.device())?)?;
            }
            let steps = take(state, &format!("steps.{}", slot.name))?.to_dtype(DType::I64)?.to_scalar::<i64>()?;
            slot.steps = u64::try_from(steps)
                .map_err(|_| Error::Other(format!("optimiser tensor `steps.{}` is negative: {steps}", slot.name)))?;
        }
        Ok(())
    }
}

fn take<'a>(state: &'a BTreeMap<String, Tensor>, name: &str) -> Result<&'a Tensor> {
    state.get(name).ok_or_else(|| Error::Other(format!("tensor `{name}` is missing")))
}

/// Both maps must hold the same names with the same shapes.
fn check_names(whose: &str, mine: &BTreeMap<String, Tensor>, given: &BTreeMap<String, Tensor>) -> Result<()> {
    for (name, want) in mine {
        let have = given.get(name).ok_or_else(|| Error::Other(format!("{whose} tensor `{name}` is missing")))?;
        if have.dims() != want.dims() {
            let (have, want) = (have.dims(), want.dims());
            return Err(Error::Other(format!("{whose} tensor `{name}` has shape {have:?}, expected {want:?}")));
        }
    }
    match given.keys().find(|name| !mine.contains_key(*name)) {
        Some(name) => Err(Error::Other(format!("{whose} tensor `{name}` belongs to no parameter of this model"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
