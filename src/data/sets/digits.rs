//! The 8×8 digits that ship with the program, so that it can train on real images without a download.

use std::path::PathBuf;

use super::mnist::form;
use crate::data::files::{
    locate::{self, Content},
    manifest::{self, Known, KnownFile},
};
use crate::data::formats::idx;
use crate::data::keys::Pixels;
use crate::data::source::{BuildSource, Images, Source};
use crate::{
    Result,
    config::{Entry, Schema, decode, rule},
};

crate::config! {
    /// Keys of `digits`.
    pub struct Digits {
        /// Items held out for testing, as the set has no test file: a share below 1, a count from 1 on.
        test: f64 = 0.2, rule::non_negative;
        /// The folder that holds the files; empty: `$EBM_DATA/digits`, then `datasets/digits`, then the copy in the program.
        path: String = String::new();
    }
}

/// `digits`.
pub(crate) const DIGITS: Entry<BuildSource> = Entry {
    name: "digits",
    about: "handwritten digits, 1,797 of 8×8, 17 grey levels; shipped",
    cite: "Alpaydin & Kaynak 1998, UCI ML Repository (CC BY 4.0)",
    schema: Schema::of::<(Digits, Pixels)>(),
    build: |table| {
        let set = manifest::find("digits")?;
        let path = decode::<Digits>(table)?.path;
        let folders = locate::folders(&set, &path);
        let here = set.files.iter().any(|file| locate::find(&folders, file).is_some());
        let shipped = path.is_empty() && !here;
        let images = if shipped { built_in(&set)? } else { idx::load(&set, &folders, form("digits"))? };
        Ok(Source::Images(images))
    },
};

const IMAGES: &[u8] = include_bytes!("../../../datasets/digits/digits-images-idx3-ubyte.gz");
const LABELS: &[u8] = include_bytes!("../../../datasets/digits/digits-labels-idx1-ubyte.gz");

/// The compiled-in copy, through the same checks as files.
fn built_in(set: &Known) -> Result<Images> {
    let files: Result<Vec<_>> = set.files.iter().map(|file| Ok((file, built_in_file(file)?))).collect();
    idx::assemble(set, files?, form("digits"))
}

/// The compiled-in content of one file of the set.
///
/// # Errors
/// None in a binary that passed its tests.
pub(crate) fn built_in_file(file: &KnownFile) -> Result<Content> {
    let raw = if file.role.ends_with("images") { IMAGES } else { LABELS };
    let path = PathBuf::from(format!("(built in) {}", file.name));
    let bytes = locate::gunzip(&path, raw)?;
    Ok(Content { sha256: locate::hex(&bytes), path, bytes })
}
