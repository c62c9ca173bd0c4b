//! Just enough of tar to take known files out of an archive whose hash has been checked.
//!
//! A header of 512 bytes (name at 0, size in octal at 124), the content, zeros up to a multiple of 512.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::GzDecoder;

use crate::{Error, Result};

/// The content of the member of a gzipped tar whose last path component is `name`.
///
/// # Errors
/// The archive cannot be read or has no such member.
pub(crate) fn member(archive: &Path, name: &str) -> Result<Vec<u8>> {
    let file = File::open(archive).map_err(Error::io(archive))?;
    let found = search(GzDecoder::new(BufReader::new(file)), name).map_err(Error::io(archive))?;
    found.ok_or_else(|| Error::data(archive, format!("has no file {name}"), "move the archive away and fetch it again"))
}

fn search(mut tar: impl Read, name: &str) -> std::io::Result<Option<Vec<u8>>> {
    let mut header = [0; 512];
    loop {
        tar.read_exact(&mut header)?;
        let path = text(&header[..100]);
        if path.is_empty() {
            return Ok(None);
        }
        let size = u64::from_str_radix(text(&header[124..136]).trim(), 8)
            .map_err(|_| std::io::Error::other(format!("the size of {path} in the archive is not a number")))?;
        let mut content = tar.by_ref().take(size);
        if path.rsplit('/').next() == Some(name) {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            return Ok(Some(bytes));
        }
        std::io::copy(&mut content, &mut std::io::sink())?;
        std::io::copy(&mut tar.by_ref().take(size.next_multiple_of(512) - size), &mut std::io::sink())?;
    }
}

/// A field up to its first zero byte.
fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field.split(|&b| b == 0).next().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One member of a tar.
    fn entry(name: &str, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        bytes[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    #[test]
    fn members_are_found_by_their_last_component() {
        let tar = [entry("a/", b""), entry("a/one", &[1; 700]), entry("a/two", b"2"), vec![0; 1024]].concat();
        assert_eq!(search(&*tar, "one").unwrap(), Some(vec![1; 700]));
        assert_eq!(search(&*tar, "two").unwrap(), Some(b"2".to_vec()));
        assert_eq!(search(&*tar, "three").unwrap(), None);
        assert!(search(&tar[..900], "two").is_err());
    }
}
