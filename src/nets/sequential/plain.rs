//! The layers of a list that hold no other layers.

use serde::{Deserialize, Serialize};

use super::place::{Made, Place};
use crate::config::{Entry, Schema, decode, rule};
use crate::nets::conv::{Window, push_conv};
use crate::nets::io::size;
use crate::nets::{
    Attention, AvgPool, Dropout, Fourier, GlobalPool, GroupNorm, LEVEL_FEATURES, Linear, Nonlinear, NonlinearName,
    Reshape, Scaling, Sequence, TimeEmbedding, Upsample,
};
use crate::{Error, Result};

/// Makes a layer from its completed table.
pub type BuildLayer = fn(&toml::Table, &Place) -> Result<Made>;

crate::config! {
    /// Keys of the layer `linear`.
    pub struct LinearConfig {
        /// Numbers that it makes; 0 is as many as the network must make in the end.
        units: usize = 0;
        /// Divide the weight matrix by its largest singular value.
        spectral_norm: bool = false;
        /// Learn the length of each output's weights apart from their direction.
        weight_norm: bool = false;
    }
}

crate::config! {
    /// Keys of the layer `conv`.
    pub struct ConvLayerConfig {
        /// Channels that it makes.
        channels: usize = 64, rule::at_least(1);
        /// Size K of the K×K kernels; the padding is (K - 1)/2.
        kernel: usize = 3, rule::at_least(1);
        /// Pixels from one window to the next.
        stride: usize = 1, rule::at_least(1);
        /// Divide the weights by their largest singular value.
        spectral_norm: bool = false;
        /// Learn the length of each output's weights apart from their direction.
        weight_norm: bool = false;
    }
}

crate::config! {
    /// Keys of the layer `activation`.
    pub struct ActivationConfig {
        /// Non-linearity: swish, softplus, leaky_relu, tanh, relu, elu or sigmoid.
        function: NonlinearName = NonlinearName::Swish;
        /// Whether swish learns its β, one a unit, on vectors.
        learned_beta: bool = false;
    }
}

crate::config! {
    /// Keys of the layer `norm`.
    pub struct NormConfig {
        /// Groups that the channels are divided into; 1 is layer norm.
        groups: usize = 8, rule::at_least(1);
    }
}

crate::config! {
    /// Keys of the layer `pool`.
    pub struct PoolConfig {
        /// Side K of the K×K windows, side by side, whose means are taken.
        window: usize = 2, rule::at_least(1);
    }
}

/// What is taken over all pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// The sum.
    #[default]
    Sum,
    /// The mean.
    Mean,
}

crate::config! {
    /// Keys of the layer `global_pool`.
    pub struct GlobalPoolConfig {
        /// sum or mean, over all pixels of each channel.
        of: Over = Over::Sum;
    }
}

crate::config! {
    /// Keys of the layer `upsample`.
    pub struct UpsampleConfig {
        /// Each pixel becomes a square of so many by so many.
        factor: usize = 2, rule::at_least(1);
    }
}

crate::config! {
    /// Keys of the layer `attention`.
    pub struct AttentionConfig {
        /// h, the heads that the channels are divided among.
        heads: usize = 4, rule::at_least(1);
        /// Divide both weight matrices by their largest singular values.
        spectral_norm: bool = false;
        /// Learn the length of each output's weights apart from their direction.
        weight_norm: bool = false;
    }
}

crate::config! {
    /// Keys of the layer `dropout`.
    pub struct DropoutConfig {
        /// Probability of dropping a number, while training.
        rate: f64 = 0.1, rule::rate;
    }
}

crate::config! {
    /// Keys of the layer `fourier`.
    pub struct FourierConfig {
        /// F, so many random features sin Wx and cos Wx beside x.
        features: usize = 64, rule::at_least(1);
        /// Standard deviation of their frequencies W, in radians per unit of x.
        std: f64 = 3.0, rule::positive;
    }
}

crate::config! {
    /// Keys of the layer `time_embedding`.
    pub struct TimeEmbeddingConfig {
        /// Hidden units between the functions of the level and the channels.
        units: usize = 64, rule::at_least(1);
    }
}

crate::config! {
    /// Keys of the layer `flatten`, which has none.
    pub struct FlattenConfig {}
}

