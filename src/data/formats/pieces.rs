//! The rows of a file some at a time, so that a file of any size can be read.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek as _, SeekFrom};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use npyz::{NpyHeader, Order};

use super::frame::Begin;
use super::text::Field;
use super::vectors::Vectors;
use super::{file, grown, npy, text};
use crate::data::files::locate::GZIP;
use crate::{Error, Result};

/// Hands the rows of a file to `each`, at most `most` at a time, as exact as the file has them. Of a text, which begins
/// so, these `fields`, or all where there are none. No more than these are in memory, of text and arrays, gzipped or
/// not; but an array that is gzipped and in Fortran's order is read as a whole.
///
/// # Errors
/// What [`file::read`] refuses, and what `each` does.
pub fn rows(
    path: &Path,
    begin: Begin,
    (most, fields): (usize, &[Field]),
    each: &mut dyn FnMut(Vectors) -> Result<()>,
) -> Result<()> {
    let most = most.max(1);
    if let Some(array) = Stored::open(path)? {
        return array.rows(path, most, each);
    }
    let mut from = opened(path)?;
    let mut lead = Vec::new();
    from.by_ref().take(MAGIC.len() as u64).read_to_end(&mut lead).map_err(broken(path))?;
    let mut from = Cursor::new(lead.clone()).chain(from);
    let mut count = 0;
    let mut counted = |rows: Vectors| {
        count += rows.values.len();
        each(rows)
    };
    match lead.as_slice() {
        [b'P', b'K', ..] => in_pieces(file::read(path)?, most, &mut counted)?,
        MAGIC => packed(path, &mut from, most, &mut counted)?,
        _ => text::pieces(path, &mut from, begin, (most, fields), &mut counted)?,
    }
    if count == 0 { Err(empty(path)) } else { Ok(()) }
}

/// The names of a text's columns, which begins so; none of a file that does not name them, or of another kind.
///
/// # Errors
/// What cannot be read.
pub fn names(path: &Path, begin: Begin) -> Result<Vec<String>> {
    if Stored::open(path)?.is_some() {
        return Ok(Vec::new());
    }
    let mut from = opened(path)?;
    let lead = from.fill_buf().map_err(broken(path))?;
    match lead.starts_with(b"PK") || lead.starts_with(MAGIC) {
        true => Ok(Vec::new()),
        false => text::names(path, &mut from, begin),
    }
}

/// The first bytes of a `.npy` file.
const MAGIC: &[u8] = b"\x93NUMPY";

/// The content of a file, uncompressed as it is read.
fn opened(path: &Path) -> Result<Box<dyn BufRead>> {
    let hint = "name a file that is there and may be read";
    let file = File::open(path).map_err(|e| Error::data(path, format!("cannot be read: {e}"), hint))?;
    let mut raw = BufReader::new(file);
    match raw.fill_buf().map_err(broken(path))?.starts_with(GZIP) {
        true => Ok(Box::new(BufReader::new(MultiGzDecoder::new(raw)))),
        false => Ok(Box::new(raw)),
    }
}

fn broken(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |e| Error::data(path, format!("cannot be read: {e}"), "the file is incomplete or damaged: copy it again")
}

fn empty(path: &Path) -> Error {
    Error::data(path, "holds no numbers", "one sample a row")
}

/// The rows of an array that is gzipped.
fn packed(path: &Path, from: &mut dyn BufRead, most: usize, each: &mut dyn FnMut(Vectors) -> Result<()>) -> Result<()> {
    let header = NpyHeader::from_reader(&mut *from).ok().and_then(|header| Header::of(&header));
    let Some(header) = header.filter(|header| !header.fortran) else {
        return in_pieces(file::read(path)?, most, each);
    };
    header.pieces(most, &mut |at, rows| {
        // No more memory than there are bytes, whatever the header says; who reads them notices that some are missing.
        let mut bytes = Vec::new();
        let want = (rows * header.dim() * header.size) as u64;
        Read::take(&mut *from, want).read_to_end(&mut bytes).map_err(broken(path))?;
        each(header.rows(path, at, rows, &bytes)?)
    })?;
    match from.fill_buf().map_err(broken(path))?.is_empty() {
        true => Ok(()),
        false => Err(Error::data(path, "bytes follow the array", "save one array a file with `numpy.save`")),
    }
}

