//! NumPy's `.npy` files.

use std::cmp::Ordering;
use std::path::Path;

use candle_core::{Device, Tensor};
use npyz::half::f16;

use super::vectors::Vectors;
use crate::data::files::locate::uncompressed;
use crate::{Error, Result};

/// An array of any shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// All numbers, the last dimension running fastest.
    pub values: Vec<f64>,
}

/// Reads a `.npy` file as it is: any shape, and numbers that are not finite too. It may be gzipped.
///
/// # Errors
/// [`Error::Data`]: a file that cannot be read, is of another kind or truncated.
pub fn array(path: &Path) -> Result<Array> {
    let bytes = uncompressed(path)?;
    if bytes.starts_with(b"PK") {
        return Err(Error::data(path, "is an archive (.npz?)", "save one array with `numpy.save` as .npy"));
    }
    shaped(path, &bytes)
}

/// The bytes of a `.npy` file: of f32 if that holds every value, else of f64.
///
/// # Errors
/// A shape that does not fit the values.
pub fn npy_bytes(shape: &[usize], values: &[f64]) -> Result<Vec<u8>> {
    let single = |v: &f64| *v as f32;
    match values.iter().all(|v| v.is_nan() || f64::from(single(v)) == *v) {
        true => encoded(shape, values.iter().map(single)),
        false => encoded(shape, values.iter().copied()),
    }
}

fn encoded<T: npyz::AutoSerialize>(shape: &[usize], values: impl Iterator<Item = T>) -> Result<Vec<u8>> {
    use npyz::WriterBuilder as _;
    let failed = |e: std::io::Error| Error::Other(format!("cannot encode an array of shape {shape:?} as .npy: {e}"));
    let shape: Vec<u64> = shape.iter().map(|&d| d as u64).collect();
    let mut bytes = Vec::new();
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut bytes).begin_nd().map_err(failed)?;
    writer.extend(values).map_err(failed)?;
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
    let dim = values.len().checked_div(rows).unwrap_or(0);
    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        let (row, column) = (at / dim.max(1), at % dim.max(1));
        return Err(Error::data(
            path,
            format!("row {row}, column {column} (from 0): {} is not finite", values[at]),
            "remove such rows: no density is defined there",
        ));
    }
    Ok(Vectors { dim, values })
}

/// The labels in one `.npy` file, one an item: numbers as they are written, words, `True` and `False`.
///
/// # Errors
/// What is no array of such.
pub(crate) fn labels(path: &Path, bytes: &[u8]) -> Result<Vec<String>> {
    let mut file = opened(path, bytes)?;
    macro_rules! of {
        ($($kind:ty => $word:expr),*) => {
            $(file = match file.try_data::<$kind>() {
                Ok(data) => return data.map(|v| v.map($word)).collect::<std::io::Result<_>>().map_err(unsound(path)),
                Err(file) => file,
            };)*
        };
    }
    let truth = |b: bool| if b { "True" } else { "False" }.to_owned();
    of!(i64 => |v| v.to_string(), u64 => |v| v.to_string(), i32 => |v| v.to_string(), u32 => |v| v.to_string(),
        i16 => |v| v.to_string(), u16 => |v| v.to_string(), i8 => |v| v.to_string(), u8 => |v| v.to_string(),
        f64 => |v| v.to_string(), f32 => |v| v.to_string(), f16 => |v| v.to_string(), bool => truth, String => |v| v);
    Err(Error::data(path, kind(&file), "save the labels as `y.astype(str)`"))
}

fn unsound(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |e| Error::data(path, format!("is no sound .npy file: {e}"), "save it anew with `numpy.save`")
}

/// What a file holds that is not read.
fn kind(file: &npyz::NpyFile<&[u8]>) -> String {
    match file.dtype() {
        npyz::DType::Record(_) => "holds records, which have a name for each number".to_owned(),
        dtype if dtype.uses_pickled_array() => "holds Python objects, not numbers or words".to_owned(),
        dtype => format!("holds {}, which is no type that is read", dtype.descr()),
    }
}

