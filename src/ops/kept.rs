//! What a frozen network keeps of its weights from pass to pass: packed for products or transformed for convolutions
//! on a CPU, rounded and in the order that it reads on a GPU.
//!
//! The weights of a frozen network are those of its live twin, which updates them in place. So what was made of them
//! holds for one version of them, [`crate::ops::version`]: with K steps of a chain between two updates it is made once,
//! not K times.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Result, Tensor, TensorId};

use super::{order::Order, version};

/// The place where one layer keeps what is made of its weights, forwards and for its pull-back. All clones are one
/// place. It takes the memory of the weights twice, for transformed ones up to seven times.
#[derive(Clone, Default)]
pub struct Kept(Arc<[Mutex<Option<Made>>; 2]>);

/// What was made of a tensor at a version.
struct Made {
    of: (TensorId, u64),
    what: Arc<dyn Any + Send + Sync>,
}

/// The place that is kept for a tensor; none for one that is tracked, which changes before it is used again.
#[derive(Clone)]
pub struct Place {
    kept: Kept,
    of: (TensorId, u64),
}

impl Kept {
    /// The place for these weights, if there is to be one.
    pub fn place(&self, weights: &Tensor) -> Option<Place> {
        (!weights.track_op()).then(|| Place { kept: self.clone(), of: (weights.id(), version(weights)) })
    }
}

impl Place {
    /// What is kept, forwards or for the pull-back, if it is of these weights as they are now.
    fn find<T: Any + Send + Sync>(&self, back: bool) -> Option<Arc<T>> {
        let Place { kept: Kept(slots), of } = self;
        let slot = slots[usize::from(back)].lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().filter(|made| made.of == *of).map(|made| made.what.clone())?.downcast().ok()
    }

    fn keep<T: Any + Send + Sync>(&self, back: bool, what: &Arc<T>) {
        let made = Made { of: self.of, what: what.clone() };
        self.kept.0[usize::from(back)].lock().unwrap_or_else(PoisonError::into_inner).replace(made);
    }
}

/// What is made of weights, forwards or for the pull-back: that of the place while it holds, or a new one.
pub fn made<T: Any + Send + Sync>(place: Option<&Place>, back: bool, make: impl FnOnce() -> T) -> Arc<T> {
    // The lock is not held while things are made: that goes by all threads, one of which might come back here.
    if let Some(what) = place.and_then(|place| place.find(back)) {
        return what;
    }
    let what = Arc::new(make());
    place.iter().for_each(|place| place.keep(back, &what));
    what
}

/// Weights as a GPU reads them.
struct Laid {
    tensor: Tensor,
    order: Order,
}

/// The weights in an order and of a type, forwards and for the pull-back: those of the place while they hold and are
/// laid so, or new ones.
///
/// # Errors
/// A tensor operation fails.
pub fn laid(place: Option<&Place>, weights: &Tensor, order: Order, dtype: DType) -> Result<Tensor> {
    let kept = place.and_then(|place| place.find::<Laid>(false));
    if let Some(kept) = kept.filter(|kept| kept.order == order && kept.tensor.dtype() == dtype) {
        return Ok(kept.tensor.clone());
    }
    let tensor = order.lay_as(weights, dtype)?;
    // Weights that lie so as they are need no place.
    if let Some(place) = place.filter(|_| order == Order::Last || weights.dtype() != dtype) {
        place.keep(false, &Arc::new(Laid { tensor: tensor.clone(), order }));
    }
    Ok(tensor)
}
