//! What the convolutional networks share: the shape of their input, their normalisation, their last layers.

use serde::{Deserialize, Serialize};

use super::{Builder, GlobalPool, GroupNorm, Io, Linear, Reshape, Scaling, Sequence};
use crate::config::rule::Complaint;
use crate::{Error, Result};

/// Channels and size of images on their way through a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Image {
    pub channels: usize,
    pub size: (usize, usize),
}

impl Image {
    /// The input of a network called `net`.
    ///
    /// # Errors
    /// Items are no images `[C, H, W]`.
    pub fn of(io: &Io, net: &str) -> Result<Self> {
        match *io.input.as_slice() {
            [channels, h, w] => Ok(Image { channels, size: (h, w) }),
            _ => Err(Error::config(format!(
                "the network `{net}` needs images [channels, height, width], but an item of the data has shape {:?}; \
                 use `mlp`",
                io.input
            ))),
        }
    }

    /// The shape of one item.
    pub fn item(&self) -> [usize; 3] {
        [self.channels, self.size.0, self.size.1]
    }
}

/// Widths of layers that there must be at least one of.
pub(super) fn widths(v: &Vec<usize>) -> Complaint {
    (v.is_empty() || v.contains(&0)).then(|| format!("must be a list of one or more numbers above 0, got {v:?}"))
}

/// Blocks a stage: at least one, and few enough that building them ends.
pub(super) fn blocks(v: &usize) -> Complaint {
    (!(1..=1000).contains(v)).then(|| format!("must be from 1 to 1000, got {v}"))
}

/// Normalisation before an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageNorm {
    /// Nothing.
    None,
    /// Group norm.
    Group,
}

impl ImageNorm {
    /// Appends the normalisation of `channels`.
    pub(super) fn push(self, body: &mut Sequence, builder: &Builder, channels: usize, groups: usize) -> Result<()> {
        if self == ImageNorm::Group {
            body.push(GroupNorm::new(&builder.sub("norm"), channels, groups)?);
        }
        Ok(())
    }
}

/// How features `[B, C, H, W]` become a vector for the last linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// All of them.
    Flatten,
    /// Sums over pixels.
    Sum,
    /// Means over pixels.
    Mean,
}

impl Head {
    /// Appends the vector, the linear layer `out` and the output's shape.
    pub(super) fn push(
        self,
        body: &mut Sequence,
        builder: &Builder,
        image: Image,
        io: &Io,
        scaling: Scaling,
    ) -> Result<()> {
        let width = match self {
            Head::Flatten => {
                body.push(Reshape::flatten(&image.item()));
                image.item().iter().product()
            }
            Head::Sum | Head::Mean => {
                body.push(if self == Head::Sum { GlobalPool::Sum } else { GlobalPool::Mean });
                image.channels
            }
        };
        body.push(Linear::new(&builder.sub("out"), width, io.output_size(), scaling)?);
        body.push(Reshape::to(&io.output));
        Ok(())
    }
}