/// The header of one `.npy` file, with as much behind it as it says.
fn opened<'a>(path: &Path, bytes: &'a [u8]) -> Result<npyz::NpyFile<&'a [u8]>> {
    let file = npyz::NpyFile::new(bytes).map_err(unsound(path))?;
    let count = file.shape().iter().try_fold(1u64, |n, &d| n.checked_mul(d));
    let Some(count) = count.filter(|n| usize::try_from(*n).is_ok()) else {
        let what = format!("has the shape {:?}", file.shape());
        return Err(Error::data(path, what, "save an array of shape [rows, numbers]"));
    };
    // Objects are of any size.
    let Some(size) = file.dtype().num_bytes() else { return Ok(file) };
    let (have, want) = (file.clone().into_inner().len() as u64, count.saturating_mul(size as u64));
    match have.cmp(&want) {
        Ordering::Less => {
            let what = format!("is no sound .npy file: {have} of {want} bytes follow its header");
            Err(Error::data(path, what, "copy the file again, or save it anew with `numpy.save`"))
        }
        Ordering::Greater => {
            let what = format!("{} bytes follow the array", have - want);
            Err(Error::data(path, what, "save one array a file with `numpy.save`"))
        }
        Ordering::Equal => Ok(file),
    }
}

/// Shape and numbers of one `.npy` file.
///
/// # Errors
/// What is no sound array of numbers.
pub(crate) fn shaped(path: &Path, bytes: &[u8]) -> Result<Array> {
    let file = opened(path, bytes)?;
    let shape: Vec<usize> = file.shape().iter().map(|&d| d as usize).collect();
    let fortran = file.order() == npyz::Order::Fortran;
    let values = numbers(path, file)?;
    let values = if fortran { row_major(values, &shape)? } else { values };
    Ok(Array { shape, values })
}

