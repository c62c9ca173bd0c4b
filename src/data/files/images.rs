//! Sets of labelled images in files: the training files one after the other, then the test files.

use std::path::PathBuf;

use super::{
    format::{self, FileFormat},
    locate::{self, Content},
    manifest::{self, Known, KnownFile},
};
use crate::Result;
use crate::data::source::{Images, TestItems};
use crate::store::checkpoint::sha256;

/// A format of files that hold labelled images.
pub trait ImageFormat: FileFormat {
    /// No images yet: their shape, grey levels and classes.
    fn empty(&self) -> Images;

    /// Checks one file and appends the pixels or labels, or both, that are in it.
    ///
    /// # Errors
    /// It is truncated, corrupt or not what its name says.
    fn append(&self, images: &mut Images, set: &Known, file: &KnownFile, content: &Content) -> Result<()>;
}

/// The images of the set called `name`: from the folder `path`; if that is empty, from the folders where the set is
/// looked for; and if there is no file of it, from the copy in the program, where the format has one.
///
/// # Errors
/// A file that is missing, truncated, corrupt or not what its name says.
pub fn open(format: &dyn ImageFormat, name: &str, path: &str) -> Result<Images> {
    let set = manifest::find(name)?;
    let folders = locate::folders(&set, path);
    let absent = set.files.iter().all(|file| locate::find(&folders, file).is_none());
    if path.is_empty() && absent {
        let copies = set.files.iter().map(|file| Some((file, format.built_in(file)?)));
        if let Some(copies) = copies.collect::<Option<Vec<_>>>() {
            return assemble(format, &set, copies.into_iter());
        }
    }
    load(format, &set, &folders)
}

/// The images in the files that the set needs; each file is read when the one before it is done with, as it may be
/// large.
///
/// # Errors
/// As [`open`].
pub fn load(format: &dyn ImageFormat, set: &Known, folders: &[PathBuf]) -> Result<Images> {
    let files = format::needed(format, set, &|file| locate::find(folders, file).is_some());
    files.iter().try_for_each(|file| locate::path(set, file, folders).map(drop))?;
    assemble(format, set, files.into_iter().map(|file| (file, format.read(set, file, folders))))
}

/// The images in the contents of files, in the manifest's order.
///
/// # Errors
/// As [`open`].
pub fn assemble<'a>(
    format: &dyn ImageFormat,
    set: &Known,
    files: impl Iterator<Item = (&'a KnownFile, Result<Content>)>,
) -> Result<Images> {
    let mut images = format.empty();
    let (mut hashes, mut tests) = (String::new(), None);
    for (file, content) in files {
        if file.role.starts_with("test") && tests.is_none() {
            tests = Some(images.len());
        }
        let content = content?;
        format.append(&mut images, set, file, &content)?;
        hashes += &content.sha256;
    }
    let test = tests.map_or(images.test, TestItems::From);
    Ok(Images { test, sha256: sha256(hashes.as_bytes()), ..images })
}
