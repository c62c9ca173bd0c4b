//! Known files out of a gzipped tar whose hash has been checked.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::{Error, Result};

/// The content of the member of a gzipped tar whose last path component is `name`.
///
/// # Errors
/// The archive cannot be read or has no such member.
pub(crate) fn member(archive: &Path, name: &str) -> Result<Vec<u8>> {
    const REMEDY: &str = "move the archive away and fetch it again";
    let file = File::open(archive).map_err(Error::io(archive))?;
    let found = search(MultiGzDecoder::new(BufReader::new(file)), name)
        .map_err(|e| Error::data(archive, format!("cannot be unpacked: {e}"), REMEDY))?;
    found.ok_or_else(|| Error::data(archive, format!("has no file {name}"), REMEDY))
}

fn search(tar: impl Read, name: &str) -> io::Result<Option<Vec<u8>>> {
    for entry in tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        let named = entry.path()?.file_name() == Some(OsStr::new(name));
        if !named || !entry.header().entry_type().is_file() {
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        return match bytes.len() as u64 == entry.size() {
            true => Ok(Some(bytes)),
            false => Err(io::Error::other(format!("{name} ends after {} of {} bytes", bytes.len(), entry.size()))),
        };
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: tar::EntryType, size: usize) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(size as u64);
        header
    }

    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in members {
            let kind = if path.ends_with('/') { tar::EntryType::Directory } else { tar::EntryType::Regular };
            builder.append_data(&mut header(kind, content.len()), path, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn members_are_found_by_their_last_component() {
        let tar = archive(&[("a/", b""), ("a/one", &[1; 700]), ("a/two", b"2")]);
        assert_eq!(search(&*tar, "one").unwrap(), Some(vec![1; 700]));
        assert_eq!(search(&*tar, "two").unwrap(), Some(b"2".to_vec()));
        assert_eq!(search(&*tar, "three").unwrap(), None);
        assert_eq!(search(&*tar, "a").unwrap(), None, "a folder is no file");
        for end in [900, 1100, 1600] {
            assert!(search(&tar[..end], "two").is_err(), "cut at {end}");
        }
        assert!(search(&tar[..1300], "one").is_err(), "a file that is cut off is none");
    }

    #[test]
    fn a_prefix_and_long_names_are_read() {
        let folders = "folder/".repeat(20);
        let long = "n".repeat(120);
        // Folders of 140 bytes go to the prefix field of ustar, a name of 120 bytes to GNU's member before the file.
        let tar = archive(&[(&format!("{folders}short"), b"prefixed"), (&long, b"gnu")]);
        assert_eq!(search(&*tar, "short").unwrap(), Some(b"prefixed".to_vec()));
        assert_eq!(search(&*tar, &long).unwrap(), Some(b"gnu".to_vec()));
        // The member before the file that POSIX has for the same purpose.
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_pax_extensions([("path", format!("a/{long}").as_bytes())]).unwrap();
        builder.append_data(&mut header(tar::EntryType::Regular, 3), "cut", &b"pax"[..]).unwrap();
        assert_eq!(search(&*builder.into_inner().unwrap(), &long).unwrap(), Some(b"pax".to_vec()));
    }
}
