//! `table`: vectors of the user's own, from text or NumPy files, with a column of labels or without.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, de::Visitor};

use crate::data::files::locate;
use crate::data::formats::{
    npy, npz,
    text::{self, Row},
    vectors::Vectors,
};
use crate::data::keys::Columns;
use crate::data::row::{DatasetRow, Origin};
use crate::data::source::{Records, Source, TestItems};
use crate::store::checkpoint::sha256;
use crate::{
    Error, Result,
    config::{Schema, decode, nearest, rule},
};

crate::config! {
    /// Keys of `table`.
    pub struct TableConfig {
        /// The file: `.csv`, `.tsv` or `.txt` with a row a line, with a line of names above them or none; `.npy` with
        /// an array of rows; `.npz` with the rows in the array `x`, or in the only one besides the labels. Text may be
        /// gzipped.
        [may_change] path: String = String::new();
        /// The column of labels: its name, or its number from 0, where -1 is the last; of an `.npz`, the array of
        /// labels. Any numbers or words will do. Empty: there are no labels.
        label: Label = Label(String::new());
        /// Lines of text before the table that are left out.
        skip: usize = 0;
        /// A file of test rows with the same columns; empty: test rows are drawn from the file above.
        [may_change] test_path: String = String::new();
        /// Rows held out for testing if `test_path` is empty: a share below 1, a count from 1 on.
        test: f64 = 0.2, rule::non_negative;
    }
}

/// A column by its name or its number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Label(String);

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrNumber)
    }
}

struct NameOrNumber;

impl Visitor<'_> for NameOrNumber {
    type Value = Label;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("the name of a column or its number")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> std::result::Result<Label, E> {
        Ok(Label(name.to_owned()))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> std::result::Result<Label, E> {
        Ok(Label(number.to_string()))
    }
}

/// `table`.
pub(crate) const TABLE: DatasetRow = DatasetRow {
    name: "table",
    about: "your own vectors, from a .csv, .npy or .npz file, with labels or without",
    cite: "",
    schema: Schema::of::<(TableConfig, Columns)>(),
    origin: Origin::Yours,
    example: "",
    build: |table| Ok(Source::Records(load(&decode(table)?)?)),
};

/// More classes than this are taken for a mistake.
const MOST_CLASSES: usize = 1000;

/// The rows of one file.
#[derive(Default)]
struct Sheet {
    dim: usize,
    values: Vec<f32>,
    /// As they are written; empty without labels.
    labels: Vec<String>,
    /// Of the columns that are no labels; empty if the file does not name them.
    names: Vec<String>,
    sha256: String,
}

fn load(keys: &TableConfig) -> Result<Records> {
    if keys.path.is_empty() {
        return Err(Error::config("`dataset.path` is empty")
            .at("path")
            .hint("set it to the file that holds the rows, such as `path = \"data.csv\"`"));
    }
    let path = Path::new(&keys.path);
    let mut sheet = read(path, keys)?;
    let own = sheet.values.len() / sheet.dim.max(1);
    let test = Some(Path::new(&keys.test_path)).filter(|path| !path.as_os_str().is_empty());
    if let Some(test) = test {
        let other = read(test, keys)?;
        same_columns(&sheet, &other, test)?;
        sheet.values.extend(other.values);
        sheet.labels.extend(other.labels);
        sheet.sha256 = sha256((sheet.sha256 + &other.sha256).as_bytes());
    }
    let (labels, classes) = numbered(path, &sheet.labels)?;
    Ok(Records {
        dim: sheet.dim,
        values: sheet.values,
        labels: (classes > 0).then_some(labels),
        classes,
        test: if test.is_some() { TestItems::From(own) } else { TestItems::Drawn(keys.test) },
        sha256: sheet.sha256,
    })
}

