//! The members of NumPy's `.npz` files, which are zip archives.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Cursor, Read as _, Write as _};
use std::path::Path;

use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

use crate::store::fs::is_hidden;

/// No member is larger than this once uncompressed.
const MOST: u64 = 1 << 30;

/// A member of an archive.
pub(crate) struct Member {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Every member of an archive, checked against its size and checksum; folders, and what a Mac leaves beside its files,
/// are none.
///
/// # Errors
/// What is wrong, in words, with the name of the member.
pub(crate) fn members(archive: &[u8]) -> Result<Vec<Member>, String> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).map_err(|e| e.to_string())?;
    if archive.offset() > 0 {
        return Err(format!("{} bytes stand before the archive: two of them in one file?", archive.offset()));
    }
    let is_file = |m: &Member| !m.name.ends_with('/') && !is_hidden(Path::new(&m.name));
    let members = (0..archive.len()).map(|i| member(&mut archive, i));
    members.filter(|m| m.as_ref().map_or(true, is_file)).collect()
}

/// The names of the arrays in an archive, with their endings; none of a file that is no archive.
///
/// # Errors
/// A file that cannot be read, or an archive that is damaged or holds what is no array.
pub(crate) fn names(path: &Path) -> crate::Result<Option<Vec<String>>> {
    const REMEDY: &str = "save it anew with `numpy.savez(path, x=pictures, y=labels)`";
    let bad = |what: String| crate::Error::data(path, what, REMEDY);
    let mut file = BufReader::new(File::open(path).map_err(crate::Error::io(path))?);
    if !file.fill_buf().map_err(crate::Error::io(path))?.starts_with(b"PK") {
        return Ok(None);
    }
    let archive = ZipArchive::new(file).map_err(|e| bad(format!("is no sound .npz file: {e}")))?;
    let names = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned()));
    let mut names: Vec<String> = names.filter(|name| !name.ends_with('/') && !is_hidden(Path::new(name))).collect();
    names.sort();
    match names.iter().find(|name| !name.ends_with(".npy")) {
        Some(other) => {
            let what = format!("is an archive with {}, not of arrays alone", other.escape_debug());
            Err(crate::Error::data(path, what, "unpack it and set `dataset.path` to what is in it"))
        }
        None => Ok(Some(names)),
    }
}

/// The bytes of an archive with these members, each the bytes of a `.npy` file, under their names without the ending.
///
/// # Errors
/// Members too large for an archive.
pub fn npz_bytes(members: &[(&str, Vec<u8>)]) -> crate::Result<Vec<u8>> {
    let failed = |e: &dyn std::fmt::Display| crate::Error::Other(format!("cannot encode an .npz archive: {e}"));
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, bytes) in members {
        writer.start_file(format!("{name}.npy"), options).map_err(|e| failed(&e))?;
        writer.write_all(bytes).map_err(|e| failed(&e))?;
    }
    Ok(writer.finish().map_err(|e| failed(&e))?.into_inner())
}

fn member(archive: &mut ZipArchive<Cursor<&[u8]>>, i: usize) -> Result<Member, String> {
    let name = archive.name_for_index(i).and_then(Result::ok);
    let name = name.map_or_else(|| format!("member {i}"), |name| name.into_owned());
    let bad = |what: String| format!("`{name}`: {what}");
    let mut file = archive.by_index(i).map_err(|e| bad(e.to_string()))?;
    let size = file.size();
    if size > MOST {
        return Err(bad("is larger than 1 GiB".into()));
    }
    let mut bytes = Vec::new();
    // One byte more than announced: the checksum is compared at the end of the content.
    let read = file.by_ref().take(size + 1).read_to_end(&mut bytes);
    match read {
        Err(e) => Err(bad(format!("is damaged: {e}"))),
        Ok(_) if bytes.len() as u64 != size => Err(bad(format!("has {} bytes or more, not {size}", bytes.len()))),
        Ok(_) => Ok(Member { name, bytes }),
    }
}

/// Archives as a test writes them.
#[cfg(test)]
pub(crate) mod write {
    use std::io::{Cursor, Write as _};

    use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

