//! Arrays written piece by piece, for as many items as there are.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use candle_core::{DType, Tensor};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::store::Growing;
use crate::{Error, Result};

/// A `.npy` file of f32 to which items are appended.
pub struct NpyRows {
    file: Growing,
    item: Vec<usize>,
    rows: usize,
}

impl NpyRows {
    /// An array without items of the shape `item` yet, which is to become `path`.
    ///
    /// # Errors
    /// As the system says.
    pub fn begin(path: &Path, item: &[usize]) -> Result<Self> {
        let mut file = Growing::begin(path)?;
        file.write_all(&header(FLOATS, false, 0, item)).map_err(Error::io(path))?;
        Ok(NpyRows { file, item: item.to_vec(), rows: 0 })
    }

    /// Appends items, `[B, item..]`.
    ///
    /// # Errors
    /// As the system says.
    pub fn push(&mut self, items: &Tensor) -> Result<()> {
        let values: Vec<f32> = items.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.file.write_all(&bytes).map_err(Error::io(self.file.temporary()))?;
        self.rows += items.dim(0)?;
        Ok(())
    }

    /// The shape so far.
    pub fn shape(&self) -> Vec<usize> {
        [&[self.rows], self.item.as_slice()].concat()
    }

    /// Writes the header of as many items as there are; the file has yet to be finished.
    fn complete(mut self) -> Result<Growing> {
        let mut head = || {
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(&header(FLOATS, false, self.rows, &self.item))?;
            self.file.flush()
        };
        head().map_err(Error::io(self.file.temporary()))?;
        Ok(self.file)
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// As the system says.
    pub fn finish(self) -> Result<()> {
        self.complete()?.finish()
    }
}

/// The type of the numbers.
const FLOATS: &str = "'<f4'";

/// The header of an array of a type as Python writes it, of a length that does not depend on `rows`.
pub(super) fn header(descr: &str, fortran: bool, rows: usize, item: &[usize]) -> Vec<u8> {
    /// Magic string, version and length before the text; the whole is a multiple of 64.
    const LEAD: usize = 10;
    let order = if fortran { "True" } else { "False" };
    let text = |rows: usize| {
        let sides: String = std::iter::once(&rows).chain(item).map(|side| format!("{side}, ")).collect();
        format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': ({}), }}", sides.trim_end())
    };
    let length = (LEAD + text(usize::MAX).len() + 1).next_multiple_of(64) - LEAD;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(format!("{:<width$}\n", text(rows), width = length - 1).bytes());
    bytes
}

/// Packs arrays into the archive `path`, under their names without the ending.
///
/// # Errors
/// As the system says.
pub fn npz(path: &Path, members: Vec<(&str, NpyRows)>) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| Error::Other(format!("cannot write {}: {e}", path.display()));
    let mut archive = ZipWriter::new(Growing::begin(path)?);
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).large_file(true);
    for (name, array) in members {
        let array = array.complete()?;
        archive.start_file(format!("{name}.npy"), options).map_err(|e| failed(&e))?;
        let mut from = File::open(array.temporary()).map_err(|e| failed(&e))?;
        io::copy(&mut from, &mut archive).map_err(|e| failed(&e))?;
    }
    archive.finish().map_err(|e| failed(&e))?.finish()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::data::formats::npy;

    #[test]
    fn what_grew_is_what_a_reader_finds() {
        let dir = tempfile::tempdir().unwrap();
        for item in [vec![], vec![3], vec![1, 2, 2]] {
            let path = dir.path().join("x.npy");
            let mut array = NpyRows::begin(&path, &item).unwrap();
            let size: usize = item.iter().product();
            for rows in [2usize, 0, 5] {
                let values = Tensor::arange(0f32, (rows * size) as f32, &Device::Cpu);
                let shape = [&[rows], item.as_slice()].concat();
                let values = if rows == 0 {
                    Tensor::zeros(shape, DType::F32, &Device::Cpu)
                } else {
                    values.unwrap().reshape(shape)
                };
                array.push(&values.unwrap()).unwrap();
            }
            assert!(!path.exists());
            array.finish().unwrap();
            let read = npy::array(&path).unwrap();
            assert_eq!(read.shape, [&[7], item.as_slice()].concat());
            assert_eq!(read.values[2 * size..], (0..5 * size).map(|v| v as f64).collect::<Vec<_>>());
            std::fs::remove_file(&path).unwrap();
        }
        drop(NpyRows::begin(&dir.path().join("x.npy"), &[2]).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left of what was given up");
    }
}
