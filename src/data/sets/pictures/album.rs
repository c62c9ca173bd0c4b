//! Encoded pictures as a set of images: headers first, so that what is wrong is known before hours of decoding.

use std::io::BufReader;
use std::path::Path;

use rayon::prelude::*;

use super::cache::Place;
use super::folder::Picture;
use super::keys::{ImagesConfig, Wrong};
use super::picture::{self, Header, Shaping};
use super::{labels, parts};
use crate::data::keys::Pixels;
use crate::data::pipeline::split::Split;
use crate::data::source::{self, Images, TestItems};
use crate::store::checkpoint::sha256;
use crate::store::fs;
use crate::{Error, Result};

/// Pictures decoded at a time: what is in memory beside the pixels of the set.
pub const CHUNK: usize = 1024;

/// Names of wrong files that a message gives.
const NAMED: usize = 3;

/// What could be done with a picture, or what is wrong with it in words.
pub type Tried<T> = std::result::Result<T, String>;

/// Where encoded pictures lie.
pub trait Encoded {
    /// What the beginning of each picture says.
    ///
    /// # Errors
    /// What makes the whole set unreadable.
    fn headers(&self, pictures: &[Picture]) -> Result<Vec<Tried<Header>>>;

    /// Each picture as it is encoded.
    ///
    /// # Errors
    /// What makes the whole set unreadable.
    fn bytes(&self, pictures: &[Picture]) -> Result<Vec<Tried<Vec<u8>>>>;
}

/// Pictures in files of their own.
pub struct Files;

impl Encoded for Files {
    fn headers(&self, pictures: &[Picture]) -> Result<Vec<Tried<Header>>> {
        let header = |picture: &Picture| {
            let file = std::fs::File::open(&picture.path).map_err(|e| e.to_string())?;
            picture::header(BufReader::new(file))
        };
        Ok(pictures.par_iter().map(header).collect())
    }

    fn bytes(&self, pictures: &[Picture]) -> Result<Vec<Tried<Vec<u8>>>> {
        Ok(pictures.par_iter().map(|picture| std::fs::read(&picture.path).map_err(|e| e.to_string())).collect())
    }
}

/// The pictures of a set, found and not yet read.
pub struct Gathered<'a> {
    /// What errors name, and what the cache is kept for.
    pub folder: &'a Path,
    /// All of them.
    pub pictures: Vec<Picture>,
    /// Where they lie.
    pub encoded: &'a dyn Encoded,
    /// What is to be done about pictures that cannot be used.
    pub remedy: &'a str,
    /// Whether parts that are not given are drawn by the names of the pictures, as with folders that grow; else by
    /// their numbers, as with sets that are known.
    pub by_name: bool,
}

/// The images that encoded pictures become.
///
/// # Errors
/// Pictures of several sizes where no size is given, pictures that cannot be read unless they may be skipped, a table
/// of labels that does not fit.
pub fn load(set: &Gathered, keys: &ImagesConfig, pixels: &Pixels) -> Result<Images> {
    let place = keys.cache.then(|| Place::of(&name_of(set.folder), &describe(set, keys, pixels))).flatten();
    if let Some(images) = place.as_ref().and_then(Place::load) {
        tracing::debug!("{}: {} decoded pictures from the cache", set.folder.display(), images.len());
        return Ok(images);
    }
    let images = decoded(set, keys, pixels)?;
    if let Some(Err(e)) = place.map(|place| place.save(&images)) {
        tracing::warn!("the decoded pictures are not kept for the next start: {e}");
    }
    Ok(images)
}

fn name_of(folder: &Path) -> String {
    fs::place_of(folder).display().to_string()
}

/// All that the images depend on, as text.
fn describe(set: &Gathered, keys: &ImagesConfig, pixels: &Pixels) -> String {
    let stat = |path: &Path| {
        let meta = std::fs::metadata(path).ok();
        let time = meta.as_ref().and_then(|meta| meta.modified().ok());
        format!("{:?} {:?}", meta.map(|meta| meta.len()), time)
    };
    let (validation, seed) = (pixels.validation, pixels.split_seed);
    let mut lines = vec![format!("{keys:?} {validation:?} {seed} {}", set.by_name), stat(keys.labels.as_ref())];
    let by_file: Vec<&[Picture]> = set.pictures.chunk_by(|a, b| a.path == b.path).collect();
    let line = |some: &&[Picture]| {
        let first = some.first()?;
        Some(format!("{} {} {:?} {}", first.name, some.len(), first.part, stat(&first.path)))
    };
    lines.par_extend(by_file.par_iter().filter_map(line));
    lines.join("\n")
}

/// Files that cannot be read, and why.
#[derive(Default)]
struct Complaints(Vec<(String, String)>);

impl Complaints {
    /// Takes the sound ones out of what was tried on pictures, and notes the others.
    fn sift<T>(&mut self, pictures: &[Picture], tried: Vec<Tried<T>>) -> Vec<(Picture, T)> {
        let sound = pictures.iter().zip(tried).filter_map(|(picture, outcome)| match outcome {
            Ok(value) => Some((picture.clone(), value)),
            Err(what) => {
                self.0.push((picture.name.clone(), what));
                None
            }
        });
        sound.collect()
    }

