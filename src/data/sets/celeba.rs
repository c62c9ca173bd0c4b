//! CelebA: a folder of aligned pictures of faces, cropped at the centre and made smaller.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image::{ImageReader, RgbImage, imageops};
use rayon::prelude::*;

use crate::config::{Schema, decode, rule};
use crate::data::files::{
    format::FileFormat,
    locate::{self, Content},
    manifest::{self, Known, KnownFile},
};
use crate::data::keys::Pixels;
use crate::data::row::{DatasetRow, Origin};
use crate::data::source::{Images, Source, TestItems};
use crate::store::checkpoint::sha256;
use crate::store::fs::visible;
use crate::{Error, Result};

crate::config! {
    /// Keys of `celeba`.
    pub struct Celeba {
        /// The folder that holds `img_align_celeba/`, or the pictures themselves; empty: `$EBM_DATA/celeba`, then
        /// `datasets/celeba`.
        [may_change] path: String = String::new();
        /// Height and width of the pictures as the model sees them.
        size: usize = 32, |v: &usize| (!(4..=256).contains(v)).then(|| format!("must be from 4 to 256, got {v}"));
        /// Side of the square at the centre that is kept of each picture.
        crop: usize = 140, rule::at_least(4);
        /// Use only the first so many pictures by name, for quick runs: the others are not read; 0 uses all.
        pictures: usize = 0;
        /// Items held out for testing where `list_eval_partition.txt` is missing: a share below 1, a count from 1 on.
        test: f64 = 0.1, rule::non_negative;
    }
}

/// A folder of pictures, and a list of those that are for testing.
struct Faces;

/// `celeba`.
pub(crate) const CELEBA: DatasetRow = DatasetRow {
    name: "celeba",
    about: "faces, 202,599 cropped and scaled to 3×32×32 or another size; no labels",
    cite: "Liu, Luo, Wang, Tang 2015",
    schema: Schema::of::<(Celeba, Pixels)>(),
    origin: Origin::Files(&Faces),
    example: "",
    build: |table| {
        let keys: Celeba = decode(table)?;
        let set = manifest::find("celeba")?;
        Ok(Source::Images(load(&set, &keys)?))
    },
};

const REMEDY: &str = "unpack the archive again, or move the file away";

/// Pictures decoded at a time.
const CHUNK: usize = 1024;

/// A picture's path, and whether it is for testing, if that is known.
type Listed = (PathBuf, Option<bool>);

/// Reads all pictures, the test ones last.
fn load(set: &Known, keys: &Celeba) -> Result<Images> {
    let folders = locate::folders(set, &keys.path);
    let mut listed = listed(set, &folders)?;
    if keys.pictures > 0 {
        listed.truncate(keys.pictures);
    }
    listed.sort_by_key(|(_, test)| *test == Some(true));
    let mut pixels = Vec::with_capacity(listed.len() * 3 * keys.size * keys.size);
    let mut hashes = String::new();
    for some in listed.chunks(CHUNK) {
        // Decoded in parallel, judged in order: the first bad picture is the same for any number of threads.
        let read: Vec<_> = some.par_iter().map(|(path, _)| shrunk(path, keys)).collect();
        for picture in read {
            let (hash, planes) = picture?;
            pixels.extend(planes);
            hashes += &hash;
        }
    }
    let test_from = listed.iter().position(|(_, test)| *test == Some(true));
    let partitioned = listed.iter().any(|(_, test)| test.is_some());
    Ok(Images {
        shape: [3, keys.size, keys.size],
        levels: 256,
        classes: 1,
        labels: vec![0; listed.len()],
        test: match test_from.or(partitioned.then_some(listed.len())) {
            Some(from) => TestItems::From(from),
            None => TestItems::Drawn(keys.test),
        },
        pixels,
        sha256: sha256(hashes.as_bytes()),
    })
}

