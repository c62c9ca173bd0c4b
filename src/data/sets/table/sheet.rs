//! One file as rows of numbers and labels, whatever kind it is.

use std::path::{Path, PathBuf};

use super::columns::{Asked, Categories, Choice, meant};
use super::keys::Missing;
use crate::data::formats::{
    frame::Layout,
    npy, npz,
    text::{self, Row},
};
use crate::{Error, Result};

/// A column of numbers, or of categories by their numbers.
#[derive(Debug, Default)]
pub(super) struct Column {
    /// Empty if the file does not name it.
    pub name: String,
    /// Its place in the file, from 0.
    pub at: usize,
    /// The different words in it, if it is categorical.
    pub categories: Option<Categories>,
}

/// The rows of one file.
#[derive(Default)]
pub(super) struct Sheet {
    pub columns: Vec<Column>,
    /// Row after row; NaN where a value is missing, the number of its category in a categorical column.
    pub values: Vec<f64>,
    /// As they are written; empty without labels.
    pub labels: Vec<String>,
    pub sha256: String,
    /// Rows left out because of missing values.
    pub dropped: usize,
}

/// What stands in a cell.
enum Cell {
    Number(f64),
    Word(String),
    Missing,
}

impl Sheet {
    /// Appends a row, the cells of which `cell` reads, in a column of numbers or a categorical one; `refused` is the
    /// error for a missing value. Returns whether the row was kept.
    fn push(
        &mut self,
        choice: &Choice,
        missing: Missing,
        cell: &dyn Fn(usize, bool) -> Result<Cell>,
        refused: &dyn Fn(usize) -> Error,
    ) -> Result<bool> {
        let label = match choice.label {
            None => None,
            Some(at) => match cell(at, true)? {
                Cell::Word(label) => Some(label),
                _ if missing == Missing::Drop => {
                    self.dropped += 1;
                    return Ok(false);
                }
                _ => return Err(refused(at)),
            },
        };
        let cells = self.columns.iter().map(|column| cell(column.at, column.categories.is_some()));
        let cells = cells.collect::<Result<Vec<Cell>>>()?;
        let gap = cells.iter().zip(&self.columns).find(|(cell, _)| matches!(cell, Cell::Missing));
        match (gap, missing) {
            (Some((_, column)), Missing::Refuse) => return Err(refused(column.at)),
            (Some(_), Missing::Drop) => {
                self.dropped += 1;
                return Ok(false);
            }
            (Some(_), Missing::Mean) | (None, _) => {}
        }
        for (cell, column) in cells.into_iter().zip(&mut self.columns) {
            self.values.push(match (cell, &mut column.categories) {
                (Cell::Number(value), _) => value,
                (Cell::Word(word), Some(categories)) => categories.number(word) as f64,
                (Cell::Missing | Cell::Word(_), _) => f64::NAN,
            });
        }
        self.labels.extend(label);
        Ok(true)
    }

    fn begin(&mut self, choice: &Choice, names: &[String]) {
        let column = |(at, categorical): &(usize, bool)| Column {
            name: names.get(*at).cloned().unwrap_or_default(),
            at: *at,
            categories: categorical.then(Categories::default),
        };
        self.columns = choice.columns.iter().map(column).collect();
    }

    /// Warns of rows that were left out.
    fn finished(self, path: &Path) -> Self {
        if self.dropped > 0 {
            tracing::warn!("{}: {} rows with missing values are left out", path.display(), self.dropped);
        }
        self
    }
}

/// What a text, or a cell that pandas and R write for a missing value, looks like; "none" may well be a category.
fn is_missing(field: &str, categorical: bool) -> bool {
    const WORDS: [&str; 6] = ["", "na", "n/a", "nan", "null", "?"];
    let is = |word: &str| field.eq_ignore_ascii_case(word);
    WORDS.into_iter().any(is) || (!categorical && is("none"))
}

