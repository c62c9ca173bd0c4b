//! A small residual network on images.

use super::conv::{Window, push_conv};
use super::image::{Head, Image, ImageNorm, blocks, check_halving, widths};
use super::{AvgPool, Builder, Io, Layer, Nonlinear, NonlinearName, Residual, Scaling, Sequence};
use crate::Result;
use crate::config::{self, Spec, rule};

crate::config! {
    /// Keys of the network `resnet`.
    pub struct ResnetConfig {
        /// Channels of each stage; behind each stage the size is halved by mean pooling.
        widths: Vec<usize> = vec![64, 128], widths;
        /// Residual blocks a stage.
        blocks: usize = 1, blocks;
        /// Non-linearity: swish, softplus, leaky_relu, tanh, relu, elu or sigmoid.
        activation: NonlinearName = NonlinearName::Swish;
        /// Normalisation before each activation in a block: none or group.
        norm: ImageNorm = ImageNorm::None;
        /// Groups of the group norm.
        groups: usize = 8, rule::at_least(1);
        /// Divide each weight by its largest singular value.
        spectral_norm: bool = false;
        /// Learn the length of each output's weights apart from their direction; before training, outputs over some
        /// data get mean 0 and standard deviation 1/5.
        weight_norm: bool = false;
        /// What the last linear layer reads: flatten (every pixel), sum or mean (over pixels).
        head: Head = Head::Sum;
    }
}

/// Builds a `resnet` from a resolved section: a 3×3 convolution; stages of pre-activation blocks, each followed by 2×2
/// mean pooling; activation, `head`, linear layer. The layout is that of the image energies of Du & Mordatch (2019).
///
/// # Errors
/// The input is no image, or its size cannot be halved once a stage.
pub(super) fn build(spec: &Spec, io: &Io, builder: &Builder) -> Result<Box<dyn Layer>> {
    let config: ResnetConfig = config::decode(&spec.table)?;
    let scaling = config.scaling()?;
    let mut image = Image::of(io, "resnet")?;
    check_halving("resnet", image.size, config.widths.len())?;
    let mut body = Sequence::new();
    let first = config.widths.first().copied().unwrap_or(image.channels);
    image = push_conv(&mut body, &builder.sub("stem"), image, Window::same(first), scaling)?;
    for (stage, &width) in config.widths.iter().enumerate() {
        for block in 0..config.blocks {
            let here = builder.sub(stage).sub(block);
            body.push(config.block(&here, image, width)?);
            image.channels = width;
        }
        let pool = AvgPool::new(2);
        image.size = pool.output_size(image.size)?;
        body.push(pool);
    }
    body.push(config.nonlinear());
    config.head.push(&mut body, builder, image, io, scaling)?;
    Ok(Box::new(body))
}

impl ResnetConfig {
    fn scaling(&self) -> Result<Scaling> {
        Scaling::of(self.spectral_norm, self.weight_norm)
    }

    fn nonlinear(&self) -> Nonlinear {
        Nonlinear::Fixed(self.activation.function())
    }

    /// The block s(x) + conv(σ(norm(conv(σ(norm(x)))))), with s a 1×1 convolution where the width changes, else the
    /// identity.
    fn block(&self, builder: &Builder, image: Image, width: usize) -> Result<Residual> {
        let mut body = Sequence::new();
        let mut inner = image;
        for i in 0..2 {
            let here = builder.sub(i);
            self.norm.push(&mut body, &here, inner.channels, self.groups)?;
            body.push(self.nonlinear());
            inner = push_conv(&mut body, &here, inner, Window::same(width), self.scaling()?)?;
        }
        let residual = Residual::new(body);
        if image.channels == width {
            return Ok(residual);
        }
        let mut shortcut = Sequence::new();
        push_conv(&mut shortcut, &builder.sub("shortcut"), image, Window::pixelwise(width, 1), self.scaling()?)?;
        Ok(residual.with_shortcut(shortcut))
    }
}
