//! Arrays of as many rows as there are items, written piece by piece: as CSV, or as one or several NumPy arrays.

use std::io::Write as _;
use std::path::Path;

use candle_core::Tensor;

use super::outputs::ending;
use super::{output, usage};
use crate::data::file::{self, NpyRows};
use crate::report::csv;
use crate::store::Growing;
use crate::{Error, Result};

/// The endings of files that arrays are written to.
pub const ENDINGS: &[&str] = &["csv", "npy", "npz"];

/// Arrays that grow, an item a row.
pub struct Arrays<'a> {
    names: Vec<&'static str>,
    form: Form<'a>,
    /// The shape of each array, once a piece has come.
    shapes: Vec<Vec<usize>>,
}

enum Form<'a> {
    /// To a file, or to standard output.
    Csv(Option<Growing>),
    Npy(&'a Path, Vec<NpyRows>),
    Npz(&'a Path, Vec<NpyRows>),
}

impl<'a> Arrays<'a> {
    /// Arrays of these names, in the form that the ending of `path` asks for; CSV on standard output without one.
    ///
    /// # Errors
    /// Several arrays for a `.npy` file, another ending, or a place where no file can be written.
    pub fn begin(path: Option<&'a Path>, names: &[&'static str]) -> Result<Self> {
        let form = match path.map(|path| (path, ending(path))) {
            None => Form::Csv(None),
            Some((path, ending)) => match ending.as_str() {
                "csv" => Form::Csv(Some(Growing::begin(path)?)),
                "npz" => Form::Npz(path, Vec::new()),
                "npy" if names.len() == 1 => Form::Npy(path, Vec::new()),
                "npy" => {
                    let what = "a .npy file holds one array";
                    return Err(usage(what, "end --out in .npz, or ask for one thing by --what"));
                }
                _ => {
                    let what = format!("{}: no kind of file that is written", path.display());
                    return Err(usage(what, "end --out in .csv, .npy or .npz"));
                }
            },
        };
        Ok(Arrays { names: names.to_vec(), form, shapes: Vec::new() })
    }

    /// Appends some rows to every array, `[B, ..]` each.
    ///
    /// # Errors
    /// As the system says.
    pub fn push(&mut self, pieces: &[Tensor]) -> Result<()> {
        let first = self.shapes.is_empty();
        if first {
            let begun = |piece: &Tensor| [&[0], piece.dims().get(1..).unwrap_or_default()].concat();
            self.shapes = pieces.iter().map(begun).collect();
        }
        for (shape, piece) in self.shapes.iter_mut().zip(pieces) {
            let rows = piece.dim(0)?;
            shape.iter_mut().take(1).for_each(|all| *all += rows);
        }
        match &mut self.form {
            Form::Csv(to) => {
                let text = columns(if first { &self.names } else { &[] }, pieces)?;
                match to {
                    Some(file) => file.write_all(text.as_bytes()).map_err(Error::io(file.temporary())),
                    None => output::print(&text),
                }
            }
            Form::Npy(path, arrays) | Form::Npz(path, arrays) => {
                if first {
                    let begun = pieces.iter().map(|piece| NpyRows::begin(path, piece.dims().get(1..).unwrap_or(&[])));
                    *arrays = begun.collect::<Result<_>>()?;
                }
                arrays.iter_mut().zip(pieces).try_for_each(|(array, piece)| array.push(piece))
            }
        }
    }

    /// Gives the file its name. Returns name and shape of every array.
    ///
    /// # Errors
    /// As the system says.
    pub fn finish(self) -> Result<Vec<(&'static str, Vec<usize>)>> {
        match self.form {
            Form::Csv(file) => file.map_or(Ok(()), Growing::finish)?,
            Form::Npy(_, arrays) => arrays.into_iter().try_for_each(NpyRows::finish)?,
            Form::Npz(path, arrays) => file::npz(path, self.names.iter().copied().zip(arrays).collect())?,
        }
        Ok(self.names.into_iter().zip(self.shapes).collect())
    }
}

/// A column for each number of an item, named `score.0`, `score.1`, … where there are several; `names` is empty where
/// the names stand above already.
fn columns(names: &[&str], pieces: &[Tensor]) -> Result<String> {
    let (mut columns, mut header) = (Vec::new(), Vec::new());
    for (i, piece) in pieces.iter().enumerate() {
        let rows = if piece.rank() == 1 { piece.unsqueeze(1)? } else { piece.flatten_from(1)? };
        let width = rows.dim(1)?;
        if let Some(name) = names.get(i) {
            header.extend((0..width).map(|i| if width == 1 { (*name).into() } else { format!("{name}.{i}") }));
        }
        columns.push(rows.to_vec2::<f32>()?);
    }
    let n = columns.first().map_or(0, Vec::len);
    let row = |i: usize| columns.iter().filter_map(move |rows| rows.get(i)).flatten().map(f32::to_string).collect();
    let header = Some(header).filter(|header| !header.is_empty());
    csv(&header.into_iter().chain((0..n).map(row)).collect::<Vec<_>>())
}
