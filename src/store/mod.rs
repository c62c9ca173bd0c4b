//! What survives a kill -9: files written all or nothing, and checkpoints with a checksum over all of them.

pub mod checkpoint;
pub mod fs;

pub use checkpoint::Checkpoint;

use std::collections::BTreeMap;

use candle_core::Tensor;

/// Everything that must be kept to go on as if never stopped: weights, moments, buffers, chains; by name.
pub type State = BTreeMap<String, Tensor>;

/// Adds `part`'s entries to `state` under `prefix.`.
pub fn put(state: &mut State, prefix: &str, part: BTreeMap<String, Tensor>) {
    state.extend(part.into_iter().map(|(name, tensor)| (format!("{prefix}.{name}"), tensor)));
}

/// The entries of `state` under `prefix.`, without the prefix.
pub fn take(state: &State, prefix: &str) -> BTreeMap<String, Tensor> {
    let below = |name: &str| name.strip_prefix(prefix)?.strip_prefix('.').map(str::to_owned);
    state.iter().filter_map(|(name, tensor)| Some((below(name)?, tensor.clone()))).collect()
}
