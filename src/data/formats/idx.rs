//! The IDX format of MNIST and its relatives.
//!
//! Magic number 0x0000 08 0N (unsigned bytes, N dimensions), N big-endian u32 sizes, then the bytes.

use std::path::Path;

use crate::data::files::{
    format::FileFormat,
    images::ImageFormat,
    locate::{self, Content},
    manifest::{Known, KnownFile},
};
use crate::data::source::Images;
use crate::{Error, Result};

/// An array of bytes.
#[derive(Debug, PartialEq)]
pub(crate) struct Idx<'a> {
    pub dims: Vec<usize>,
    pub bytes: &'a [u8],
}

/// What images and labels in separate IDX files must look like.
#[derive(Clone, Copy)]
pub(crate) struct IdxImages {
    /// Height and width.
    pub side: usize,
    /// Pixels are below this.
    pub levels: u32,
    /// Labels are from `first_label` to `first_label + classes - 1`.
    pub first_label: u8,
    /// How many labels there are.
    pub classes: usize,
    /// Stored column by column (EMNIST).
    pub transposed: bool,
    /// The copy of a file inside the program, gzipped.
    pub built_in: Option<fn(&KnownFile) -> &'static [u8]>,
}

/// Reads the header and checks that the file ends where it says.
///
/// # Errors
/// Another magic number, another number of dimensions, bytes missing or left over: with the offset.
pub(crate) fn parse<'a>(path: &Path, bytes: &'a [u8], dims: usize, remedy: &str) -> Result<Idx<'a>> {
    let bad = |what: String| Error::data(path, what, remedy);
    let magic = [0, 0, 8, dims as u8];
    let header = 4 + 4 * dims;
    match bytes.get(..4) {
        Some(found) if found == magic => {}
        Some(found) => {
            let hint = if matches!(found, [0, 0, 8, 1 | 3]) { ": labels and images are mixed up" } else { "" };
            return Err(bad(format!("byte 0: {found:02x?} is not the IDX magic number {magic:02x?}{hint}")));
        }
        None => return Err(bad(format!("truncated: {} bytes, and the header takes {header}", bytes.len()))),
    }
    let Some((sizes, rest)) = bytes.get(4..).and_then(|b| b.split_at_checked(4 * dims)) else {
        return Err(bad(format!("truncated: {} bytes, and the header takes {header}", bytes.len())));
    };
    let dims: Vec<usize> = sizes.chunks_exact(4).map(|b| b.iter().fold(0, |n, &b| n << 8 | usize::from(b))).collect();
    let want = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    match want {
        Some(want) if want == rest.len() => Ok(Idx { dims, bytes: rest }),
        Some(want) if rest.len() < want => Err(bad(format!(
            "truncated at byte {}: the header announces {want} bytes of {dims:?}, {} are there",
            bytes.len(),
            rest.len()
        ))),
        _ => Err(bad(format!("byte 4: the header announces {dims:?}, and {} bytes follow it", rest.len()))),
    }
}

impl FileFormat for IdxImages {
    fn check(&self, set: &Known, file: &KnownFile, content: &Content) -> Result<()> {
        self.append(&mut self.empty(), set, file, content)
    }

    /// The test files alone, to test with, or all.
    fn enough<'a>(&self, set: &'a Known, here: &dyn Fn(&KnownFile) -> bool) -> Vec<&'a KnownFile> {
        let any = |role: &str| set.files.iter().any(|f| f.role.starts_with(role) && here(f));
        let test_alone = any("test") && !any("train");
        set.files.iter().filter(|file| !test_alone || file.role.starts_with("test")).collect()
    }

    fn built_in(&self, file: &KnownFile) -> Option<Result<Content>> {
        self.built_in.map(|packed| locate::packed(&file.name, packed(file)))
    }
}

impl ImageFormat for IdxImages {
    fn empty(&self) -> Images {
        Images::empty([1, self.side, self.side], self.levels, self.classes)
    }

    fn append(&self, images: &mut Images, set: &Known, file: &KnownFile, content: &Content) -> Result<()> {
        append(*self, images, set, file, content)
    }
}

/// Checks one file and appends what is in it.
///
/// # Errors
/// The file is truncated, corrupt or not what its name says.
fn append(form: IdxImages, images: &mut Images, set: &Known, file: &KnownFile, content: &Content) -> Result<()> {
    let remedy = format!("move the file away; {}", set.remedy());
    let bad = |what: String| Err(Error::data(&content.path, what, &*remedy));
    let pictures = file.role.ends_with("images");
    let idx = parse(&content.path, &content.bytes, if pictures { 3 } else { 1 }, &remedy)?;
    let count = idx.dims.first().copied().unwrap_or(0);
    if count != file.items {
        return bad(format!("byte 4: {count} items, but {} of {} has {}", file.role, set.name, file.items));
    }
    if pictures {
        if idx.dims.get(1..) != Some(&[form.side, form.side]) {
            return bad(format!("byte 8: images of {:?}, not {} × {}", idx.dims.get(1..), form.side, form.side));
        }
        if let Some(at) = idx.bytes.iter().position(|&v| u32::from(v) >= form.levels) {
            return bad(format!("byte {}: pixel {} is above {}", 16 + at, idx.bytes[at], form.levels - 1));
        }
        extend_pixels(&mut images.pixels, idx.bytes, form);
    } else {
        let range = form.first_label..form.first_label + form.classes as u8;
        if let Some(at) = idx.bytes.iter().position(|l| !range.contains(l)) {
            return bad(format!("byte {}: label {} is not in {range:?}", 8 + at, idx.bytes[at]));
        }
        images.labels.extend(idx.bytes.iter().map(|l| u16::from(l - form.first_label)));
    }
    locate::check_hash(set, file, content)
}

fn extend_pixels(pixels: &mut Vec<u8>, bytes: &[u8], form: IdxImages) {
    if !form.transposed {
        return pixels.extend_from_slice(bytes);
    }
    for item in bytes.chunks_exact(form.side * form.side) {
        for row in 0..form.side {
            pixels.extend(item.iter().skip(row).step_by(form.side));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emnist_is_turned_upright() {
        let form = IdxImages { side: 2, levels: 256, first_label: 1, classes: 26, transposed: true, built_in: None };
        let mut pixels = Vec::new();
        extend_pixels(&mut pixels, &[1, 2, 3, 4, 5, 6, 7, 8], form);
        assert_eq!(pixels, [1, 3, 2, 4, 5, 7, 6, 8]);
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        let bytes = [&[0, 0, 8, 3][..], &[255; 12], &[0; 9]].concat();
        let error = parse(Path::new("x"), &bytes, 3, "hint").unwrap_err().to_string();
        assert!(error.contains("byte 4"), "{error}");
        let empty = parse(Path::new("x"), &[0, 0, 8, 1, 0, 0, 0, 0], 1, "hint").unwrap();
        assert_eq!(empty, Idx { dims: vec![0], bytes: &[] });
    }
}
