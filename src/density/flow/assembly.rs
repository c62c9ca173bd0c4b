//! The assembly of a flow: shapes, parameter names, and the start of actnorm.

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::{ActNorm, Composition, Coupling, Flow, Kind, Prior, Reorder, SplitOff};
use crate::data::Moments;
use crate::density::Context;
use crate::nets::{Builder, Conv2d, Linear, Nonlinear, NonlinearName, Scaling, Sequence};
use crate::ops::Conv;
use crate::{Error, Result};

/// The division of a vector's or an image's coordinates into the two parts of a coupling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    /// The first half and the second half.
    Half,
    /// The coordinates of even and of odd position: every other coordinate of a vector, a checkerboard on images.
    #[default]
    Checkerboard,
}

/// A flow that is being put together.
///
/// Actnorm starts where the data have mean 0 and standard deviation 1 in every channel, as Kingma & Dhariwal (2018)
/// start it from a first batch. No batch is passed through here: couplings start at the identity, so until training
/// begins a flow is affine in each coordinate, and the first two moments of the data, which [`Context`] has, give the
/// moments at every depth exactly. They are carried along while the flow is put together.
pub struct Assembly {
    builder: Builder,
    chain: Composition,
    shape: Vec<usize>,
    /// The mean and standard deviation of each coordinate at this point, in f64; `None` for parameters that exist
    /// already.
    moments: Option<[Tensor; 2]>,
}

/// The smallest share of the overall standard deviation that is used to scale coordinates that are (nearly) constant.
const LEAST_STD: f64 = 1e-3;

/// The standard deviation of each coordinate at which a flow begins, f64: the data's, but for coordinates that never
/// change.
///
/// # Errors
/// The device fails.
pub fn first_widths(moments: &Moments) -> Result<Tensor> {
    let least = (LEAST_STD * moments.overall_std).max(f64::MIN_POSITIVE.sqrt());
    Ok(moments.std.to_dtype(DType::F64)?.maximum(least)?)
}

impl Assembly {
    /// An empty flow, which begins at the data. A new model without moments starts as if the data were standardised.
    ///
    /// # Errors
    /// The device fails, or the moments cannot be computed.
    pub fn new(context: &Context, builder: &Builder) -> Result<Self> {
        let moments = match context.moments {
            Some(moments) if builder.is_new() => {
                let m = moments()?;
                Some([m.mean.to_dtype(DType::F64)?, first_widths(&m)?])
            }
            _ => None,
        };
        Ok(Assembly { builder: builder.clone(), chain: Composition::default(), shape: context.shape.clone(), moments })
    }

