//! Vectors of the user's own, from a file: NumPy's `.npy`, or text with a row a line (`.csv`, `.tsv`, `.txt`).

use std::path::Path;

pub use super::frame::Begin;
pub use super::grown::{NpyRows, npz};
pub use super::npy::{Array, array, npy_bytes};
pub use super::npz::npz_bytes;
pub use super::pieces::{names, rows};
pub use super::text::Field;
pub use super::vectors::Vectors;
use super::{npy, text};
use crate::data::files::locate::uncompressed;
use crate::{Error, Result};

/// Reads a file; its first bytes tell which kind it is.
///
/// `.npy`: the first dimension counts the rows, in C or Fortran order; any real numbers. Text: numbers between commas,
/// semicolons, tabs or blanks, with a line of names above them or none; lines that begin with # and a blank are
/// skipped, others that begin with # above the first row. Either may be gzipped.
///
/// # Errors
/// [`Error::Data`] with the line or row: a file that cannot be read, is of another kind or truncated, rows of different
/// lengths, what is no number or not finite.
pub fn read(path: &Path) -> Result<Vectors> {
    let bytes = uncompressed(path)?;
    let vectors = match bytes.as_slice() {
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => npy::rows(path, &bytes)?,
        [b'P', b'K', 3, 4, ..] => {
            return Err(Error::data(path, "is an archive (.npz?)", "save one array with `numpy.save` as .npy"));
        }
        _ => text::vectors(path, &bytes)?,
    };
    match vectors.values.is_empty() {
        true => Err(Error::data(path, "holds no numbers", "one sample a row")),
        false => Ok(vectors),
    }
}
