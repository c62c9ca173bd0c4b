//! Rows of a table as its files have them: columns scaled back, categories by their words.

use std::path::Path;

use candle_core::{DType, Tensor};

use super::Data;
use crate::data::formats::{file, vectors::Vectors};
use crate::data::items::Stamp;
use crate::data::source::Category;
use crate::math::largest;
use crate::{Error, Result};

/// A column of rows in the units of the files.
#[derive(Clone, Debug, PartialEq)]
pub struct NaturalColumn {
    /// Its name, or `x0`, `x1`, … where the file names none.
    pub name: String,
    /// The numbers; of a categorical column the places among its words.
    pub values: Vec<f64>,
    /// The words of a categorical column; empty for numbers.
    pub words: Vec<String>,
}

impl Data {
    /// Whether the items are rows of a table, whose columns have units of their own.
    pub fn is_table(&self) -> bool {
        !self.items.stamp().scales.is_empty()
    }

    /// Rows of the model's numbers, `[N, D]`, as columns in the units of the table; of a categorical column, whose
    /// words have a column each, the word with the largest number. `None` of a set that is no table.
    ///
    /// # Errors
    /// Rows of another length.
    pub fn natural(&self, x: &Tensor) -> Result<Option<Vec<NaturalColumn>>> {
        let Stamp { columns: names, scales, categories, .. } = self.items.stamp();
        if scales.is_empty() {
            return Ok(None);
        }
        let rows: Vec<Vec<f64>> = x.flatten_from(1)?.to_dtype(DType::F64)?.to_vec2()?;
        let column = |c: usize| -> Vec<f64> {
            let [mean, std] = scales.get(c).copied().unwrap_or([0.0, 1.0]);
            rows.iter().filter_map(|row| row.get(c)).map(|v| v * std + mean).collect()
        };
        let (mut columns, mut c) = (Vec::new(), 0);
        while c < scales.len() {
            let Some(Category { name, words, .. }) = categories.iter().find(|category| category.first == c) else {
                let name = names.get(c).filter(|name| !name.is_empty()).cloned();
                let name = name.unwrap_or_else(|| format!("x{c}"));
                columns.push(NaturalColumn { name, values: column(c), words: Vec::new() });
                c += 1;
                continue;
            };
            let parts: Vec<Vec<f64>> = (c..c + words.len()).map(column).collect();
            let place = |row: usize| {
                let here: Vec<f64> = parts.iter().filter_map(|part| part.get(row)).copied().collect();
                largest(&here).0 as f64
            };
            let values = (0..rows.len()).map(place).collect();
            columns.push(NaturalColumn { name: name.clone(), values, words: words.clone() });
            c += words.len().max(1);
        }
        Ok(Some(columns))
    }

    /// Refuses a file that has one of the table's columns in the place of another: rows are read by position.
    ///
    /// # Errors
    /// Names in another order.
    pub fn check_columns(&self, names: &[String], path: &Path) -> Result<()> {
        let own = self.items.stamp().columns;
        let moved = names.iter().enumerate().find(|(i, name)| own.contains(name) && own.get(*i) != Some(*name));
        let Some((_, name)) = moved else { return Ok(()) };
        let what = format!("its column `{name}` is not where the run's table has it: {} there", own.join(", "));
        Err(Error::data(path, what, "write the columns in the order of the run's table"))
    }

    /// The rows of a file in the units of the table's columns, as [`Data::of_rows`].
    ///
    /// # Errors
    /// As there, as [`Data::check_columns`], and a file that cannot be read.
    pub fn of_file(&self, path: &Path) -> Result<Vectors> {
        self.check_columns(&file::names(path)?, path)?;
        self.of_rows(file::read(path)?, path)
    }

    /// Rows in the units of the table's columns as the model sees them; each category has a column of 0 and 1.
    ///
    /// # Errors
    /// The set is no table, or rows have another length.
    pub fn of_rows(&self, rows: Vectors, path: &Path) -> Result<Vectors> {
        let scales = self.items.stamp().scales;
        if scales.is_empty() {
            return Err(Error::config("the run's data set is no table whose units are known")
                .hint("--space model, or --space pixels for pictures"));
        }
        if rows.dim != scales.len() {
            let what = format!("a row has {} numbers, the table {} columns", rows.dim, scales.len());
            return Err(Error::data(path, what, "give the columns that the run was trained on, in its order"));
        }
        let scaled = |(i, v): (usize, f64)| {
            let [mean, std] = scales.get(i % rows.dim.max(1)).copied().unwrap_or([0.0, 1.0]);
            (v - mean) / std
        };
        Ok(Vectors { values: rows.values.into_iter().enumerate().map(scaled).collect(), ..rows })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn rows_go_to_the_units_of_the_file_and_back() {
        // The names alone would make a category of the last two, which are numbers, and two of the words of the eyes.
        let columns = ["height", "eye=s=blue", "eye=s=brown", "eye=s=green", "a=b", "a=c"].map(str::to_owned).to_vec();
        let words = ["blue", "brown", "green"].map(str::to_owned).to_vec();
        let categories = vec![Category { name: "eye=s".into(), first: 1, words }];
        let scales = vec![[170.0, 10.0], [0.5, 0.5], [0.4, 0.49], [0.1, 0.3], [0.0, 2.0], [-1.0, 1.0]];
        let stamp =
            Stamp { image: None, levels: 0, classes: 0, bounds: vec![[0.0, 1.0]; 6], columns, scales, categories };
        let table = "name = \"table\"".parse().unwrap();
        let data = Data::without_items(&crate::config::Spec::new(table), stamp, 0, &Device::Cpu).unwrap();
        let x = Tensor::new(&[[1f32, 1.0, -0.8, -0.3, 0.5, 0.0], [-2.0, -1.0, 1.2, -0.3, 1.0, 2.0]], &Device::Cpu);
        let columns = data.natural(&x.unwrap()).unwrap().unwrap();
        let names: Vec<_> = columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["height", "eye=s", "a=b", "a=c"]);
        assert_eq!(
            (columns[0].values.as_slice(), columns[1].values.as_slice()),
            (&[180.0, 150.0][..], &[0.0, 1.0][..])
        );
        assert_eq!(columns[1].words, ["blue", "brown", "green"]);
        assert_eq!((columns[2].values[1], columns[3].values[1]), (2.0, 1.0));
        let rows = Vectors { dim: 6, values: vec![180.0, 1.0, 0.0, 0.0, 1.0, -1.0] };
        let back = data.of_rows(rows, Path::new("x")).unwrap().values;
        assert_eq!((back[0], back[1], back[4], back[5]), (1.0, 1.0, 0.5, 0.0));
        let short = Vectors { dim: 2, values: vec![1.0, 2.0] };
        assert_eq!(data.of_rows(short, Path::new("x")).unwrap_err().exit_code(), 4);
    }
}
