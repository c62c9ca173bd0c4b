//! Are the files there, and are they what they should be?

use std::path::PathBuf;

use serde::Serialize;

use super::{
    format::{self, FileSet},
    locate::{self, Content},
    manifest::KnownFile,
};
use crate::Result;

/// What was found out about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileState {
    /// Complete, well-formed and, where a hash is known, the original.
    Good,
    /// Nowhere.
    Missing,
    /// There, but not what its name says.
    Bad,
}

/// One file of a set.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What it is for.
    pub role: String,
    /// Its name in the manifest.
    pub name: String,
    /// The verdict.
    pub state: FileState,
    /// Where it was found.
    pub path: Option<PathBuf>,
    /// Of its content, uncompressed.
    pub sha256: Option<String>,
    /// What is wrong with it.
    pub problem: Option<String>,
}

/// One set.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The registry row.
    pub name: String,
    /// Whether it can be trained on.
    pub usable: bool,
    /// Every file that it consists of.
    pub files: Vec<Finding>,
}

impl Report {
    /// Whether not one of its files is there.
    pub fn absent(&self) -> bool {
        self.files.iter().all(|f| f.state == FileState::Missing)
    }

    /// Whether a file is there that should not be used.
    pub fn bad(&self) -> bool {
        self.files.iter().any(|f| f.state == FileState::Bad)
    }
}

/// Reads every file of a set: size, hash, and the format inside. Where not one is found, the copies in the program are
/// read.
pub fn verify(set: &FileSet, folders: &[PathBuf]) -> Report {
    let FileSet { known, format } = set;
    let mut files: Vec<Finding> = known.files.iter().map(|file| look(set, file, folders)).collect();
    if files.iter().all(|f| f.state == FileState::Missing) {
        let copies = known.files.iter().map(|file| Some(judge(set, file, format.built_in(file)?)));
        files = copies.collect::<Option<Vec<_>>>().unwrap_or(files);
    }
    let state = |file: &KnownFile| files.iter().find(|f| f.name == file.name).map(|f| f.state);
    let needed = format::needed(*format, known, &|file| state(file) != Some(FileState::Missing));
    let enough = needed.into_iter().all(|file| state(file) == Some(FileState::Good));
    let usable = enough && files.iter().all(|f| f.state != FileState::Bad);
    Report { name: known.name.clone(), usable, files }
}

fn look(set: &FileSet, file: &KnownFile, folders: &[PathBuf]) -> Finding {
    match locate::find(folders, file) {
        Some(_) => judge(set, file, set.format.read(&set.known, file, folders)),
        None => finding(file, FileState::Missing),
    }
}

fn judge(set: &FileSet, file: &KnownFile, content: Result<Content>) -> Finding {
    let checked = content.and_then(|content| set.format.check(&set.known, file, &content).map(|()| content));
    match checked {
        Ok(content) => {
            Finding { path: Some(content.path), sha256: Some(content.sha256), ..finding(file, FileState::Good) }
        }
        Err(crate::Error::Data { path, what, .. }) => {
            Finding { path: Some(path), problem: Some(what), ..finding(file, FileState::Bad) }
        }
        Err(other) => Finding { problem: Some(other.to_string()), ..finding(file, FileState::Bad) },
    }
}

fn finding(file: &KnownFile, state: FileState) -> Finding {
    Finding { role: file.role.clone(), name: file.name.clone(), state, path: None, sha256: None, problem: None }
}