/// Reads one file; its first bytes tell which kind it is.
fn read(path: &Path, keys: &TableConfig) -> Result<Sheet> {
    if !path.is_file() {
        return Err(Error::data(path, "is no file", "set `dataset.path` to a .csv, .npy or .npz file"));
    }
    let bytes = locate::uncompressed(path)?;
    let sheet = match bytes.as_slice() {
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => array(path, &bytes, &keys.label.0)?,
        [b'P', b'K', 3 | 5, ..] => archive(path, &bytes, &keys.label.0)?,
        _ => lines(path, &bytes, keys)?,
    };
    if sheet.values.is_empty() {
        let what = if sheet.labels.is_empty() { "holds no rows" } else { "has no columns besides the labels" };
        return Err(Error::data(path, what, "one item a row: its numbers, and its label if there are labels"));
    }
    Ok(Sheet { sha256: sha256(&bytes), ..sheet })
}

fn same_columns(train: &Sheet, test: &Sheet, path: &Path) -> Result<()> {
    const REMEDY: &str = "give a test file with the columns of the training file, in the same order";
    if train.dim != test.dim {
        let what = format!("has {} columns of numbers, the training file has {}", test.dim, train.dim);
        return Err(Error::data(path, what, REMEDY));
    }
    let pair = train.names.iter().zip(&test.names).find(|(a, b)| a != b);
    match pair {
        None => Ok(()),
        Some((a, b)) => {
            Err(Error::data(path, format!("has the column `{b}` where the training file has `{a}`"), REMEDY))
        }
    }
}

fn lines(path: &Path, bytes: &[u8], keys: &TableConfig) -> Result<Sheet> {
    const REMEDY: &str = "one item a line: numbers, and its label if there are labels, between commas, semicolons, \
                          tabs or blanks; `dataset.label` names the column of labels, `dataset.skip` leaves out lines \
                          above the table";
    let mut sheet = Sheet::default();
    let mut width = 0;
    let mut label = None;
    text::rows(path, bytes, keys.skip, REMEDY, &mut |row: &Row| {
        if width == 0 {
            width = row.fields.len();
            label = column(path, &keys.label.0, row.names, width)?;
            sheet.dim = width - usize::from(label.is_some());
            sheet.names = row.names.to_vec();
            label.filter(|l| *l < sheet.names.len()).into_iter().for_each(|l| drop(sheet.names.remove(l)));
        }
        row.has(width)?;
        for (c, field) in row.fields.iter().enumerate() {
            match label {
                Some(l) if l == c && field.is_empty() => return Err(row.bad(format!("column {}: no label", c + 1))),
                Some(l) if l == c => sheet.labels.push(field.to_string()),
                _ => sheet.values.push(row.number(c)?),
            }
        }
        Ok(())
    })?;
    Ok(sheet)
}

/// One array, its column of labels taken out.
fn array(path: &Path, bytes: &[u8], label: &str) -> Result<Sheet> {
    let Vectors { dim, values } = npy::rows(path, bytes)?;
    let Some(label) = column(path, label, &[], dim)? else { return Ok(Sheet { dim, values, ..Sheet::default() }) };
    let labels = values.iter().skip(label).step_by(dim).map(f32::to_string).collect();
    let others = values.iter().enumerate().filter(|(i, _)| i % dim != label);
    Ok(Sheet { values: others.map(|(_, v)| *v).collect(), labels, dim: dim - 1, ..Sheet::default() })
}

fn archive(path: &Path, bytes: &[u8], label: &str) -> Result<Sheet> {
    const REMEDY: &str = "save it anew with `numpy.savez(path, x=rows, y=labels)`";
    let members =
        npz::members(bytes).map_err(|what| Error::data(path, format!("is no sound .npz file: {what}"), REMEDY))?;
    let name = |m: &npz::Member| m.name.trim_end_matches(".npy").to_owned();
    let names: Vec<String> = members.iter().map(name).collect();
    let all = names.join(", ");
    let find = |wanted: &str| members.iter().zip(&names).find(|(_, name)| *name == wanted).map(|(m, _)| m);
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
    let read = |m: &npz::Member| npy::rows(Path::new(&format!("{} ({})", path.display(), m.name)), &m.bytes);
    let Vectors { dim, values } = read(rows)?;
    let labels: Vec<String> = match labels {
        Some(member) => read(member)?.values.iter().map(f32::to_string).collect(),
        None => Vec::new(),
    };
    let count = values.len() / dim.max(1);
    if !label.is_empty() && labels.len() != count {
        let what = format!("`{label}` has {} labels for {count} rows", labels.len());
        return Err(Error::data(path, what, REMEDY));
    }
    Ok(Sheet { dim, values, labels, ..Sheet::default() })
}

