//! Vectors of the user's own, from a file: NumPy's `.npy`, or text with a row a line (`.csv`, `.tsv`, `.txt`).

use std::path::Path;

use candle_core::{Device, Tensor};

use crate::{Error, Result};

/// The rows of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    /// Numbers in a row.
    pub dim: usize,
    /// Row after row.
    pub values: Vec<f32>,
}

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

/// Reads a file; its first bytes tell which kind it is.
///
/// `.npy`: the first dimension counts the rows, in C or Fortran order; f32, f64, i32, i64 or u8. Text: numbers between
/// commas, semicolons, tabs or blanks, with a line of names above them or none; lines that begin with # are skipped.
///
/// # Errors
/// [`Error::Data`] with the line or row: a file that cannot be read, is of another kind or truncated, rows of different
/// lengths, what is no number or not finite in f32.
pub fn read(path: &Path) -> Result<Vectors> {
    let bytes = std::fs::read(path)
        .map_err(|e| Error::data(path, format!("cannot be read: {e}"), "give a .npy or .csv file of samples"))?;
    let vectors = match bytes.as_slice() {
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => npy(path, &bytes)?,
        [b'P', b'K', 3, 4, ..] => {
            return Err(Error::data(path, "is an archive (.npz?)", "save one array with `numpy.save` as .npy"));
        }
        _ => text(path, &bytes)?,
    };
    match vectors.values.is_empty() {
        true => Err(Error::data(path, "holds no numbers", "one sample a row")),
        false => Ok(vectors),
    }
}

impl Vectors {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.dim).unwrap_or(0)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The rows as items of a model's shape, `[N, ..]`; `path` is named in the error.
    ///
    /// # Errors
    /// Rows of another length than an item.
    pub fn items(self, shape: &[usize], path: &Path, device: &Device) -> Result<Tensor> {
        let want: usize = shape.iter().product();
        if self.dim != want {
            return Err(Error::data(
                path,
                format!("a row has {} numbers, but the model's items have {want} (shape {shape:?})", self.dim),
                "samples must be in the model's space, one flattened item a row",
            ));
        }
        let shape = [&[self.len()], shape].concat();
        Ok(Tensor::from_vec(self.values, shape, device)?)
    }
}

/// The rows of one `.npy` file.
///
/// # Errors
/// As [`read`].
pub(super) fn npy(path: &Path, bytes: &[u8]) -> Result<Vectors> {
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

fn text(path: &Path, bytes: &[u8]) -> Result<Vectors> {
    let (mut dim, mut values) = (0, Vec::new());
    rows(path, bytes, 0, REMEDY, &mut |row| {
        dim = if dim == 0 { row.fields.len() } else { dim };
        row.has(dim)?;
        for column in 0..dim {
            values.push(row.number(column)?);
        }
        Ok(())
    })?;
    Ok(Vectors { dim, values })
}

/// One row of a text.
pub(super) struct Row<'a> {
    path: &'a Path,
    remedy: &'static str,
    /// From 1.
    line: u64,
    /// The names of the columns; empty if the text has none.
    pub names: &'a [String],
    pub fields: &'a [&'a str],
}

impl Row<'_> {
    /// What is wrong with this row.
    pub(super) fn bad(&self, what: String) -> Error {
        Error::data(self.path, format!("line {}: {what}", self.line), self.remedy)
    }

    /// Refuses a row of another length.
    pub(super) fn has(&self, width: usize) -> Result<()> {
        match self.fields.len() {
            n if n == width => Ok(()),
            n => Err(self.bad(format!("has {n} numbers, the rows above have {width}"))),
        }
    }

    /// The number in a column.
    pub(super) fn number(&self, column: usize) -> Result<f32> {
        let field = self.fields.get(column).copied().unwrap_or_default();
        let name = self.names.get(column).map(|name| format!(" (`{name}`)")).unwrap_or_default();
        let at = format!("column {}{name}", column + 1);
        match field.parse::<f32>() {
            Ok(value) if value.is_finite() => Ok(value),
            Ok(_) => Err(self.bad(format!("{at}: {field} is not finite in f32"))),
            Err(_) => Err(self.bad(format!("{at}: `{field}` is no number"))),
        }
    }
}

/// What to do about a text of samples that cannot be read.
const REMEDY: &str = "one sample a line: numbers between commas, semicolons, tabs or blanks";

