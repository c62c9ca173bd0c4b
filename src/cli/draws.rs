//! Draws in files: as numbers with their energies and labels, as pictures one by one.

use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};

use super::items::Space;
use super::outputs::{all_tried, ending};
use super::usage;
use crate::data::{Data, NaturalColumn, file};
use crate::density::Model;
use crate::math::largest;
use crate::report::csv;
use crate::store::fs;
use crate::{Result, draw};

/// The endings of files that draws are written to as numbers.
pub const ENDINGS: &[&str] = &["npy", "npz", "csv"];

/// What chains leave, and what is known of it.
pub struct Draws<'a> {
    /// The items in model space, `[N, ..]`.
    pub x: &'a Tensor,
    /// Their energies, `[N]`.
    pub energies: &'a Tensor,
    /// The class that each was drawn for, or that a classifier takes it for.
    pub labels: Option<Vec<u32>>,
    /// The data set of the model.
    pub data: &'a Data,
}

/// The classes of items: `class` of all where they were drawn for one, else what a classifier says.
///
/// # Errors
/// A tensor operation fails.
pub fn labels(model: &Model, x: &Tensor, class: Option<u32>) -> Result<Option<Vec<u32>>> {
    if let Some(class) = class {
        return Ok(Some(vec![class; x.dim(0)?]));
    }
    let Some(logits) = model.logits(x)? else { return Ok(None) };
    let rows: Vec<Vec<f64>> = logits.to_dtype(DType::F64)?.to_vec2()?;
    Ok(Some(rows.iter().map(|row| largest(row).0 as u32).collect()))
}

impl Draws<'_> {
    /// Writes the draws as the ending of the file says: `.npy` holds the items alone; `.npz` the arrays `x`, `energy`
    /// and `label`; CSV a column for each number of an item, then energy and label, by its name where the files give it
    /// one. Items of a table are in its own units, unless `space` is the model's.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path, space: Space) -> Result<()> {
        let columns = if space == Space::Data { self.data.natural(self.x)? } else { None };
        let bytes = match ending(path).as_str() {
            "csv" => self.csv(columns)?.into_bytes(),
            "npz" => self.npz(columns)?,
            _ => self.items(columns)?,
        };
        fs::write_atomic(path, &bytes)
    }

    /// The items as the bytes of a `.npy` file; of a categorical column, the codes or the places of the words.
    fn items(&self, columns: Option<Vec<NaturalColumn>>) -> Result<Vec<u8>> {
        let Some(columns) = columns else { return file::npy_bytes(self.x.dims(), &numbers(self.x)?) };
        let rows = self.x.dim(0)?;
        let numbers: Vec<Vec<f64>> = columns.iter().map(NaturalColumn::numbers).collect();
        let values = (0..rows).flat_map(|row| numbers.iter().filter_map(move |column| column.get(row)).copied());
        file::npy_bytes(&[rows, columns.len()], &values.collect::<Vec<_>>())
    }

    fn npz(&self, columns: Option<Vec<NaturalColumn>>) -> Result<Vec<u8>> {
        let energies = numbers(self.energies)?;
        let n = energies.len();
        let mut members = vec![("x", self.items(columns)?), ("energy", file::npy_bytes(&[n], &energies)?)];
        if let Some(labels) = &self.labels {
            let labels: Vec<f64> = labels.iter().map(|label| f64::from(*label)).collect();
            members.push(("label", file::npy_bytes(&[n], &labels)?));
        }
        file::npz_bytes(&members)
    }

    fn csv(&self, columns: Option<Vec<NaturalColumn>>) -> Result<String> {
        let columns = columns.map_or_else(|| self.plain(), Ok)?;
        let energies = self.energies.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        let names = self.data.class_names();
        let mut header: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        header.push("energy".into());
        header.extend(self.labels.iter().map(|_| "label".to_owned()));
        let cell = |column: &NaturalColumn, row: usize| {
            let value = column.values.get(row).copied().unwrap_or(f64::NAN);
            column.words.get(value as usize).cloned().unwrap_or_else(|| value.to_string())
        };
        let row = |(row, energy): (usize, &f32)| {
            let mut cells: Vec<String> = columns.iter().map(|column| cell(column, row)).collect();
            cells.push(energy.to_string());
            let label = self.labels.iter().filter_map(|labels| labels.get(row));
            let name = |label: &u32| names.get(*label as usize).cloned().unwrap_or_else(|| label.to_string());
            cells.extend(label.map(name));
            cells
        };
        csv(&std::iter::once(header).chain(energies.iter().enumerate().map(row)).collect::<Vec<_>>())
    }

    /// The numbers of the model as columns `x0`, `x1`, …
    fn plain(&self) -> Result<Vec<NaturalColumn>> {
        let rows: Vec<Vec<f32>> = self.x.flatten_from(1)?.to_dtype(DType::F32)?.to_vec2()?;
        let width = rows.first().map_or(0, Vec::len);
        // As short as f32 is written: the digits that f64 would add are not the model's.
        let short = |v: &f32| v.to_string().parse().unwrap_or(f64::from(*v));
        let column = |c: usize| NaturalColumn {
            name: format!("x{c}"),
            values: rows.iter().filter_map(|row| row.get(c)).map(short).collect(),
            words: Vec::new(),
        };
        Ok((0..width).map(column).collect())
    }

    /// Writes every draw as a picture of its own, `00000.png` and so on, into a folder that is made if need be.
    ///
    /// # Errors
    /// Draws that are no pictures; a folder that cannot be written to.
    pub fn pictures(&self, folder: &Path) -> Result<()> {
        fs::create_dir(folder)?;
        let pictures = draw::singly(&self.data.to_unit(self.x)?)?;
        let one = |(i, picture)| fs::write_atomic(&folder.join(format!("{i:05}.png")), &draw::png(picture)?);
        all_tried(pictures.iter().enumerate().map(one))
    }
}

/// Refuses pictures one by one of draws that are none.
///
/// # Errors
/// The items of the data set are no pictures.
pub fn check_pictures(data: &Data) -> Result<()> {
    match data.spec().image {
        Some(_) => Ok(()),
        None => {
            let what = format!("draws of shape {:?} are no pictures", data.spec().shape);
            Err(usage(what, "--out draws.csv, or .npy or .npz, writes them as numbers"))
        }
    }
}

/// Refuses a folder that has draws of before, which would stand among those of now.
///
/// # Errors
/// A file that is called as one of many draws is, `00017.png`.
pub fn check_folder(folder: &Path) -> Result<()> {
    let is_draw = |name: &str| {
        name.strip_suffix(".png").is_some_and(|stem| stem.len() >= 5 && stem.bytes().all(|b| b.is_ascii_digit()))
    };
    let Ok(mut files) = std::fs::read_dir(folder).map(Iterator::flatten) else { return Ok(()) };
    if !files.any(|file| is_draw(&file.file_name().to_string_lossy())) {
        return Ok(());
    }
    let what = format!("--out {}: holds pictures of other draws, which would stand among these", folder.display());
    Err(usage(what, "name a new folder, or empty this one"))
}

/// The folder that a name with a slash at its end stands for.
pub fn as_folder(path: &Path) -> Option<PathBuf> {
    path.to_string_lossy().ends_with('/').then(|| path.to_owned())
}

fn numbers(x: &Tensor) -> Result<Vec<f64>> {
    Ok(x.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?)
}
