//! Just enough of MATLAB's MAT-files, version 5, to read arrays of real numbers; strict, and content to refuse the
//! rest.
//!
//! A header of 128 bytes (version at 124, byte order at 126), then elements: a type, a length, the content, zeros up to
//! a multiple of 8. A matrix is an element of elements: flags, dimensions, name, numbers; it may be packed by zlib.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::bufread::ZlibDecoder;

/// No array is larger than this once uncompressed.
const MOST: u64 = 1 << 30;
const HEADER: usize = 128;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// What is wrong, with the byte where it is known.
type Parsed<T> = Result<T, String>;

/// A named array.
#[derive(Debug, PartialEq)]
pub(crate) struct Array {
    pub name: String,
    /// The first runs fastest.
    pub dims: Vec<usize>,
    pub numbers: Numbers,
}

/// The numbers as they are stored, which may be narrower than the array's class says.
#[derive(Debug, PartialEq)]
pub(crate) enum Numbers {
    Bytes(Vec<u8>),
    Reals(Vec<f64>),
}

impl Numbers {
    fn len(&self) -> usize {
        match self {
            Numbers::Bytes(v) => v.len(),
            Numbers::Reals(v) => v.len(),
        }
    }

    /// All of them as reals.
    pub fn reals(&self) -> Cow<'_, [f64]> {
        match self {
            Numbers::Bytes(v) => v.iter().map(|&b| f64::from(b)).collect::<Vec<_>>().into(),
            Numbers::Reals(v) => v.into(),
        }
    }
}

/// Every array of a file, in order; other variables, such as text and structures, are left out.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn arrays(bytes: &[u8]) -> Parsed<Vec<Array>> {
    let mut cursor = Cursor { bytes, at: HEADER, little: little_endian(bytes)? };
    let mut arrays = Vec::new();
    while cursor.at < bytes.len() {
        let Element { kind, content, at } = cursor.element()?;
        let inside = |what: String| format!("in the variable at byte {at}: {what}");
        match kind {
            MATRIX => arrays.extend(matrix(content, cursor.little).map_err(inside)?),
            COMPRESSED => {
                let plain = inflate(content).map_err(inside)?;
                let mut packed = Cursor { bytes: &plain, at: 0, little: cursor.little };
                let element = packed.element().map_err(inside)?;
                if element.kind != MATRIX || packed.at < plain.len() {
                    return Err(inside("packed content that is not one array".into()));
                }
                arrays.extend(matrix(element.content, cursor.little).map_err(inside)?);
            }
            kind => return Err(format!("byte {at}: an element of type {kind}, where a variable should begin")),
        }
    }
    Ok(arrays)
}

fn little_endian(bytes: &[u8]) -> Parsed<bool> {
    match bytes.get(124..HEADER) {
        Some([0, 1, b'I', b'M']) => Ok(true),
        Some([1, 0, b'M', b'I']) => Ok(false),
        Some(found) => Err(format!("bytes 124 to 127 are {found:02x?}, not those of a MAT-file of version 5")),
        None => Err(format!("truncated: {} bytes, and the header takes {HEADER}", bytes.len())),
    }
}

fn inflate(packed: &[u8]) -> Parsed<Vec<u8>> {
    let mut decoder = ZlibDecoder::new(packed);
    let mut plain = Vec::new();
    decoder.by_ref().take(MOST).read_to_end(&mut plain).map_err(|e| format!("broken zlib: {e}"))?;
    match plain.len() as u64 {
        MOST.. => Err("it holds more than 1 GiB".into()),
        _ => Ok(plain),
    }
}

/// Reads elements one after another.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    little: bool,
}

struct Element<'a> {
    kind: u32,
    content: &'a [u8],
    /// Where it begins.
    at: usize,
}