    /// Refuses the set or warns, as the key `wrong` says.
    fn settle(self, set: &Gathered, wrong: Wrong) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let named: Vec<String> =
            self.0.iter().take(NAMED).map(|(name, what)| format!("{} ({what})", name.escape_debug())).collect();
        let rest = if self.0.len() > NAMED { ", …" } else { "" };
        let of = set.pictures.len();
        let what = format!("{} of {of} pictures cannot be used: {}{rest}", self.0.len(), named.join(", "));
        match wrong {
            Wrong::Skip if self.0.len() < of => {
                tracing::warn!("{}: {what}", set.folder.display());
                Ok(())
            }
            _ => Err(Error::data(set.folder, what, set.remedy)),
        }
    }
}

fn decoded(set: &Gathered, keys: &ImagesConfig, pixels: &Pixels) -> Result<Images> {
    let mut complaints = Complaints::default();
    let seen = complaints.sift(&set.pictures, set.encoded.headers(&set.pictures)?);
    if keys.wrong == Wrong::Refuse || seen.is_empty() {
        std::mem::take(&mut complaints).settle(set, Wrong::Refuse)?;
    }
    let shaping = shaping(set.folder, keys, &seen)?;
    let mut pictures: Vec<Picture> = seen.into_iter().map(|(picture, _)| picture).collect();
    if set.by_name {
        let given: Vec<Option<Split>> = pictures.iter().map(|picture| picture.part).collect();
        let assigned = parts::of(pictures.iter().map(|picture| picture.name.clone()), &given, keys.test, pixels);
        pictures.iter_mut().zip(assigned).for_each(|(picture, part)| picture.part = Some(part));
    }
    // In the order of the parts from here on, so that the pixels are never moved.
    pictures.sort_by_key(|picture| picture.part.map(|part| part as u8));
    let (pictures, pixels, mut hashes) = pixels_of(&pictures, set.encoded, shaping, &mut complaints)?;
    complaints.settle(set, keys.wrong)?;
    let (class_names, labels) = classes_of(&pictures, keys)?;
    let parts: Vec<Split> = pictures.iter().filter_map(|picture| picture.part).collect();
    let test = match (set.by_name, parts.is_empty()) {
        (true, _) => parts::ends(&parts),
        (false, true) => TestItems::Drawn(keys.test),
        (false, false) => TestItems::From(parts.iter().filter(|part| **part != Split::Test).count()),
    };
    if set.by_name {
        // Whatever the order in which the names stand.
        hashes.sort_unstable();
    }
    let classes = class_names.len().max(1);
    tracing::info!("{}: {} pictures of {:?} in {classes} classes", set.folder.display(), labels.len(), shaping.shape());
    let sha256 = sha256(hashes.concat().as_bytes());
    let (shape, levels, class_names) = (shaping.shape(), 256, source::class_names(class_names));
    Ok(Images { shape, levels, classes, class_names, pixels, labels, test, sha256, pairs: false })
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

/// The pictures that could be decoded, all their pixels, and the hash of each as it is encoded.
fn pixels_of(
    pictures: &[Picture],
    encoded: &dyn Encoded,
    shaping: Shaping,
    complaints: &mut Complaints,
) -> Result<(Vec<Picture>, Vec<u8>, Vec<String>)> {
    let dim = shaping.shape().iter().product::<usize>();
    let (mut kept, mut hashes) = (Vec::with_capacity(pictures.len()), Vec::with_capacity(pictures.len()));
    let mut pixels = Vec::with_capacity(pictures.len() * dim);
    for some in pictures.chunks(CHUNK) {
        // Decoded in parallel, taken in order.
        let planes = |bytes: Tried<Vec<u8>>| {
            let bytes = bytes?;
            Ok((sha256(&bytes), shaping.planes(picture::decode(&bytes)?)?))
        };
        let tried = encoded.bytes(some)?.into_par_iter().map(planes).collect();
        for (picture, (hash, planes)) in complaints.sift(some, tried) {
            kept.push(picture);
            pixels.extend(planes);
            hashes.push(hash);
        }
    }
    Ok((kept, pixels, hashes))
}

/// The names of the classes in order, and the number of each picture's; no name where pictures have no labels.
fn classes_of(pictures: &[Picture], keys: &ImagesConfig) -> Result<(Vec<String>, Vec<u16>)> {
    let own = || pictures.iter().map(|picture| picture.class.clone()).collect::<Option<Vec<String>>>();
    let given = match (own(), keys.labels.as_str()) {
        (_, "none") => None,
        (Some(own), _) => Some(own),
        (None, "") => None,
        (None, table) => {
            let names: Vec<&str> = pictures.iter().map(|picture| picture.name.as_str()).collect();
            Some(labels::of(table.as_ref(), &keys.label_column, &names)?)
        }
    };
    match given {
        None => Ok((vec![], vec![0; pictures.len()])),
        Some(given) => labels::numbered(&given),
    }
}
