//! The storage of state: files that are written all or nothing, and checkpoints with a checksum over all of them.

pub mod checkpoint;
pub mod fs;
mod growing;
mod state;

pub use checkpoint::Checkpoint;
pub use growing::Growing;
pub use state::{Mismatch, State, overwrite, overwrite_fitting, put, size, take};
