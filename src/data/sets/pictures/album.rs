//! A folder of pictures as a set of images: headers first, so that what is wrong is known before hours of decoding.

use std::io::BufReader;
use std::path::Path;

use rayon::prelude::*;

use super::cache::Place;
use super::folder::{self, Picture};
use super::keys::{ImagesConfig, Wrong};
use super::picture::{self, Header, Shaping};
use super::{labels, parts};
use crate::data::keys::Pixels;
use crate::data::pipeline::split::Split;
use crate::data::source::Images;
use crate::store::checkpoint::sha256;
use crate::{Error, Result};

/// Pictures decoded at a time: what is in memory beside the pixels of the set.
const CHUNK: usize = 1024;

/// Names of wrong files that a message gives.
const NAMED: usize = 3;

/// The images of a folder.
///
/// # Errors
/// A folder without pictures, pictures of several sizes where no size is given, files that cannot be read unless they
/// may be skipped, a table of labels that does not fit.
pub fn load(folder: &Path, keys: &ImagesConfig, pixels: &Pixels) -> Result<Images> {
    let pictures = folder::pictures(folder, keys.labels.is_empty())?;
    let place = keys.cache.then(|| Place::of(&name_of(folder), &describe(&pictures, keys, pixels))).flatten();
    if let Some(images) = place.as_ref().and_then(Place::load) {
        tracing::debug!("{}: {} decoded pictures from the cache", folder.display(), images.len());
        return Ok(images);
    }
    let images = decoded(folder, pictures, keys, pixels)?;
    if let Some(Err(e)) = place.map(|place| place.save(&images)) {
        tracing::warn!("the decoded pictures are not kept for the next start: {e}");
    }
    Ok(images)
}

fn name_of(folder: &Path) -> String {
    folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf()).display().to_string()
}

/// All that the images depend on, as text.
fn describe(pictures: &[Picture], keys: &ImagesConfig, pixels: &Pixels) -> String {
    let stat = |path: &Path| {
        let meta = std::fs::metadata(path).ok();
        let time = meta.as_ref().and_then(|meta| meta.modified().ok());
        format!("{:?} {:?}", meta.map(|meta| meta.len()), time)
    };
    let mut lines = vec![format!("{keys:?} {:?} {}", pixels.validation, pixels.split_seed), stat(keys.labels.as_ref())];
    lines.par_extend(pictures.par_iter().map(|picture| format!("{} {}", picture.name, stat(&picture.path))));
    lines.join("\n")
}

/// What could be done with a file, or what is wrong with it in words.
type Tried<T> = std::result::Result<T, String>;

/// Files that cannot be read, and why.
#[derive(Default)]
struct Complaints(Vec<(String, String)>);

impl Complaints {
    /// Takes the sound ones out of what was tried, and notes the others.
    fn sift<T>(&mut self, tried: Vec<(&Picture, Tried<T>)>) -> Vec<(Picture, T)> {
        let sound = tried.into_iter().filter_map(|(picture, outcome)| match outcome {
            Ok(value) => Some((picture.clone(), value)),
            Err(what) => {
                self.0.push((picture.name.clone(), what));
                None
            }
        });
        sound.collect()
    }

    /// Refuses the set or warns, as the key `wrong` says.
    fn settle(self, folder: &Path, of: usize, wrong: Wrong) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let named: Vec<String> =
            self.0.iter().take(NAMED).map(|(name, what)| format!("{} ({what})", name.escape_debug())).collect();
        let rest = if self.0.len() > NAMED { ", …" } else { "" };
        let what = format!("{} of {of} pictures cannot be used: {}{rest}", self.0.len(), named.join(", "));
        match wrong {
            Wrong::Skip if self.0.len() < of => {
                tracing::warn!("{}: {what}", folder.display());
                Ok(())
            }
            _ => Err(Error::data(folder, what, "move them away, or set `dataset.wrong = \"skip\"`")),
        }
    }
}