fn in_pieces(all: Vectors, most: usize, each: &mut dyn FnMut(Vectors) -> Result<()>) -> Result<()> {
    let Vectors { dim, values } = all;
    let pieces = values.chunks(dim.max(1).saturating_mul(most));
    pieces.map(|piece| Vectors { dim, values: piece.to_vec() }).try_for_each(each)
}

/// What is known of an array in a file.
struct Header {
    /// The type of its numbers, as Python writes it.
    descr: String,
    /// Bytes of a number.
    size: usize,
    /// Whether the first dimension runs fastest.
    fortran: bool,
    /// Rows.
    count: usize,
    /// The dimensions of one.
    item: Vec<usize>,
}

impl Header {
    fn of(header: &NpyHeader) -> Option<Self> {
        let sides: Option<Vec<usize>> = header.shape().iter().map(|side| usize::try_from(*side).ok()).collect();
        let (sides, size) = (sides?, header.dtype().num_bytes()?);
        let (count, item) = sides.split_first()?;
        // No product of them is beyond what can be counted.
        sides.iter().try_fold(size, |n, side| n.checked_mul((*side).max(1)))?;
        let fortran = header.order() == Order::Fortran;
        Some(Header { descr: header.dtype().descr(), size, fortran, count: *count, item: item.to_vec() })
    }

    /// Numbers in a row.
    fn dim(&self) -> usize {
        self.item.iter().product()
    }

    /// Calls `each` with the first row and the number of rows of every piece.
    fn pieces(&self, most: usize, each: &mut dyn FnMut(usize, usize) -> Result<()>) -> Result<()> {
        (0..self.count).step_by(most).try_for_each(|at| each(at, most.min(self.count - at)))
    }

    /// Rows from the bytes of their numbers, in the order of the array; they are the `at`-th and those behind it.
    fn rows(&self, path: &Path, at: usize, rows: usize, bytes: &[u8]) -> Result<Vectors> {
        let mut piece = grown::header(&self.descr, self.fortran, rows, &self.item);
        piece.extend(bytes);
        let (dim, values) = (self.dim(), npy::shaped(path, &piece)?.values);
        match values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            None => Ok(Vectors { dim, values }),
            Some((i, value)) => {
                let (row, column) = (at + i / dim.max(1), i % dim.max(1));
                let what = format!("row {row}, column {column} (from 0): {value} is not finite");
                Err(Error::data(path, what, "remove such rows: no density is defined there"))
            }
        }
    }
}

/// An array in a file that is not compressed.
struct Stored {
    file: BufReader<File>,
    header: Header,
    /// The place of the first number in the file.
    start: u64,
}

impl Stored {
    /// The array in a `.npy` file; `None` of any other. It is as long as its header says.
    fn open(path: &Path) -> Result<Option<Self>> {
        let failed = |e| Error::io(path)(e);
        // What is missing or unsound is told by who reads the file as a whole.
        let Ok(file) = File::open(path) else { return Ok(None) };
        let length = file.metadata().map_err(failed)?.len();
        let mut file = BufReader::new(file);
        if !file.fill_buf().map_err(failed)?.starts_with(MAGIC) {
            return Ok(None);
        }
        let Ok(found) = NpyHeader::from_reader(&mut file) else { return Ok(None) };
        let Some(header) = Header::of(&found) else { return Ok(None) };
        let start = file.stream_position().map_err(failed)?;
        let want = found.shape().iter().fold(header.size as u64, |n, &side| n.saturating_mul(side));
        match length - start {
            have if have == want => Ok(Some(Stored { file, header, start })),
            have => {
                let what = format!("is no sound .npy file: {have} bytes follow its header, and it says {want}");
                Err(Error::data(path, what, "copy the file again, or save one array with `numpy.save`"))
            }
        }
    }

