//! Where files lie, and what is in them: search, decompression, hashes.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::manifest::{Known, KnownFile};
use crate::store::checkpoint::sha256;
use crate::{Error, Result};

/// No known file is larger than this once uncompressed; a gzip that goes on beyond it is refused.
const MOST: u64 = 1 << 30;

/// The content of a file, uncompressed.
#[derive(Debug)]
pub struct Content {
    /// Where it was read.
    pub path: PathBuf,
    /// Uncompressed.
    pub bytes: Vec<u8>,
    /// Of `bytes`.
    pub sha256: String,
}

/// The folders in which a set's files are looked for, best first: the one that the configuration names, alone;
/// otherwise `$EBM_DATA/<folder>` and `datasets/<folder>` for every name that the folder goes by.
pub fn folders(set: &Known, path: &str) -> Vec<PathBuf> {
    if !path.is_empty() {
        return vec![path.into()];
    }
    let roots = std::env::var_os("EBM_DATA").filter(|v| !v.is_empty()).map(PathBuf::from);
    let roots = roots.into_iter().chain([PathBuf::from("datasets")]);
    roots.flat_map(|root| set.folders.iter().map(move |folder| root.join(folder))).collect()
}

/// The file in one of the folders, under any spelling: `x-idx3-ubyte`, `x.idx3-ubyte`, with `.gz` or without; for
/// `pictures`, the folder.
pub fn find(folders: &[PathBuf], file: &KnownFile) -> Option<PathBuf> {
    let plain = file.name.trim_end_matches(".gz");
    let dotted = plain.replacen("-idx", ".idx", 1);
    let names = [file.name.clone(), format!("{plain}.gz"), plain.to_owned(), format!("{dotted}.gz"), dotted];
    let is_there = |path: &PathBuf| if file.role == "pictures" { path.is_dir() } else { path.is_file() };
    folders.iter().flat_map(|folder| names.iter().map(|n| folder.join(n))).find(is_there)
}

/// Reads a known file and checks that its content is the known one.
///
/// # Errors
/// It is missing, unreadable, a broken gzip, or its hash is not the one in the manifest.
pub fn read(set: &Known, file: &KnownFile, folders: &[PathBuf]) -> Result<Content> {
    let path = path(set, file, folders)?;
    let bytes = uncompressed(&path)?;
    Ok(Content { sha256: sha256(&bytes), path, bytes })
}

/// Where a known file lies.
///
/// # Errors
/// It is missing.
pub(crate) fn path(set: &Known, file: &KnownFile, folders: &[PathBuf]) -> Result<PathBuf> {
    find(folders, file).ok_or_else(|| missing(set, file, folders))
}

/// The content of a gzipped file inside the program.
///
/// # Errors
/// None in a binary that passed its tests.
pub(crate) fn packed(name: &str, raw: &[u8]) -> Result<Content> {
    let path = PathBuf::from(format!("(built in) {name}"));
    let bytes = gunzip(&path, raw)?;
    Ok(Content { sha256: sha256(&bytes), path, bytes })
}

/// Refuses content that is well-formed but not what its name says.
///
/// # Errors
/// The hash differs from the manifest's.
pub fn check_hash(set: &Known, file: &KnownFile, content: &Content) -> Result<()> {
    match &file.content_sha256 {
        Some(want) if *want != content.sha256 => {
            let what = format!(
                "is not {} of {}: sha256 of its content is {}, not {want}",
                file.role, set.name, content.sha256
            );
            Err(Error::data(&content.path, what, format!("move the file away; {}", set.remedy())))
        }
        _ => Ok(()),
    }
}

fn missing(set: &Known, file: &KnownFile, folders: &[PathBuf]) -> Error {
    let places: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
    let at = folders.first().map_or_else(|| file.name.clone().into(), |folder| folder.join(&file.name));
    let what =
        format!("{} of {} is missing (with or without .gz); looked in {}", file.role, set.name, places.join(", "));
    Error::data(&at, what, set.remedy())
}

/// A file's bytes; of a gzip, recognised by its first bytes as names lie, what its members hold one after another.
///
/// # Errors
/// It cannot be read, the gzip is truncated or corrupt, bytes follow it, or it is absurdly large.
pub fn uncompressed(path: &Path) -> Result<Vec<u8>> {
    let raw = std::fs::read(path)
        .map_err(|e| Error::data(path, format!("cannot be read: {e}"), "name a file that is there and may be read"))?;
    if raw.starts_with(GZIP) { gunzip(path, &raw) } else { Ok(raw) }
}

/// The first bytes of every member of a gzip.
pub(crate) const GZIP: &[u8] = &[0x1f, 0x8b];

fn gunzip(path: &Path, raw: &[u8]) -> Result<Vec<u8>> {
    const REMEDY: &str = "the download is incomplete or damaged: move the file away and fetch it again";
    let (mut rest, mut bytes) = (raw, Vec::new());
    while !rest.is_empty() {
        let at = raw.len() - rest.len();
        if !rest.starts_with(GZIP) {
            let what = format!("{} bytes follow the end of the gzip at byte {at}", rest.len());
            return Err(Error::data(path, what, REMEDY));
        }
        let mut decoder = flate2::bufread::GzDecoder::new(rest);
        let outcome = decoder.by_ref().take(MOST - bytes.len() as u64).read_to_end(&mut bytes);
        rest = decoder.into_inner();
        if let Err(e) = outcome {
            let at = raw.len() - rest.len();
            let what = format!("broken gzip at byte {at} (after {} bytes of content): {e}", bytes.len());
            return Err(Error::data(path, what, REMEDY));
        }
        if bytes.len() as u64 >= MOST {
            return Err(Error::data(path, "holds more than 1 GiB", REMEDY));
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn member(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn all_members_of_a_gzip_are_read() {
        let read = |raw: &[u8]| gunzip(Path::new("x.gz"), raw);
        let two = [member(b"1,2\n"), member(b""), member(b"3,4\n")].concat();
        assert_eq!(read(&two).unwrap(), b"1,2\n3,4\n");
        assert_eq!(read(&member(b"")).unwrap(), b"");
        for end in member(b"1,2\n").len() + 2..two.len() {
            let whole = end == [member(b"1,2\n"), member(b"")].concat().len();
            assert_eq!(read(&two[..end]).is_ok(), whole, "cut at {end}");
        }
        let error = read(&[&two[..], b"x"].concat()).unwrap_err();
        assert!(error.exit_code() == 4 && error.to_string().contains("1 bytes follow the end"), "{error}");
    }
}
