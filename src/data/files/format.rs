//! What the files of a data set must look like, and how few of them will do.

use std::path::PathBuf;

use super::{
    locate::{self, Content},
    manifest::{Known, KnownFile},
};
use crate::Result;

/// The files of one data set, or of several that are alike.
pub trait FileFormat: Sync {
    /// Checks one file by itself: format, counts, ranges, hash.
    ///
    /// # Errors
    /// It is truncated, corrupt or not what its name says.
    fn check(&self, set: &Known, file: &KnownFile, content: &Content) -> Result<()>;

    /// What is checked of one file: its bytes, uncompressed.
    ///
    /// # Errors
    /// It is missing or cannot be read.
    fn read(&self, set: &Known, file: &KnownFile, folders: &[PathBuf]) -> Result<Content> {
        locate::read(set, file, folders)
    }

    /// The files without which a set that may be partial cannot be used; `here` tells which files are there.
    fn enough<'a>(&self, set: &'a Known, _here: &dyn Fn(&KnownFile) -> bool) -> Vec<&'a KnownFile> {
        set.files.iter().collect()
    }

    /// The copy of a file inside the program, used where no file of the set is found.
    fn built_in(&self, _file: &KnownFile) -> Option<Result<Content>> {
        None
    }
}

/// A set of files: what the manifest says about it, and how its files are read.
pub struct FileSet {
    /// The manifest's entry.
    pub known: Known,
    /// The format of its files.
    pub format: &'static dyn FileFormat,
}

/// The files without which the set cannot be used.
pub(crate) fn needed<'a>(
    format: &dyn FileFormat,
    set: &'a Known,
    here: &dyn Fn(&KnownFile) -> bool,
) -> Vec<&'a KnownFile> {
    if set.partial { format.enough(set, here) } else { set.files.iter().collect() }
}
