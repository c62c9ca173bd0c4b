//! The parameters of an optimiser, each with its moments and its step count.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor, Var, backprop::GradStore};

use super::optimiser::{GradStats, Weights};
use crate::store::{Mismatch, State, overwrite};
use crate::{Error, Result};

/// One parameter with its optimiser's memory of it.
pub(super) struct Slot<const K: usize> {
    name: String,
    /// The parameter.
    pub var: Var,
    /// The moments or the velocity, of the parameter's shape.
    pub memory: [Var; K],
    /// The number of steps that have changed it.
    pub steps: u64,
}

impl<const K: usize> Slot<K> {
    /// The name of the step count in the state.
    fn counter(&self) -> String {
        format!("steps.{}", self.name)
    }
}

/// The parameters in order of name, each with K tensors of memory, which are called `labels`.
pub(super) struct Slots<const K: usize> {
    labels: [&'static str; K],
    slots: Vec<Slot<K>>,
}

impl<const K: usize> Slots<K> {
    /// The slots of `weights`, with memory of zeros and no step taken.
    pub(super) fn new(weights: &Weights, labels: [&'static str; K]) -> Result<Self> {
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

    /// Counts a step of each parameter that has a gradient, and lets `update` change all of these. An update returns
    /// the norm of all gradients together, before clipping.
    pub(super) fn step(
        &mut self,
        grads: &GradStore,
        update: impl FnOnce(&[(&Slot<K>, &Tensor)]) -> Result<f64>,
    ) -> Result<GradStats> {
        let mut pairs = Vec::new();
        for slot in &mut self.slots {
            if let Some(grad) = grads.get(&slot.var) {
                slot.steps += 1;
                pairs.push((&*slot, grad));
            }
        }
        Ok(GradStats { norm: update(&pairs)? })
    }

    /// The memory and the step counts by name. The memory shares storage with the slots.
    pub(super) fn state(&self) -> Result<State> {
        let mut state: State = self.memory().map(|(name, var)| (name, var.as_detached_tensor())).collect();
        for slot in &self.slots {
            state.insert(slot.counter(), Tensor::new(slot.steps as i64, slot.var.device())?);
        }
        Ok(state)
    }

    /// The tensors of `memory` by their names in the state.
    fn memory(&self) -> impl Iterator<Item = (String, &Var)> {
        self.slots.iter().flat_map(|slot| {
            let labelled = self.labels.iter().zip(&slot.memory);
            labelled.map(|(label, var)| (format!("{label}.{}", slot.name), var))
        })
    }

    /// The step counts of `state`, in the order of the slots.
    ///
    /// # Errors
    /// A tensor is missing, belongs to no slot, or has another shape (the error names all); a step count is negative.
    pub(super) fn check(&self, state: &State) -> Result<Vec<u64>> {
        let mut want: BTreeMap<String, &[usize]> = self.memory().map(|(name, var)| (name, var.dims())).collect();
        want.extend(self.slots.iter().map(|slot| (slot.counter(), &[][..])));
        let want = want.iter().map(|(name, shape)| (name.as_str(), *shape));
        Mismatch::between(want, state).refuse(WHOSE)?;
        let counts = self.slots.iter().filter_map(|slot| Some((slot, state.get(&slot.counter())?)));
        let count = |(slot, tensor): (&Slot<K>, &Tensor)| {
            let steps = tensor.to_dtype(DType::I64)?.to_scalar::<i64>()?;
            let negative = |_| Error::Other(format!("optimiser tensor `{}` is negative: {steps}", slot.counter()));
            u64::try_from(steps).map_err(negative)
        };
        counts.map(count).collect()
    }

    /// Copies a state that [`Slots::state`] gave into the slots.
    ///
    /// # Errors
    /// As [`Slots::check`]; nothing has changed then.
    pub(super) fn load(&mut self, state: &State) -> Result<()> {
        let counts = self.check(state)?;
        let memory: Vec<(String, &Var)> = self.memory().collect();
        overwrite(WHOSE, memory.iter().map(|(name, var)| (name.as_str(), *var)), state)?;
        self.slots.iter_mut().zip(counts).for_each(|(slot, steps)| slot.steps = steps);
        Ok(())
    }
}

/// The owner of the tensors, in messages about those that do not fit.
const WHOSE: &str = "the optimiser";
