//! What a layer of a list is told, and what it gives back.

use crate::nets::image::Image;
use crate::nets::io::size;
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

/// The most numbers that a layer may make of an item (4 GiB of f32); more are taken for a mistake.
const LARGEST_ITEM: usize = 1 << 30;

/// A layer that was made.
pub struct Made {
    /// The layer itself.
    pub layer: Box<dyn Layer>,
    /// The shape of one item that it gives.
    pub item: Vec<usize>,
    /// Multiplications of linear maps and of attention for one item.
    pub multiplications: usize,
    /// The lines of the layers inside, for a table.
    pub inner: Vec<LayerLine>,
}

impl Made {
    /// A layer without weights to multiply by that gives items of the shape `item`.
    pub fn light(layer: impl Layer + 'static, item: &[usize]) -> Self {
        Made { layer: Box::new(layer), item: item.to_vec(), multiplications: 0, inner: Vec::new() }
    }

    /// The layer itself, if memory can hold what it makes of an item.
    ///
    /// # Errors
    /// It makes more numbers.
    pub fn of_a_size(self) -> Result<Self> {
        match size(&self.item) <= LARGEST_ITEM {
            true => Ok(self),
            false => Err(Error::config(format!("{:?} of an item is more than memory holds", self.item))),
        }
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
    /// Multiplications of linear maps and of attention for one item.
    pub multiplications: usize,
}
