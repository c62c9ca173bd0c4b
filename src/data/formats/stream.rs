//! An array of numbers in a file, read piece by piece: no more of it is in memory than who reads it keeps.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};
use sha2::{Digest as _, Sha256};
use zip::ZipArchive;

use crate::data::files::locate::GZIP;
use crate::store::checkpoint::hex;
use crate::{Error, Result};

const REMEDY: &str = "copy the file again, or save it anew";

/// Where an array lies.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    /// The file: `.npy` or IDX, gzipped or not; or an archive.
    pub path: PathBuf,
    /// The member of the archive, with its ending.
    pub member: Option<String>,
}

impl Place {
    /// A file by itself.
    pub fn file(path: &Path) -> Self {
        Place { path: path.to_owned(), member: None }
    }

    /// The place as errors name it.
    pub fn shown(&self) -> PathBuf {
        match &self.member {
            None => self.path.clone(),
            Some(member) => format!("{} ({})", self.path.display(), member.escape_debug()).into(),
        }
    }

    /// What `read` makes of the content, uncompressed.
    ///
    /// # Errors
    /// A file that cannot be opened; what `read` refuses.
    pub fn read<T>(&self, read: impl FnOnce(&mut dyn Read) -> Result<T>) -> Result<T> {
        let bad = |e: &dyn std::fmt::Display| Error::data(&self.shown(), format!("cannot be read: {e}"), REMEDY);
        let file = File::open(&self.path).map_err(|e| bad(&e))?;
        let mut file = BufReader::with_capacity(1 << 16, file);
        match &self.member {
            Some(name) => {
                let mut archive = ZipArchive::new(file).map_err(|e| bad(&e))?;
                let mut member = archive.by_name(name).map_err(|e| bad(&e))?;
                read(&mut member)
            }
            None if file.fill_buf().map_err(|e| bad(&e))?.starts_with(GZIP) => {
                read(&mut BufReader::new(flate2::bufread::MultiGzDecoder::new(file)))
            }
            None => read(&mut file),
        }
    }

    /// The whole content; for small arrays.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read(|from| from.read_to_end(&mut bytes).map_err(self.damaged()))?;
        Ok(bytes)
    }

    fn damaged(&self) -> impl Fn(std::io::Error) -> Error {
        let shown = self.shown();
        move |e| Error::data(&shown, format!("is damaged: {e}"), REMEDY)
    }

    /// Refuses a file that is too small for what its header announces, before memory is taken for it.
    ///
    /// # Errors
    /// Fewer bytes than numbers, or for a gzip than it could shrink them to.
    pub fn check_size(&self, layout: &Layout) -> Result<()> {
        /// A gzip shrinks by less than this.
        const SHRUNK: u64 = 1100;
        let bad = |e: &dyn std::fmt::Display| Error::data(&self.shown(), format!("cannot be read: {e}"), REMEDY);
        let mut file = BufReader::new(File::open(&self.path).map_err(|e| bad(&e))?);
        let length = file.get_ref().metadata().map_err(|e| bad(&e))?.len();
        let most = match &self.member {
            Some(name) => {
                let mut archive = ZipArchive::new(file).map_err(|e| bad(&e))?;
                archive.by_name(name).map_err(|e| bad(&e))?.size()
            }
            None if file.fill_buf().map_err(|e| bad(&e))?.starts_with(GZIP) => length.saturating_mul(SHRUNK),
            None => length,
        };
        let wanted = layout.shape.iter().fold(layout.numbers.size as u64, |n, &d| n.saturating_mul(d as u64));
        if most < wanted { Err(self.truncated(layout)) } else { Ok(()) }
    }

    fn truncated(&self, layout: &Layout) -> Error {
        let what = format!("is truncated: its header announces the shape {:?}", layout.shape);
        Error::data(&self.shown(), what, REMEDY)
    }

    /// What the first bytes say of the array.
    ///
    /// # Errors
    /// No array, or one of a type that is none of numbers.
    pub fn layout(&self) -> Result<Layout> {
        self.read(|from| Layout::of(&self.shown(), from))
    }

    /// Hands every piece of the array to `each` with its number ([`Layout::pieces`]). Returns the sha256 of the
    /// content.
    ///
    /// # Errors
    /// Content that ends early or goes on; what `each` refuses.
    pub fn pieces(&self, each: &mut dyn FnMut(usize, &[u8]) -> Result<()>) -> Result<String> {
        self.read(|from| {
            let mut from = Hashed { from, hash: Sha256::new() };
            let layout = Layout::of(&self.shown(), &mut from)?;
            let (count, length) = layout.pieces();
            let mut piece = vec![0; length * layout.numbers.size];
            for i in 0..count {
                from.read_exact(&mut piece).map_err(|e| match e.kind() {
                    std::io::ErrorKind::UnexpectedEof => self.truncated(&layout),
                    _ => self.damaged()(e),
                })?;
                each(i, &piece)?;
            }
            match from.read(&mut [0]).map_err(self.damaged())? {
                0 => Ok(hex(&from.hash.finalize())),
                _ => Err(Error::data(&self.shown(), "goes on behind the array", "save one array a file")),
            }
        })
    }
}