/// Text, a row a line.
pub(super) fn lines(path: &Path, bytes: &[u8], layout: &Layout, asked: &Asked) -> Result<Sheet> {
    let (mut sheet, mut choice, mut width) = (Sheet::default(), Choice::default(), 0);
    text::rows(path, &mut &*bytes, layout, &mut |row: &Row| {
        if width == 0 {
            width = row.fields.len();
            choice = Choice::of(path, asked, &row.frame.names, row.frame.width)?.without_first(row.frame.left_out);
            sheet.begin(&choice, row.frame.names.get(row.frame.left_out..).unwrap_or_default());
        }
        row.has(width)?;
        let cell = |column: usize, as_word: bool| {
            let field = row.fields.get(column).copied().unwrap_or_default();
            let gone = if choice.label == Some(column) { field.is_empty() } else { is_missing(field, as_word) };
            match (gone, as_word) {
                (true, _) => Ok(Cell::Missing),
                (false, true) => Ok(Cell::Word(field.to_owned())),
                (false, false) => Ok(Cell::Number(row.number(column)?)),
            }
        };
        let refused = |column: usize| match choice.label == Some(column) {
            true => row.bad_at(column, "no label"),
            false => row.bad_at(column, &format!("no value; {}", Missing::REMEDY)),
        };
        sheet.push(&choice, asked.missing, &cell, &refused)?;
        Ok(())
    })?;
    Ok(sheet.finished(path))
}

/// One array, and the labels of its rows if they lie elsewhere.
pub(super) fn array(path: &Path, bytes: &[u8], asked: &Asked, labels: &[String]) -> Result<Sheet> {
    let npy::Array { shape, values } = npy::shaped(path, bytes)?;
    let Some(rows) = shape.first() else {
        return Err(Error::data(path, format!("has the shape {shape:?}"), "save an array of shape [rows, numbers]"));
    };
    let dim = values.len().checked_div(*rows).unwrap_or(0);
    let choice = Choice::of(path, asked, &[], dim)?;
    let mut sheet = Sheet::default();
    sheet.begin(&choice, &[]);
    for (i, row) in values.chunks_exact(dim.max(1)).enumerate() {
        let bad = |column: usize, what: &str, remedy: &str| {
            Error::data(path, format!("row {i}, column {column} (from 0): {what}"), remedy)
        };
        let cell = |column: usize, as_word: bool| match row.get(column).copied() {
            Some(value) if value.is_nan() => Ok(Cell::Missing),
            Some(value) if as_word => Ok(Cell::Word(value.to_string())),
            Some(value) if value.is_finite() => Ok(Cell::Number(value)),
            Some(value) => Err(bad(column, &format!("{value} is not finite"), "remove such rows")),
            None => Ok(Cell::Missing),
        };
        let refused = |column: usize| bad(column, "NaN is no value", Missing::REMEDY);
        if sheet.push(&choice, asked.missing, &cell, &refused)? {
            sheet.labels.extend(labels.get(i).cloned());
        }
    }
    Ok(sheet.finished(path))
}

