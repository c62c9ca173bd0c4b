//! The arrays of a set of pictures: which ones hold pictures, which labels, and for which part, by their names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::folder;
use super::keys::ImagesConfig;
use crate::data::formats::stream::{Layout, Place};
use crate::data::formats::{npy, npz};
use crate::data::pipeline::split::Split;
use crate::store::fs::visible;
use crate::{Error, Result};

/// Pictures in one array, and their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    /// Where the pictures are.
    pub pictures: Place,
    /// Where their labels are, one a picture.
    pub labels: Option<Place>,
    /// The part of the set that they are, if their name says so.
    pub part: Option<Split>,
}

/// An array by its name.
struct Named {
    place: Place,
    /// As it is written, without ending.
    name: String,
    /// The name without what says the part.
    bare: String,
    part: Option<Split>,
    /// None of what holds no numbers.
    layout: Option<Layout>,
}

impl Named {
    fn new(place: Place, name: &str) -> Self {
        let words: Vec<String> =
            name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
        let is_part = |word: &String| part_of(word);
        let part = words.iter().find_map(is_part);
        let bare: Vec<&str> = words.iter().filter(|word| is_part(word).is_none()).map(String::as_str).collect();
        let layout = place.layout().ok();
        Named { name: name.to_owned(), bare: bare.join("_"), part, layout, place }
    }

    fn holds_pictures(&self) -> bool {
        self.layout.as_ref().is_some_and(|layout| matches!(layout.shape.len(), 3 | 4))
    }

    /// Words have no layout, as they are no numbers.
    fn may_hold_labels(&self) -> bool {
        self.layout.as_ref().is_none_or(|layout| matches!(layout.shape.as_slice(), [_] | [_, 1]))
    }

    fn is_called(&self, wanted: &str) -> bool {
        self.name == wanted || self.bare == wanted.to_lowercase()
    }

    fn shown(&self) -> String {
        let shape = self.layout.as_ref().map_or_else(|| "no numbers".into(), |layout| format!("{:?}", layout.shape));
        format!("{} {shape}", self.name.escape_debug())
    }
}

fn part_of(word: &str) -> Option<Split> {
    if word == "t10k" { Some(Split::Test) } else { folder::part_called(word) }
}

/// Whether a folder holds arrays and no pictures.
///
/// # Errors
/// A folder that cannot be read.
pub fn is_one(folder: &Path) -> Result<bool> {
    let top = visible(folder)?;
    Ok(top.iter().any(|path| is_array(path)) && !top.iter().any(|path| path.is_dir() || folder::is_picture(path)))
}

/// `x.npy`, `x.npz`, `x-idx3-ubyte`, `x.idx`, and all but archives gzipped.
fn is_array(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    path.is_file() && ([".npy", ".idx", "ubyte"].iter().any(|end| plain.ends_with(end)) || name.ends_with(".npz"))
}

/// The arrays of pictures in a file or a folder, in the order of the parts.
///
/// # Errors
/// No array of pictures; several for one part, unless a key chooses; labels that are not there.
pub fn stacks(path: &Path, keys: &ImagesConfig) -> Result<Vec<Stack>> {
    let all = arrays(path)?;
    let shown: Vec<String> = all.iter().map(Named::shown).collect();
    let shown = shown.join(", ");
    let candidates = all.iter().filter(|array| match keys.array.as_str() {
        "" => array.holds_pictures() || all.len() == 1,
        wanted => array.is_called(wanted),
    });
    let mut parts: BTreeMap<Option<Split>, Vec<&Named>> = BTreeMap::new();
    candidates.for_each(|array| parts.entry(array.part).or_default().push(array));
    // Beside other parts, pictures of none are for training.
    if parts.len() > 1
        && let Some(rest) = parts.remove(&None)
    {
        parts.entry(Some(Split::Train)).or_default().extend(rest);
    }
    let mut stacks = Vec::new();
    for (part, arrays) in &parts {
        let [array] = arrays.as_slice() else {
            let what = format!("{} has several arrays of pictures: {shown}", path.display());
            return Err(Error::config(what).at("array").hint("set `dataset.array` to the one to be read"));
        };
        if array.layout.is_none() {
            array.place.layout()?;
        }
        let labels = labels_for(path, array, &all, keys, parts.len() == 1)?;
        stacks.push(Stack { pictures: array.place.clone(), labels, part: *part });
    }
    match stacks.is_empty() {
        true => Err(Error::data(
            path,
            format!("has no array of pictures `{}`, but {shown}", keys.array),
            "save them as [N, H, W], [N, H, W, C] or [N, C, H, W]; `dataset.array` names one",
        )),
        false => Ok(stacks),
    }
}