/// Every picture of the set in the order of the names.
fn listed(set: &Known, folders: &[PathBuf]) -> Result<Vec<Listed>> {
    let of = |role: &str| set.files.iter().find(|f| f.role == role).and_then(|file| locate::find(folders, file));
    let here = |folder: &PathBuf| pictures(folder).is_ok_and(|found| !found.is_empty());
    let folder = of("pictures").or_else(|| folders.iter().find(|f| here(f)).cloned());
    let Some(folder) = folder else {
        if let Some(folder) = folders.iter().find(|folder| folder.is_dir()) {
            return Err(no_pictures(folder, set));
        }
        let places: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
        let at = folders.first().map(|f| f.join("img_align_celeba")).unwrap_or_default();
        return Err(Error::data(&at, format!("is missing; looked in {}", places.join(", ")), set.remedy()));
    };
    let found = pictures(&folder)?;
    if found.is_empty() {
        return Err(no_pictures(&folder, set));
    }
    let partition = of("partition").map(|path| partition(&path)).transpose()?;
    let part = |path: PathBuf| match &partition {
        None => Ok((path, None)),
        Some((file, parts)) => match path.file_name().and_then(|name| parts.get(&*name.to_string_lossy())) {
            Some(test) => Ok((path, Some(*test))),
            None => {
                let what = format!("does not say to which part {} belongs", path.display());
                Err(Error::data(file, what, "move the file away: test pictures are then drawn by `dataset.test`"))
            }
        },
    };
    found.into_iter().map(part).collect()
}

/// The pictures in a folder, by name.
fn pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_picture = |path: &PathBuf| matches!(ending(path).as_str(), ".jpg" | ".jpeg" | ".png");
    Ok(visible(folder)?.into_iter().filter(is_picture).collect())
}

/// `.jpg` of `A.JPG`; empty of a name without a dot.
fn ending(path: &Path) -> String {
    path.extension().map(|e| format!(".{}", e.to_string_lossy().to_lowercase())).unwrap_or_default()
}

/// The error for a folder that is there and has no pictures that are read: what it has instead.
fn no_pictures(folder: &Path, set: &Known) -> Error {
    const OTHERS: [&str; 10] = [".avif", ".bmp", ".gif", ".heic", ".jp2", ".ppm", ".tga", ".tif", ".tiff", ".webp"];
    const WORDS: usize = 5;
    let mut counts = BTreeMap::<String, usize>::new();
    for path in visible(folder).unwrap_or_default() {
        let kind = if path.is_dir() { "folders".to_owned() } else { ending(&path) };
        *counts.entry(kind).or_default() += 1;
    }
    let remedy = match counts.keys().any(|kind| OTHERS.contains(&kind.as_str())) {
        true => "convert the pictures to .jpg or .png",
        false if counts.contains_key("folders") => {
            "set `dataset.path` to the folder that holds the pictures themselves"
        }
        false => &set.remedy(),
    };
    let mut counts: Vec<(usize, String)> = counts.into_iter().map(|(kind, n)| (n, kind)).collect();
    counts.sort_by_key(|(n, _)| Reverse(*n));
    let name = |(n, kind): (usize, String)| match kind.as_str() {
        "folders" => format!("{n} folders"),
        "" => format!("{n} files without an ending"),
        kind => format!("{n} {kind} files"),
    };
    let found: Vec<String> = counts.into_iter().take(WORDS).map(name).collect();
    let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
    Error::data(folder, format!("holds {found}, and none of the .jpg or .png pictures that are read"), remedy)
}

/// The file, and for each name whether it is for testing: lines such as `000001.jpg 0`, with 0 for training, 1 for
/// validation, which counts as training here (`dataset.validation` holds out its own), and 2 for testing.
fn partition(path: &Path) -> Result<(PathBuf, BTreeMap<String, bool>)> {
    let bytes = locate::uncompressed(path)?;
    Ok((path.to_path_buf(), parts(path, &bytes)?))
}

fn parts(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, bool>> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.trim_start_matches('\u{feff}').lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let part = |(i, line): (usize, &str)| match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        [name, part @ ("0" | "1" | "2")] => Ok((name.to_string(), *part == "2")),
        _ => {
            let what = format!("line {}: `{line}` is no name of a picture with 0, 1 or 2", i + 1);
            Err(Error::data(path, what, "get list_eval_partition.txt again, or move it away"))
        }
    };
    lines.map(part).collect()
}

