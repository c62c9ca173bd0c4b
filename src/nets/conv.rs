//! The small convolutional network, for energies of images and for critics that map an image to an image.

use super::image::{Head, Image, ImageNorm, widths};
use super::{Builder, Conv2d, Io, Layer, Nonlinear, NonlinearName, Scaling, Sequence};
use crate::config::{self, Spec, rule};
use crate::ops::Conv;
use crate::{Error, Result};

crate::config! {
    /// Keys of the network `conv`.
    pub struct ConvConfig {
        /// Channels of each convolution.
        channels: Vec<usize> = vec![32, 64, 64, 128], widths;
        /// Kernel sizes K, one a convolution; the padding is (K - 1)/2. Empty: 3 and then 4, or 3 throughout if the
        /// output is an image.
        kernels: Vec<usize> = Vec::new(), rule::sizes;
        /// Strides, one a convolution. Empty: 1 and then 2, or 1 throughout if the output is an image.
        strides: Vec<usize> = Vec::new(), rule::sizes;
        /// Non-linearity: swish, softplus, leaky_relu, tanh, relu, elu or sigmoid.
        activation: NonlinearName = NonlinearName::Swish;
        /// Normalisation before each activation: none or group.
        norm: ImageNorm = ImageNorm::None;
        /// Groups of the group norm.
        groups: usize = 8, rule::at_least(1);
        /// Divide each weight by its largest singular value.
        spectral_norm: bool = false;
        /// Learn the length of each output's weights apart from their direction; before training, outputs over some
        /// data get mean 0 and standard deviation 1/5.
        weight_norm: bool = false;
        /// What the last linear layer reads: flatten (every pixel), sum or mean (over pixels). An image output has
        /// none.
        head: Head = Head::Flatten;
    }
}

/// Builds a `conv` from a resolved section: convolutions and activations; then, for an output of shape `[C, H, W]`, a
/// last 3×3 convolution, else `head` and a linear layer.
///
/// # Errors
/// The input is no image, a kernel does not fit on it, `channels`, `kernels` and `strides` differ in length, or a
/// convolution changes the size of an image output.
pub(super) fn build(spec: &Spec, io: &Io, builder: &Builder) -> Result<Box<dyn Layer>> {
    let config: ConvConfig = config::decode(&spec.table)?;
    let scaling = Scaling::of(config.spectral_norm, config.weight_norm)?;
    let mut image = Image::of(io, "conv")?;
    let mut body = Sequence::new();
    let windows = config.layers(io)?;
    check_fit(&windows, image.size)?;
    for (i, window) in windows.into_iter().enumerate() {
        let here = builder.sub(i);
        image = push_conv(&mut body, &here, image, window, scaling)?;
        config.norm.push(&mut body, &here, window.channels, config.groups)?;
        body.push(Nonlinear::Fixed(config.activation.function()));
    }
    match *io.output.as_slice() {
        [channels, h, w] if image.size == (h, w) => {
            push_conv(&mut body, &builder.sub("out"), image, Window::same(channels), scaling)?;
        }
        [_, h, w] => return Err(size_lost(image.size, (h, w))),
        _ => config.head.push(&mut body, builder, image, io, scaling)?,
    }
    Ok(Box::new(body))
}

impl ConvConfig {
    /// The convolutions in order, with the default kernels and strides that suit the output.
    fn layers(&self, io: &Io) -> Result<Vec<Window>> {
        let down = io.output.len() != 3;
        let filled = |key: &str, given: &[usize], first: usize, rest: usize| match given.len() {
            0 => Ok((0..self.channels.len()).map(|i| if down && i > 0 { rest } else { first }).collect::<Vec<_>>()),
            n if n == self.channels.len() => Ok(given.to_vec()),
            n => Err(Error::config(format!(
                "`{key}` has {n} entries and `channels` has {}; give one for each convolution, or none",
                self.channels.len()
            ))
            .at(key)),
        };
        let kernels = filled("kernels", &self.kernels, 3, 4)?;
        let strides = filled("strides", &self.strides, 1, 2)?;
        let pairs = kernels.into_iter().zip(strides);
        Ok(self
            .channels
            .iter()
            .zip(pairs)
            .map(|(&channels, (kernel, stride))| Window { channels, kernel, stride })
            .collect())
    }
}

/// The window of a convolution.
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// The channels that the convolution makes.
    pub channels: usize,
    /// The side K of its K×K kernels.
    pub kernel: usize,
    /// The pixels from one window to the next.
    pub stride: usize,
}

impl Window {
    /// A 3×3 window of stride 1, which keeps the size of the image.
    pub fn same(channels: usize) -> Self {
        Window { channels, kernel: 3, stride: 1 }
    }

    /// A 1×1 window, which reads every pixel, or every pixel in `stride`, by itself.
    pub fn pixelwise(channels: usize, stride: usize) -> Self {
        Window { channels, kernel: 1, stride }
    }

    /// The convolution, with padding (K - 1)/2.
    fn conv(self) -> Conv {
        Conv { stride: self.stride, padding: self.kernel.saturating_sub(1) / 2 }
    }

    /// The size of what it makes of images of a size.
    fn output_size(self, size: (usize, usize)) -> Result<(usize, usize)> {
        Conv2d::output_size(size, self.kernel, self.conv())
    }
}

/// Refuses images that are too small for the convolutions, and names the smallest that are not.
fn check_fit(windows: &[Window], size: (usize, usize)) -> Result<()> {
    /// No images are larger.
    const MOST: usize = 4096;
    let behind = |size| windows.iter().try_fold(size, |size, window| window.output_size(size)).map(|_| ());
    behind(size).map_err(|error| match (1..=MOST).find(|n| behind((*n, *n)).is_ok()) {
        Some(n) => error.hint(format!("images from {n}x{n} pixels on fit (of pictures of your own, `dataset.size`)")),
        None => error,
    })
}

/// Appends a convolution with padding (K - 1)/2 and returns the channels and size of the image behind it.
pub(super) fn push_conv(
    body: &mut Sequence,
    builder: &Builder,
    image: Image,
    window: Window,
    scaling: Scaling,
) -> Result<Image> {
    let Window { channels, kernel, .. } = window;
    let size = window.output_size(image.size)?;
    body.push(Conv2d::new(builder, (image.channels, channels), kernel, window.conv(), scaling)?);
    Ok(Image { channels, size })
}

fn size_lost(have: (usize, usize), want: (usize, usize)) -> Error {
    Error::config(format!(
        "the convolutions make {}x{} pixels, the output has {}x{}; set `strides` to 1 and `kernels` to odd numbers, \
         or leave both out",
        have.0, have.1, want.0, want.1
    ))
    .at("strides")
}
