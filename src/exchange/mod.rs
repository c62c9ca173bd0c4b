//! Models to and from other programs: weights in from PyTorch, models out for PyTorch and ONNX.

mod architecture;
mod card;
mod export;
mod file;
mod floats;
mod foreign;
mod import;
mod map;
mod onnx;
mod pickle;
mod subject;
mod torch;

pub use architecture::{Architecture, NamedLayer};
pub use export::{File, OF_ONE_FORMAT, foreign_in};
pub use file::ForeignFile;
pub use foreign::Foreign;
pub use import::{Import, METHOD};
pub use map::{Fill, Fit, Fitted, Map, Pattern, Rename};
pub use subject::{Export, ExportFormat};
