//! What a layer of a list is told, and what it gives back.

use crate::nets::image::Image;
use crate::nets::{Builder, Layer};
use crate::{Error, Result};

/// A layer's place in a list.
pub struct Place<'a> {
    /// The shape of one item that the layer reads.
    pub item: Vec<usize>,
    /// How many numbers the network must make of an item in the end.
    pub output: usize,
    /// Where its parameters are made.
    pub builder: &'a Builder,
}

impl Place<'_> {
    /// The length of the vectors that the layer reads.
    ///
    /// # Errors
    /// Items are no vectors.
    pub fn vector(&self) -> Result<usize> {
        match *self.item.as_slice() {
            [width] => Ok(width),
            _ => Err(Error::config(format!("this layer reads vectors, but the layers before make {:?}", self.item))
                .hint("put `{ name = \"flatten\" }` or `{ name = \"global_pool\" }` before it")),
        }
    }

    /// The images that the layer reads.
    ///
    /// # Errors
    /// Items are no images.
    pub(in crate::nets) fn image(&self) -> Result<Image> {
        match *self.item.as_slice() {
            [channels, height, width] => Ok(Image { channels, size: (height, width) }),
            _ => Err(Error::config(format!("this layer reads images, but the layers before make {:?}", self.item))
                .hint("put `{ name = \"reshape\", shape = [channels, height, width] }` before it")),
        }
    }

    /// Channels of the images, or the length of the vectors, that the layer reads.
    pub fn channels(&self) -> usize {
        self.item.first().copied().unwrap_or(1)
    }
}

/// A layer that was made.
pub struct Made {
    /// The layer itself.
    pub layer: Box<dyn Layer>,
    /// The shape of one item that it gives.
    pub item: Vec<usize>,
    /// Multiplications by weights that it takes for one item.
    pub multiplications: usize,
    /// The lines of the layers inside, for a table.
    pub inner: Vec<LayerLine>,
}

impl Made {
    /// A layer without weights to multiply by that gives items of the shape `item`.
    pub fn light(layer: impl Layer + 'static, item: &[usize]) -> Self {
        Made { layer: Box::new(layer), item: item.to_vec(), multiplications: 0, inner: Vec::new() }
    }
}

/// One line of the table of a network's layers.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct LayerLine {
    /// Its number in the list; behind a dot, those inside a block: `2.0`.
    pub place: String,
    /// The layer's name.
    pub name: String,
    /// The shape of one item that it gives.
    pub item: Vec<usize>,
    /// Numbers that are trained.
    pub parameters: usize,
    /// Multiplications by weights for one item.
    pub multiplications: usize,
}
