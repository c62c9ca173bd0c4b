//! A run and what is left of it: folder, checkpoints, metrics, signals.

pub mod checkpoint;
pub mod folder;
pub mod fs;
pub mod metrics;