/// Hands every row of a text to `each`, without the first `skip` lines, comments, and a first line that has names only;
/// `remedy` is what errors advise.
///
/// # Errors
/// What is no text, and what `each` refuses.
pub(super) fn rows(
    path: &Path,
    bytes: &[u8],
    skip: usize,
    remedy: &'static str,
    each: &mut dyn FnMut(&Row) -> Result<()>,
) -> Result<()> {
    let bad = |line: u64, what: &str| Error::data(path, format!("line {line}: {what}"), remedy);
    let whole = std::str::from_utf8(bytes).map_err(|e| bad(newlines(&bytes[..e.valid_up_to()]), "is no text"))?;
    let skipped: usize = whole.split_inclusive('\n').take(skip).map(str::len).sum();
    let (above, content) = whole.split_at(skipped);
    let content = content.trim_start_matches('\u{feff}');
    let before = newlines(above.as_bytes()) - 1;
    let delimiter = delimiter(content);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(content.as_bytes());
    let (mut names, mut first) = (Vec::new(), true);
    let mut record = csv::StringRecord::new();
    loop {
        let read = reader.read_record(&mut record);
        // A record begins where the last one ended, before blank lines and comments: its own line is where it ends.
        let end = content.get(..reader.position().byte() as usize).unwrap_or(content);
        let line = before + newlines(end.trim_end_matches(['\r', '\n']).as_bytes());
        match read {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(_) => return Err(bad(line, "is no row of numbers")),
        }
        // Columns padded with blanks leave empty fields between them.
        let fields: Vec<&str> = record.iter().filter(|f| delimiter != b' ' || !f.is_empty()).collect();
        let header = first && fields.iter().all(|f| f.parse::<f64>().is_err());
        first = false;
        if header {
            names = fields.iter().map(|name| name.to_string()).collect();
        } else if !fields.is_empty() {
            each(&Row { path, remedy, line, names: &names, fields: &fields })?;
        }
    }
}

/// The line that follows so much text, from 1.
fn newlines(bytes: &[u8]) -> u64 {
    1 + bytes.iter().filter(|b| **b == b'\n').count() as u64
}

/// What stands between the numbers of the first row that is no comment.
fn delimiter(content: &str) -> u8 {
    let row = content.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#')).unwrap_or_default();
    *[b';', b',', b'\t'].iter().find(|d| row.as_bytes().contains(d)).unwrap_or(&b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vectors> {
        super::text(Path::new("x.csv"), text.as_bytes())
    }

    #[test]
    fn every_way_to_write_two_rows_is_read() {
        let want = Vectors { dim: 3, values: vec![1.0, -2.5, 300.0, 4.0, 5.0, 6.0] };
        for text in [
            "1,-2.5,3e2\n4,5,6\n",
            "a,b,c\r\n1, -2.5, 3e2\r\n4,5,6",
            "\u{feff}\"x 1\";y;z\n1;-2.5;3e2\n\n4;5;6\n",
            "# numpy.savetxt\n1\t-2.5\t3e2\n4\t5\t6\n",
            "  1   -2.5  3e2\n  4    5    6 \n",
        ] {
            assert_eq!(of(text).unwrap(), want, "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, says) in [
            ("x,y\n1,2\n3\n", "line 3: has 1 numbers, the rows above have 2"),
            ("1,2\n3,nan\n", "line 2: column 2: nan is not finite"),
            ("1,2\n3,1e99\n", "line 2: column 2: 1e99 is not finite"),
            ("1,two\n", "line 1: column 2: `two` is no number"),
            ("1,2\n\n3,\n", "line 3: column 2: `` is no number"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.to_string().contains(says) && error.exit_code() == 4, "{text:?}: {error}");
        }
    }

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
        super::npy(Path::new("x.npy"), bytes)
    }

    #[test]
    fn arrays_of_every_type_and_order_are_read() {
        let want = Vectors { dim: 2, values: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0] };
        let rows = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let columns = [1.0, 3.0, 5.0, 2.0, 4.0, 6.0];
        let f64s = |v: [f64; 6]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let f32s = |v: [f64; 6]| v.iter().flat_map(|v| (*v as f32).to_be_bytes()).collect::<Vec<u8>>();
        let i64s = |v: [f64; 6]| v.iter().flat_map(|v| (*v as i64).to_le_bytes()).collect::<Vec<u8>>();
        assert_eq!(read_npy(&npy("<f8", false, "(3, 2)", &f64s(rows))).unwrap(), want);
        assert_eq!(read_npy(&npy("<f8", true, "(3, 2)", &f64s(columns))).unwrap(), want);
        assert_eq!(read_npy(&npy(">f4", false, "(3, 2)", &f32s(rows))).unwrap(), want);
        assert_eq!(read_npy(&npy("<i8", true, "(3, 2, 1)", &i64s(columns))).unwrap(), want);
        assert_eq!(read_npy(&npy("<f8", false, "(6,)", &f64s(rows))).unwrap().dim, 1);
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

    #[test]
    fn rows_become_items_of_the_models_shape() {
        let vectors = Vectors { dim: 4, values: (0..8).map(|v| v as f32).collect() };
        let items = vectors.clone().items(&[1, 2, 2], Path::new("x"), &Device::Cpu).unwrap();
        assert_eq!(items.dims(), [2, 1, 2, 2]);
        let error = vectors.items(&[5], Path::new("x"), &Device::Cpu).unwrap_err();
        assert!(error.to_string().contains("4 numbers") && error.exit_code() == 4, "{error}");
    }
}
