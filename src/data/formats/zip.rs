//! Just enough of zip to read the arrays of an `.npz` file; strict, and content to refuse the rest.
//!
//! The directory at the end lists the members; each has a header of its own in front of its content.

use std::io::Read as _;

use flate2::{Crc, bufread::DeflateDecoder};

/// What is wrong, in words.
type Parsed<T> = Result<T, String>;

/// No member is larger than this once uncompressed.
const MOST: usize = 1 << 30;
/// A size or a place that is too large for this form of the directory.
const ELSEWHERE: u32 = u32::MAX;

/// A member of an archive.
pub(crate) struct Member {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Every member of an archive, checked against its size and checksum.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn members(archive: &[u8]) -> Parsed<Vec<Member>> {
    let end = archive.windows(4).rposition(|w| w == b"PK\x05\x06").ok_or("the directory at its end is missing")?;
    let (count, mut at) = (short(archive, end + 10)?, long(archive, end + 16)? as usize);
    let mut members = Vec::new();
    for _ in 0..count {
        if archive.get(at..at.saturating_add(4)) != Some(b"PK\x01\x02") {
            return Err(format!("byte {at}: no entry of the directory"));
        }
        let [name, extra, comment] = [28, 30, 32].map(|field| short(archive, at + field));
        let (name, extra, comment) = (name?, extra?, comment?);
        let text = slice(archive, at + 46, name)?;
        let name_text = String::from_utf8_lossy(text).into_owned();
        let bytes = content(archive, at).map_err(|what| format!("`{name_text}`: {what}"))?;
        members.push(Member { name: name_text, bytes });
        at += 46 + name + extra + comment;
    }
    Ok(members)
}

/// The content of the member whose entry in the directory begins at `at`.
fn content(archive: &[u8], at: usize) -> Parsed<Vec<u8>> {
    let (flags, method, crc) = (short(archive, at + 8)?, short(archive, at + 10)?, long(archive, at + 16)?);
    let [packed, size, header] = [20, 24, 42].map(|field| long(archive, at + field));
    let (packed, size, header) = (packed?, size?, header?);
    if [packed, size, header].contains(&ELSEWHERE) || size as usize > MOST {
        return Err("is larger than 1 GiB".into());
    }
    let header = header as usize;
    if archive.get(header..header.saturating_add(4)) != Some(b"PK\x03\x04") || flags & 1 != 0 {
        return Err(if flags & 1 != 0 { "is encrypted".into() } else { format!("byte {header}: no member begins") });
    }
    let from = header + 30 + short(archive, header + 26)? + short(archive, header + 28)?;
    let packed = slice(archive, from, packed as usize)?;
    let bytes = match method {
        0 => packed.to_vec(),
        8 => inflate(packed, size as usize)?,
        method => return Err(format!("is packed by method {method}, not by deflate")),
    };
    let mut sum = Crc::new();
    sum.update(&bytes);
    match (bytes.len() == size as usize, sum.sum() == crc) {
        (true, true) => Ok(bytes),
        (false, _) => Err(format!("has {} bytes, not {size}", bytes.len())),
        (_, false) => Err("its checksum is wrong".into()),
    }
}

fn inflate(packed: &[u8], size: usize) -> Parsed<Vec<u8>> {
    let mut bytes = Vec::new();
    let outcome = DeflateDecoder::new(packed).take(size as u64 + 1).read_to_end(&mut bytes);
    outcome.map(|_| bytes).map_err(|e| format!("broken deflate: {e}"))
}

fn slice(archive: &[u8], from: usize, length: usize) -> Parsed<&[u8]> {
    let found = from.checked_add(length).and_then(|end| archive.get(from..end));
    found.ok_or_else(|| format!("truncated: {length} bytes at byte {from} are not there"))
}

fn short(archive: &[u8], at: usize) -> Parsed<usize> {
    Ok(slice(archive, at, 2)?.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b)))
}

fn long(archive: &[u8], at: usize) -> Parsed<u32> {
    Ok(slice(archive, at, 4)?.iter().rev().fold(0, |n, &b| n << 8 | u32::from(b)))
}

/// Archives as a test writes them.
#[cfg(test)]
pub(crate) mod write {
    use std::io::Write as _;

    use flate2::{Compression, Crc, write::DeflateEncoder};

    fn little(fields: &[(u32, usize)]) -> Vec<u8> {
        fields.iter().flat_map(|(value, size)| value.to_le_bytes().into_iter().take(*size)).collect()
    }

    pub fn archive(members: &[(&str, &[u8])], deflate: bool) -> Vec<u8> {
        let (mut body, mut directory) = (Vec::new(), Vec::new());
        for (name, content) in members {
            let mut sum = Crc::new();
            sum.update(content);
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(content).unwrap();
            let packed = if deflate { encoder.finish().unwrap() } else { content.to_vec() };
            let (crc, method) = (sum.sum(), if deflate { 8 } else { 0 });
            let sizes = [(crc, 4), (packed.len() as u32, 4), (content.len() as u32, 4), (name.len() as u32, 2)];
            let common = [&[(20, 2), (0, 2), (method, 2), (0, 4)][..], &sizes].concat();
            let at = body.len() as u32;
            body.extend(
                [b"PK\x03\x04", little(&common).as_slice(), &little(&[(0, 2)]), name.as_bytes(), &packed].concat(),
            );
            let place = little(&[(0, 2), (0, 2), (0, 2), (0, 2), (0, 4), (at, 4)]);
            directory.extend([b"PK\x01\x02\x14\0", little(&common).as_slice(), &place, name.as_bytes()].concat());
        }
        let count = members.len() as u32;
        let fields = [(0, 4), (count, 2), (count, 2), (directory.len() as u32, 4), (body.len() as u32, 4), (0, 2)];
        [body, directory, b"PK\x05\x06".to_vec(), little(&fields)].concat()
    }
}

#[cfg(test)]
mod tests {
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
}