/// The hash of a picture's file, and its pixels: the square at the centre, shrunk by triangle-weighted means, channel
/// after channel.
fn shrunk(path: &Path, keys: &Celeba) -> Result<(String, Vec<u8>)> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let reader = ImageReader::new(std::io::Cursor::new(&bytes)).with_guessed_format().map_err(Error::io(path))?;
    let unreadable = |e| Error::data(path, format!("cannot be read as a picture: {e}"), REMEDY);
    let picture = reader.decode().map_err(unreadable)?.to_rgb8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    if width.min(height) < keys.crop {
        let what = format!("has {width}x{height} pixels, fewer than `dataset.crop` = {}", keys.crop);
        return Err(Error::data(path, what, "lower `dataset.crop`"));
    }
    let (left, top, crop) = ((width - keys.crop) / 2, (height - keys.crop) / 2, keys.crop as u32);
    let square = imageops::crop_imm(&picture, left as u32, top as u32, crop, crop).to_image();
    let small = match keys.size == keys.crop {
        true => square,
        false => imageops::resize(&square, keys.size as u32, keys.size as u32, imageops::FilterType::Triangle),
    };
    Ok((sha256(&bytes), planes(&small)))
}

fn planes(picture: &RgbImage) -> Vec<u8> {
    (0..3).flat_map(|channel| picture.as_raw().iter().skip(channel).step_by(3)).copied().collect()
}

impl FileFormat for Faces {
    /// Lines of the partition file: as many as pictures, none that is none of it.
    fn check(&self, set: &Known, file: &KnownFile, content: &Content) -> Result<()> {
        if file.role == "pictures" {
            return Ok(());
        }
        let lines = parts(&content.path, &content.bytes)?.len();
        match lines == file.items {
            true => Ok(()),
            false => Err(Error::data(&content.path, format!("has {lines} lines, not {}", file.items), set.remedy())),
        }
    }

    /// Of the pictures their names alone, whose hash is taken; they are not decoded.
    fn read(&self, set: &Known, file: &KnownFile, folders: &[PathBuf]) -> Result<Content> {
        match file.role.as_str() {
            "pictures" => count(file, locate::path(set, file, folders)?),
            _ => locate::read(set, file, folders),
        }
    }

    /// The pictures, and the partition if it is there.
    fn enough<'a>(&self, set: &'a Known, here: &dyn Fn(&KnownFile) -> bool) -> Vec<&'a KnownFile> {
        set.files.iter().filter(|file| file.role == "pictures" || here(file)).collect()
    }
}

/// The names of the pictures, if they are all there.
///
/// # Errors
/// The folder cannot be read, or has more or fewer pictures than the set.
fn count(file: &KnownFile, path: PathBuf) -> Result<Content> {
    let found = pictures(&path)?;
    if found.len() != file.items {
        let what = format!("holds {} pictures, not {}", found.len(), file.items);
        return Err(Error::data(&path, what, "unpack img_align_celeba.zip again; training uses those that are there"));
    }
    let names: Vec<_> = found.iter().filter_map(|p| p.file_name()).map(|n| n.to_string_lossy()).collect();
    let sha256 = sha256(names.join("\n").as_bytes());
    Ok(Content { path, bytes: Vec::new(), sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_line_by_line() {
        let read = |text: &str| parts(Path::new("list.txt"), text.as_bytes());
        let found = read("\u{feff}a.jpg 0\r\nb.jpg 1\n\nc.jpg 2\n").unwrap();
        assert_eq!(
            found.into_iter().map(|(name, test)| format!("{name}:{test}")).collect::<Vec<_>>(),
            ["a.jpg:false", "b.jpg:false", "c.jpg:true"]
        );
        for (text, says) in [("a.jpg 3", "line 1"), ("a.jpg 0\nb.jpg", "line 2: `b.jpg`"), ("\na b 0", "line 2")] {
            let error = read(text).unwrap_err();
            assert!(error.exit_code() == 4 && error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn channels_come_one_after_another() {
        let picture = RgbImage::from_raw(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(planes(&picture), [1, 4, 2, 5, 3, 6]);
    }
}
