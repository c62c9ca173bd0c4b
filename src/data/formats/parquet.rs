//! Parquet files: tables of columns, read a part of a column at a time.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use crate::{Error, Result};

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cells {
    /// Bytes without a meaning that the file knows.
    Bytes,
    /// Text.
    Words,
    /// Integers or truth values.
    Integers,
    /// What is not read.
    Other,
}

/// A column without lists.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    /// Its place in the file.
    index: usize,
    /// The name of the column of the table.
    pub name: String,
    /// The name within, of a column of records: `bytes` of `image.bytes`.
    pub inner: Option<String>,
    /// What its cells are.
    pub cells: Cells,
    /// The definition level of a cell that is there.
    level: i16,
}

/// One Parquet file.
pub(crate) struct Table {
    path: PathBuf,
    reader: SerializedFileReader<File>,
}

/// The cells of a column that are there, and for each row whether it has one.
struct Read<T> {
    values: std::vec::IntoIter<T>,
    present: Vec<bool>,
}

impl<T> Read<T> {
    fn cells<U>(mut self, of: impl Fn(&T) -> U) -> Vec<Option<U>> {
        let mut next = |there| if there { self.values.next().as_ref().map(&of) } else { None };
        self.present.into_iter().map(&mut next).collect()
    }
}

impl Table {
    /// Opens a file and reads what it says of itself.
    ///
    /// # Errors
    /// A file that cannot be read or is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let reader = SerializedFileReader::new(file).map_err(unsound(path))?;
        Ok(Table { path: path.to_owned(), reader })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Rows of the table.
    pub fn rows(&self) -> usize {
        self.group_sizes().sum()
    }

    fn group_sizes(&self) -> impl Iterator<Item = usize> + '_ {
        self.reader.metadata().row_groups().iter().map(|group| group.num_rows().max(0) as usize)
    }

    /// The columns that have one cell a row.
    pub fn columns(&self) -> Vec<Column> {
        let columns = self.reader.metadata().file_metadata().schema_descr().columns().iter().enumerate();
        let column = |(index, column): (usize, &Arc<ColumnDescriptor>)| {
            let (name, inner) = match column.path().parts() {
                [name] => (name, None),
                [name, inner] => (name, Some(inner)),
                _ => return None,
            };
            let (cells, level) = (cells_of(column), column.max_def_level());
            Some(Column { index, name: name.clone(), inner: inner.cloned(), cells, level })
        };
        let flat = columns.filter(|(_, column)| column.max_rep_level() == 0);
        flat.filter_map(column).collect()
    }

    /// Integers, truth values and text of a whole column as they are written; none where a cell is empty.
    ///
    /// # Errors
    /// A damaged file, or a column of something else.
    pub fn words(&self, column: &Column) -> Result<Vec<Option<String>>> {
        let mut all = Vec::new();
        for (group, rows) in self.group_sizes().enumerate() {
            let cells: Vec<Option<String>> = match self.column(column, group)? {
                ColumnReader::BoolColumnReader(mut reader) => {
                    self.some(&mut reader, column, rows)?.cells(bool::to_string)
                }
                ColumnReader::Int32ColumnReader(mut reader) => {
                    self.some(&mut reader, column, rows)?.cells(i32::to_string)
                }
                ColumnReader::Int64ColumnReader(mut reader) => {
                    self.some(&mut reader, column, rows)?.cells(i64::to_string)
                }
                ColumnReader::ByteArrayColumnReader(mut reader) => {
                    let text = |bytes: &ByteArray| String::from_utf8_lossy(bytes.data()).into_owned();
                    self.some(&mut reader, column, rows)?.cells(text)
                }
                _ => return Err(Error::data(&self.path, format!("`{}` holds no labels", column.name), LABELS)),
            };
            all.extend(cells);
        }
        Ok(all)
    }

    /// The bytes in the cells of a column at some rows, which ascend; none where a cell is empty.
    ///
    /// # Errors
    /// A damaged file, or a column of something else.
    pub fn bytes(&self, column: &Column, rows: &[usize]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut found = Vec::with_capacity(rows.len());
        let (mut first, mut rest) = (0, rows);
        for (group, count) in self.group_sizes().enumerate() {
            let (here, behind) = rest.split_at(rest.partition_point(|row| *row < first + count));
            if !here.is_empty() {
                let ColumnReader::ByteArrayColumnReader(mut reader) = self.column(column, group)? else {
                    return Err(Error::data(&self.path, format!("`{}` holds no bytes", column.name), PICTURES));
                };
                let mut at = first;
                for run in here.chunk_by(|a, b| a + 1 == *b) {
                    let from = run.first().copied().unwrap_or(at);
                    reader.skip_records(from - at).map_err(unsound(&self.path))?;
                    found.extend(self.some(&mut reader, column, run.len())?.cells(|cell| cell.data().to_vec()));
                    at = from + run.len();
                }
            }
            (first, rest) = (first + count, behind);
        }
        Ok(found)
    }

    fn column(&self, column: &Column, group: usize) -> Result<ColumnReader> {
        let bad = unsound(&self.path);
        let group = self.reader.get_row_group(group).map_err(&bad)?;
        group.get_column_reader(column.index).map_err(&bad)
    }

    /// The next `count` cells of a column.
    fn some<T: DataType>(&self, reader: &mut ColumnReaderImpl<T>, column: &Column, count: usize) -> Result<Read<T::T>> {
        let (mut levels, mut values, mut rows) = (Vec::new(), Vec::new(), 0);
        while rows < count {
            let read = reader.read_records(count - rows, Some(&mut levels), None, &mut values);
            let (more, ..) = read.map_err(unsound(&self.path))?;
            if more == 0 {
                return Err(Error::data(&self.path, "has fewer cells than rows", AGAIN));
            }
            rows += more;
        }
        let present = match column.level {
            0 => vec![true; count],
            level => levels.iter().map(|found| *found == level).collect(),
        };
        Ok(Read { values: values.into_iter(), present })
    }
}

const AGAIN: &str = "copy the file again, or write it anew without compression, or with snappy, zstd or gzip";
const LABELS: &str = "set `dataset.labels` to a column of integers or text, or to \"none\"";
const PICTURES: &str = "set `dataset.array` to the column of the pictures";

fn unsound(path: &Path) -> impl Fn(ParquetError) -> Error {
    move |e| Error::data(path, format!("cannot be read as Parquet: {e}"), AGAIN)
}

fn cells_of(column: &ColumnDescriptor) -> Cells {
    let is_text =
        matches!(column.logical_type_ref(), Some(LogicalType::String | LogicalType::Enum | LogicalType::Json))
            || matches!(column.converted_type(), ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON);
    match column.physical_type() {
        Type::BYTE_ARRAY if is_text => Cells::Words,
        Type::BYTE_ARRAY => Cells::Bytes,
        Type::INT32 | Type::INT64 | Type::BOOLEAN => Cells::Integers,
        _ => Cells::Other,
    }
}