    fn rows(self, path: &Path, most: usize, each: &mut dyn FnMut(Vectors) -> Result<()>) -> Result<()> {
        let Stored { mut file, header, start } = self;
        let (columns, size) = (header.dim(), header.size);
        if header.count * columns == 0 {
            return Err(empty(path));
        }
        header.pieces(most, &mut |at, rows| {
            let mut bytes = vec![0; rows * columns * size];
            if !header.fortran {
                file.read_exact(&mut bytes).map_err(Error::io(path))?;
                return each(header.rows(path, at, rows, &bytes)?);
            }
            // Every column lies by itself.
            for (column, bytes) in bytes.chunks_exact_mut(rows * size).enumerate() {
                let place = start + ((column * header.count + at) * size) as u64;
                file.seek(SeekFrom::Start(place)).map_err(Error::io(path))?;
                file.read_exact(bytes).map_err(Error::io(path))?;
            }
            each(header.rows(path, at, rows, &bytes)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::PathBuf;

    use super::*;

    fn pieces(path: &Path, most: usize) -> Result<Vec<Vec<f64>>> {
        let mut found = Vec::new();
        rows(path, Begin::default(), (most, &[]), &mut |some| {
            assert_eq!(some.dim, 3);
            found.push(some.values);
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn pieces_of_every_kind_of_file_are_its_rows_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let values: Vec<f64> = (0..21).map(f64::from).collect();
        let (npy, csv) = (dir.path().join("x.npy"), dir.path().join("x.csv"));
        std::fs::write(&npy, super::npy::npy_bytes(&[7, 3], &values).unwrap()).unwrap();
        let lines = values.chunks(3).map(|row| format!("{},{},{}\n", row[0], row[1], row[2])).collect::<String>();
        std::fs::write(&csv, format!("a,b,c\n{lines}")).unwrap();
        let (fortran, zipped) = (dir.path().join("f.npy"), |path: &Path| {
            let to = PathBuf::from(format!("{}.gz", path.display()));
            let mut encoder = flate2::write::GzEncoder::new(File::create(&to).unwrap(), flate2::Compression::fast());
            encoder.write_all(&std::fs::read(path).unwrap()).unwrap();
            encoder.finish().unwrap();
            to
        });
        let columns = (0..3).flat_map(|c| values.iter().skip(c).step_by(3)).flat_map(|v| v.to_le_bytes());
        let header = grown::header("'<f8'", true, 7, &[3]);
        std::fs::write(&fortran, header.into_iter().chain(columns).collect::<Vec<u8>>()).unwrap();
        let packed = [zipped(&csv), zipped(&fortran)];
        let npy_packed = zipped(&npy);
        for path in [&npy, &csv, &fortran, &packed[0], &packed[1], &npy_packed] {
            for most in [1, 2, 7, 100] {
                let found = pieces(path, most).unwrap();
                assert!(found.iter().all(|piece| piece.len() <= 3 * most));
                assert_eq!(found.concat(), values, "{}", path.display());
            }
        }
        assert!(Stored::open(&fortran).unwrap().is_some() && Stored::open(&csv).unwrap().is_none());
        let cut = std::fs::read(&npy_packed).unwrap();
        std::fs::write(&npy_packed, &cut[..cut.len() - 9]).unwrap();
        assert_eq!(pieces(&npy_packed, 2).unwrap_err().exit_code(), 4);
        // What is cut off or goes on is refused before the first piece, and a bad number by its row in the file.
        let whole = std::fs::read(&npy).unwrap();
        for bad in [&whole[..whole.len() - 1], &[&whole[..], b"x"].concat()] {
            std::fs::write(&npy, bad).unwrap();
            assert_eq!(pieces(&npy, 2).unwrap_err().exit_code(), 4);
        }
        let mut wrong = values.clone();
        wrong[16] = f64::NAN;
        std::fs::write(&npy, super::npy::npy_bytes(&[7, 3], &wrong).unwrap()).unwrap();
        let text = pieces(&npy, 2).unwrap_err().to_string();
        assert!(text.contains("row 5, column 1"), "{text}");
    }
}