/// Every array in an archive, a folder, or a file by itself.
fn arrays(path: &Path) -> Result<Vec<Named>> {
    if path.is_dir() {
        let files: Vec<PathBuf> = visible(path)?.into_iter().filter(|path| is_array(path)).collect();
        return Ok(files.iter().map(|path| in_file(path)).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect());
    }
    let mut found = in_file(path)?;
    // MNIST's own two files belong together.
    found.extend(partner(path).map(|labels| Named::new(Place::file(&labels), &stem(&labels))));
    Ok(found)
}

fn in_file(path: &Path) -> Result<Vec<Named>> {
    let names = npz::names(path)?;
    Ok(match names {
        None => vec![Named::new(Place::file(path), &stem(path))],
        Some(names) => {
            let place = |member: &String| Place { path: path.to_owned(), member: Some(member.clone()) };
            names.iter().map(|member| Named::new(place(member), member.trim_end_matches(".npy"))).collect()
        }
    })
}

/// The name of a file without `.npy` and `.gz`.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    plain.strip_suffix(".npy").unwrap_or(plain).to_owned()
}

/// `train-labels-idx1-ubyte` of `train-images-idx3-ubyte`, gzipped or not, if it is there.
fn partner(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let other = name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1");
    let plain = other.strip_suffix(".gz").unwrap_or(&other);
    let there = [other.clone(), plain.to_owned(), format!("{plain}.gz")].map(|name| path.with_file_name(name));
    there.into_iter().find(|place| other != name && place.is_file())
}

/// The array of labels for an array of pictures, as the key says.
fn labels_for(path: &Path, of: &Named, all: &[Named], keys: &ImagesConfig, alone: bool) -> Result<Option<Place>> {
    const USUAL: [&str; 9] =
        ["label", "labels", "y", "target", "targets", "class", "classes", "labels_idx1_ubyte", "lab"];
    let wanted = keys.labels.as_str();
    let same_part = |array: &&Named| array.part == of.part && array.may_hold_labels() && array.name != of.name;
    let found: Vec<&Named> = match wanted {
        "none" => return Ok(None),
        "" => all.iter().filter(same_part).collect(),
        wanted => all.iter().filter(same_part).filter(|array| array.is_called(wanted)).collect(),
    };
    let usual: Vec<&Named> = found.iter().filter(|array| USUAL.contains(&array.bare.as_str())).copied().collect();
    match (found.as_slice(), usual.as_slice()) {
        ([one], _) | (_, [one]) => Ok(Some(one.place.clone())),
        ([], _) if wanted.is_empty() => Ok(None),
        ([], _) if alone && Path::new(wanted).is_file() => Ok(Some(Place::file(Path::new(wanted)))),
        ([], _) => {
            let what = format!("{} has no labels `{wanted}` for {}", path.display(), of.name.escape_debug());
            Err(Error::config(what).at("labels").hint("set `dataset.labels` to an array or a file, or to \"none\""))
        }
        (several, _) => {
            let names: Vec<String> = several.iter().map(|array| array.name.escape_debug().to_string()).collect();
            let what = format!("which are the labels of {}: {}?", of.name.escape_debug(), names.join(", "));
            Err(Error::config(what).at("labels").hint("set `dataset.labels` to one of them, or to \"none\""))
        }
    }
}

/// The labels of so many pictures as they are written: of an `.npy` or IDX file, or of text with one a line, under a
/// line of another kind or none.
///
/// # Errors
/// What is no list of labels, or another number of them.
pub fn labels(place: &Place, count: usize) -> Result<Vec<String>> {
    let mut labels = written(place)?;
    if labels.len() == count + 1 && place.layout().is_err() {
        labels.remove(0);
    }
    match labels.len() == count {
        true => Ok(labels),
        false => {
            let what = format!("has {} labels for {count} pictures", labels.len());
            Err(Error::data(&place.shown(), what, "give one label a picture, or set `dataset.labels = \"none\"`"))
        }
    }
}

fn written(place: &Place) -> Result<Vec<String>> {
    let bytes = place.bytes()?;
    if bytes.starts_with(b"\x93NUMPY") {
        return npy::labels(&place.shown(), &bytes);
    }
    if bytes.starts_with(&[0, 0]) {
        let numbers = place.layout()?.numbers;
        let mut labels = Vec::new();
        place.pieces(&mut |_, piece| {
            labels.push(numbers.value(piece).to_string());
            Ok(())
        })?;
        return Ok(labels);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        Error::data(&place.shown(), "is neither an array nor text in UTF-8", "give one label a picture")
    })?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(|line| line.trim().trim_matches('"').to_owned());
    Ok(lines.filter(|line| !line.is_empty()).collect())
}