/// A reader that hashes what it reads.
struct Hashed<'a> {
    from: &'a mut dyn Read,
    hash: Sha256,
}

impl Read for Hashed<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let n = self.from.read(to)?;
        self.hash.update(to.get(..n).unwrap_or_default());
        Ok(n)
    }
}

/// What the numbers of an array are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// False and true.
    Bool,
    /// Integers from 0.
    Unsigned,
    /// Integers.
    Signed,
    /// Floating-point numbers.
    Float,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub kind: Kind,
    /// Bytes of one.
    pub size: usize,
    /// Whether the highest byte comes first.
    pub big_endian: bool,
}

impl Numbers {
    /// Whether a number is one byte from 0 to 255.
    pub fn are_bytes(self) -> bool {
        self.kind == Kind::Unsigned && self.size == 1
    }

    /// The number in so many bytes; integers beyond 2⁵³ are rounded.
    pub fn value(self, bytes: &[u8]) -> f64 {
        let mut low_first = [0; 8];
        match self.big_endian {
            true => low_first.iter_mut().zip(bytes.iter().rev()).for_each(|(to, from)| *to = *from),
            false => low_first.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from),
        }
        let bits = u64::from_le_bytes(low_first);
        let unused = 64 - 8 * self.size.clamp(1, 8);
        match (self.kind, self.size) {
            (Kind::Bool, _) => f64::from(u8::from(bits != 0)),
            (Kind::Unsigned, _) => bits as f64,
            (Kind::Signed, _) => ((bits << unused) as i64 >> unused) as f64,
            (Kind::Float, 2) => npyz::half::f16::from_bits(bits as u16).to_f64(),
            (Kind::Float, 4) => f64::from(f32::from_bits(bits as u32)),
            (Kind::Float, _) => f64::from_bits(bits),
        }
    }
}

/// What the header of an array says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layout {
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// How its numbers are written.
    pub numbers: Numbers,
    /// Whether the first dimension runs fastest, not the last.
    pub fortran: bool,
}

