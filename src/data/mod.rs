//! Data sets: where the numbers come from, how they are split, and what the model sees of them.
//!
//! A data set is one row of [`DATASETS`] (`sets/`, reading `files/` in one of the `formats/`). It gives raw items:
//! stored images ([`Images`]) or vectors ([`Records`]), or a generator of points ([`PointGenerator`]). [`Data`] splits,
//! shuffles, augments, dequantises and transforms them. Every batch is a function of (configuration, seed, split,
//! index), so a resumed run sees what an uninterrupted one sees.

mod files;
mod formats;
mod items;
mod keys;
mod loader;
mod pipeline;
mod row;
mod sets;
mod source;

pub use files::{
    fetch,
    format::{FileFormat, FileSet},
    images, locate, manifest, verify,
};
pub use formats::file;
pub use items::{Batch, Clean, ItemSpec, Stamp};
pub use keys::{Columns, Files, Pixels, Points};
pub use loader::{Data, LabelledItems, Moments, NaturalColumn, Rescaling};
pub use pipeline::{split::Split, transform::Transform};
pub use row::{BuildSource, DatasetRow, Origin};
pub use sets::{
    ica::Sources,
    phi4::{Phi4, Phi4Config},
    rbm::RbmTruth,
    table::beginning,
};
pub use source::{Bounds, Category, Images, Modes, PointGenerator, Records, Source, TestItems};

use sets::{
    celeba, cifar, digits, edges, far_modes, gaussian, ica, image2d, mixture, mnist, phi4, pictures, rbm, stacked,
    svhn, table, toy2d,
};

use crate::config::{self, Schema};
use crate::{Error, Result};

/// Every data set. A new one is one file and one row; one of known files has an entry in `datasets/manifest.toml` too.
pub const DATASETS: &[DatasetRow] = &[
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
    far_modes::TWO_MODES,
    far_modes::MOG40,
    ica::ICA,
    rbm::RBM,
    phi4::PHI4,
    digits::DIGITS,
    stacked::STACKED_DIGITS,
    edges::EDGES,
    mnist::MNIST,
    mnist::FASHION_MNIST,
    mnist::EMNIST_LETTERS,
    mnist::USPS,
    cifar::CIFAR10,
    cifar::CIFAR100,
    svhn::SVHN,
    celeba::CELEBA,
    table::TABLE,
    pictures::IMAGES,
];

/// The rows of [`DATASETS`] for the configuration's `[dataset]` section.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    config::schemas(DATASETS)
}

/// Every set of known files.
///
/// # Errors
/// None in a binary that passed its tests: an entry of the manifest without a row.
pub fn file_sets() -> Result<Vec<FileSet>> {
    manifest::known()?.into_iter().map(file_set_of).collect()
}

/// The set of known files called `name`.
///
/// # Errors
/// A name that is none of them.
pub fn file_set(name: &str) -> Result<FileSet> {
    file_set_of(manifest::find(name)?)
}

fn file_set_of(known: manifest::Known) -> Result<FileSet> {
    let format = config::find(DATASETS, &known.name).and_then(DatasetRow::format);
    let format = format.ok_or_else(|| Error::Other(format!("the manifest's `{}` is no row of files", known.name)))?;
    Ok(FileSet { known, format })
}

/// The data set of a `[dataset]` section written out, its other keys at their defaults, for tests.
#[cfg(test)]
pub(crate) fn of_text(text: &str) -> Data {
    let given: toml::Table = text.parse().unwrap();
    let schema = schemas().into_iter().find(|row| row.0 == given["name"].as_str().unwrap()).unwrap().1;
    let mut full = schema.defaults();
    full.extend(given);
    Data::open(&crate::config::Spec::new(full), 7, &candle_core::Device::Cpu).unwrap()
}
