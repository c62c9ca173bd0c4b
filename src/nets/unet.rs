//! The U-Net: from images to images of the same size, through smaller ones.

use toml::Value;

use super::image::{Image, ImageNorm, blocks, check_halving, widths};
use super::layer_list::{LAYERS, number};
use super::{Builder, Io, Layer, LayerList, Nonlinear, NonlinearName, Scaling, sequential};
use crate::config::rule::Complaint;
use crate::config::{self, Spec, rule};
use crate::{Error, Result};

crate::config! {
    /// Keys of the network `unet`.
    pub struct UnetConfig {
        /// Channels at each size of the image, the largest size first; each next is half as large.
        channels: Vec<usize> = vec![32, 64, 128], widths;
        /// Residual blocks at each size, as many on the way down as on the way up. Empty: one.
        blocks: Vec<usize> = Vec::new(), |v: &Vec<usize>| few(v);
        /// Stride of the first convolution: 1, or 2, which leaves the largest size out and takes a quarter of the time.
        stem: usize = 1, rule::at_least(1);
        /// Non-linearity: swish, softplus, leaky_relu, tanh, relu, elu or sigmoid.
        activation: NonlinearName = NonlinearName::Swish;
        /// Normalisation in each residual block: none or group.
        norm: ImageNorm = ImageNorm::None;
        /// Groups of the group norm.
        groups: usize = 8, rule::at_least(1);
        /// Heads of the self-attention at the smallest size, between the blocks on the way down and those on the way
        /// up, behind a group norm; 0 for none.
        attention: usize = 0;
        /// Divide each weight by its largest singular value.
        spectral_norm: bool = false;
        /// Learn the length of each output's weights apart from their direction; before training, outputs over some
        /// data get mean 0 and standard deviation 1/5.
        weight_norm: bool = false;
        /// Whether each block reads the noise level, for a `ladder` with told = "layers".
        level: bool = false;
    }
}

/// The rule for blocks at each size: none, or what [`blocks`] takes.
fn few(v: &[usize]) -> Complaint {
    v.iter().filter(|n| **n > 0).find_map(blocks)
}

/// Builds a `unet` from a resolved section, as the `sequential` network that it is: at each size a convolution,
/// residual blocks, the rest of the net on half the size beside what goes past it, and residual blocks again.
///
/// # Errors
/// Input and output are no images of one size, the size cannot be halved so often down to two pixels or more, `blocks`
/// and `channels` differ in length, or the groups or heads do not divide the channels.
pub(super) fn build(spec: &Spec, io: &Io, builder: &Builder) -> Result<Box<dyn Layer>> {
    let config: UnetConfig = config::decode(&spec.table)?;
    let Image { size, .. } = Image::of(io, "unet")?;
    config.check(size)?;
    let outputs = match *io.output.as_slice() {
        [outputs, h, w] if (h, w) == size => outputs,
        _ => return Err(no_image()),
    };
    sequential::build(&config.layers(outputs)?.section(), io, builder)
}

fn no_image() -> Error {
    Error::config("the network `unet` makes an image of the size of its input, and a number is needed here").hint(
        "an energy from such a network is −⟨f, x⟩ or ½|f|²: `form = \"dot\"` or \"square\" of the models `ladder` and \
         `potential`; else `conv`",
    )
}

fn layer(name: &'static str, keys: &[(&str, Value)]) -> LayerList {
    LayerList::of(name, keys, &[])
}

fn block(name: &'static str, layers: LayerList) -> LayerList {
    LayerList::block(name, vec![(LAYERS, layers)])
}

/// These lists one after another.
fn joined(lists: impl IntoIterator<Item = LayerList>) -> LayerList {
    LayerList(lists.into_iter().flat_map(|list| list.0).collect())
}