crate::config! {
    /// Keys of the layer `reshape`.
    pub struct ReshapeConfig {
        /// The shape of an item, such as [channels, height, width]; as many numbers as before.
        shape: Vec<usize> = Vec::new(), rule::sizes;
    }
}

/// `linear`.
pub const LINEAR: Entry<BuildLayer> = Entry {
    name: "linear",
    about: "y = W x + b, on vectors",
    cite: "",
    schema: Schema::of::<LinearConfig>(),
    build: linear,
};

/// `conv`.
pub const CONV: Entry<BuildLayer> = Entry {
    name: "conv",
    about: "a convolution, on images",
    cite: "",
    schema: Schema::of::<ConvLayerConfig>(),
    build: conv,
};

/// `activation`.
pub const ACTIVATION: Entry<BuildLayer> = Entry {
    name: "activation",
    about: "a non-linearity, number by number",
    cite: "",
    schema: Schema::of::<ActivationConfig>(),
    build: activation,
};

/// `norm`.
pub const NORM: Entry<BuildLayer> = Entry {
    name: "norm",
    about: "group norm over the channels of images or the coordinates of vectors",
    cite: "Wu & He 2018, Group normalization",
    schema: Schema::of::<NormConfig>(),
    build: norm,
};

/// `pool`.
pub const POOL: Entry<BuildLayer> = Entry {
    name: "pool",
    about: "means over K×K windows, on images",
    cite: "",
    schema: Schema::of::<PoolConfig>(),
    build: pool,
};

/// `global_pool`.
pub const GLOBAL_POOL: Entry<BuildLayer> = Entry {
    name: "global_pool",
    about: "the sum or the mean over all pixels: images to vectors",
    cite: "",
    schema: Schema::of::<GlobalPoolConfig>(),
    build: global_pool,
};

/// `upsample`.
pub const UPSAMPLE: Entry<BuildLayer> = Entry {
    name: "upsample",
    about: "every pixel repeated, on images",
    cite: "",
    schema: Schema::of::<UpsampleConfig>(),
    build: upsample,
};

/// `attention`.
pub const ATTENTION: Entry<BuildLayer> = Entry {
    name: "attention",
    about: "every pixel reads all pixels (self-attention without positions); put it into a `residual`, behind a `norm`",
    cite: "Vaswani et al. 2017, Attention is all you need",
    schema: Schema::of::<AttentionConfig>(),
    build: attention,
};

/// `dropout`.
pub const DROPOUT: Entry<BuildLayer> = Entry {
    name: "dropout",
    about: "numbers dropped at random while training",
    cite: "Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014",
    schema: Schema::of::<DropoutConfig>(),
    build: dropout,
};

/// `fourier`.
pub const FOURIER: Entry<BuildLayer> = Entry {
    name: "fourier",
    about: "random Fourier features beside the coordinates, on vectors",
    cite: "Tancik et al. 2020, Fourier features let networks learn high frequency functions",
    schema: Schema::of::<FourierConfig>(),
    build: fourier,
};

/// `time_embedding`.
pub const TIME_EMBEDDING: Entry<BuildLayer> = Entry {
    name: "time_embedding",
    about: "a number for each channel that depends on the noise level is added, in models that have levels",
    cite: "Ho, Jain, Abbeel 2020, Denoising diffusion probabilistic models, appendix B",
    schema: Schema::of::<TimeEmbeddingConfig>(),
    build: time_embedding,
};

/// `reshape`.
pub const RESHAPE: Entry<BuildLayer> = Entry {
    name: "reshape",
    about: "the same numbers in another shape",
    cite: "",
    schema: Schema::of::<ReshapeConfig>(),
    build: reshape,
};

/// `flatten`.
pub const FLATTEN: Entry<BuildLayer> = Entry {
    name: "flatten",
    about: "any item as a vector",
    cite: "",
    schema: Schema::of::<FlattenConfig>(),
    build: |_, place| {
        let layer = Reshape::flatten(&place.item);
        Ok(Made::light(layer, &[size(&place.item)]))
    },
};

