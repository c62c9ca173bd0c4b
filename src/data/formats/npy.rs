//! NumPy's `.npy` files.

use std::path::Path;

use candle_core::{Device, Tensor};

use super::vectors::Vectors;
use crate::{Error, Result};

/// An array of any shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// All numbers, the last dimension running fastest.
    pub values: Vec<f64>,
}

/// Reads a `.npy` file as it is: any shape, and numbers that are not finite too.
///
/// # Errors
/// [`Error::Data`]: a file that cannot be read, is of another kind or truncated.
pub fn array(path: &Path) -> Result<Array> {
    let bytes = std::fs::read(path)
        .map_err(|e| Error::data(path, format!("cannot be read: {e}"), "give a .npy file of draws"))?;
    shaped(path, &bytes)
}

/// The bytes of a `.npy` file of f32.
///
/// # Errors
/// A shape that does not fit the values.
pub fn npy_bytes(shape: &[usize], values: &[f32]) -> Result<Vec<u8>> {
    use npyz::WriterBuilder as _;
    let failed = |e: std::io::Error| Error::Other(format!("cannot encode an array of shape {shape:?} as .npy: {e}"));
    let shape: Vec<u64> = shape.iter().map(|&d| d as u64).collect();
    let mut bytes = Vec::new();
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut bytes).begin_nd().map_err(failed)?;
    writer.extend(values.iter().copied()).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}

/// The rows of one `.npy` file.
///
/// # Errors
/// What [`file::read`](super::file::read) refuses.
pub(crate) fn rows(path: &Path, bytes: &[u8]) -> Result<Vectors> {
    let Array { shape, values } = shaped(path, bytes)?;
    let &[rows, ..] = shape.as_slice() else {
        return Err(Error::data(path, format!("has the shape {shape:?}"), "save an array of shape [rows, numbers]"));
    };
    let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
    let dim = values.len().checked_div(rows).unwrap_or(0);
    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        let (row, column) = (at / dim.max(1), at % dim.max(1));
        return Err(Error::data(
            path,
            format!("row {row}, column {column} (from 0): {} is not finite in f32", values[at]),
            "remove such rows: no density is defined there",
        ));
    }
    Ok(Vectors { dim, values })
}

/// Shape and numbers of one `.npy` file.
fn shaped(path: &Path, bytes: &[u8]) -> Result<Array> {
    let bad =
        |e: std::io::Error| Error::data(path, format!("is no sound .npy file: {e}"), "save it anew with `numpy.save`");
    let file = npyz::NpyFile::new(bytes).map_err(bad)?;
    let shape: Vec<usize> = file.shape().iter().map(|&d| d as usize).collect();
    let Some(count) = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) else {
        return Err(Error::data(path, format!("has the shape {shape:?}"), "save an array of shape [rows, numbers]"));
    };
    let fortran = file.order() == npyz::Order::Fortran;
    let values = numbers(path, file)?.map_err(bad)?;
    if values.len() != count {
        return Err(Error::data(path, format!("holds {} of {count} numbers", values.len()), "copy the file again"));
    }
    let values = if fortran { row_major(values, &shape)? } else { values };
    Ok(Array { shape, values })
}

/// All numbers in the order of the file, whatever their type.
fn numbers(path: &Path, file: npyz::NpyFile<&[u8]>) -> Result<std::io::Result<Vec<f64>>> {
    macro_rules! of {
        ($file:ident as $($kind:ty),*) => {{
            $(let $file = match $file.try_data::<$kind>() {
                Ok(data) => return Ok(data.map(|v| v.map(|v| v as f64)).collect()),
                Err(file) => file,
            };)*
            $file
        }};
    }
    let other = of!(file as f32, f64, i64, i32, u8);
    Err(Error::data(
        path,
        format!("holds {}, which is no type of real numbers that is read", other.dtype().descr()),
        "save it as `x.astype('float32')`",
    ))
}

/// The same array with the last dimension running fastest.
fn row_major(values: Vec<f64>, shape: &[usize]) -> Result<Vec<f64>> {
    let reversed: Vec<usize> = shape.iter().rev().copied().collect();
    let axes: Vec<usize> = (0..shape.len()).rev().collect();
    Ok(Tensor::from_vec(values, reversed, &Device::Cpu)?.permute(axes)?.flatten_all()?.to_vec1()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 1 of the format, written by hand.
    fn npy(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
        let order = if fortran { "True" } else { "False" };
        let mut header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
        while (10 + header.len() + 1) % 64 != 0 {
            header.push(' ');
        }
        header.push('\n');
        [&b"\x93NUMPY\x01\x00"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
    }

    fn read_npy(bytes: &[u8]) -> Result<Vectors> {
        rows(Path::new("x.npy"), bytes)
    }

    #[test]
    fn arrays_of_every_type_and_order_are_read() {
        let want = Vectors { dim: 2, values: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0] };
        let by_row = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let by_column = [1.0, 3.0, 5.0, 2.0, 4.0, 6.0];
        let f64s = |v: [f64; 6]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let f32s = |v: [f64; 6]| v.iter().flat_map(|v| (*v as f32).to_be_bytes()).collect::<Vec<u8>>();
        let i64s = |v: [f64; 6]| v.iter().flat_map(|v| (*v as i64).to_le_bytes()).collect::<Vec<u8>>();
        assert_eq!(read_npy(&npy("<f8", false, "(3, 2)", &f64s(by_row))).unwrap(), want);
        assert_eq!(read_npy(&npy("<f8", true, "(3, 2)", &f64s(by_column))).unwrap(), want);
        assert_eq!(read_npy(&npy(">f4", false, "(3, 2)", &f32s(by_row))).unwrap(), want);
        assert_eq!(read_npy(&npy("<i8", true, "(3, 2, 1)", &i64s(by_column))).unwrap(), want);
        assert_eq!(read_npy(&npy("<f8", false, "(6,)", &f64s(by_row))).unwrap().dim, 1);
    }

    #[test]
    fn arrays_that_are_not_sound_are_refused() {
        let data: Vec<u8> = [1.0f64, f64::NAN].iter().flat_map(|v| v.to_le_bytes()).collect();
        for (bytes, says) in [
            (npy("<f8", false, "(1, 2)", &data), "row 0, column 1"),
            (npy("<f8", false, "(2, 2)", &data), "no sound .npy"),
            (npy("<f8", false, "()", &data[..8]), "has the shape []"),
            (npy("<c16", false, "(1, 1)", &data), "no type of real numbers"),
            (b"\x93NUMPY\x01\x00".to_vec(), "no sound .npy"),
        ] {
            let error = read_npy(&bytes).unwrap_err();
            assert!(error.to_string().contains(says) && error.exit_code() == 4, "{error}");
        }
    }
}