impl Layout {
    /// Numbers of one item.
    pub fn dim(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// How many pieces an array is read in, and the numbers of one: of every item all numbers, or in Fortran's order of
    /// every number all items.
    pub fn pieces(&self) -> (usize, usize) {
        let items = self.shape.first().copied().unwrap_or(1);
        if self.fortran { (self.dim(), items) } else { (items, self.dim()) }
    }

    fn of(path: &Path, from: &mut dyn Read) -> Result<Self> {
        let bad = |what: String| Error::data(path, what, "give an .npy or an IDX file of numbers");
        let mut lead = [0; 4];
        from.read_exact(&mut lead).map_err(|_| bad("is no array".into()))?;
        let layout = match lead {
            [0x93, b'N', b'U', b'M'] => of_npy(&mut lead.as_slice().chain(from)).map_err(&bad)?,
            [0, 0, kind, dims] => of_idx(kind, usize::from(dims), from).map_err(&bad)?,
            _ => return Err(bad("is no array: neither .npy nor IDX by its first bytes".into())),
        };
        let total = layout.shape.iter().try_fold(layout.numbers.size, |n, &d| n.checked_mul(d));
        match total.filter(|n| isize::try_from(*n).is_ok()) {
            Some(_) => Ok(layout),
            None => Err(bad(format!("has the shape {:?}", layout.shape))),
        }
    }
}

fn of_npy(from: &mut dyn Read) -> std::result::Result<Layout, String> {
    let header = NpyHeader::from_reader(from).map_err(|e| format!("is no sound .npy file: {e}"))?;
    let unread = |what: String| format!("holds {what}, which are no numbers that are read");
    let DType::Plain(kind) = header.dtype() else { return Err(unread("records".into())) };
    let size = kind.num_bytes().unwrap_or(0);
    let numbers = match (kind.type_char(), size) {
        (TypeChar::Bool, 1) => Kind::Bool,
        (TypeChar::Uint, 1 | 2 | 4 | 8) => Kind::Unsigned,
        (TypeChar::Int, 1 | 2 | 4 | 8) => Kind::Signed,
        (TypeChar::Float, 2 | 4 | 8) => Kind::Float,
        _ => return Err(unread(format!("`{kind}`"))),
    };
    Ok(Layout {
        shape: header.shape().iter().map(|&d| d as usize).collect(),
        numbers: Numbers { kind: numbers, size, big_endian: kind.endianness() == Endianness::Big },
        fortran: header.order() == Order::Fortran,
    })
}

fn of_idx(kind: u8, dims: usize, from: &mut dyn Read) -> std::result::Result<Layout, String> {
    let (kind, size) = match kind {
        0x08 => (Kind::Unsigned, 1),
        0x09 => (Kind::Signed, 1),
        0x0b => (Kind::Signed, 2),
        0x0c => (Kind::Signed, 4),
        0x0d => (Kind::Float, 4),
        0x0e => (Kind::Float, 8),
        other => return Err(format!("byte 2: {other:#04x} is no type of the IDX format")),
    };
    let mut sizes = vec![0; 4 * dims];
    from.read_exact(&mut sizes).map_err(|_| format!("is truncated: {dims} dimensions are announced"))?;
    let size_of = |b: &[u8]| b.iter().fold(0, |n, &b| n << 8 | usize::from(b));
    let shape = sizes.chunks_exact(4).map(size_of).collect();
    Ok(Layout { shape, numbers: Numbers { kind, size, big_endian: true }, fortran: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_number_is_read_in_both_orders_of_bytes() {
        let of = |kind, size, big_endian, bytes: &[u8]| Numbers { kind, size, big_endian }.value(bytes);
        for big in [false, true] {
            let order = |mut bytes: Vec<u8>| {
                if big {
                    bytes.reverse();
                }
                bytes
            };
            assert_eq!(of(Kind::Unsigned, 2, big, &order(40_000u16.to_le_bytes().into())), 40_000.0);
            assert_eq!(of(Kind::Unsigned, 8, big, &order((1u64 << 52).to_le_bytes().into())), 2f64.powi(52));
            for size in [1, 2, 4, 8] {
                let bytes = order((-7i64).to_le_bytes()[..size].to_vec());
                assert_eq!(of(Kind::Signed, size, big, &bytes), -7.0);
            }
            // 1.5 in half precision: sign 0, exponent 15, mantissa 1/2.
            assert_eq!(of(Kind::Float, 2, big, &order(vec![0x00, 0x3e])), 1.5);
            assert_eq!(of(Kind::Float, 4, big, &order(0.1f32.to_le_bytes().into())), f64::from(0.1f32));
            assert_eq!(of(Kind::Float, 8, big, &order((-0.1f64).to_le_bytes().into())), -0.1);
        }
        assert_eq!(of(Kind::Bool, 1, false, &[1]), 1.0);
    }

    #[test]
    fn pieces_follow_the_header_to_the_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let whole: Vec<u8> = [&[0, 0, 0x0b, 2, 0, 0, 0, 2, 0, 0, 0, 3][..], &(0..12).collect::<Vec<u8>>()].concat();
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let mut all = Vec::new();
            let sum = Place::file(&path).pieces(&mut |i, piece| {
                all.push((i, piece.to_vec()));
                Ok(())
            })?;
            Ok((all, sum))
        };
        let (all, sum) = read(&whole).unwrap();
        assert_eq!(all, [(0, (0..6).collect::<Vec<u8>>()), (1, (6..12).collect())]);
        assert_eq!(sum, crate::store::checkpoint::sha256(&whole));
        for end in 0..whole.len() {
            let error: Error = read(&whole[..end]).unwrap_err();
            assert_eq!(error.exit_code(), 4, "cut at {end}");
        }
        assert!(read(&[&whole[..], &[0]].concat()).unwrap_err().to_string().contains("goes on"));
        let huge = [&[0, 0, 8, 3][..], &[255; 12]].concat();
        assert!(read(&huge).unwrap_err().to_string().contains("has the shape"));
    }
}
