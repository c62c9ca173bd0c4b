//! The parts of a method, which are saved and loaded under a name.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};

use crate::nets::{NamedNet, Params};
use crate::ops;
use crate::optim::Optimiser;
use crate::samplers::Buffer;
use crate::store::{State, put, take};
use crate::{Error, Result};

/// A part of a method with state that a checkpoint keeps: weights, moments of an optimiser, chains.
pub trait Part {
    /// Adds all tensors by name to `state`. They share the storage of the part, which changes in place, so the caller
    /// must copy those that are to outlive the next step.
    ///
    /// # Errors
    /// The device fails.
    fn save(&self, state: &mut State) -> Result<()>;

    /// Takes the values of the tensors that [`Part::save`] added.
    ///
    /// # Errors
    /// A tensor is missing or has another shape; the error names it.
    fn load(&mut self, state: &State) -> Result<()>;

    /// Checks whether [`Part::load`] takes the values of `state`, whose names and shapes fit; nothing changes.
    ///
    /// # Errors
    /// A value is impossible, such as a negative number of steps.
    fn check(&self, _state: &State) -> Result<()> {
        Ok(())
    }

    /// The networks in it beside those of the run's model, by the prefixes of their parameters in the state.
    fn networks(&self) -> Vec<NamedNet> {
        Vec::new()
    }

    /// What is learned in it, weights and buffers of networks and single numbers, by its names in the state: what
    /// another run may begin with. State of optimisers and chains is not.
    fn learned(&self) -> BTreeMap<String, Var> {
        BTreeMap::new()
    }

    /// All tensors by name, as [`Part::save`] adds them.
    ///
    /// # Errors
    /// The device fails.
    fn state(&self) -> Result<State> {
        let mut state = State::new();
        self.save(&mut state)?;
        Ok(state)
    }
}

/// Makes a struct a [`Part`] made of the parts in its fields: `parts!(Lsd: trained, critic);`.
macro_rules! parts {
    ($whole:ty: $($($field:ident).+),+) => {
        impl $crate::methods::Part for $whole {
            fn save(&self, state: &mut $crate::store::State) -> $crate::Result<()> {
                $($crate::methods::Part::save(&self.$($field).+, state)?;)+
                Ok(())
            }

            fn load(&mut self, state: &$crate::store::State) -> $crate::Result<()> {
                $($crate::methods::Part::load(&mut self.$($field).+, state)?;)+
                Ok(())
            }

            fn check(&self, state: &$crate::store::State) -> $crate::Result<()> {
                $($crate::methods::Part::check(&self.$($field).+, state)?;)+
                Ok(())
            }

            fn networks(&self) -> Vec<$crate::nets::NamedNet> {
                [$($crate::methods::Part::networks(&self.$($field).+)),+].concat()
            }

            fn learned(&self) -> std::collections::BTreeMap<String, candle_core::Var> {
                let mut all = std::collections::BTreeMap::new();
                $(all.extend($crate::methods::Part::learned(&self.$($field).+));)+
                all
            }
        }
    };
}
pub(super) use parts;

impl<P: Part> Part for Option<P> {
    fn save(&self, state: &mut State) -> Result<()> {
        self.iter().try_for_each(|part| part.save(state))
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.iter_mut().try_for_each(|part| part.load(state))
    }

    fn check(&self, state: &State) -> Result<()> {
        self.iter().try_for_each(|part| part.check(state))
    }

    fn networks(&self) -> Vec<NamedNet> {
        self.iter().flat_map(Part::networks).collect()
    }

    fn learned(&self) -> BTreeMap<String, Var> {
        self.iter().flat_map(Part::learned).collect()
    }
}

impl<P: Part + ?Sized> Part for Box<P> {
    fn save(&self, state: &mut State) -> Result<()> {
        (**self).save(state)
    }

    fn load(&mut self, state: &State) -> Result<()> {
        (**self).load(state)
    }

    fn check(&self, state: &State) -> Result<()> {
        (**self).check(state)
    }

    fn networks(&self) -> Vec<NamedNet> {
        (**self).networks()
    }

