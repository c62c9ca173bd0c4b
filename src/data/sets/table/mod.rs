//! `table`: vectors of the user's own, from text or NumPy files, with a column of labels or without.

mod columns;
mod keys;
mod labels;
mod one_hot;
mod sheet;

use std::path::Path;

use columns::Asked;
use keys::TableConfig;
use labels::numbered;
use one_hot::OneHot;
use sheet::Sheet;

use crate::config::{Schema, Spec, decode};
use crate::data::files::locate;
use crate::data::formats::frame::{Begin, Layout};
use crate::data::keys::Columns;
use crate::data::row::{DatasetRow, Origin};
use crate::data::source::{Records, Source, TestItems};
use crate::store::checkpoint::sha256;
use crate::store::fs;
use crate::{Error, Result};

/// `table`.
pub(crate) const TABLE: DatasetRow = DatasetRow {
    name: "table",
    about: "your own vectors, from a .csv, .npy or .npz file, with labels or without",
    cite: "",
    schema: Schema::of::<(TableConfig, Columns)>(),
    origin: Origin::Yours,
    pictures: false,
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
    let own = sheet.values.len() / sheet.columns.len().max(1);
    let test = Some(Path::new(&keys.test_path)).filter(|path| !path.as_os_str().is_empty());
    if let Some(test) = test {
        let other = read(test, keys)?;
        same_columns(&sheet, &other, test)?;
        sheet.sha256 = sha256((std::mem::take(&mut sheet.sha256) + &other.sha256).as_bytes());
        sheet.append(other);
    }
    let (labels, classes, class_names) = numbered(path, &sheet.labels)?;
    let OneHot { names, categories, values } = sheet.one_hot(path)?;
    Ok(Records {
        dim: if names.is_empty() { sheet.columns.len() } else { names.len() },
        values,
        names,
        scales: vec![],
        categories,
        labels: (classes > 0).then_some(labels),
        classes,
        class_names,
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
    let asked =
        Asked { label: &keys.label.0, columns: &keys.columns, categorical: &keys.categorical, missing: keys.missing };
    let sheet = match bytes.as_slice() {
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => sheet::array(path, &bytes, &asked, &[])?,
        [b'P', b'K', 3 | 5, ..] => sheet::archive(path, &bytes, &asked)?,
        _ => sheet::lines(path, &bytes, &layout(keys), &asked)?,
    };
    if sheet.values.is_empty() {
        let what = if sheet.labels.is_empty() { "holds no rows" } else { "has no columns besides the labels" };
        return Err(Error::data(path, what, "one item a row: its numbers, and its label if there are labels"));
    }
    Ok(Sheet { sha256: sha256(&bytes), ..sheet })
}

/// Where the rows of a file begin: as its keys say if it is one that the data set `section` is read from, else as its
/// first lines tell.
pub fn beginning(section: &Spec, path: &Path) -> Begin {
    let keys = decode::<TableConfig>(&section.table).ok().filter(|_| section.name() == TABLE.name);
    let is = |own: &String| !own.is_empty() && fs::place_of(Path::new(own)) == fs::place_of(path);
    let own = keys.filter(|keys| is(&keys.path) || is(&keys.test_path));
    own.map_or_else(Begin::default, |keys| layout(&keys).begin)
}

fn layout(keys: &TableConfig) -> Layout<'_> {
    Layout {
        begin: Begin { skip: keys.skip, header: keys.header },
        label: &keys.label.0,
        remedy: "one item a line: numbers, and its label if there are labels, between commas, semicolons, tabs or \
                 blanks; `dataset.label` names the column of labels, `dataset.categorical` those of words, \
                 `dataset.columns` the ones to be read, `dataset.skip` leaves out lines above the table, \
                 `dataset.header` says whether the first line has names",
        unless: "; if it is an item, set `dataset.header = \"no\"`",
    }
}

fn same_columns(train: &Sheet, test: &Sheet, path: &Path) -> Result<()> {
    const REMEDY: &str = "give a test file with the columns of the training file, in the same order";
    if train.columns.len() != test.columns.len() {
        let (test, train) = (test.columns.len(), train.columns.len());
        let what = format!("has {test} columns of numbers, the training file has {train}");
        return Err(Error::data(path, what, REMEDY));
    }
    let pair = train
        .columns
        .iter()
        .zip(&test.columns)
        .find(|(a, b)| a.name != b.name && !b.name.is_empty() && !a.name.is_empty());
    match pair {
        None => Ok(()),
        Some((a, b)) => {
            let what = format!("has the column `{}` where the training file has `{}`", b.name, a.name);
            Err(Error::data(path, what, REMEDY))
        }
    }
}
