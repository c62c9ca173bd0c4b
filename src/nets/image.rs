//! The parts that the convolutional networks share: the shape of their input, their normalisation, their last layers.

use serde::{Deserialize, Serialize};

use super::{Builder, GlobalPool, GroupNorm, Io, Linear, Reshape, Scaling, Sequence};
use crate::config::rule::Complaint;
use crate::{Error, Result};

/// The channels C and the size (H, W) of images on their way through a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Image {
    /// The number C of channels.
    pub channels: usize,
    /// The height and width (H, W).
    pub size: (usize, usize),
}

impl Image {
    /// The images that go into a network; `net` is its name in messages.
    ///
    /// # Errors
    /// The items are no images `[C, H, W]`.
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

    /// The shape of one item, `[C, H, W]`.
    pub fn item(&self) -> [usize; 3] {
        [self.channels, self.size.0, self.size.1]
    }
}

/// Refuses images that cannot be halved so many times, and names the nearest sizes that can.
///
/// # Errors
/// 2 to the power of `times` does not divide height and width.
pub(super) fn check_halving(net: &str, size: (usize, usize), times: usize) -> Result<()> {
    let (h, w) = size;
    let Some(sizes) = sizes_that_work(size, times) else { return Ok(()) };
    let unit = 1u128 << times.min(64);
    Err(Error::config(format!(
        "the network `{net}` halves images {times} times, and {h}x{w} pixels are not multiples of {unit}; {sizes}; \
         choose fewer stages, another size (of pictures of your own, `dataset.size`), or `conv`"
    )))
}

/// "24x24 and 32x32 are": the nearest sizes that can be halved so many times; none if this one can.
pub(super) fn sizes_that_work((h, w): (usize, usize), times: usize) -> Option<String> {
    let unit = 1usize << times.min(usize::BITS as usize - 2);
    if h.min(w) > 0 && h.is_multiple_of(unit) && w.is_multiple_of(unit) {
        return None;
    }
    let above = |n: usize| n.div_ceil(unit).max(1).saturating_mul(unit);
    let below = |n: usize| n / unit * unit;
    let large = format!("{}x{}", above(h), above(w));
    Some(match below(h).min(below(w)) {
        0 => format!("{large} are"),
        _ => format!("{}x{} and {large} are", below(h), below(w)),
    })
}

/// The rule for `widths`: a list with at least one layer.
pub(super) fn widths(v: &Vec<usize>) -> Complaint {
    (v.is_empty() || v.contains(&0)).then(|| format!("must be a list of one or more numbers above 0, got {v:?}"))
}

/// The rule for blocks a stage: at least one, and few enough that building them ends.
pub(super) fn blocks(v: &usize) -> Complaint {
    (!(1..=1000).contains(v)).then(|| format!("must be from 1 to 1000, got {v}"))
}

/// The normalisation before an activation of a convolutional network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageNorm {
    /// No normalisation.
    None,
    /// Group norm.
    Group,
}

impl ImageNorm {
    /// Appends the normalisation of `channels` channels in `groups` groups.
    pub(super) fn push(self, body: &mut Sequence, builder: &Builder, channels: usize, groups: usize) -> Result<()> {
        if self == ImageNorm::Group {
            body.push(GroupNorm::new(&builder.sub("norm"), channels, groups)?);
        }
        Ok(())
    }
}

/// The way in which features `[B, C, H, W]` become a vector for the last linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// All features, `[B, C·H·W]`.
    Flatten,
    /// The sums over pixels, `[B, C]`.
    Sum,
    /// The means over pixels, `[B, C]`.
    Mean,
}

impl Head {
    /// Appends the map of `image` to a vector, the linear layer `out`, and the reshaping to the output's shape.
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