/// Arrays of rows and of labels.
pub(super) fn archive(path: &Path, bytes: &[u8], asked: &Asked) -> Result<Sheet> {
    const REMEDY: &str = "save it anew with `numpy.savez(path, x=rows, y=labels)`";
    const UNPACK: &str = "unpack it and set `dataset.path` to the .csv or .npy file in it";
    let members =
        npz::members(bytes).map_err(|what| Error::data(path, format!("is no sound .npz file: {what}"), REMEDY))?;
    let name = |m: &npz::Member| m.name.trim_end_matches(".npy").to_owned();
    let names: Vec<String> = members.iter().map(name).collect();
    let all = names.join(", ");
    if let Some(other) = members.iter().find(|m| !m.name.ends_with(".npy")) {
        return Err(Error::data(path, format!("is an archive with {}, not of arrays alone", other.name), UNPACK));
    }
    let find = |wanted: &str| members.iter().zip(&names).find(|(_, name)| *name == wanted).map(|(m, _)| m);
    let label = asked.label;
    let labels = match (label, find(label)) {
        ("", _) => None,
        (_, Some(member)) => Some(member),
        _ => {
            let what = format!("has no array `{label}`{}; it has {all}", meant(label, &names));
            return Err(Error::data(path, what, "set `dataset.label` to the array of labels, or leave it out"));
        }
    };
    let others: Vec<&npz::Member> = members.iter().filter(|m| Some(&m.name) != labels.map(|l| &l.name)).collect();
    let rows = match (find("x").or_else(|| find("X")), others.as_slice()) {
        (Some(x), _) => x,
        (None, [only]) => only,
        _ => {
            let what = format!("has the arrays {all}: which one holds the rows?");
            return Err(Error::data(path, what, REMEDY));
        }
    };
    let within = |m: &npz::Member| PathBuf::from(format!("{} ({})", path.display(), m.name));
    let given = labels.map(|m| npy::labels(&within(m), &m.bytes)).transpose()?;
    let rest = Asked { label: "", ..*asked };
    let Some(given) = given else { return array(&within(rows), &rows.bytes, &rest, &[]) };
    let count = npy::shaped(&within(rows), &rows.bytes)?.shape.first().copied().unwrap_or(0);
    if given.len() != count {
        let what = format!("`{label}` has {} labels for {count} rows", given.len());
        return Err(Error::data(path, what, REMEDY));
    }
    array(&within(rows), &rows.bytes, &rest, &given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::formats::npz::write;

    /// Version 1 of NumPy's format, bytes.
    fn npy(shape: &str, data: &[u8]) -> Vec<u8> {
        npy_of("|u1", shape, data)
    }

    fn npy_of(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        header.push_str(&" ".repeat(63 - (10 + header.len()) % 64));
        header.push('\n');
        [&b"\x93NUMPY\x01\x00"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
    }

    fn read(members: &[(&str, &[u8])], label: &str) -> Result<Sheet> {
        let asked = Asked { label, ..Asked::default() };
        archive(Path::new("x.npz"), &write::archive(members, true), &asked)
    }

    #[test]
    fn an_archive_has_rows_and_labels() {
        let (x, y) = (npy("(3, 2)", &[1, 2, 3, 4, 5, 6]), npy("(3,)", &[7, 9, 7]));
        for (members, label) in [
            ([("x.npy", x.as_slice()), ("y.npy", &y)], "y"),
            ([("kinds.npy", y.as_slice()), ("data.npy", &x)], "kinds"),
        ] {
            let sheet = read(&members, label).unwrap();
            assert_eq!((sheet.columns.len(), sheet.values.as_slice()), (2, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0].as_slice()));
            assert_eq!(sheet.labels, ["7", "9", "7"]);
        }
        let unlabelled = read(&[("x.npy", &x), ("y.npy", &y)], "").unwrap();
        assert!(unlabelled.labels.is_empty() && unlabelled.columns.len() == 2);
        let short = npy("(2,)", &[7, 9]);
        for (members, label, says) in [
            (vec![("a.npy", x.as_slice()), ("b.npy", &y)], "", "which one holds the rows?"),
            (
                vec![("x.npy", x.as_slice()), ("kind.npy", &y)],
                "kin",
                "no array `kin` (did you mean `kind`?); it has x, kind",
            ),
            (vec![("x.npy", x.as_slice()), ("y.npy", &short)], "y", "2 labels for 3 rows"),
            (vec![("x.npy", b"nonsense".as_slice())], "", "x.npz (x.npy)"),
            (vec![], "", "which one holds the rows?"),
        ] {
            let error = read(&members, label).err().unwrap();
            assert!(error.exit_code() == 4 && error.to_string().contains(says), "{error}");
        }
    }
    #[test]
    fn labels_of_an_archive_are_words_and_truth_values_too() {
        let x = npy("(3, 2)", &[1, 2, 3, 4, 5, 6]);
        for (descr, data, want) in [
            ("|b1", &[1, 0, 1][..], ["True", "False", "True"]),
            ("|S3", b"catdogcat", ["cat", "dog", "cat"]),
            ("<U1", &[98, 0, 0, 0, 97, 0, 0, 0, 98, 0, 0, 0], ["b", "a", "b"]),
            ("<i2", &[7, 0, 255, 255, 7, 0], ["7", "-1", "7"]),
        ] {
            let members =
                [("x.npy", x.as_slice()), ("__MACOSX/._x.npy", b"Mac"), ("y.npy", &npy_of(descr, "(3,)", data))];
            assert_eq!(read(&members, "y").unwrap().labels, want, "{descr}");
        }
        let objects = npy_of("|O", "(3,)", b"\x80\x04");
        let error = read(&[("x.npy", x.as_slice()), ("y.npy", &objects)], "y").err().unwrap().to_string();
        assert!(
            error.contains("y.npy") && error.contains("Python objects") && error.contains("astype(str)"),
            "{error}"
        );
        let error = read(&[("rows.csv", b"1,2\n".as_slice())], "").err().unwrap().to_string();
        assert!(error.contains("rows.csv") && error.contains("unpack"), "{error}");
    }
}
