//! The U-Net: from images to images of the same size, through smaller ones.

use toml::{Table, Value};

use super::image::{Image, ImageNorm, check_halving, widths};
use super::{Builder, Io, Layer, NonlinearName, Scaling, sequential};
use crate::config::{self, Spec, rule};
use crate::{Error, Result};

crate::config! {
    /// Keys of the network `unet`.
    pub struct UnetConfig {
        /// Channels at each size of the image, the largest size first; each next is half as large.
        channels: Vec<usize> = vec![32, 64, 128], widths;
        /// Residual blocks at each size, as many on the way down as on the way up. Empty: one.
        blocks: Vec<usize> = Vec::new();
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

/// Builds a `unet` from a resolved section, as the `sequential` network that it is: at each size a convolution,
/// residual blocks, the rest of the net on half the size beside what goes past it, and residual blocks again.
///
/// # Errors
/// Input and output are no images of one size, the size cannot be halved so often down to two pixels or more, `blocks`
/// and `channels` differ in length, or the groups do not divide the channels.
pub(super) fn build(spec: &Spec, io: &Io, builder: &Builder) -> Result<Box<dyn Layer>> {
    let config: UnetConfig = config::decode(&spec.table)?;
    let Image { size, .. } = Image::of(io, "unet")?;
    config.check(size)?;
    let outputs = match *io.output.as_slice() {
        [outputs, h, w] if (h, w) == size => outputs,
        _ => return Err(no_image()),
    };
    let layers = config.layers(outputs)?;
    let table = [("name", Value::from("sequential")), ("layers", Value::Array(layers))];
    sequential::build(&Spec::new(table.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()), io, builder)
}

fn no_image() -> Error {
    Error::config("the network `unet` makes an image of the size of its input, and a number is needed here").hint(
        "an energy from such a network is −⟨f, x⟩ or ½|f|²: `form = \"dot\"` or \"square\" of the models `ladder` and \
         `potential`; else `conv`",
    )
}

fn layer(name: &str, keys: &[(&str, Value)]) -> Value {
    let name = ("name".to_owned(), Value::from(name));
    Value::Table(keys.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).chain([name]).collect::<Table>())
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

    fn conv(&self, channels: usize, kernel: i64, stride: i64) -> Value {
        let keys = [("channels", channels as i64), ("kernel", kernel), ("stride", stride)];
        let keys = keys.map(|(key, number)| (key, Value::from(number))).into_iter();
        layer("conv", &keys.chain(self.norms()).collect::<Vec<_>>())
    }

    /// How every weight is scaled.
    fn norms(&self) -> [(&'static str, Value); 2] {
        [("spectral_norm", self.spectral_norm.into()), ("weight_norm", self.weight_norm.into())]
    }

    fn group_norm(&self) -> Value {
        layer("norm", &[("groups", (self.groups as i64).into())])
    }

    /// All layers, for images of so many channels.
    fn layers(&self, outputs: usize) -> Result<Vec<Value>> {
        let (kernel, stride) = if self.stem == 2 { (4, 2) } else { (3, 1) };
        let first = self.channels.first().copied().unwrap_or(1);
        let mut layers = vec![self.conv(first, kernel, stride)];
        layers.extend(self.level.then(|| layer("time_embedding", &[])));
        layers.extend(self.at_size(0)?);
        layers.push(self.activation()?);
        layers.extend((self.stem == 2).then(|| layer("upsample", &[("factor", 2.into())])));
        layers.push(self.conv(outputs, 3, 1));
        Ok(layers)
    }

    fn activation(&self) -> Result<Value> {
        let name = Value::try_from(self.activation).map_err(|e| Error::Other(e.to_string()))?;
        Ok(layer("activation", &[("function", name)]))
    }

    /// The layers at the i-th size and all smaller ones, behind the convolution that comes to it.
    fn at_size(&self, i: usize) -> Result<Vec<Value>> {
        let channels = self.channels.get(i).copied().unwrap_or(1);
        let blocks = self.blocks.get(i).copied().unwrap_or(1);
        let mut block: Vec<Value> = self.level.then(|| layer("time_embedding", &[])).into_iter().collect();
        if self.norm == ImageNorm::Group {
            block.push(self.group_norm());
        }
        block.extend([self.activation()?, self.conv(channels, 3, 1)]);
        let block = layer("residual", &[("layers", Value::Array(block))]);
        let mut layers = vec![block.clone(); blocks];
        if let Some(&next) = self.channels.get(i + 1) {
            let mut smaller = vec![self.activation()?, self.conv(next, 4, 2)];
            smaller.extend(self.at_size(i + 1)?);
            smaller.extend([self.activation()?, layer("upsample", &[("factor", 2.into())])]);
            layers.extend([layer("skip", &[("layers", Value::Array(smaller))]), self.conv(channels, 1, 1)]);
        } else if self.attention > 0 {
            let heads = [("heads", Value::from(self.attention as i64))];
            let attention = layer("attention", &heads.into_iter().chain(self.norms()).collect::<Vec<_>>());
            let body = Value::Array(vec![self.group_norm(), attention]);
            layers.push(layer("residual", &[("layers", body)]));
        }
        layers.extend(vec![block; blocks]);
        Ok(layers)
    }
}