fn decoded(folder: &Path, pictures: Vec<Picture>, keys: &ImagesConfig, pixels: &Pixels) -> Result<Images> {
    let total = pictures.len();
    let mut complaints = Complaints::default();
    let headers = pictures.par_iter().map(|picture| (picture, header(&picture.path))).collect();
    let seen = complaints.sift(headers);
    if keys.wrong == Wrong::Refuse || seen.is_empty() {
        std::mem::take(&mut complaints).settle(folder, total, Wrong::Refuse)?;
    }
    let shaping = shaping(folder, keys, &seen)?;
    let mut pictures: Vec<Picture> = seen.into_iter().map(|(picture, _)| picture).collect();
    // In the order of the parts from here on, so that the pixels are never moved.
    let given: Vec<Option<Split>> = pictures.iter().map(|picture| picture.part).collect();
    let assigned = parts::of(pictures.iter().map(|picture| picture.name.clone()), &given, keys.test, pixels);
    pictures.iter_mut().zip(assigned).for_each(|(picture, part)| picture.part = Some(part));
    pictures.sort_by_key(|picture| picture.part.map(|part| part as u8));
    let (pictures, pixels, sha256) = pixels_of(&pictures, shaping, &mut complaints);
    complaints.settle(folder, total, keys.wrong)?;
    let (names, labels) = classes_of(&pictures, keys)?;
    let test = parts::ends(&pictures.iter().filter_map(|picture| picture.part).collect::<Vec<_>>());
    let classes = names.len().max(1);
    tracing::info!("{}: {} pictures of {:?} in {classes} classes", folder.display(), labels.len(), shaping.shape());
    Ok(Images { shape: shaping.shape(), levels: 256, classes, pixels, labels, test, sha256 })
}

fn header(path: &Path) -> Tried<Header> {
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    picture::header(BufReader::new(file))
}

/// What all pictures are brought to.
fn shaping(folder: &Path, keys: &ImagesConfig, seen: &[(Picture, Header)]) -> Result<Shaping> {
    let Some((first, header)) = seen.first() else { return Err(Error::data(folder, "holds no picture", "add some")) };
    let other = seen.iter().find(|(_, other)| other.size != header.size);
    if let (0, 0, Some((picture, found))) = (keys.size, keys.centre, other) {
        let [[h, w], [height, width]] = [header.size, found.size];
        let what = format!(
            "{}: pictures of several sizes: {h}×{w} ({}), {height}×{width} ({})",
            folder.display(),
            first.name.escape_debug(),
            picture.name.escape_debug()
        );
        return Err(Error::config(what)
            .at("size")
            .hint("set `dataset.size` to the height (and `dataset.width`) of all; `dataset.fit` says how"));
    }
    let coloured = seen.iter().any(|(_, header)| header.colour == picture::Colour::Rgb);
    Ok(keys.shaping(keys.channels.of(coloured), keys.size_of(header.size)))
}

/// The pictures that could be decoded, all their pixels, and a hash of their files that knows no order.
fn pixels_of(pictures: &[Picture], shaping: Shaping, complaints: &mut Complaints) -> (Vec<Picture>, Vec<u8>, String) {
    let dim = shaping.shape().iter().product::<usize>();
    let (mut kept, mut hashes) = (Vec::with_capacity(pictures.len()), Vec::with_capacity(pictures.len()));
    let mut pixels = Vec::with_capacity(pictures.len() * dim);
    for some in pictures.chunks(CHUNK) {
        // Decoded in parallel, taken in order.
        let tried = some.par_iter().map(|picture| (picture, planes(&picture.path, shaping))).collect();
        for (picture, (hash, planes)) in complaints.sift(tried) {
            kept.push(picture);
            pixels.extend(planes);
            hashes.push(hash);
        }
    }
    hashes.sort_unstable();
    (kept, pixels, sha256(hashes.concat().as_bytes()))
}

fn planes(path: &Path, shaping: Shaping) -> Tried<(String, Vec<u8>)> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    Ok((sha256(&bytes), shaping.planes(picture::decode(&bytes)?)?))
}

/// The names of the classes in order, and the number of each picture's; no name where pictures have no labels.
fn classes_of(pictures: &[Picture], keys: &ImagesConfig) -> Result<(Vec<String>, Vec<u16>)> {
    let given: Option<Vec<String>> = match keys.labels.as_str() {
        "none" => None,
        "" => pictures.iter().map(|picture| picture.class.clone()).collect(),
        table => {
            let names: Vec<&str> = pictures.iter().map(|picture| picture.name.as_str()).collect();
            Some(labels::of(table.as_ref(), &keys.label_column, &names)?)
        }
    };
    match given {
        None => Ok((vec![], vec![0; pictures.len()])),
        Some(given) => labels::numbered(&given),
    }
}
