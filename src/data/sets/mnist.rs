//! MNIST and its relatives in IDX files.

use crate::config::{Schema, decode};
use crate::data::files::images;
use crate::data::formats::idx::IdxImages;
use crate::data::keys::{Files, Pixels};
use crate::data::row::{DatasetRow, Origin};
use crate::data::source::Source;

const BYTES: IdxImages =
    IdxImages { side: 28, levels: 256, first_label: 0, classes: 10, transposed: false, built_in: None };
const LETTERS: IdxImages = IdxImages { first_label: 1, classes: 26, transposed: true, ..BYTES };
const ENVELOPES: IdxImages = IdxImages { side: 16, ..BYTES };

/// `mnist`.
pub(crate) const MNIST: DatasetRow = DatasetRow {
    name: "mnist",
    about: "handwritten digits, 60,000 + 10,000 of 28×28",
    cite: "LeCun, Bottou, Bengio, Haffner 1998",
    schema: Schema::of::<(Files, Pixels)>(),
    origin: Origin::Files(&BYTES),
    pictures: true,
    example: "",
    build: |table| open("mnist", &BYTES, table),
};

/// `fashion_mnist`.
pub(crate) const FASHION_MNIST: DatasetRow = DatasetRow {
    name: "fashion_mnist",
    about: "garments, 60,000 + 10,000 of 28×28",
    cite: "Xiao, Rasul, Vollgraf 2017",
    build: |table| open("fashion_mnist", &BYTES, table),
    ..MNIST
};

/// `emnist_letters`.
pub(crate) const EMNIST_LETTERS: DatasetRow = DatasetRow {
    name: "emnist_letters",
    about: "handwritten letters, 124,800 + 20,800 of 28×28, turned upright",
    cite: "Cohen, Afshar, Tapson, van Schaik 2017",
    origin: Origin::Files(&LETTERS),
    pictures: true,
    build: |table| open("emnist_letters", &LETTERS, table),
    ..MNIST
};

/// `usps`.
pub(crate) const USPS: DatasetRow = DatasetRow {
    name: "usps",
    about: "handwritten digits from envelopes, 7,291 + 2,007 of 16×16",
    cite: "Hull 1994",
    origin: Origin::Files(&ENVELOPES),
    pictures: true,
    build: |table| open("usps", &ENVELOPES, table),
    ..MNIST
};

fn open(name: &str, format: &IdxImages, table: &toml::Table) -> crate::Result<Source> {
    let Files { path } = decode(table)?;
    Ok(Source::Images(images::open(format, name, &path)?))
}
