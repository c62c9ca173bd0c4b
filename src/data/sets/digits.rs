//! The 8×8 digits that ship with the program, so that it can train on real images without a download.

use crate::config::{Schema, decode, rule};
use crate::data::files::{images, manifest::KnownFile};
use crate::data::formats::idx::IdxImages;
use crate::data::keys::Pixels;
use crate::data::row::{DatasetRow, Origin};
use crate::data::source::{Images, Source, TestItems};

crate::config! {
    /// Keys of `digits`.
    pub struct Digits {
        /// Items held out for testing, as the set has no test file: a share below 1, a count from 1 on.
        test: f64 = 0.2, rule::non_negative;
        /// The folder that holds the files; empty: `$EBM_DATA/digits`, then `datasets/digits`, then the copy in the
        /// program.
        [may_change] path: String = String::new();
    }
}

const FORMAT: IdxImages =
    IdxImages { side: 8, levels: 17, first_label: 0, classes: 10, transposed: false, built_in: Some(built_in) };

/// `digits`.
pub(crate) const DIGITS: DatasetRow = DatasetRow {
    name: "digits",
    about: "handwritten digits, 1,797 of 8×8, 17 grey levels; shipped",
    cite: "Alpaydin & Kaynak 1998, UCI ML Repository (CC BY 4.0)",
    schema: Schema::of::<(Digits, Pixels)>(),
    origin: Origin::Files(&FORMAT),
    pictures: false,
    example: "",
    build: |table| {
        let Digits { test, path } = decode(table)?;
        let images = images::open(&FORMAT, "digits", &path)?;
        Ok(Source::Images(Images { test: TestItems::Drawn(test), ..images }))
    },
};

/// The compiled-in copy of a file.
fn built_in(file: &KnownFile) -> &'static [u8] {
    const IMAGES: &[u8] = include_bytes!("../../../datasets/digits/digits-images-idx3-ubyte.gz");
    const LABELS: &[u8] = include_bytes!("../../../datasets/digits/digits-labels-idx1-ubyte.gz");
    if file.role.ends_with("images") { IMAGES } else { LABELS }
}
