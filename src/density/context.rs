//! What a model is built for, and by.

use super::Capabilities;
use crate::Result;
use crate::data::Moments;
use crate::nets::Builder;

/// What a model is built for.
#[derive(Clone)]
pub struct Context<'a> {
    /// Shape of one item: `[2]`, `[1, 28, 28]`.
    pub shape: Vec<usize>,
    /// K, where the data have labels 0..K.
    pub classes: Option<usize>,
    /// First two moments of the training data, computed for those who ask; `None` when the parameters come from a
    /// checkpoint.
    pub moments: Option<&'a dyn Fn() -> Result<Moments>>,
}

/// Makes an energy from its resolved section.
pub type BuildModel = fn(&toml::Table, &Context, &Builder) -> Result<Box<dyn Capabilities>>;
