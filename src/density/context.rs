//! The data's properties that a model is built for, and the function that builds it.

use super::Capabilities;
use crate::Result;
use crate::data::Moments;
use crate::nets::Builder;

/// The properties of the data that a model is built for.
#[derive(Clone)]
pub struct Context<'a> {
    /// The shape of one item, such as `[2]` or `[1, 28, 28]`.
    pub shape: Vec<usize>,
    /// The number K of classes, where the data have labels from 0 to K - 1.
    pub classes: Option<usize>,
    /// The mean and standard deviation of the training data, computed when asked for; `None` when the parameters come
    /// from a checkpoint.
    pub moments: Option<&'a dyn Fn() -> Result<Moments>>,
}

/// The function that makes an energy from its resolved section.
pub type BuildModel = fn(&toml::Table, &Context, &Builder) -> Result<Box<dyn Capabilities>>;
