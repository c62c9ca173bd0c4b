//! The known files (`datasets/manifest.toml`, compiled in): names, sizes, hashes, homes.

use serde::Deserialize;

use crate::config::nearest;
use crate::{Error, Result, shell};

/// A data set that consists of files.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The registry row.
    pub name: String,
    /// One line for listings.
    pub about: String,
    /// Under what terms the data may be used.
    pub licence: String,
    /// Whom to cite.
    pub cite: String,
    /// Its page.
    pub home: String,
    /// Folder names it goes by; downloads go to the first.
    pub folders: Vec<String>,
    /// URLs that end in `/`, to which a file name is appended.
    pub mirrors: Vec<String>,
    /// How to get it by hand where it cannot be fetched.
    #[serde(default)]
    pub manual: Option<String>,
    /// The archive that holds the files, if they are not served one by one.
    #[serde(default)]
    pub archive: Option<Archive>,
    /// Some training files may be missing, or all of an IDX set: it is then smaller, or there to test with, but usable.
    #[serde(default)]
    pub partial: bool,
    /// What it consists of.
    #[serde(rename = "file")]
    pub files: Vec<KnownFile>,
}

/// A gzipped tar that holds the files of a set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// File name at the mirror.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Of the archive.
    pub sha256: String,
}

/// One file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownFile {
    /// `train-images`, `train-labels`, `test-images`, `test-labels`; `train`, `test` where one file has both;
    /// `pictures` is a folder of them, `partition` says which are for testing.
    pub role: String,
    /// File name at the mirror; found without `.gz` and with `.idx` for `-idx` too.
    pub name: String,
    /// Images or labels in it.
    pub items: usize,
    /// Bytes, as downloaded.
    #[serde(default)]
    pub size: Option<u64>,
    /// As downloaded.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Of the content, uncompressed.
    #[serde(default)]
    pub content_sha256: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    set: Vec<Known>,
}

impl Known {
    /// The folder that downloads go to, below the data root.
    pub fn folder(&self) -> &str {
        self.folders.first().unwrap_or(&self.name)
    }

    /// What a user without the files should do.
    pub fn remedy(&self) -> String {
        match &self.manual {
            Some(manual) => manual.clone(),
            None => {
                let fetch = shell::ebm_on("data fetch", self.name.as_ref());
                format!("run `{fetch}`, or set $EBM_DATA to the folder that has them")
            }
        }
    }
}

/// All known sets.
///
/// # Errors
/// None in a binary that passed its tests: the manifest is compiled in.
pub fn known() -> Result<Vec<Known>> {
    parse(include_str!("../../../datasets/manifest.toml"))
}

/// The sets of a manifest.
///
/// # Errors
/// It is not written as `datasets/manifest.toml` is.
pub fn parse(text: &str) -> Result<Vec<Known>> {
    let manifest: Manifest =
        toml::from_str(text).map_err(|e| Error::Other(format!("the manifest of data sets: {e}")))?;
    Ok(manifest.set)
}

/// The known set called `name`.
///
/// # Errors
/// A name that is none of them.
pub fn find(name: &str) -> Result<Known> {
    let sets = known()?;
    let names: Vec<String> = sets.iter().map(|s| s.name.clone()).collect();
    sets.into_iter().find(|s| s.name == name).ok_or_else(|| {
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        let near = nearest(name, &known).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        let hint = format!("{near}these are: {}", names.join(", "));
        Error::config(format!("`{name}` is not a data set of files")).hint(hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_well_formed() {
        for set in known().unwrap() {
            assert!(set.mirrors.iter().all(|url| url.ends_with('/')));
            assert!(!set.mirrors.is_empty() || set.manual.is_some(), "{}", set.name);
            for file in &set.files {
                let hashes = [&file.sha256, &file.content_sha256];
                assert!(hashes.into_iter().flatten().all(|h| h.len() == 64), "{}", file.name);
                let fetched = !set.mirrors.is_empty() && set.archive.is_none();
                assert!(!fetched || (file.size.is_some() && file.sha256.is_some()), "{}", file.name);
            }
        }
        assert_eq!(find("mnits").unwrap_err().exit_code(), 2);
    }
}
