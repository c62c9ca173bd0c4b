//! Data sets: where the numbers come from, how they are split, and what the model sees of them.
//!
//! A data set is one row of [`DATASETS`]. It gives raw items: stored images ([`Images`]) or vectors ([`Records`]), or a
//! generator of points ([`Generator`]). [`Data`] splits, shuffles, augments, dequantises and transforms them. Every batch is a function of
//! (configuration, seed, split, index), so a resumed run sees what an uninterrupted one sees.

mod files;
mod formats;
mod items;
mod keys;
mod loader;
mod pipeline;
mod sets;
mod source;

pub use files::{fetch, locate, manifest, verify};
pub use formats::file;
pub use items::{Batch, ItemSpec, Stamp};
pub use keys::{Columns, Files, Pixels, Points};
pub use loader::{Data, LabelledItems, Moments};
pub use pipeline::{split::Split, transform::Transform};
pub use sets::{
    ica::Sources,
    phi4::{Phi4, Phi4Config},
    rbm::RbmTruth,
};
pub use source::{Bounds, BuildSource, Generator, Images, Modes, Records, Source};

use sets::{celeba, cifar, digits, gaussian, ica, image2d, mixture, mnist, phi4, rbm, stacked, svhn, table, toy2d};

use crate::config::{Entry, Schema};

/// Every data set. A new one is one file and one row.
pub const DATASETS: &[Entry<BuildSource>] = &[
    toy2d::EIGHT_GAUSSIANS,
    toy2d::TWENTY_FIVE_GAUSSIANS,
    toy2d::TWO_SPIRALS,
    toy2d::MOONS,
    toy2d::RINGS,
    toy2d::CIRCLES,
    toy2d::CHECKERBOARD,
    toy2d::PINWHEEL,
    toy2d::SWISS_ROLL,
    toy2d::COS,
    image2d::IMAGE2D,
    gaussian::GAUSSIAN,
    mixture::MIXTURE,
    ica::ICA,
    rbm::RBM,
    phi4::PHI4,
    digits::DIGITS,
    stacked::STACKED_DIGITS,
    mnist::MNIST,
    mnist::FASHION_MNIST,
    mnist::EMNIST_LETTERS,
    mnist::USPS,
    cifar::CIFAR10,
    cifar::CIFAR100,
    svhn::SVHN,
    celeba::CELEBA,
    table::TABLE,
];

/// The rows of [`DATASETS`] for the configuration's `[dataset]` section.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    DATASETS.iter().map(|row| (row.name, row.schema)).collect()
}

/// The data set of a `[dataset]` section written out, its other keys at their defaults, for tests.
#[cfg(test)]
pub(crate) fn of_text(text: &str) -> Data {
    let given: toml::Table = text.parse().unwrap();
    let schema = schemas().into_iter().find(|row| row.0 == given["name"].as_str().unwrap()).unwrap().1;
    let mut full = schema.defaults();
    full.extend(given);
    Data::open(&crate::config::Spec(full), 7, &candle_core::Device::Cpu).unwrap()
}
