//! A run and what is left of it: folder, checkpoints, metrics, signals.

pub mod checkpoint;
pub mod folder;
pub mod fs;
pub mod guard;
pub mod manifest;
pub mod metrics;
pub mod out;
pub mod progress;
pub mod signal;
pub mod tensorboard;
