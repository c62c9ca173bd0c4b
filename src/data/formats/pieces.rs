//! The rows of a file some at a time, so that a file of any size can be read.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _};
use std::path::Path;

use npyz::{NpyHeader, Order};

use super::vectors::Vectors;
use super::{file, grown, npy};
use crate::{Error, Result};

/// Hands the rows of a file to `each`, at most `most` at a time, as exact as the file has them. Of a `.npy` file no
/// more than these are in memory; text, and arrays that are compressed or in Fortran's order, are read as a whole.
///
/// # Errors
/// What [`file::read`] refuses, and what `each` does.
pub fn rows(path: &Path, most: usize, each: &mut dyn FnMut(Vectors) -> Result<()>) -> Result<()> {
    if let Some(array) = Stored::open(path)? {
        return array.rows(path, most.max(1), each);
    }
    let all = file::read(path)?;
    for values in all.values.chunks(all.dim.max(1) * most.max(1)) {
        each(Vectors { dim: all.dim, values: values.to_vec() })?;
    }
    Ok(())
}

/// An array in a file, behind its header, the last dimension running fastest.
struct Stored {
    file: BufReader<File>,
    header: NpyHeader,
    /// Bytes of a number.
    size: usize,
}

impl Stored {
    /// The array in a `.npy` file that can be read piece by piece; `None` of any other file. It is as long as its
    /// header says.
    fn open(path: &Path) -> Result<Option<Self>> {
        let failed = |e| Error::io(path)(e);
        // What is missing is told by who reads the file as a whole.
        let Ok(file) = File::open(path) else { return Ok(None) };
        let length = file.metadata().map_err(failed)?.len();
        let mut file = BufReader::new(file);
        let mut lead = [0; 6];
        if file.read_exact(&mut lead).is_err() || &lead != b"\x93NUMPY" {
            return Ok(None);
        }
        file.rewind().map_err(failed)?;
        let Ok(header) = NpyHeader::from_reader(&mut file) else { return Ok(None) };
        let (Some(size), Order::C, [_, ..]) = (header.dtype().num_bytes(), header.order(), header.shape()) else {
            return Ok(None);
        };
        let numbers = header.shape().iter().try_fold(size as u64, |n, &side| n.checked_mul(side));
        let whole = numbers.and_then(|n| n.checked_add(file.stream_position().ok()?)) == Some(length);
        Ok(whole.then_some(Stored { file, header, size }))
    }

    fn rows(mut self, path: &Path, most: usize, each: &mut dyn FnMut(Vectors) -> Result<()>) -> Result<()> {
        let shape: Vec<usize> = self.header.shape().iter().map(|&side| side as usize).collect();
        let (count, item) = (shape.first().copied().unwrap_or(0), shape.get(1..).unwrap_or_default());
        let dim: usize = item.iter().product();
        for from in (0..count).step_by(most) {
            let rows = most.min(count - from);
            let mut piece = grown::header(&self.header.dtype().descr(), rows, item);
            let head = piece.len();
            piece.resize(head + rows * dim * self.size, 0);
            self.file.read_exact(piece.get_mut(head..).unwrap_or_default()).map_err(Error::io(path))?;
            let values = npy::shaped(path, &piece)?.values;
            if let Some((at, value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
                let (row, column) = (from + at / dim.max(1), at % dim.max(1));
                let what = format!("row {row}, column {column} (from 0): {value} is not finite");
                return Err(Error::data(path, what, "remove such rows: no density is defined there"));
            }
            each(Vectors { dim, values })?;
        }
        match count * dim {
            0 => Err(Error::data(path, "holds no numbers", "one sample a row")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(path: &Path, most: usize) -> Result<Vec<Vec<f64>>> {
        let mut found = Vec::new();
        rows(path, most, &mut |some| {
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
        for path in [&npy, &csv] {
            for most in [1, 2, 7, 100] {
                let found = pieces(path, most).unwrap();
                assert!(found.iter().all(|piece| piece.len() <= 3 * most));
                assert_eq!(found.concat(), values, "{}", path.display());
            }
        }
        assert!(Stored::open(&npy).unwrap().is_some() && Stored::open(&csv).unwrap().is_none());
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
