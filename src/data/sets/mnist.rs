//! MNIST and its relatives in IDX files.

use crate::data::files::{locate, manifest};
use crate::data::formats::idx::{self, Form};
use crate::data::keys::{Files, Pixels};
use crate::data::source::{BuildSource, Source};
use crate::{
    Result,
    config::{Entry, Schema, decode},
};

const BYTES: Form = Form { side: 28, levels: 256, first_label: 0, classes: 10, transposed: false };
const LETTERS: Form = Form { first_label: 1, classes: 26, transposed: true, ..BYTES };
const ENVELOPES: Form = Form { side: 16, ..BYTES };

const fn row(name: &'static str, about: &'static str, cite: &'static str, build: BuildSource) -> Entry<BuildSource> {
    Entry { name, about, cite, schema: Schema::of::<(Files, Pixels)>(), build }
}

/// `mnist`.
pub(crate) const MNIST: Entry<BuildSource> =
    row("mnist", "handwritten digits, 60,000 + 10,000 of 28×28", "LeCun, Bottou, Bengio, Haffner 1998", |table| {
        load("mnist", table)
    });

/// `fashion_mnist`.
pub(crate) const FASHION_MNIST: Entry<BuildSource> =
    row("fashion_mnist", "garments, 60,000 + 10,000 of 28×28", "Xiao, Rasul, Vollgraf 2017", |table| {
        load("fashion_mnist", table)
    });

/// `emnist_letters`.
pub(crate) const EMNIST_LETTERS: Entry<BuildSource> = row(
    "emnist_letters",
    "handwritten letters, 124,800 + 20,800 of 28×28, turned upright",
    "Cohen, Afshar, Tapson, van Schaik 2017",
    |table| load("emnist_letters", table),
);

/// `usps`.
pub(crate) const USPS: Entry<BuildSource> =
    row("usps", "handwritten digits from envelopes, 7,291 + 2,007 of 16×16", "Hull 1994", |table| load("usps", table));

fn load(name: &str, table: &toml::Table) -> Result<Source> {
    let Files { path } = decode(table)?;
    let set = manifest::find(name)?;
    Ok(Source::Images(idx::load(&set, &locate::folders(&set, &path), form(name))?))
}

/// What the files of an IDX set must look like.
pub(crate) fn form(name: &str) -> Form {
    match name {
        "emnist_letters" => LETTERS,
        "usps" => ENVELOPES,
        "digits" => Form { side: 8, levels: 17, ..BYTES },
        _ => BYTES,
    }
}
