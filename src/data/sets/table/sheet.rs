//! One file as rows of numbers and labels, whatever kind it is.

use std::path::{Path, PathBuf};

use crate::config::nearest;
use crate::data::formats::{
    frame::{self, Layout},
    npy, npz,
    text::{self, Row},
    vectors::Vectors,
};
use crate::{Error, Result};

/// The rows of one file.
#[derive(Default)]
pub(super) struct Sheet {
    pub dim: usize,
    pub values: Vec<f64>,
    /// As they are written; empty without labels.
    pub labels: Vec<String>,
    /// Of the columns that are no labels; empty if the file does not name them.
    pub names: Vec<String>,
    pub sha256: String,
}

/// Text, a row a line.
pub(super) fn lines(path: &Path, bytes: &[u8], layout: &Layout) -> Result<Sheet> {
    let mut sheet = Sheet::default();
    let mut width = 0;
    let mut label = None;
    text::rows(path, bytes, layout, &mut |row: &Row| {
        if width == 0 {
            width = row.fields.len();
            let left_out = row.frame.left_out;
            label = column(path, layout.label, &row.frame.names, row.frame.width)?.map(|label| label - left_out);
            sheet.dim = width - usize::from(label.is_some());
            sheet.names = row.frame.names.iter().skip(left_out).cloned().collect();
            label.filter(|l| *l < sheet.names.len()).into_iter().for_each(|l| drop(sheet.names.remove(l)));
        }
        row.has(width)?;
        for (c, field) in row.fields.iter().enumerate() {
            match label {
                Some(l) if l == c && field.is_empty() => {
                    return Err(row.bad(format!("column {}: no label", row.place(c))));
                }
                Some(l) if l == c => sheet.labels.push(field.to_string()),
                _ => sheet.values.push(row.number(c)?),
            }
        }
        Ok(())
    })?;
    Ok(sheet)
}

/// One array, its column of labels taken out.
pub(super) fn array(path: &Path, bytes: &[u8], label: &str) -> Result<Sheet> {
    let Vectors { dim, values } = npy::rows(path, bytes)?;
    let Some(label) = column(path, label, &[], dim)? else { return Ok(Sheet { dim, values, ..Sheet::default() }) };
    let labels = values.iter().skip(label).step_by(dim).map(f64::to_string).collect();
    let others = values.iter().enumerate().filter(|(i, _)| i % dim != label);
    Ok(Sheet { values: others.map(|(_, v)| *v).collect(), labels, dim: dim - 1, ..Sheet::default() })
}

/// Arrays of rows and of labels.
pub(super) fn archive(path: &Path, bytes: &[u8], label: &str) -> Result<Sheet> {
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
    let Vectors { dim, values } = npy::rows(&within(rows), &rows.bytes)?;
    let labels = labels.map(|m| npy::labels(&within(m), &m.bytes)).transpose()?.unwrap_or_default();
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
    if let Some(column) = frame::column(label, names, width) {
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
            assert_eq!(sheet.labels, ["7", "9", "7"]);
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
