//! The pictures in a folder: which there are, what class and what part of the set each belongs to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::data::pipeline::split::Split;
use crate::store::fs::visible;
use crate::{Error, Result};

/// Endings of the names of pictures that are read.
pub const ENDINGS: [&str; 8] = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"];

/// Folders are looked through to this depth; deeper ones are a loop of links.
pub const DEEPEST: usize = 12;

/// A picture in a folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// The file that it lies in.
    pub path: PathBuf,
    /// The row of it, if the file is a table of pictures; else 0.
    pub row: usize,
    /// Its path within the folder, with `/` between names on every system: what its part is drawn by.
    pub name: String,
    /// The part that a folder called `train`, `validation` or `test` puts it into.
    pub part: Option<Split>,
    /// The sub-folder that it lies in, if sub-folders are classes.
    pub class: Option<String>,
}

/// The pictures below a folder in the order of their names. At the top, folders called `train`, `validation` (or `val`,
/// `valid`, `dev`) and `test` are the parts of the set; the folders below, or at the top without such, are classes
/// where `classes` says so. Hidden files and what systems leave behind (`._x.jpg`, `__MACOSX`) are no pictures.
///
/// # Errors
/// A folder that cannot be read or holds no picture; pictures beside the folders of classes.
pub fn pictures(folder: &Path, classes: bool) -> Result<Vec<Picture>> {
    let mut found = Vec::new();
    let mut others = BTreeMap::new();
    let top = visible(folder)?;
    let parts: Vec<_> = top.iter().filter_map(|path| Some((path.clone(), part(path)?))).collect();
    match parts.is_empty() {
        true => below(folder, None, classes, &mut found, &mut others)?,
        false => {
            if let Some(path) = top.iter().find(|path| part(path).is_none() && (path.is_dir() || is_picture(path))) {
                let what = format!("lies beside `{}`, which is a part of the set", parts[0].1);
                return Err(Error::data(path, what, "move it into one of the parts, or out of the folder"));
            }
            for (path, part) in parts {
                below(&path, Some(part), classes, &mut found, &mut others)?;
            }
        }
    }
    if found.is_empty() {
        return Err(none_in(folder, &others));
    }
    for picture in &mut found {
        let inner = picture.path.strip_prefix(folder).unwrap_or(&picture.path);
        let names: Vec<_> = inner.components().map(|c| c.as_os_str().to_string_lossy()).collect();
        picture.name = names.join("/");
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The pictures of one part.
fn below(
    folder: &Path,
    part: Option<Split>,
    classes: bool,
    found: &mut Vec<Picture>,
    others: &mut BTreeMap<String, usize>,
) -> Result<()> {
    let (folders, files): (Vec<_>, Vec<_>) = visible(folder)?.into_iter().partition(|path| path.is_dir());
    let classes = classes && !folders.is_empty();
    let here = files.iter().find(|path| is_picture(path));
    if let (true, Some(path)) = (classes, here) {
        return Err(Error::data(
            path,
            "lies beside folders, which are the classes, and so has none",
            "move it into the folder of its class, or set `dataset.labels = \"none\"`",
        ));
    }
    let mut put = |paths: Vec<PathBuf>, class: Option<&str>| {
        for path in paths {
            match is_picture(&path) {
                true => {
                    let class = class.map(str::to_owned);
                    found.push(Picture { path, row: 0, name: String::new(), part, class });
                }
                false => *others.entry(ending(&path)).or_default() += 1,
            }
        }
    };
    put(files, None);
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        put(all_files(&folder, DEEPEST)?, classes.then_some(&name));
    }
    Ok(())
}

/// Every file in a folder and in those below it, to a depth.
///
/// # Errors
/// A folder that cannot be read, or lies too deep.
pub fn all_files(folder: &Path, depth: usize) -> Result<Vec<PathBuf>> {
    if depth == 0 {
        return Err(Error::data(folder, "lies too deep: is a link a loop?", "remove the link"));
    }
    let (folders, mut files): (Vec<_>, Vec<_>) = visible(folder)?.into_iter().partition(|path| path.is_dir());
    for folder in folders {
        files.extend(all_files(&folder, depth - 1)?);
    }
    Ok(files)
}

fn part(path: &Path) -> Option<Split> {
    part_called(&path.file_name()?.to_str()?.to_lowercase()).filter(|_| path.is_dir())
}

/// The part of a set that goes by this name.
pub fn part_called(name: &str) -> Option<Split> {
    match name {
        "train" | "training" => Some(Split::Train),
        "validation" | "val" | "valid" | "dev" => Some(Split::Validation),
        "test" | "testing" => Some(Split::Test),
        _ => None,
    }
}

fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// Whether the name of a file ends as one of a picture.
pub fn is_picture(path: &Path) -> bool {
    ENDINGS.contains(&ending(path).as_str())
}

fn none_in(folder: &Path, others: &BTreeMap<String, usize>) -> Error {
    let held: Vec<String> = others.iter().map(|(ending, n)| format!("{n} × .{ending}")).collect();
    let held = if held.is_empty() { "nothing".into() } else { held.join(", ") };
    let what = format!("holds no picture that is read ({}), but {held}", ENDINGS.join(", "));
    Error::data(folder, what, "give the folder of the pictures, or convert them to PNG")
}

/// The names of the classes in their order: as numbers where all are, else by their bytes.
pub fn ordered(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let names: BTreeSet<String> = names.into_iter().collect();
    let mut names: Vec<String> = names.into_iter().collect();
    if names.iter().all(|name| name.parse::<i64>().is_ok()) {
        names.sort_by_key(|name| name.parse::<i64>().unwrap_or(0));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
        dir
    }

    type Named = (String, Option<Split>, Option<String>);

    fn listed(names: &[&str], classes: bool) -> Result<Vec<Named>> {
        let dir = made(names);
        Ok(pictures(dir.path(), classes)?.into_iter().map(|p| (p.name, p.part, p.class)).collect())
    }

    fn named(name: &str, part: Option<Split>, class: Option<&str>) -> Named {
        (name.into(), part, class.map(str::to_owned))
    }

    #[test]
    fn sub_folders_are_classes_and_parts_are_parts() {
        let flat = listed(&["b.PNG", "a.jpeg", "notes.txt", "._a.jpeg", ".hidden/c.png"], true).unwrap();
        assert_eq!(flat, [named("a.jpeg", None, None), named("b.PNG", None, None)]);
        let classes = ["dog/1.png", "cat/deep/2.webp", "__MACOSX/x.png", "cat/Thumbs.db"];
        let found = listed(&classes, true).unwrap();
        assert_eq!(found, [named("cat/deep/2.webp", None, Some("cat")), named("dog/1.png", None, Some("dog"))]);
        assert!(listed(&classes, false).unwrap().iter().all(|(.., class)| class.is_none()));
        let parts = listed(&["train/a/1.png", "val/a/2.png", "test/a/3.png"], true).unwrap();
        let want = [("test/a/3.png", Split::Test), ("train/a/1.png", Split::Train), ("val/a/2.png", Split::Validation)];
        assert_eq!(parts, want.map(|(name, part)| named(name, Some(part), Some("a"))));
    }

    #[test]
    fn a_folder_that_says_two_things_or_nothing_is_refused() {
        let says = |names: &[&str], words: &[&str]| {
            let error = listed(names, true).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{names:?}: {error}");
        };
        says(&["a/1.png", "2.png"], &["2.png", "labels = \"none\""]);
        says(&["train/1.png", "b/2.png"], &["b", "part"]);
        says(&["1.heic", "2.heic", "a/notes.txt"], &["2 × .heic", "1 × .txt", "webp"]);
        says(&[], &["nothing"]);
    }

    #[test]
    fn classes_that_are_numbers_are_in_their_order() {
        assert_eq!(ordered(["10", "9", "2"].map(String::from)), ["2", "9", "10"]);
        assert_eq!(ordered(["b", "10", "9"].map(String::from)), ["10", "9", "b"]);
    }
}
