//! The transformed weights that a frozen network keeps from pass to pass.
//!
//! The weights of a frozen network are those of its live twin, which updates them in place. So what was made of them
//! holds for one version of them, [`crate::ops::version`]: with K steps of a chain between two updates it is made once,
//! not K times.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Tensor, TensorId};

use super::winograd::Filters;
use crate::ops::version;

/// The place where one layer keeps the transformed weights of a convolution, forwards and for its pull-back. All clones
/// are one place. Copies of weights may take as much as seven times their memory.
#[derive(Clone, Default)]
pub struct Kept(Arc<[Mutex<Option<Made>>; 2]>);

/// What was made of a tensor at a version.
struct Made {
    of: (TensorId, u64),
    filters: Arc<Filters>,
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

/// The filters of a convolution, or of its pull-back: those of the place while they hold, or new ones.
pub fn filters(place: Option<&Place>, back: bool, make: impl FnOnce() -> Filters) -> Arc<Filters> {
    let Some(Place { kept: Kept(slots), of }) = place else { return Arc::new(make()) };
    let slot = &slots[usize::from(back)];
    // The lock is not held while filters are made: that goes by all threads, one of which might come back here.
    if let Some(made) = slot.lock().unwrap_or_else(PoisonError::into_inner).as_ref()
        && made.of == *of
    {
        return made.filters.clone();
    }
    let filters = Arc::new(make());
    let made = Made { of: *of, filters: filters.clone() };
    slot.lock().unwrap_or_else(PoisonError::into_inner).replace(made);
    filters
}
