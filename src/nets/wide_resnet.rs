//! The wide residual network, the classifier that becomes an energy in JEM and VERA.

use super::conv::{Window, push_conv};
use super::image::{Head, Image, ImageNorm, check_halving};
use super::{Builder, Dropout, Io, Layer, Nonlinear, NonlinearName, Residual, Scaling, Sequence};
use crate::Result;
use crate::config::rule::Complaint;
use crate::config::{self, Spec, rule};

crate::config! {
    /// Keys of the network `wide_resnet`.
    pub struct WideResnetConfig {
        /// Convolutions on the longest path, 6n + 4 for n blocks in each of the three stages: 10, 16, 22, 28, …
        depth: usize = 10, depth;
        /// k: the stages have 16k, 32k and 64k channels, if `stem` is 16.
        width: usize = 1, rule::at_least(1);
        /// Channels behind the first convolution; the stages have k, 2k and 4k times as many.
        stem: usize = 16, rule::at_least(1);
        /// Non-linearity: swish, softplus, leaky_relu, tanh, relu, elu or sigmoid.
        activation: NonlinearName = NonlinearName::LeakyRelu;
        /// Normalisation before each activation: none or group.
        norm: ImageNorm = ImageNorm::None;
        /// Groups of the group norm.
        groups: usize = 8, rule::at_least(1);
        /// Probability of dropping a number between the two convolutions of a block, while training.
        dropout: f64 = 0.0, rule::rate;
        /// Divide each weight by its largest singular value.
        spectral_norm: bool = false;
        /// Learn the length of each output's weights apart from their direction; before training, outputs over some
        /// data get mean 0 and standard deviation 1/5.
        weight_norm: bool = false;
    }
}

/// The rule for `depth`: 6n + 4 with n from 1 to 1000.
fn depth(v: &usize) -> Complaint {
    let blocks = v.checked_sub(4).filter(|convolutions| convolutions.is_multiple_of(6)).map(|c| c / 6);
    (!blocks.is_some_and(|n| (1..=1000).contains(&n)))
        .then(|| format!("must be 6n + 4 with n from 1 to 1000, such as 10, 16 or 28, got {v}"))
}

/// Builds a `wide_resnet` from a resolved section (Zagoruyko & Komodakis 2016): a 3×3 convolution to 16 channels; three
/// stages of pre-activation blocks with 16k, 32k and 64k channels, the second and the third halving the size;
/// normalisation, activation, mean over pixels, linear layer.
///
/// As in the released code of JEM and VERA, convolutions have a bias, the stride is that of the second convolution of a
/// block, and the shortcut is a 1×1 convolution where the shape changes, on x itself.
///
/// # Errors
/// The input is no image, or its size cannot be halved twice.
pub(super) fn build(spec: &Spec, io: &Io, builder: &Builder) -> Result<Box<dyn Layer>> {
    let config: WideResnetConfig = config::decode(&spec.table)?;
    let mut image = Image::of(io, "wide_resnet")?;
    check_halving("wide_resnet", image.size, 2)?;
    let mut body = Sequence::new();
    image = push_conv(&mut body, &builder.sub("stem"), image, Window::same(config.stem), config.scaling()?)?;
    for stage in 0..3 {
        let width = config.width.saturating_mul(config.stem).saturating_mul(1 << stage);
        for block in 0..(config.depth - 4) / 6 {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let (layer, behind) = config.block(&builder.sub(stage).sub(block), image, width, stride)?;
            body.push(layer);
            image = behind;
        }
    }
    config.activate(&mut body, builder, image.channels)?;
    Head::Mean.push(&mut body, builder, image, io, config.scaling()?)?;
    Ok(Box::new(body))
}

impl WideResnetConfig {
    fn scaling(&self) -> Result<Scaling> {
        Scaling::of(self.spectral_norm, self.weight_norm)
    }

    /// The block s(x) + conv(σ(norm(dropout(conv(σ(norm(x))))))), where the outer convolution has the stride `stride`.
    fn block(&self, builder: &Builder, image: Image, width: usize, stride: usize) -> Result<(Residual, Image)> {
        let mut body = Sequence::new();
        let (first, second) = (builder.sub(0), builder.sub(1));
        self.activate(&mut body, &first, image.channels)?;
        let inner = push_conv(&mut body, &first, image, Window::same(width), self.scaling()?)?;
        body.push(Dropout::new(&first, self.dropout));
        self.activate(&mut body, &second, width)?;
        let behind =
            push_conv(&mut body, &second, inner, Window { channels: width, kernel: 3, stride }, self.scaling()?)?;
        let residual = Residual::new(body);
        if image == behind {
            return Ok((residual, behind));
        }
        let mut shortcut = Sequence::new();
        push_conv(&mut shortcut, &builder.sub("shortcut"), image, Window::pixelwise(width, stride), self.scaling()?)?;
        Ok((residual.with_shortcut(shortcut), behind))
    }

    /// Appends the normalisation of `channels` channels and the activation.
    fn activate(&self, body: &mut Sequence, builder: &Builder, channels: usize) -> Result<()> {
        self.norm.push(body, builder, channels, self.groups)?;
        body.push(Nonlinear::Fixed(self.activation.function()));
        Ok(())
    }
}