/// All numbers in the order of the file, whatever their type; a time that is none is no number.
fn numbers(path: &Path, file: npyz::NpyFile<&[u8]>) -> Result<Vec<f64>> {
    let is_time = matches!(file.dtype(), npyz::DType::Plain(kind)
        if matches!(kind.type_char(), npyz::TypeChar::DateTime | npyz::TypeChar::TimeDelta));
    let mut file = file;
    macro_rules! of {
        ($($kind:ty => $number:expr),*) => {
            $(file = match file.try_data::<$kind>() {
                Ok(data) => return data.map(|v| v.map($number)).collect::<std::io::Result<_>>().map_err(unsound(path)),
                Err(file) => file,
            };)*
        };
    }
    of!(f32 => f64::from, f64 => |v| v, f16 => f64::from, u8 => f64::from, i8 => f64::from, u16 => f64::from,
        i16 => f64::from, u32 => f64::from, i32 => f64::from, u64 => |v| v as f64, bool => |v| f64::from(u8::from(v)),
        i64 => |v| if is_time && v == i64::MIN { f64::NAN } else { v as f64 });
    Err(Error::data(path, kind(&file), "save the numbers as `x.astype('float64')`"))
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

    /// The format, written by hand: version 1 has a length of two bytes, later ones of four.
    fn npy_of(version: u8, descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
        let order = if fortran { "True" } else { "False" };
        let mut header = format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}");
        while (12 + header.len() + 1) % 64 != 0 {
            header.push(' ');
        }
        header.push('\n');
        let length = (header.len() as u32).to_le_bytes();
        let length = if version == 1 { &length[..2] } else { &length[..] };
        [&b"\x93NUMPY"[..], &[version, 0], length, header.as_bytes(), data].concat()
    }

    fn npy(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
        npy_of(1, &format!("'{descr}'"), fortran, shape, data)
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
        let u16s = |v: [f64; 6]| v.iter().flat_map(|v| (*v as u16).to_be_bytes()).collect::<Vec<u8>>();
        assert_eq!(read_npy(&npy("<f8", false, "(3, 2)", &f64s(by_row))).unwrap(), want);
        assert_eq!(read_npy(&npy("<f8", true, "(3, 2)", &f64s(by_column))).unwrap(), want);
        assert_eq!(read_npy(&npy(">f4", false, "(3, 2)", &f32s(by_row))).unwrap(), want);
        assert_eq!(read_npy(&npy("<i8", true, "(3, 2, 1)", &i64s(by_column))).unwrap(), want);
        assert_eq!(read_npy(&npy(">u2", false, "(3, 2)", &u16s(by_row))).unwrap(), want);
        assert_eq!(read_npy(&npy("<M8[s]", false, "(3, 2)", &i64s(by_row))).unwrap(), want);
        let bytes = |v: [i8; 6]| v.iter().map(|v| *v as u8).collect::<Vec<u8>>();
        assert_eq!(read_npy(&npy("|i1", false, "(3, 2)", &bytes([1, 2, 3, 4, 5, 6]))).unwrap(), want);
        for (descr, size) in [("<i2", 2), (">i4", 4), (">u4", 4), ("<u8", 8), (">i8", 8), ("<u4", 4)] {
            let all: Vec<u8> = (1..=6u64)
                .flat_map(|v| match descr.starts_with('>') {
                    true => v.to_be_bytes()[8 - size..].to_vec(),
                    false => v.to_le_bytes()[..size].to_vec(),
                })
                .collect();
            assert_eq!(read_npy(&npy(descr, false, "(3, 2)", &all)).unwrap(), want, "{descr}");
        }
        // 1 to 6 in half precision.
        let halves = [0x3c00u16, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600];
        let little: Vec<u8> = halves.iter().flat_map(|v| v.to_le_bytes()).collect();
        let big: Vec<u8> = halves.iter().flat_map(|v| v.to_be_bytes()).collect();
        assert_eq!(read_npy(&npy("<f2", false, "(3, 2)", &little)).unwrap(), want);
        assert_eq!(read_npy(&npy(">f2", false, "(3, 2)", &big)).unwrap(), want);
        assert_eq!(read_npy(&npy("|b1", false, "(3, 1)", &[1, 0, 1])).unwrap().values, [1.0, 0.0, 1.0]);
        assert_eq!(read_npy(&npy("<f8", false, "(6,)", &f64s(by_row))).unwrap().dim, 1);
        for version in [2, 3] {
            assert_eq!(read_npy(&npy_of(version, "'<f8'", false, "(3, 2)", &f64s(by_row))).unwrap(), want);
        }
    }

    #[test]
    fn arrays_that_are_not_sound_are_refused() {
        let data: Vec<u8> = [1.0f64, f64::NAN].iter().flat_map(|v| v.to_le_bytes()).collect();
        let record = "[('a', '<f8'), ('b', '<f8')]";
        for (bytes, says) in [
            (npy("<f8", false, "(1, 2)", &data), "row 0, column 1"),
            (npy("<f8", false, "(2, 2)", &data), "no sound .npy file: 16 of 32 bytes"),
            (npy("<f8", false, "(1,)", &data), "8 bytes follow the array"),
            (npy("<f8", false, "()", &data[..8]), "has the shape []"),
            (npy("<c16", false, "(1, 1)", &data), "no type that is read"),
            (npy("|O", false, "(1, 1)", &data), "Python objects"),
            (npy("<U2", false, "(2,)", &data), "no type that is read"),
            (npy("<m8[s]", false, "(1,)", &i64::MIN.to_le_bytes()), "row 0, column 0 (from 0): NaN"),
            (npy_of(1, record, false, "(1,)", &data), "holds records"),
            (npy_of(9, "'<f8'", false, "(1, 2)", &data), "no sound .npy"),
            (b"\x93NUMPY\x01\x00".to_vec(), "no sound .npy"),
        ] {
            let error = read_npy(&bytes).unwrap_err();
            assert!(error.to_string().contains(says) && error.exit_code() == 4, "{says}: {error}");
        }
    }

    #[test]
    fn labels_are_read_as_they_are_written() {
        let words = |descr: &str, shape: &str, data: &[u8]| labels(Path::new("y.npy"), &npy(descr, false, shape, data));
        let wide = |text: &str| text.chars().flat_map(|c| (c as u32).to_be_bytes()).collect::<Vec<u8>>();
        assert_eq!(words(">U3", "(2,)", &wide("a\0\0cät")).unwrap(), ["a", "cät"]);
        assert_eq!(words("|S2", "(2, 1)", b"no\0\0").unwrap(), ["no", ""]);
        assert_eq!(words("|b1", "(2,)", &[1, 0]).unwrap(), ["True", "False"]);
        let large = (1i64 << 53) + 1;
        assert_eq!(words("<i8", "(1,)", &large.to_le_bytes()).unwrap(), ["9007199254740993"]);
        assert_eq!(words("<f4", "(1,)", &0.1f32.to_le_bytes()).unwrap(), ["0.1"]);
        for (descr, data) in [("|O", &[0; 8][..]), ("<U1", &[0, 0xd8, 0, 0])] {
            assert_eq!(words(descr, "(1,)", data).unwrap_err().exit_code(), 4, "{descr}");
        }
    }

    #[test]
    fn what_f32_cannot_hold_is_written_as_f64() {
        let written = |values: &[f64]| npy_bytes(&[values.len()], values).unwrap();
        let read = |bytes: &[u8]| shaped(Path::new("x.npy"), bytes).unwrap().values;
        for (values, descr) in [(vec![0.5, f64::INFINITY], "<f4"), (vec![1_700_000_000.5, 1.0], "<f8"), (vec![], "<f4")]
        {
            let bytes = written(&values);
            assert!(String::from_utf8_lossy(&bytes).contains(descr));
            assert_eq!(read(&bytes), values);
        }
        assert!(read(&written(&[f64::NAN]))[0].is_nan());
    }
}