    pub fn archive(members: &[(&str, &[u8])], deflate: bool) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let method = if deflate { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        let options = SimpleFileOptions::default().compression_method(method);
        for (name, content) in members {
            writer.start_file(*name, options).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    const MEMBERS: [(&str, &[u8]); 2] = [("x.npy", &[7; 300]), ("y.npy", b"labels")];

    #[test]
    fn members_are_found_stored_and_deflated() {
        for deflate in [false, true] {
            let found = members(&write::archive(&MEMBERS, deflate)).unwrap();
            let pairs: Vec<(&str, &[u8])> = found.iter().map(|m| (m.name.as_str(), m.bytes.as_slice())).collect();
            assert_eq!(pairs, MEMBERS);
        }
    }

    #[test]
    fn what_is_no_member_is_left_out() {
        let mac = [MEMBERS[0], ("__MACOSX/._x.npy", b"Mac"), (".DS_Store", b"Mac"), ("folder/", b"")];
        let found = members(&write::archive(&mac, true)).unwrap();
        assert_eq!(found.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["x.npy"]);
        let twice = [write::archive(&MEMBERS, true), write::archive(&MEMBERS, true)].concat();
        let error = members(&twice).err().unwrap();
        assert!(error.contains("stand before the archive"), "{error}");
    }

    #[test]
    fn damage_is_refused_and_never_panics() {
        for deflate in [false, true] {
            let archive = write::archive(&MEMBERS, deflate);
            (0..archive.len() - 2).for_each(|end| assert!(members(&archive[..end]).is_err(), "cut at {end}"));
            for at in 0..archive.len() {
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut bytes = archive.clone();
                    bytes[at] = value;
                    // A name or a date may change unnoticed, content may not.
                    if let Ok(found) = members(&bytes) {
                        assert!(found.iter().zip(MEMBERS).all(|(m, (_, content))| m.bytes == content), "byte {at}");
                    }
                }
            }
        }
    }

    #[test]
    fn sizes_behind_the_content_are_read() {
        // A writer that cannot seek, as `numpy.savez` to a pipe, leaves sizes and checksum to a descriptor after the
        // content.
        let mut writer = ZipWriter::new_stream(Vec::new());
        for (name, content) in MEMBERS {
            writer.start_file(name, SimpleFileOptions::default()).unwrap();
            writer.write_all(content).unwrap();
        }
        let archive = writer.finish().unwrap().into_inner();
        let found = members(&archive).unwrap();
        assert!(found.iter().zip(MEMBERS).all(|(m, (name, content))| m.name == name && m.bytes == content));
    }

    fn little(fields: &[(u64, usize)]) -> Vec<u8> {
        fields.iter().flat_map(|(value, size)| value.to_le_bytes().into_iter().take(*size)).collect()
    }

    /// One stored member whose sizes and place stand in the 64-bit fields alone.
    fn zip64(name: &str, content: &[u8]) -> Vec<u8> {
        const ELSEWHERE: (u64, usize) = (u32::MAX as u64, 4);
        let mut sum = flate2::Crc::new();
        sum.update(content);
        let (crc, size, n) = (u64::from(sum.sum()), content.len() as u64, name.len() as u64);
        let common = [(45, 2), (0, 2), (0, 2), (0, 2), (0x21, 2), (crc, 4), ELSEWHERE, ELSEWHERE, (n, 2)];
        let sizes = little(&[(1, 2), (16, 2), (size, 8), (size, 8)]);
        let header = [b"PK\x03\x04", little(&common).as_slice(), &little(&[(20, 2)]), name.as_bytes(), &sizes].concat();
        let body = [header, content.to_vec()].concat();
        let extra = little(&[(1, 2), (24, 2), (size, 8), (size, 8), (0, 8)]);
        let place = little(&[(28, 2), (0, 2), (0, 2), (0, 2), (0, 4), ELSEWHERE]);
        let entry =
            [b"PK\x01\x02\x2d\0", little(&common).as_slice(), &place, name.as_bytes(), extra.as_slice()].concat();
        let (from, length) = (body.len() as u64, entry.len() as u64);
        let end64 = little(&[(44, 8), (45, 2), (45, 2), (0, 4), (0, 4), (1, 8), (1, 8), (length, 8), (from, 8)]);
        let locator = little(&[(0, 4), (from + length, 8), (1, 4)]);
        let end = little(&[(0, 4), (0xffff, 2), (0xffff, 2), ELSEWHERE, ELSEWHERE, (0, 2)]);
        [body, entry, b"PK\x06\x06".to_vec(), end64, b"PK\x06\x07".to_vec(), locator, b"PK\x05\x06".to_vec(), end]
            .concat()
    }

    #[test]
    fn archives_with_64_bit_sizes_are_read() {
        let found = members(&zip64("x.npy", &[7; 300])).unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].name == "x.npy" && found[0].bytes == [7; 300]);
    }
}