impl UnetConfig {
    fn check(&self, size: (usize, usize)) -> Result<()> {
        let UnetConfig { channels, blocks, stem, norm, groups, attention, spectral_norm, weight_norm, .. } = self;
        if *stem > 2 {
            return Err(Error::config(format!("`stem` is 1 or 2, not {stem}")).at("stem"));
        }
        if !blocks.is_empty() && blocks.len() != channels.len() {
            let (blocks, channels) = (blocks.len(), channels.len());
            let what = format!("`blocks` has {blocks} entries and `channels` has {channels}");
            return Err(Error::config(what).at("blocks").hint("give a number for each size, or none"));
        }
        let normed = if *norm == ImageNorm::Group { &channels[..] } else { &[] };
        let smallest = channels.last().filter(|_| *attention > 0);
        if let Some(odd) = normed.iter().chain(smallest).find(|channels| !channels.is_multiple_of(*groups)) {
            return Err(Error::config(format!("{groups} groups do not divide {odd} channels")).at("groups"));
        }
        if let Some(odd) = smallest.filter(|channels| !channels.is_multiple_of(*attention)) {
            return Err(Error::config(format!("{attention} heads do not divide {odd} channels")).at("attention"));
        }
        Scaling::of(*spectral_norm, *weight_norm)?;
        let times = channels.len() - 1 + usize::from(*stem == 2);
        check_halving("unet", size, times)?;
        let least = size.0.min(size.1) >> times;
        if least < 2 {
            let (what, hint) =
                (format!("the smallest image of the network `unet` is {least} pixel wide"), "fewer `channels`");
            return Err(Error::config(what).at("channels").hint(hint));
        }
        Ok(())
    }

    fn conv(&self, channels: usize, kernel: usize, stride: usize) -> LayerList {
        let keys = [("channels", channels), ("kernel", kernel), ("stride", stride)].map(|(key, n)| (key, number(n)));
        layer("conv", &keys.into_iter().chain(self.norms()).collect::<Vec<_>>())
    }

    /// How every weight is scaled.
    fn norms(&self) -> [(&'static str, Value); 2] {
        [("spectral_norm", self.spectral_norm.into()), ("weight_norm", self.weight_norm.into())]
    }

    fn group_norm(&self) -> LayerList {
        layer("norm", &[("groups", number(self.groups))])
    }

    fn activation(&self) -> Result<LayerList> {
        Nonlinear::Fixed(self.activation.function()).list()
    }

    /// What reads the noise level, if anything is to.
    fn of_level(&self) -> Option<LayerList> {
        self.level.then(|| layer("time_embedding", &[]))
    }

    /// All layers, for images of so many channels.
    fn layers(&self, outputs: usize) -> Result<LayerList> {
        let halves = self.stem == 2;
        let first = self.channels.first().copied().unwrap_or(1);
        let mut layers = if halves { self.conv(first, 4, 2) } else { self.conv(first, 3, 1) };
        layers.append(joined(self.of_level()));
        layers.append(joined([self.at_size(0)?, self.activation()?]));
        layers.append(joined(halves.then(doubled)));
        layers.append(self.conv(outputs, 3, 1));
        Ok(layers)
    }

    /// The layers at the i-th size and all smaller ones, behind the convolution that comes to it.
    fn at_size(&self, i: usize) -> Result<LayerList> {
        let channels = self.channels.get(i).copied().unwrap_or(1);
        let times = self.blocks.get(i).copied().unwrap_or(1);
        let norm = (self.norm == ImageNorm::Group).then(|| self.group_norm());
        let convolution = [self.activation()?, self.conv(channels, 3, 1)];
        let body = joined(self.of_level().into_iter().chain(norm).chain(convolution));
        let blocks = joined(vec![block("residual", body); times]);
        let mut layers = blocks.clone();
        if let Some(&next) = self.channels.get(i + 1) {
            let smaller =
                [self.activation()?, self.conv(next, 4, 2), self.at_size(i + 1)?, self.activation()?, doubled()];
            layers.append(joined([block("skip", joined(smaller)), self.conv(channels, 1, 1)]));
        } else if self.attention > 0 {
            let heads = [("heads", number(self.attention))];
            let attention = layer("attention", &heads.into_iter().chain(self.norms()).collect::<Vec<_>>());
            layers.append(block("residual", joined([self.group_norm(), attention])));
        }
        layers.append(blocks);
        Ok(layers)
    }
}

fn doubled() -> LayerList {
    layer("upsample", &[("factor", number(2))])
}
