//! CelebA, aligned pictures of faces cropped at the centre and made smaller: `images` with its keys set, the official
//! parts, and what is known of the files.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::pictures::album::{self, Gathered};
use super::pictures::folder::Picture;
use super::pictures::keys::{Channels, ImagesConfig};
use crate::config::{Schema, decode, rule};
use crate::data::files::{
    format::FileFormat,
    locate::{self, Content},
    manifest::{self, Known, KnownFile},
};
use crate::data::keys::Pixels;
use crate::data::pipeline::split::Split;
use crate::data::row::{DatasetRow, Origin};
use crate::data::source::{Images, Source};
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
        /// Keep the decoded pictures under `$EBM_CACHE` (or the system's folder for caches) for the next start.
        [may_change] cache: bool = true;
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
    pictures: true,
    example: "",
    build: |table| {
        let (keys, pixels): (Celeba, Pixels) = decode(table)?;
        let set = manifest::find("celeba")?;
        Ok(Source::Images(load(&set, &keys, &pixels)?))
    },
};

const REMEDY: &str = "unpack the archive again, or move them away; of smaller pictures, lower `dataset.crop`";

/// Reads all pictures, the test ones last.
fn load(set: &Known, keys: &Celeba, pixels: &Pixels) -> Result<Images> {
    let folders = locate::folders(set, &keys.path);
    let (folder, mut pictures) = listed(set, &folders)?;
    if keys.pictures > 0 {
        pictures.truncate(keys.pictures);
    }
    let preset = ImagesConfig {
        size: keys.size,
        centre: keys.crop,
        channels: Channels::Rgb,
        labels: "none".into(),
        test: keys.test,
        cache: keys.cache,
        ..ImagesConfig::default()
    };
    let faces = Gathered { folder: &folder, pictures, encoded: &album::Files, remedy: REMEDY, by_name: false };
    album::load(&faces, &preset, pixels)
}

/// The folder of the pictures, and every picture of the set in the order of the names.
fn listed(set: &Known, folders: &[PathBuf]) -> Result<(PathBuf, Vec<Picture>)> {
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
    let part = |path: PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let part = match &partition {
            None => None,
            Some((file, parts)) => match parts.get(&name) {
                Some(test) => Some(if *test { Split::Test } else { Split::Train }),
                None => {
                    let what = format!("does not say to which part {} belongs", path.display());
                    return Err(Error::data(
                        file,
                        what,
                        "move the file away: test pictures are then drawn by `dataset.test`",
                    ));
                }
            },
        };
        Ok(Picture { path, row: 0, name, part, class: None })
    };
    let pictures = found.into_iter().map(part).collect::<Result<_>>()?;
    Ok((folder, pictures))
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
}