/// Which of `width` columns `label` means.
fn column(path: &Path, label: &str, names: &[String], width: usize) -> Result<Option<usize>> {
    if label.is_empty() {
        return Ok(None);
    }
    let place = |n: i64| usize::try_from(if n < 0 { n + width as i64 } else { n }).ok().filter(|c| *c < width);
    let named = names.iter().position(|name| name == label);
    if let Some(column) = named.or_else(|| label.parse().ok().and_then(place)) {
        return Ok(Some(column));
    }
    let these = match names {
        [] => format!("it names none, and has {width}: 0 to {}", width.saturating_sub(1)),
        names => format!("it has {}", names.join(", ")),
    };
    let what = format!("has no column `{label}`{}; {these}", meant(label, names));
    Err(Error::data(path, what, "set `dataset.label` to a name, or to a number from 0, where -1 is the last column"))
}

/// ", did you mean …?" where a name is near.
fn meant(word: &str, names: &[String]) -> String {
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    nearest(word, &known).map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default()
}

/// Labels as integers, in the order of the numbers if all are numbers, else of the words; and how many there are.
fn numbered(path: &Path, labels: &[String]) -> Result<(Vec<u32>, usize)> {
    let numbers: Option<Vec<f64>> = labels.iter().map(|l| l.parse().ok().filter(|v: &f64| v.is_finite())).collect();
    let (places, classes) = match numbers {
        Some(numbers) => {
            let mut known = numbers.clone();
            known.sort_by(f64::total_cmp);
            known.dedup();
            let place = |v: &f64| known.partition_point(|k| k < v) as u32;
            (numbers.iter().map(place).collect(), known.len())
        }
        None => {
            let known: Vec<&String> = labels.iter().collect::<BTreeSet<_>>().into_iter().collect();
            let place = |l: &String| known.partition_point(|k| *k < l) as u32;
            (labels.iter().map(place).collect::<Vec<_>>(), known.len())
        }
    };
    match classes {
        0..=MOST_CLASSES => Ok((places, classes)),
        _ => {
            let what = format!("has {classes} different labels in {} rows", labels.len());
            Err(Error::data(path, what, "set `dataset.label` to a column with a few values, or leave it out"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::formats::npz::write;

    /// Version 1 of NumPy's format, bytes.
    fn npy(shape: &str, data: &[u8]) -> Vec<u8> {
        let mut header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}");
        header.push_str(&" ".repeat(63 - (10 + header.len()) % 64));
        header.push('\n');
        [&b"\x93NUMPY\x01\x00"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
    }

    fn read(members: &[(&str, &[u8])], label: &str) -> Result<Sheet> {
        archive(Path::new("x.npz"), &write::archive(members, true), label)
    }

    #[test]
    fn an_archive_has_rows_and_labels() {
        let (x, y) = (npy("(3, 2)", &[1, 2, 3, 4, 5, 6]), npy("(3,)", &[7, 9, 7]));
        for (members, label) in [
            ([("x.npy", x.as_slice()), ("y.npy", &y)], "y"),
            ([("kinds.npy", y.as_slice()), ("data.npy", &x)], "kinds"),
        ] {
            let sheet = read(&members, label).unwrap();
            assert_eq!((sheet.dim, sheet.values.as_slice()), (2, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0].as_slice()));
            assert_eq!(numbered(Path::new("x"), &sheet.labels).unwrap(), (vec![0, 1, 0], 2));
        }
        let unlabelled = read(&[("x.npy", &x), ("y.npy", &y)], "").unwrap();
        assert!(unlabelled.labels.is_empty() && unlabelled.dim == 2);
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
    fn labels_are_numbered_in_order() {
        let of = |labels: &[&str]| {
            let labels: Vec<String> = labels.iter().map(|l| l.to_string()).collect();
            numbered(Path::new("x"), &labels).unwrap()
        };
        assert_eq!(of(&["10", "9", "1e1", "-3"]), (vec![2, 1, 2, 0], 3));
        assert_eq!(of(&["b", "a", "10", "b"]), (vec![2, 1, 0, 2], 3));
        assert_eq!(of(&[]), (vec![], 0));
    }
}
