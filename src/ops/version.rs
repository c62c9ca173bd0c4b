//! The versions of tensors that are changed in place: what was made of a tensor's numbers is kept until the next.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use candle_core::{Tensor, Var};

/// The numbers of the last updates of storages, by address, and of the last of all.
static UPDATES: RwLock<(BTreeMap<usize, u64>, u64)> = RwLock::new((BTreeMap::new(), 0));

/// The version of a tensor's numbers: while the tensor lives and its version stays, so do its numbers.
pub fn version(t: &Tensor) -> u64 {
    let updates = UPDATES.read().unwrap_or_else(PoisonError::into_inner);
    updates.0.get(&address(t)).copied().unwrap_or(0)
}

/// Notes that tensors were changed in place.
pub(super) fn updated(tensors: &[&Tensor]) {
    let mut updates = UPDATES.write().unwrap_or_else(PoisonError::into_inner);
    for tensor in tensors {
        updates.1 += 1;
        let number = updates.1;
        updates.0.insert(address(tensor), number);
    }
}

/// Gives a variable the numbers of a tensor of its shape and type, in place. Nothing but this and the updates here,
/// such as [`super::adam_update`], changes a variable (clippy.toml).
///
/// # Errors
/// The shapes or types differ.
pub fn assign(var: &Var, value: &Tensor) -> candle_core::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "this is the place that counts")]
    let done = var.set(value);
    updated(&[var]);
    done
}

/// The address of a tensor's storage.
pub(super) fn address(t: &Tensor) -> usize {
    std::ptr::from_ref(&*t.storage_and_layout().0).addr()
}
