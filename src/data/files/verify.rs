//! Are the files there, and are they what they should be?

use std::path::PathBuf;

use serde::Serialize;

use super::{
    locate::{self, Content},
    manifest::{Known, KnownFile},
};
use crate::Result;
use crate::data::formats::idx;
use crate::data::sets::{celeba, cifar, digits, mnist, svhn};

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

/// Reads every file of a set: size, hash, and the format inside.
pub fn verify(set: &Known, folders: &[PathBuf]) -> Report {
    let mut files: Vec<Finding> = set.files.iter().map(|file| look(set, file, folders)).collect();
    if set.name == "digits" && files.iter().all(|f| f.state == FileState::Missing) {
        let built_in = |file| judge(set, file, digits::built_in_file(file));
        files = set.files.iter().map(built_in).collect();
    }
    let good = |role: &str| files.iter().any(|f| f.role == role && f.state == FileState::Good);
    let complete = files.iter().all(|f| f.state == FileState::Good);
    let parts = match set.name.as_str() {
        "celeba" => good("pictures"),
        // As `idx::load` has it: the test files alone, or all.
        "emnist_letters" => files.iter().all(|f| (f.state == FileState::Missing) == f.role.starts_with("train")),
        _ => good("train") && good("test"),
    };
    let enough = set.partial && parts && files.iter().all(|f| f.state != FileState::Bad);
    Report { name: set.name.clone(), usable: complete || enough, files }
}

fn look(set: &Known, file: &KnownFile, folders: &[PathBuf]) -> Finding {
    let Some(path) = locate::find(folders, file) else { return finding(file, FileState::Missing) };
    if file.role == "pictures" {
        return judge(set, file, celeba::count(file, path));
    }
    judge(set, file, locate::read(set, file, folders))
}

fn judge(set: &Known, file: &KnownFile, content: Result<Content>) -> Finding {
    let checked = content.and_then(|content| check(set, file, &content).map(|()| content));
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

/// Checks one file by itself: format, counts, ranges, hash.
pub(crate) fn check(set: &Known, file: &KnownFile, content: &Content) -> Result<()> {
    match set.name.as_str() {
        "cifar10" | "cifar100" => cifar::check(set, file, content),
        "svhn" => svhn::check(set, file, content),
        "celeba" => celeba::check(set, file, content),
        name => idx::check(set, file, content, mnist::form(name)),
    }
}

fn finding(file: &KnownFile, state: FileState) -> Finding {
    Finding { role: file.role.clone(), name: file.name.clone(), state, path: None, sha256: None, problem: None }
}