    /// The shape of an item at this point.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of coordinates of a vector or of channels of an image.
    pub fn channels(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Appends a rearrangement to items of the given shape.
    fn reorder(&mut self, reorder: Reorder, shape: Vec<usize>) -> Result<()> {
        if let Some([mean, std]) = &mut self.moments {
            (*mean, *std) = (reorder.item(mean)?, reorder.item(std)?);
        }
        self.shape = shape;
        self.chain.push(reorder);
        Ok(())
    }

    /// Appends the flattening of items to vectors.
    pub fn flatten(&mut self) -> Result<()> {
        if self.shape.len() == 1 {
            return Ok(());
        }
        let item = self.shape.clone();
        let size = item.iter().product();
        self.reorder(Reorder::Flatten { item }, vec![size])
    }

    /// Appends the flattening to a vector whose first part holds the coordinates that `mask` couples first.
    pub fn masked(&mut self, mask: Mask) -> Result<()> {
        let item = self.shape.clone();
        self.flatten()?;
        if mask == Mask::Half {
            return Ok(());
        }
        let (even, odd): (Vec<usize>, Vec<usize>) = (0..self.channels()).partition(|&at| is_even(&item, at));
        // The first part is the smaller one where they differ.
        let reorder = Reorder::permute(&[odd, even].concat(), &self.builder)?;
        self.reorder(reorder, self.shape.clone())
    }

    /// Appends the squeezing of 2×2 pixels to channels, if height and width are even; returns whether they are.
    pub fn squeeze(&mut self) -> Result<bool> {
        match *self.shape.as_slice() {
            [c, h, w] if h > 1 && h.is_multiple_of(2) && w > 1 && w.is_multiple_of(2) => {
                self.reorder(Reorder::Squeeze { item: [c, h, w] }, vec![4 * c, h / 2, w / 2])?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Appends the reversal of the channels.
    pub fn reverse(&mut self) -> Result<()> {
        let reverse = Reorder::reverse(self.channels(), &self.builder)?;
        self.reorder(reverse, self.shape.clone())
    }

    /// Appends actnorm with parameters called `name.…`; `std` is the standard deviation that coordinates get.
    pub fn act_norm(&mut self, name: &str, std: f64) -> Result<()> {
        let start = self.channel_moments()?.map(|[m, s]| Ok::<_, Error>([m, (s / std)?])).transpose()?;
        let moments = start.as_ref().map(|[mean, std]| (mean, std));
        let norm = ActNorm::new(&self.builder.sub(name), &self.shape, moments)?;
        if let (Some(mine), Some([mean, std])) = (&mut self.moments, &start) {
            let per_channel =
                |p: &Tensor| p.reshape([&[p.elem_count()], vec![1; self.shape.len() - 1].as_slice()].concat());
            let (mean, std) = (per_channel(mean)?, per_channel(std)?);
            *mine = [mine[0].broadcast_sub(&mean)?.broadcast_div(&std)?, mine[1].broadcast_div(&std)?];
        }
        self.chain.push(norm);
        Ok(())
    }

    /// The mean and standard deviation of each channel, over items and positions, `[C]` each.
    fn channel_moments(&self) -> Result<Option<[Tensor; 2]>> {
        let Some([mean, std]) = &self.moments else { return Ok(None) };
        let over = |t: &Tensor| Ok::<_, Error>(t.reshape((self.channels(), ()))?.mean(1)?);
        let centre = over(mean)?;
        let from_centre = mean.reshape((self.channels(), ()))?.broadcast_sub(&centre.unsqueeze(1)?)?;
        let variance = (over(&std.sqr()?)? + from_centre.sqr()?.mean(1)?)?;
        Ok(Some([centre, variance.sqrt()?]))
    }

    /// Appends a coupling of the channels, of which the first half or the others stay; its network ends in a layer of
    /// zeros.
    ///
    /// # Errors
    /// There are fewer than two channels, so there is nothing to couple.
    pub fn coupling(&mut self, name: &str, keep_first: bool, kind: Kind, net: &Conditioner) -> Result<()> {
        let first = self.channels() / 2;
        if first == 0 {
            return Err(Error::config(format!(
                "a coupling needs two parts, but items of shape {:?} have one",
                self.shape
            ))
            .hint(
                "a flow on images needs an even height and width or several channels; on numbers it needs two or more",
            ));
        }
        let (kept, moving) = match keep_first {
            true => (first, self.channels() - first),
            false => (self.channels() - first, first),
        };
        let net = net.build(&self.builder.sub(name), (kept, kind.outputs() * moving), &self.shape)?;
        self.chain.push(Coupling::new(first, keep_first, kind, net));
        Ok(())
    }

    /// The flow, ended by a split: the first half of the channels goes through the maps that `rest` appends, the others
    /// are finished.
    ///
    /// # Errors
    /// `rest` fails.
    pub fn split(mut self, rest: impl FnOnce(Assembly) -> Result<Composition>) -> Result<Composition> {
        let keep = self.channels() / 2;
        let item = std::mem::take(&mut self.shape);
        let half = |t: &Tensor| t.narrow(0, 0, keep);
        let moments = match &self.moments {
            Some([mean, std]) => Some([half(mean)?, half(std)?]),
            None => None,
        };
        let mut shape = item.clone();
        shape.iter_mut().take(1).for_each(|channels| *channels = keep);
        let inner = Assembly { builder: self.builder, chain: Composition::default(), shape, moments };
        self.chain.push(SplitOff::new(&item, keep, rest(inner)?));
        Ok(self.chain)
    }

    /// The flow that was put together, ended by flattening to vectors.
    pub fn finish(mut self) -> Result<Composition> {
        self.flatten()?;
        Ok(self.chain)
    }
}

/// Whether the position `at` of an item is even on the checkerboard: by (row + column) of an image, by the index of a
/// vector.
fn is_even(item: &[usize], at: usize) -> bool {
    match *item {
        [_, h, w] if h * w > 0 => (at % (h * w) / w + at % w).is_multiple_of(2),
        _ => at.is_multiple_of(2),
    }
}

/// The network of a coupling.
pub enum Conditioner {
    /// An MLP: linear layers on vectors.
    Mlp {
        /// The units of the hidden layers.
        hidden: Vec<usize>,
        /// The non-linearity between the layers.
        activation: NonlinearName,
    },
    /// Three convolutions on images, 3×3, 1×1 and 3×3 (Kingma & Dhariwal 2018, section 5).
    Conv {
        /// The channels of both hidden layers.
        channels: usize,
        /// The non-linearity between the layers.
        activation: NonlinearName,
    },
    /// One 3×3 convolution, for the prior of the channels that a multi-scale flow factors out.
    Prior,
}

impl Conditioner {
    /// A network from `input` to `output` channels of items like `item`, 0 everywhere before training.
    fn build(&self, builder: &Builder, (input, output): (usize, usize), item: &[usize]) -> Result<Sequence> {
        // On a single pixel only the middle of a larger kernel would meet anything.
        let wide = if item.iter().skip(1).all(|&side| side == 1) { 1 } else { 3 };
        let conv = |k: usize| Conv { stride: 1, padding: k / 2 };
        let mut net = Sequence::new();
        match self {
            Conditioner::Mlp { hidden, activation } => {
                let mut width = input;
                for (i, &units) in hidden.iter().enumerate() {
                    net.push(Linear::new(&builder.sub(i), width, units, Scaling::Free)?);
                    net.push(Nonlinear::Fixed(activation.function()));
                    width = units;
                }
                net.push(Linear::zero(&builder.sub(hidden.len()), width, output)?);
            }
            Conditioner::Conv { channels, activation } => {
                net.push(Conv2d::new(&builder.sub(0), (input, *channels), wide, conv(wide), Scaling::Free)?);
                net.push(Nonlinear::Fixed(activation.function()));
                net.push(Conv2d::new(&builder.sub(1), (*channels, *channels), 1, conv(1), Scaling::Free)?);
                net.push(Nonlinear::Fixed(activation.function()));
                net.push(Conv2d::zero(&builder.sub(2), (*channels, output), wide, conv(wide))?);
            }
            Conditioner::Prior => net.push(Conv2d::zero(&builder.sub(0), (input, output), wide, conv(wide))?),
        }
        Ok(net)
    }
}

impl Flow {
    /// The density that a map of the context's items and a prior make.
    pub(super) fn on(context: &Context, chain: Composition, prior: Prior, builder: &Builder) -> Result<Self> {
        let dim = context.shape.iter().product();
        Flow::new(chain, prior, dim, builder)
    }
}

/// The rule for the layers of a flow: at least one, and few enough that building them ends.
pub(super) fn layers(v: &usize) -> crate::config::rule::Complaint {
    (!(1..=1000).contains(v)).then(|| format!("must be from 1 to 1000, got {v}"))
}