impl<'a> Cursor<'a> {
    fn word(&self, at: usize) -> Parsed<u32> {
        let four = at.checked_add(4).and_then(|end| self.bytes.get(at..end)).and_then(|b| <[u8; 4]>::try_from(b).ok());
        let four = four.ok_or_else(|| format!("truncated at byte {}", self.bytes.len()))?;
        Ok(if self.little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) })
    }

    /// The next element. A short one has its length in the upper half of its type, and 4 bytes of content at most.
    fn element(&mut self) -> Parsed<Element<'a>> {
        let (at, tag) = (self.at, self.word(self.at)?);
        let (kind, length, from) = match tag >> 16 {
            0 => (tag, self.word(at + 4)? as usize, at + 8),
            length => (tag & 0xffff, length as usize, at + 4),
        };
        let short = tag >> 16 != 0;
        if short && length > 4 {
            return Err(format!("byte {at}: a short element of {length} bytes"));
        }
        let content = from.checked_add(length).and_then(|end| self.bytes.get(from..end)).ok_or_else(|| {
            format!(
                "truncated: the element at byte {at} announces {length} bytes, {} are left",
                self.bytes.len() - from
            )
        })?;
        // Packed variables are not padded. Padding may be missing at the very end only.
        let padded = if kind == COMPRESSED { length } else { length.next_multiple_of(8) };
        self.at = if short { at + 8 } else { (from + padded).min(self.bytes.len()) };
        Ok(Element { kind, content, at })
    }

    fn expect(&mut self, kind: u32, what: &str) -> Parsed<&'a [u8]> {
        match self.element()? {
            found if found.kind == kind => Ok(found.content),
            found => Err(format!("byte {}: type {} where its {what} should be", found.at, found.kind)),
        }
    }
}

/// One array; `None` of a class that is no real numbers.
fn matrix(bytes: &[u8], little: bool) -> Parsed<Option<Array>> {
    let mut cursor = Cursor { bytes, at: 0, little };
    let flags = cursor.expect(6, "flags")?;
    let flags = Cursor { bytes: flags, at: 0, little }.word(0)?;
    let dims = cursor.expect(5, "dimensions")?;
    let read = |b: &[u8]| Cursor { bytes: b, at: 0, little }.word(0).map(|d| d as usize);
    let dims: Vec<usize> = dims.chunks(4).map(read).collect::<Parsed<_>>()?;
    let name = String::from_utf8_lossy(cursor.expect(1, "name")?).into_owned();
    let (class, complex) = (flags & 0xff, flags & 0x800 != 0);
    if !(6..=15).contains(&class) || complex {
        return Ok(None);
    }
    let element = cursor.element()?;
    let numbers = numbers(&element, little)?;
    let want = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    match want == Some(numbers.len()) && cursor.at >= bytes.len() {
        true => Ok(Some(Array { name, dims, numbers })),
        false => Err(format!("`{name}` of dimensions {dims:?} has {} numbers", numbers.len())),
    }
}

fn numbers(element: &Element, little: bool) -> Parsed<Numbers> {
    macro_rules! reals {
        ($kind:ty) => {{
            const SIZE: usize = size_of::<$kind>();
            let chunks = element.content.chunks_exact(SIZE);
            if !chunks.remainder().is_empty() {
                return Err(format!("byte {}: {} bytes of numbers", element.at, element.content.len()));
            }
            let chunks = chunks.filter_map(|b| <[u8; SIZE]>::try_from(b).ok());
            let read = |b| if little { <$kind>::from_le_bytes(b) } else { <$kind>::from_be_bytes(b) };
            Ok(Numbers::Reals(chunks.map(|b| read(b) as f64).collect()))
        }};
    }
    match element.kind {
        1 => reals!(i8),
        2 => Ok(Numbers::Bytes(element.content.to_vec())),
        3 => reals!(i16),
        4 => reals!(u16),
        5 => reals!(i32),
        6 => reals!(u32),
        7 => reals!(f32),
        9 => reals!(f64),
        12 => reals!(i64),
        13 => reals!(u64),
        kind => Err(format!("byte {}: numbers of the unknown type {kind}", element.at)),
    }
}

/// Files as a test writes them.
#[cfg(test)]
pub(crate) mod write {
    use std::io::Write as _;

    /// The header.
    pub fn header(little: bool) -> Vec<u8> {
        let end: &[u8] = if little { &[0, 1, b'I', b'M'] } else { &[1, 0, b'M', b'I'] };
        [&[b' '; 124][..], end].concat()
    }

    fn word(v: usize, little: bool) -> [u8; 4] {
        if little { (v as u32).to_le_bytes() } else { (v as u32).to_be_bytes() }
    }

