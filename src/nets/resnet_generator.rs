//! The residual generator, which turns a latent vector into an image.

use super::conv::{Window, push_conv};
use super::image::{Image, ImageNorm, sizes_that_work, widths};
use super::{Builder, Io, Layer, Linear, Nonlinear, NonlinearName, Reshape, Residual, Scaling, Sequence, Upsample};
use crate::config::rule::Complaint;
use crate::config::{self, Spec, rule};
use crate::{Error, Result};

/// The smallest side, in pixels, of the image that a generator starts from where `blocks` is 0.
const SMALLEST: usize = 4;

crate::config! {
    /// Keys of the network `resnet_generator`.
    pub struct ResnetGeneratorConfig {
        /// Channels of each block, the one on the smallest image first; one number stands for all blocks.
        widths: Vec<usize> = vec![64], widths;
        /// Blocks, each of which doubles the size. 0: as many as there are `widths`; for one width, as many as lead
        /// back to 4 pixels or to an odd size (32 starts from 4, 28 from 7, 8 from 4).
        blocks: usize = 0, few;
        /// Non-linearity: swish, softplus, leaky_relu, tanh, relu, elu or sigmoid.
        activation: NonlinearName = NonlinearName::Relu;
        /// Normalisation before each activation: none or group. There is no batch norm: it makes each item a function
        /// of its batch, and the density of a generator is that of one item.
        norm: ImageNorm = ImageNorm::None;
        /// Groups of the group norm.
        groups: usize = 8, rule::at_least(1);
        /// Divide each weight by its largest singular value.
        spectral_norm: bool = false;
    }
}

/// The rule for `blocks`: no image is halved more often.
fn few(v: &usize) -> Complaint {
    (*v > 16).then(|| format!("must be from 0 to 16, got {v}"))
}

/// Builds a `resnet_generator` from a resolved section: a linear map to the smallest image; blocks; normalisation,
/// activation and a 3×3 convolution to the channels of the image. The output is linear: a squashing function, such as
/// the tanh of VERA, belongs to the model around it.
///
/// # Errors
/// The output is no image or cannot be halved so often, or there are more or fewer `widths` than blocks.
pub(super) fn build(spec: &Spec, io: &Io, builder: &Builder) -> Result<Box<dyn Layer>> {
    let config: ResnetGeneratorConfig = config::decode(&spec.table)?;
    let &[channels, h, w] = io.output.as_slice() else { return Err(no_image(&io.output)) };
    let widths = config.each_width((h, w))?;
    let first = widths.first().copied().unwrap_or(channels);
    let mut image = Image { channels: first, size: (h >> widths.len(), w >> widths.len()) };
    let size = image.item().iter().fold(1, |n: usize, &d| n.saturating_mul(d));
    let mut body = Sequence::new().then(Reshape::flatten(&io.input));
    body.push(Linear::new(&builder.sub("start"), io.input_size(), size, config.scaling())?);
    body.push(Reshape::to(&image.item()));
    for (i, width) in widths.into_iter().enumerate() {
        let (block, behind) = config.block(&builder.sub(i), image, width)?;
        body.push(block);
        image = behind;
    }
    let out = builder.sub("out");
    config.activate(&mut body, &out, image.channels)?;
    push_conv(&mut body, &out, image, Window::same(channels), config.scaling())?;
    Ok(Box::new(body))
}

impl ResnetGeneratorConfig {
    /// The channels of each block, from the smallest image to images of this size.
    fn each_width(&self, size: (usize, usize)) -> Result<Vec<usize>> {
        let blocks = match (self.blocks, self.widths.as_slice()) {
            (0, [_]) => halvings(size),
            (0, widths) => widths.len(),
            (blocks, _) => blocks,
        };
        let (h, w) = size;
        if let Some(sizes) = sizes_that_work(size, blocks.max(1)) {
            return Err(Error::config(format!(
                "the network `resnet_generator` cannot reach {h}x{w} pixels by doubling {} times; {sizes} reached; \
                 choose fewer `blocks`, another size (of pictures of your own, `dataset.size`), or `mlp`",
                blocks.max(1)
            ))
            .at("blocks"));
        }
        match self.widths.as_slice() {
            &[width] => Ok(vec![width; blocks]),
            widths if widths.len() == blocks => Ok(widths.to_vec()),
            widths => Err(Error::config(format!(
                "`widths` has {} entries and there are {blocks} `blocks`; give one for each block, or one for all",
                widths.len()
            ))
            .at("widths")),
        }
    }

    /// The block up(s(x)) + conv(σ(norm(conv(up(σ(norm(x))))))), with s a 1×1 convolution where the width changes. s
    /// comes before the upsampling, where it gives the same at a quarter of the cost.
    fn block(&self, builder: &Builder, image: Image, width: usize) -> Result<(Residual, Image)> {
        let (first, second) = (builder.sub(0), builder.sub(1));
        let large = Image { size: (2 * image.size.0, 2 * image.size.1), ..image };
        let mut body = Sequence::new();
        self.activate(&mut body, &first, image.channels)?;
        body.push(Upsample::new(2));
        let inner = push_conv(&mut body, &first, large, Window::same(width), self.scaling())?;
        self.activate(&mut body, &second, width)?;
        let behind = push_conv(&mut body, &second, inner, Window::same(width), self.scaling())?;
        let mut shortcut = Sequence::new();
        if image.channels != width {
            push_conv(&mut shortcut, &builder.sub("shortcut"), image, Window::pixelwise(width, 1), self.scaling())?;
        }
        Ok((Residual::new(body).with_shortcut(shortcut.then(Upsample::new(2))), behind))
    }

    /// The scaling of every weight, by the key `spectral_norm`.
    fn scaling(&self) -> Scaling {
        if self.spectral_norm { Scaling::Spectral } else { Scaling::Free }
    }

    /// Appends the normalisation of `channels` channels and the activation.
    fn activate(&self, body: &mut Sequence, builder: &Builder, channels: usize) -> Result<()> {
        self.norm.push(body, builder, channels, self.groups)?;
        body.push(Nonlinear::Fixed(self.activation.function()));
        Ok(())
    }
}

/// The number of times that a size can be halved before it is odd or would fall below [`SMALLEST`]; at least 1.
fn halvings((h, w): (usize, usize)) -> usize {
    let fits = |n: &usize| h % (1 << n) == 0 && w % (1 << n) == 0 && (h >> n).min(w >> n) >= SMALLEST;
    (1..=16).take_while(fits).count().max(1)
}

fn no_image(output: &[usize]) -> Error {
    Error::config(format!(
        "the network `resnet_generator` makes images [channels, height, width], but an item of the data has shape \
         {output:?}; use `mlp`"
    ))
}
