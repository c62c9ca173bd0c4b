//! The networks that a configuration can name.

use super::{Builder, Io, Layer, conv, mlp, resnet, resnet_generator, sequential, unet, wide_resnet};
use crate::config::{Entry, Schema, Spec, find};
use crate::{Error, Result};

/// The function that makes the layers of a network from its resolved section.
pub type BuildNet = fn(&Spec, &Io, &Builder) -> Result<Box<dyn Layer>>;

/// The networks that a configuration can name.
pub const NETS: &[Entry<BuildNet>] = &[
    Entry {
        name: "mlp",
        about: "fully connected layers on the flattened item: energies and critics",
        cite: "",
        schema: Schema::of::<mlp::MlpConfig>(),
        build: mlp::build,
    },
    Entry {
        name: "conv",
        about: "a few convolutions on images: energies, and critics that map an image to an image",
        cite: "Nijkamp et al. 2019, On learning non-convergent non-persistent short-run MCMC",
        schema: Schema::of::<conv::ConvConfig>(),
        build: conv::build,
    },
    Entry {
        name: "resnet",
        about: "residual blocks with mean pooling on images: energies",
        cite: "Du & Mordatch 2019, Implicit generation and modeling with energy-based models",
        schema: Schema::of::<resnet::ResnetConfig>(),
        build: resnet::build,
    },
    Entry {
        name: "wide_resnet",
        about: "wide residual network on images: classifiers that are energies (JEM, VERA)",
        cite: "Zagoruyko & Komodakis 2016, Wide residual networks",
        schema: Schema::of::<wide_resnet::WideResnetConfig>(),
        build: wide_resnet::build,
    },
    Entry {
        name: "resnet_generator",
        about: "residual blocks that double the size, from a latent vector to an image: generators",
        cite: "Gulrajani et al. 2017, Improved training of Wasserstein GANs",
        schema: Schema::of::<resnet_generator::ResnetGeneratorConfig>(),
        build: resnet_generator::build,
    },
    Entry {
        name: "unet",
        about: "a U-Net from images to images of the same size: critics, and energies by `form` of a `ladder`",
        cite: "Ronneberger, Fischer, Brox 2015, U-Net; Ho, Jain, Abbeel 2020, Denoising diffusion probabilistic models",
        schema: Schema::of::<unet::UnetConfig>(),
        build: unet::build,
    },
    Entry {
        name: "sequential",
        about: "layers of your own choice, one after another",
        cite: "",
        schema: Schema::of::<sequential::SequentialConfig>(),
        build: sequential::build,
    },
];

/// The rows of [`NETS`], for a `parts` clause of [`config!`](macro@crate::config).
pub fn schemas() -> Vec<(&'static str, Schema)> {
    NETS.iter().map(|row| (row.name, row.schema)).collect()
}

/// The row called `name`.
///
/// # Errors
/// No row has this name.
pub(super) fn row(name: &str) -> Result<&'static Entry<BuildNet>> {
    find(NETS, name).ok_or_else(|| {
        let known = NETS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
        Error::config(format!("there is no network `{name}`; choose one of {known}")).at("name")
    })
}