    pub fn element(kind: usize, content: &[u8], little: bool) -> Vec<u8> {
        let mut bytes = match content.len() {
            n @ 1..=4 => [&word(n << 16 | kind, little)[..], content].concat(),
            n => [&word(kind, little)[..], &word(n, little)[..], content].concat(),
        };
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    /// An array of `class` whose numbers are stored as type `kind`.
    pub fn array(name: &str, class: usize, dims: &[usize], (kind, content): (usize, &[u8]), little: bool) -> Vec<u8> {
        let flags = [word(class, little), word(0, little)].concat();
        let dims: Vec<u8> = dims.iter().flat_map(|&d| word(d, little)).collect();
        let inside = [
            element(6, &flags, little),
            element(5, &dims, little),
            element(1, name.as_bytes(), little),
            element(kind, content, little),
        ];
        element(14, &inside.concat(), little)
    }

    pub fn packed(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(plain).unwrap();
        let content = encoder.finish().unwrap();
        [&word(15, true)[..], &word(content.len(), true)[..], &content].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two(little: bool) -> Vec<u8> {
        let doubles: Vec<u8> =
            [1.5f64, -2.0, 3.0].iter().flat_map(|v| if little { v.to_le_bytes() } else { v.to_be_bytes() }).collect();
        let a = write::array("a", 6, &[3, 1], (9, &doubles), little);
        let long = write::array("a_long_name", 9, &[2, 3], (2, &[1, 2, 3, 4, 5, 6]), little);
        [write::header(little), a, long].concat()
    }

    #[test]
    fn arrays_of_either_byte_order_are_read_packed_and_plain() {
        for little in [true, false] {
            let arrays = arrays(&two(little)).unwrap();
            assert_eq!((arrays[0].name.as_str(), arrays[1].name.as_str()), ("a", "a_long_name"));
            assert_eq!((&arrays[0].dims, &arrays[0].numbers), (&vec![3, 1], &Numbers::Reals(vec![1.5, -2.0, 3.0])));
            assert_eq!((&arrays[1].dims, &arrays[1].numbers), (&vec![2, 3], &Numbers::Bytes(vec![1, 2, 3, 4, 5, 6])));
        }
        // MATLAB stores whole doubles as bytes; text is left out.
        let narrow = write::array("y", 6, &[2, 1], (2, &[10, 1]), true);
        let text = write::array("t", 4, &[1, 2], (4, &[65, 0, 66, 0]), true);
        let file = [write::header(true), write::packed(&narrow), text, write::packed(&narrow)].concat();
        let arrays = arrays(&file).unwrap();
        assert_eq!((arrays.len(), arrays[1].numbers.reals().into_owned()), (2, vec![10.0, 1.0]));
    }

    #[test]
    fn a_file_cut_anywhere_is_refused_or_ends_between_variables() {
        for file in [two(true), [write::header(true), write::packed(&two(true)[128..208])].concat()] {
            let whole = arrays(&file).unwrap().len();
            for end in 0..file.len() {
                match arrays(&file[..end]) {
                    Err(what) => assert!(!what.is_empty()),
                    Ok(found) => assert!(found.len() < whole || file.len() - end < 8, "cut at {end} of {}", file.len()),
                }
            }
        }
    }

    #[test]
    fn changed_bytes_never_panic() {
        let packed = [write::header(true), write::packed(&two(true)[128..208])].concat();
        let mut refused = 0;
        for file in [two(true), two(false), packed] {
            for at in 0..file.len() {
                for value in [0, 1, 2, 14, 15, 0x7f, 0x80, 0xff] {
                    let mut bytes = file.clone();
                    bytes[at] = value;
                    refused += usize::from(arrays(&bytes).is_err());
                }
            }
        }
        assert!(refused > 500, "{refused}");
    }

    #[test]
    fn nonsense_is_named() {
        let with = |rest: Vec<u8>| arrays(&[write::header(true), rest].concat()).unwrap_err();
        for (what, says) in [
            (arrays(b"MATLAB").unwrap_err(), "truncated: 6 bytes"),
            (arrays(&[0; 200]).unwrap_err(), "version 5"),
            (with(write::element(9, &[0; 8], true)), "byte 128: an element of type 9"),
            (with(write::array("x", 9, &[2, 2], (2, &[1, 2, 3]), true)), "`x` of dimensions [2, 2] has 3 numbers"),
            (with(write::array("x", 9, &[usize::MAX; 3], (2, &[1]), true)), "has 1 numbers"),
            (with(write::array("x", 6, &[1, 1], (9, &[1, 2, 3]), true)), "3 bytes of numbers"),
            (with(write::array("x", 6, &[1, 1], (77, &[1]), true)), "unknown type 77"),
            (with([&15u32.to_le_bytes()[..], &4u32.to_le_bytes(), b"zzzz"].concat()), "broken zlib"),
            (with([&14u32.to_le_bytes()[..], &u32::MAX.to_le_bytes(), b"zzzz"].concat()), "4 are left"),
        ] {
            assert!(what.contains(says), "{what}");
        }
    }
}
