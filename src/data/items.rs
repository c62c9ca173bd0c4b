//! Items of a data set as models see them: their shape and number, batches of them, and what checkpoints keep.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::source::{Bounds, Category};

/// What a model must know about a data set to be built for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ItemSpec {
    /// The registry row.
    pub name: String,
    /// One item as the model sees it: `[2]`, `[1, 28, 28]`, or `[784]` when flattened.
    pub shape: Vec<usize>,
    /// Channels, height, width if items are pictures, flattened or not.
    pub image: Option<[usize; 3]>,
    /// Labels are integers in 0..classes.
    pub classes: Option<usize>,
    /// Items for training, validation and test; `None` if any of them is drawn without end.
    pub sizes: Option<[usize; 3]>,
}

/// What is left to know about a set of files when they are not at hand: kept in checkpoints, so that sampling needs no
/// data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stamp {
    /// Channels, height, width of pictures.
    pub image: Option<[usize; 3]>,
    /// Grey levels of a pixel.
    pub levels: u32,
    /// Labels are integers in 0..classes.
    pub classes: usize,
    /// The box that holds the vectors of a table; empty for pictures, and for generated points, which need no files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds: Bounds,
    /// The names of a table's columns; empty where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// The mean and the standard deviation that turn a model's number v in a table's column into v·std + mean, the
    /// file's; 0 and 1 where it is the file's already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scales: Vec<[f64; 2]>,
    /// The categorical columns of a table's file, each of which has a column of 0 and 1 a word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<Category>,
}

impl ItemSpec {
    /// Numbers in one item.
    pub fn dim(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Some items and, where the set has them, their labels.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[B, ..]`, f32, in model space.
    pub x: Tensor,
    /// `[B]`, u32.
    pub y: Option<Tensor>,
}
