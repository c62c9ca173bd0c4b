//! `images`: pictures of the user's own, from a folder, from arrays or from Parquet files.

pub mod album;
mod array;
mod cache;
pub mod folder;
mod hub;
pub mod keys;
mod labels;
mod parts;
mod picture;
mod shelf;

use std::path::Path;

use crate::config::{Schema, decode};
use crate::data::keys::Pixels;
use crate::data::row::{DatasetRow, Origin};
use crate::data::source::{Images, Source};
use crate::{Error, Result};
use album::{Encoded, Gathered};
use folder::Picture;
use keys::ImagesConfig;

/// `images`.
pub(crate) const IMAGES: DatasetRow = DatasetRow {
    name: "images",
    about: "your own pictures, from a folder of files, arrays (IDX, .npy, .npz) or Parquet, with labels or not",
    cite: "",
    schema: Schema::of::<(ImagesConfig, Pixels)>(),
    origin: Origin::Yours,
    pictures: true,
    example: "",
    build: |table| {
        let (keys, pixels): (ImagesConfig, Pixels) = decode(table)?;
        Ok(Source::Images(Images { pairs: keys.pairs, ..load(&keys, &pixels)? }))
    },
};

fn load(keys: &ImagesConfig, pixels: &Pixels) -> Result<Images> {
    let path = Path::new(&keys.path);
    if keys.path.is_empty() {
        return Err(Error::config("`dataset.path` is empty")
            .at("path")
            .hint("set it to the folder of the pictures, such as `path = \"pictures\"`"));
    }
    if !path.exists() {
        return Err(Error::data(path, "is missing", "set `dataset.path` to the folder or the file of the pictures"));
    }
    let shards = hub::files(path)?;
    if !shards.is_empty() {
        let (hub, pictures) = hub::open(path, &shards, keys)?;
        return album::load(&gathered(path, pictures, &hub), keys, pixels);
    }
    if path.is_file() || shelf::is_one(path)? {
        return array::load(&shelf::stacks(path, keys)?, keys, pixels);
    }
    let pictures = folder::pictures(path, keys.labels.is_empty())?;
    album::load(&gathered(path, pictures, &album::Files), keys, pixels)
}

fn gathered<'a>(folder: &'a Path, pictures: Vec<Picture>, encoded: &'a dyn Encoded) -> Gathered<'a> {
    let remedy = "move them away, or set `dataset.wrong = \"skip\"`";
    Gathered { folder, pictures, encoded, remedy, by_name: true }
}
