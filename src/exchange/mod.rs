//! Models to and from other programs: weights in from PyTorch, models out for PyTorch and ONNX.

mod foreign;
mod import;
mod map;
mod pickle;
mod torch;

pub use foreign::{Foreign, ForeignFile};
pub use import::{Import, METHOD};
pub use map::{Fill, Fit, Fitted, Map, Pattern, Rename};
