//! The reverse pass of a network through its layers, which writes each parameter's gradient once.

use std::collections::HashMap;

use candle_core::{Tensor, TensorId, Var, backprop::GradStore};

use crate::rng::Key;
use crate::{Error, Result};

/// What a recorded pass keeps for its reverse: a stack of tensors, which each layer puts on and takes off in its own
/// order.
#[derive(Clone, Default)]
pub struct Tape(Vec<Option<Tensor>>, Vec<Option<Key>>);

impl Tape {
    /// Puts a tensor on, or that there is none.
    pub fn push(&mut self, saved: impl Into<Option<Tensor>>) {
        self.0.push(saved.into());
    }

    /// Takes off the tensor that was put on last.
    ///
    /// # Errors
    /// There is none.
    pub fn pop(&mut self) -> Result<Tensor> {
        let saved = self.0.pop().flatten();
        saved.ok_or_else(|| Error::Other("a reverse pass takes what its forward pass has not kept".into()))
    }

    /// Takes off what was put on last, where that may be nothing.
    pub fn pop_any(&mut self) -> Option<Tensor> {
        self.0.pop().flatten()
    }

    /// Puts on the key of what a layer drew, or that it drew nothing. Keys are a stack of their own.
    pub fn push_key(&mut self, key: Option<Key>) {
        self.1.push(key);
    }

    /// Takes off what [`Tape::push_key`] put on last.
    pub fn pop_key(&mut self) -> Option<Key> {
        self.1.pop().flatten()
    }

    /// The value of f at x, detached; candle's graph from a copy of x to it is kept.
    ///
    /// # Errors
    /// `f` fails.
    pub fn record_graph(&mut self, x: &Tensor, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let start = Var::from_tensor(x)?;
        let y = f(&start)?;
        let detached = y.detach();
        self.0.extend([Some(start.into_inner()), Some(y)]);
        Ok(detached)
    }

    /// The gradient for x of what [`Tape::record_graph`] kept; those for parameters go to `grads`.
    ///
    /// # Errors
    /// Nothing is kept, or g does not fit.
    pub fn reverse_graph(&mut self, g: &Tensor, grads: &mut Gradients) -> Result<Tensor> {
        let (y, start) = (self.pop()?, self.pop()?);
        let mut store = pulled(&y, g)?;
        let gx = store.remove(&start).map_or_else(|| start.zeros_like(), Ok)?;
        grads.take_all(&store)?;
        // candle computes it with operands that are tracked.
        Ok(gx.detach())
    }
}

/// The gradients for the parameters of a network.
#[derive(Default)]
pub struct Gradients(HashMap<TensorId, Tensor>);

impl Gradients {
    /// Adds a gradient for the parameter p.
    ///
    /// # Errors
    /// It differs in shape from one that is there.
    pub fn add(&mut self, p: &Tensor, gradient: Tensor) -> Result<()> {
        self.add_to(p.id(), gradient)
    }

    /// Adds the gradients for all parameters that w, made of them by candle's operations, depends on, from that for w.
    ///
    /// # Errors
    /// The gradient does not fit.
    pub fn add_through(&mut self, w: &Tensor, gradient: &Tensor) -> Result<()> {
        self.take_all(&pulled(w, gradient)?)
    }

    /// The gradient for the parameter p, taken out; `None` where the output does not depend on it.
    pub fn take(&mut self, p: &Tensor) -> Option<Tensor> {
        self.0.remove(&p.id())
    }

    fn take_all(&mut self, store: &GradStore) -> Result<()> {
        for id in store.get_ids() {
            if let Some(gradient) = store.get_id(*id) {
                self.add_to(*id, gradient.detach())?;
            }
        }
        Ok(())
    }

    fn add_to(&mut self, id: TensorId, gradient: Tensor) -> Result<()> {
        let sum = match self.0.remove(&id) {
            Some(there) => (there + gradient)?,
            None => gradient,
        };
        self.0.insert(id, sum);
        Ok(())
    }
}

/// The gradients of Σ y·g.
fn pulled(y: &Tensor, g: &Tensor) -> Result<GradStore> {
    Ok((y * g)?.sum_all()?.backward()?)
}