    fn learned(&self) -> BTreeMap<String, Var> {
        (**self).learned()
    }
}

/// A value with the name under which a checkpoint keeps it: a single tensor as `name`, many as `name.…`.
pub(super) struct Named<T> {
    /// The name in the checkpoint.
    pub name: String,
    /// The value that is kept.
    pub value: T,
}

impl<T> Named<T> {
    /// The value under this name.
    pub fn new(name: impl Into<String>, value: T) -> Self {
        Named { name: name.into(), value }
    }
}

impl Part for Named<Params> {
    fn save(&self, state: &mut State) -> Result<()> {
        put(state, &self.name, self.value.tensors());
        Ok(())
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.value.load(&take(state, &self.name))
    }

    fn learned(&self) -> BTreeMap<String, Var> {
        self.value.all().into_iter().map(|(name, var)| (format!("{}.{name}", self.name), var)).collect()
    }
}

/// The networks of a companion of the model; there is nothing of them to keep beside its parameters.
impl Part for Named<Vec<NamedNet>> {
    fn save(&self, _: &mut State) -> Result<()> {
        Ok(())
    }

    fn load(&mut self, _: &State) -> Result<()> {
        Ok(())
    }

    fn networks(&self) -> Vec<NamedNet> {
        self.value.iter().map(|network| network.clone().within(&self.name)).collect()
    }
}

impl Part for Named<Box<dyn Optimiser>> {
    fn save(&self, state: &mut State) -> Result<()> {
        put(state, &self.name, self.value.state()?);
        Ok(())
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.value.load(&take(state, &self.name))
    }

    fn check(&self, state: &State) -> Result<()> {
        self.value.check(&take(state, &self.name))
    }
}

impl Part for Named<BTreeMap<String, Tensor>> {
    fn save(&self, state: &mut State) -> Result<()> {
        put(state, &self.name, self.value.clone());
        Ok(())
    }

    fn load(&mut self, state: &State) -> Result<()> {
        for (name, tensor) in &mut self.value {
            *tensor = fitting(state, &format!("{}.{name}", self.name), tensor)?;
        }
        Ok(())
    }
}

impl Part for Named<Tensor> {
    fn save(&self, state: &mut State) -> Result<()> {
        state.insert(self.name.clone(), self.value.clone());
        Ok(())
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.value = fitting(state, &self.name, &self.value)?;
        Ok(())
    }
}

impl Part for Named<Var> {
    fn save(&self, state: &mut State) -> Result<()> {
        state.insert(self.name.clone(), self.value.as_detached_tensor());
        Ok(())
    }

    fn load(&mut self, state: &State) -> Result<()> {
        Ok(ops::assign(&self.value, &fitting(state, &self.name, &self.value)?)?)
    }

    fn learned(&self) -> BTreeMap<String, Var> {
        BTreeMap::from([(self.name.clone(), self.value.clone())])
    }
}

impl Part for Named<Buffer> {
    fn save(&self, state: &mut State) -> Result<()> {
        state.insert(self.name.clone(), self.value.tensor().clone());
        Ok(())
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.value.load(tensor(state, &self.name)?)
    }
}

/// The tensor `name` of `state`.
///
/// # Errors
/// There is no tensor of this name.
pub(super) fn tensor<'a>(state: &'a State, name: &str) -> Result<&'a Tensor> {
    state.get(name).ok_or_else(|| Error::Other(format!("tensor `{name}` is missing")))
}

/// The tensor `name` of `state` in storage of its own, of the type and on the device of `like`.
///
/// # Errors
/// There is no tensor of this name, or it has another shape than `like`.
pub(super) fn fitting(state: &State, name: &str, like: &Tensor) -> Result<Tensor> {
    let tensor = tensor(state, name)?;
    if tensor.dims() != like.dims() {
        let (have, want) = (tensor.dims(), like.dims());
        return Err(Error::Other(format!("tensor `{name}` has shape {have:?}, the method needs {want:?}")));
    }
    Ok(tensor.to_dtype(like.dtype())?.to_device(like.device())?.copy()?)
}
