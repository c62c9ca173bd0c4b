//! `table`: vectors of the user's own, from text or NumPy files, with a column of labels or without.

mod labels;
mod sheet;

use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, de::Visitor};

use labels::numbered;
use sheet::Sheet;

use crate::config::{Schema, decode, rule};
use crate::data::files::locate;
use crate::data::formats::frame::{Header, Layout};
use crate::data::keys::Columns;
use crate::data::row::{DatasetRow, Origin};
use crate::data::source::{Records, Source, TestItems};
use crate::store::checkpoint::sha256;
use crate::{Error, Result};

crate::config! {
    /// Keys of `table`.
    pub struct TableConfig {
        /// The file: `.csv`, `.tsv` or `.txt` with a row a line, with a line of names above them or none; `.npy` with
        /// an array of rows; `.npz` with the rows in the array `x`, or in the only one besides the labels. Any may be
        /// gzipped. A first column without a name, as pandas and R write the index of the rows, is left out.
        [may_change] path: String = String::new();
        /// The column of labels: its name, or its number from 0, where -1 is the last; of an `.npz`, the array of
        /// labels. Any numbers or words will do. Empty: there are no labels.
        label: Label = Label(String::new());
        /// Lines of text before the table that are left out.
        skip: usize = 0;
        /// Whether the first line of text names the columns: "yes", "no" or "auto" (it has words only, the name of the
        /// labels, or counts three columns or more from 0, as pandas does).
        header: Header = Header::Auto;
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
        names: sheet.names,
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
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => sheet::array(path, &bytes, &keys.label.0)?,
        [b'P', b'K', 3 | 5, ..] => sheet::archive(path, &bytes, &keys.label.0)?,
        _ => sheet::lines(path, &bytes, &layout(keys))?,
    };
    if sheet.values.is_empty() {
        let what = if sheet.labels.is_empty() { "holds no rows" } else { "has no columns besides the labels" };
        return Err(Error::data(path, what, "one item a row: its numbers, and its label if there are labels"));
    }
    Ok(Sheet { sha256: sha256(&bytes), ..sheet })
}

fn layout(keys: &TableConfig) -> Layout<'_> {
    Layout {
        skip: keys.skip,
        header: keys.header,
        label: &keys.label.0,
        remedy: "one item a line: numbers, and its label if there are labels, between commas, semicolons, tabs or \
                 blanks; `dataset.label` names the column of labels, `dataset.skip` leaves out lines above the table, \
                 `dataset.header` says whether the first line has names",
        unless: "; if it is an item, set `dataset.header = \"no\"`",
    }
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
