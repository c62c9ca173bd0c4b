//! What a frozen network keeps of its weights from pass to pass: packed for products, or transformed for convolutions.
//!
//! The weights of a frozen network are those of its live twin, which updates them in place. So what was made of them
//! holds for one version of them, [`crate::ops::version`]: with K steps of a chain between two updates it is made once,
//! not K times.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Tensor, TensorId};

use crate::ops::version;

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

/// What is made of weights, forwards or for the pull-back: that of the place while it holds, or a new one.
pub fn made<T: Any + Send + Sync>(place: Option<&Place>, back: bool, make: impl FnOnce() -> T) -> Arc<T> {
    let Some(Place { kept: Kept(slots), of }) = place else { return Arc::new(make()) };
    let slot = &slots[usize::from(back)];
    // The lock is not held while things are made: that goes by all threads, one of which might come back here.
    let kept = slot
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .as_ref()
        .filter(|made| made.of == *of)
        .map(|made| made.what.clone());
    if let Some(Ok(what)) = kept.map(Arc::downcast::<T>) {
        return what;
    }
    let what = Arc::new(make());
    slot.lock().unwrap_or_else(PoisonError::into_inner).replace(Made { of: *of, what: what.clone() });
    what
}
