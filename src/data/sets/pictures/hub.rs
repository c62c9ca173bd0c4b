//! Pictures in Parquet files, as image hubs ship them: encoded pictures in one column, labels in another, in shards.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::album::{Encoded, Tried};
use super::folder::{self, Picture};
use super::keys::ImagesConfig;
use super::picture::{self, Header};
use crate::data::formats::parquet::{Cells, Column, Table};
use crate::data::pipeline::split::Split;
use crate::{Error, Result};

/// Names that the column of labels usually has, the likeliest first.
const USUAL: [&str; 7] = ["label", "labels", "class", "target", "category", "y", "cls"];

/// The shards of a set, and the column of pictures in each.
pub struct Hub {
    shards: Vec<(Table, Column)>,
}

/// The Parquet files in a folder, or the file itself; none if it is none.
///
/// # Errors
/// A folder that cannot be read.
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let all = if path.is_dir() { folder::all_files(path, folder::DEEPEST)? } else { vec![path.to_owned()] };
    let is_one = |path: &PathBuf| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet"));
    let mut files: Vec<PathBuf> = all.into_iter().filter(is_one).collect();
    files.sort();
    Ok(files)
}

/// The shards, and every picture in them: its number, its part by the name of the shard, its label.
///
/// # Errors
/// A damaged file; several columns that may be meant, or none.
pub fn open(folder: &Path, files: &[PathBuf], keys: &ImagesConfig) -> Result<(Hub, Vec<Picture>)> {
    let (mut shards, mut pictures) = (Vec::new(), Vec::new());
    for path in files {
        let table = Table::open(path)?;
        let columns = table.columns();
        let column = column_of_pictures(path, &columns, &keys.array)?.clone();
        let labels = match column_of_labels(path, &columns, &column, &keys.labels)? {
            Some(column) => table.words(column)?,
            None => vec![None; table.rows()],
        };
        let part = part(path.strip_prefix(folder).unwrap_or(path));
        for (row, class) in labels.into_iter().enumerate() {
            let name = pictures.len().to_string();
            pictures.push(Picture { path: path.clone(), row, name, part, class });
        }
        shards.push((table, column));
    }
    if pictures.is_empty() {
        return Err(Error::data(folder, "holds no rows", "give Parquet files with pictures"));
    }
    let labelled = pictures.iter().filter(|picture| picture.class.is_some()).count();
    if labelled > 0 && labelled < pictures.len() {
        let what = format!("has no label in {} of {} rows", pictures.len() - labelled, pictures.len());
        return Err(Error::data(folder, what, "add them, or set `dataset.labels = \"none\"`"));
    }
    Ok((Hub { shards }, pictures))
}

/// The part that a shard belongs to, by a word in its name or of a folder: `data/train-00000-of-00002.parquet`,
/// `test/0000.parquet`.
fn part(name: &Path) -> Option<Split> {
    let name = name.to_string_lossy().to_lowercase();
    name.split(|c: char| !c.is_alphanumeric()).find_map(folder::part_called)
}

fn column_of_pictures<'a>(path: &Path, columns: &'a [Column], wanted: &str) -> Result<&'a Column> {
    let holds = |column: &&Column| column.cells == Cells::Bytes && column.inner.as_ref().is_none_or(|i| i == "bytes");
    let named = |column: &&Column| wanted.is_empty() || column.name == wanted;
    let found: Vec<&Column> = columns.iter().filter(holds).filter(named).collect();
    let names = |of: &[&Column]| of.iter().map(|c| c.name.escape_debug().to_string()).collect::<Vec<_>>().join(", ");
    match found.as_slice() {
        [one] => Ok(one),
        [] => {
            let all: Vec<&Column> = columns.iter().collect();
            let of = if wanted.is_empty() { String::new() } else { format!(" `{}`", wanted.escape_debug()) };
            let what = format!("has no column{of} of encoded pictures (bytes) among {}", names(&all));
            Err(Error::data(path, what, "set `dataset.array` to the column of the pictures"))
        }
        several => {
            let what = format!("{} has several columns of bytes: {}", path.display(), names(several));
            Err(Error::config(what).at("array").hint("set `dataset.array` to the column of the pictures"))
        }
    }
}

fn column_of_labels<'a>(
    path: &Path,
    columns: &'a [Column],
    pictures: &Column,
    wanted: &str,
) -> Result<Option<&'a Column>> {
    const HINT: &str = "set `dataset.labels` to the column of labels, or to \"none\"";
    let holds = |column: &&Column| {
        matches!(column.cells, Cells::Integers | Cells::Words) && column.inner.is_none() && column.name != pictures.name
    };
    let all: Vec<&Column> = columns.iter().filter(holds).collect();
    let named = |name: &str| all.iter().find(|column| column.name == name).copied();
    let names: Vec<String> = all.iter().map(|column| column.name.escape_debug().to_string()).collect();
    if !wanted.is_empty() {
        let what = || format!("{} has no column of labels `{wanted}` but {}", path.display(), names.join(", "));
        return match wanted {
            "none" => Ok(None),
            wanted => named(wanted).map(Some).ok_or_else(|| Error::config(what()).at("labels").hint(HINT)),
        };
    }
    let integers: Vec<&Column> = all.iter().filter(|column| column.cells == Cells::Integers).copied().collect();
    match (USUAL.into_iter().find_map(named), integers.as_slice()) {
        (Some(usual), _) => Ok(Some(usual)),
        (None, [one]) => Ok(Some(one)),
        (None, []) => Ok(None),
        (None, _) => {
            let what = format!("{}: which column holds the labels: {}?", path.display(), names.join(", "));
            Err(Error::config(what).at("labels").hint(HINT))
        }
    }
}

impl Encoded for Hub {
    fn headers(&self, pictures: &[Picture]) -> Result<Vec<Tried<Header>>> {
        let mut headers = Vec::with_capacity(pictures.len());
        for some in pictures.chunks(super::album::CHUNK) {
            let cells = self.bytes(some)?.into_par_iter();
            headers.par_extend(cells.map(|bytes| picture::header(Cursor::new(bytes?))));
        }
        Ok(headers)
    }

    fn bytes(&self, pictures: &[Picture]) -> Result<Vec<Tried<Vec<u8>>>> {
        let mut all = Vec::with_capacity(pictures.len());
        for some in pictures.chunk_by(|a, b| a.path == b.path && a.row < b.row) {
            let Some(path) = some.first().map(|picture| &picture.path) else { continue };
            let Some((table, column)) = self.shards.iter().find(|(table, _)| table.path() == path) else { continue };
            let rows: Vec<usize> = some.iter().map(|picture| picture.row).collect();
            let cell = |cell: Option<Vec<u8>>| cell.ok_or_else(|| "has no bytes".to_owned());
            all.extend(table.bytes(column, &rows)?.into_iter().map(cell));
        }
        Ok(all)
    }
}
