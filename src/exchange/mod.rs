//! Models to and from other programs: weights in from PyTorch, models out for PyTorch and ONNX.

mod architecture;
mod card;
mod export;
mod floats;
mod foreign;
mod import;
mod map;
mod onnx;
mod pickle;
mod subject;
mod torch;

pub use architecture::{Architecture, Layer};
pub use export::File;
pub use foreign::{Foreign, ForeignFile};
pub use import::{Import, METHOD};
pub use map::{Fill, Fit, Fitted, Map, Pattern, Rename};
pub use subject::{Export, Format};