fn linear(table: &toml::Table, place: &Place) -> Result<Made> {
    let LinearConfig { units, spectral_norm, weight_norm } = decode(table)?;
    let (input, units) = (place.vector()?, if units == 0 { place.output } else { units });
    let layer = Linear::new(place.builder, input, units, Scaling::of(spectral_norm, weight_norm)?)?;
    Ok(Made { multiplications: size(&[input, units]), ..Made::light(layer, &[units]) })
}

fn conv(table: &toml::Table, place: &Place) -> Result<Made> {
    let ConvLayerConfig { channels, kernel, stride, spectral_norm, weight_norm } = decode(table)?;
    let image = place.image()?;
    let (mut body, window) = (Sequence::new(), Window { channels, kernel, stride });
    let made = push_conv(&mut body, place.builder, image, window, Scaling::of(spectral_norm, weight_norm)?)?;
    let multiplications = size(&[size(&made.item()), image.channels, kernel, kernel]);
    Ok(Made { multiplications, ..Made::light(body, &made.item()) })
}

fn activation(table: &toml::Table, place: &Place) -> Result<Made> {
    let ActivationConfig { function, learned_beta } = decode(table)?;
    let units = if learned_beta { place.vector()? } else { place.channels() };
    Ok(Made::light(Nonlinear::new(place.builder, function, units, learned_beta)?, &place.item))
}

fn norm(table: &toml::Table, place: &Place) -> Result<Made> {
    let NormConfig { groups } = decode(table)?;
    Ok(Made::light(GroupNorm::new(place.builder, place.channels(), groups)?, &place.item))
}

fn pool(table: &toml::Table, place: &Place) -> Result<Made> {
    let PoolConfig { window } = decode(table)?;
    let (image, layer) = (place.image()?, AvgPool::new(window));
    let (height, width) = layer.output_size(image.size)?;
    Ok(Made::light(layer, &[image.channels, height, width]))
}

fn global_pool(table: &toml::Table, place: &Place) -> Result<Made> {
    let GlobalPoolConfig { of } = decode(table)?;
    let layer = if of == Over::Sum { GlobalPool::Sum } else { GlobalPool::Mean };
    Ok(Made::light(layer, &[place.image()?.channels]))
}

fn upsample(table: &toml::Table, place: &Place) -> Result<Made> {
    let UpsampleConfig { factor } = decode(table)?;
    let image = place.image()?;
    let (height, width) = image.size;
    Ok(Made::light(Upsample::new(factor), &[image.channels, size(&[factor, height]), size(&[factor, width])]))
}

fn attention(table: &toml::Table, place: &Place) -> Result<Made> {
    let AttentionConfig { heads, spectral_norm, weight_norm } = decode(table)?;
    let (image, scaling) = (place.image()?, Scaling::of(spectral_norm, weight_norm)?);
    let layer = Attention::new(place.builder, image.channels, heads, scaling)?;
    let multiplications = Attention::multiplications(image.channels, size(&image.item()[1..]));
    Ok(Made { multiplications, ..Made::light(layer, &image.item()) })
}

fn dropout(table: &toml::Table, place: &Place) -> Result<Made> {
    let DropoutConfig { rate } = decode(table)?;
    Ok(Made::light(Dropout::new(place.builder, rate), &place.item))
}

fn fourier(table: &toml::Table, place: &Place) -> Result<Made> {
    let FourierConfig { features, std } = decode(table)?;
    let input = place.vector()?;
    let layer = Fourier::new(place.builder, input, features, std)?;
    Ok(Made { multiplications: size(&[input, features]), ..Made::light(layer, &[Fourier::width(input, features)]) })
}

fn time_embedding(table: &toml::Table, place: &Place) -> Result<Made> {
    let TimeEmbeddingConfig { units } = decode(table)?;
    let layer = TimeEmbedding::new(place.builder, place.channels(), units)?;
    Ok(Made { multiplications: size(&[units, LEVEL_FEATURES + place.channels()]), ..Made::light(layer, &place.item) })
}

fn reshape(table: &toml::Table, place: &Place) -> Result<Made> {
    let ReshapeConfig { shape } = decode(table)?;
    let [have, want] = [&place.item, &shape].map(|item| size(item));
    match have == want {
        true => Ok(Made::light(Reshape::to(&shape), &shape)),
        false => Err(Error::config(format!("{:?} has {have} numbers, {shape:?} has {want}", place.item)).at("shape")),
    }
}
