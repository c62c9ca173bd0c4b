//! Items of a data set as models see them: their shape and number, batches of them, and what checkpoints keep.

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::source::{Bounds, Category};
use crate::{Error, Result};

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
    /// What the files call the classes, in this order; empty where they count from 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
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
    /// Of a training batch of a data set with `noise`: the items without it.
    pub clean: Option<Clean>,
}

/// Items before the noise that is part of their data set.
#[derive(Clone, Debug)]
pub struct Clean {
    /// As [`Batch::x`].
    pub x: Tensor,
    /// Standard deviation of the noise.
    pub noise: f64,
}

impl Batch {
    /// The items without the noise of their data set, and its standard deviation: what methods that add noise of their
    /// own begin with, so that both come in one draw.
    pub fn beneath(&self) -> (&Tensor, f64) {
        self.clean.as_ref().map_or((&self.x, 0.0), |clean| (&clean.x, clean.noise))
    }

    /// The same items on a device.
    ///
    /// # Errors
    /// The device's own.
    pub fn on(&self, device: &Device) -> Result<Self> {
        let clean = self.clean.as_ref().map(|clean| Ok::<_, Error>(Clean { x: clean.x.to_device(device)?, ..*clean }));
        let y = self.y.as_ref().map(|y| y.to_device(device)).transpose()?;
        Ok(Batch { x: self.x.to_device(device)?, y, clean: clean.transpose()? })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use crate::data::{Split, of_text};
    use crate::math::stats;

    #[test]
    fn a_training_batch_has_its_items_before_their_noise() {
        let noisy = of_text("name = \"mixture\"\nnoise = 0.5");
        let batch = noisy.batch(Split::Train, 0, 2000).unwrap();
        let (clean, own) = batch.beneath();
        let apart = (&batch.x - clean).unwrap().to_dtype(DType::F64).unwrap().flatten_all().unwrap();
        let width = stats::std(&apart.to_vec1::<f64>().unwrap());
        assert!(own == 0.5 && (width / 0.5 - 1.0).abs() < 4.0 / 8000f64.sqrt(), "{width}");
        assert!(noisy.all(Split::Test, 10).unwrap().clean.is_none());
        let plain = of_text("name = \"mixture\"").batch(Split::Train, 0, 10).unwrap();
        assert!(plain.clean.is_none() && plain.beneath().1 == 0.0);
    }
}
