//! Rows of a table as its files have them: columns scaled back, categories by their words.

use std::path::Path;

use candle_core::{DType, Tensor};

use super::Data;
use crate::data::formats::file::{self, Begin, Field, Vectors};
use crate::data::items::Stamp;
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

impl NaturalColumn {
    /// The numbers where there are no words: of a categorical column the codes that its words are, else their places.
    pub fn numbers(&self) -> Vec<f64> {
        let codes = codes(&self.words);
        self.values.iter().map(|value| codes.get(*value as usize).copied().unwrap_or(*value)).collect()
    }
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
        let scales = self.items.stamp().scales;
        if scales.is_empty() {
            return Ok(None);
        }
        let rows: Vec<Vec<f64>> = x.flatten_from(1)?.to_dtype(DType::F64)?.to_vec2()?;
        let column = |c: usize| -> Vec<f64> {
            let [mean, std] = scales.get(c).copied().unwrap_or([0.0, 1.0]);
            rows.iter().filter_map(|row| row.get(c)).map(|v| v * std + mean).collect()
        };
        let mut c = 0;
        let natural = |(name, words): (String, Vec<String>)| {
            let first = c;
            c += words.len().max(1);
            if words.is_empty() {
                return NaturalColumn { name, values: column(first), words };
            }
            let parts: Vec<Vec<f64>> = (first..c).map(column).collect();
            let place = |row: usize| {
                let here: Vec<f64> = parts.iter().filter_map(|part| part.get(row)).copied().collect();
                largest(&here).0 as f64
            };
            NaturalColumn { name, values: (0..rows.len()).map(place).collect(), words }
        };
        Ok(Some(self.named_columns().into_iter().map(natural).collect()))
    }

    /// The rows of a file as the model sees them, at most `most` at a time: in the units of the table's columns if they
    /// are `natural`. A text begins as `begin` says. One that names the columns may have others among them, and them in
    /// any order; the rows of another file count by position, where a category may stand as its code or the place of
    /// its word.
    ///
    /// # Errors
    /// A file that cannot be read, a column that is missing, rows of another length; what `each` refuses.
    pub fn rows_of(
        &self,
        path: &Path,
        (natural, begin): (bool, Begin),
        most: usize,
        each: &mut dyn FnMut(Vectors) -> Result<()>,
    ) -> Result<()> {
        let natural = natural && self.is_table();
        let fields = self.fields(&file::names(path, begin)?, path, natural)?;
        let mut told = |rows| each(if natural { self.of_rows(rows, path)? } else { rows });
        file::rows(path, begin, (most, &fields), &mut told)
    }

    /// All rows of a file, as [`Data::rows_of`] hands them out.
    ///
    /// # Errors
    /// As there.
    pub fn of_file(&self, path: &Path, (natural, begin): (bool, Begin)) -> Result<Vectors> {
        let mut all = Vectors { dim: 0, values: Vec::new() };
        self.rows_of(path, (natural, begin), usize::MAX, &mut |rows| {
            all = rows;
            Ok(())
        })?;
        Ok(all)
    }

    /// The fields of a text whose columns have these names that make an item; none where it names none of an item's.
    fn fields(&self, names: &[String], path: &Path, natural: bool) -> Result<Vec<Field>> {
        let width = self.spec().shape.iter().product();
        let own: Vec<(String, Vec<String>)> = match natural {
            true => self.named_columns(),
            false => (0..width).map(|c| (format!("x{c}"), Vec::new())).collect(),
        };
        // A column that is called by its number in the run's table is x2 in a file of draws.
        let called = |other: &String, name: &String| other == name || name.strip_prefix('x') == Some(other);
        let place = |name: &String| names.iter().position(|other| called(other, name));
        let found: Vec<Option<usize>> = own.iter().map(|(name, _)| place(name)).collect();
        let listed = || own.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        // Numbers of the model have no names of their own: some that are called so may be others.
        if found.iter().all(Option::is_none) || (!natural && found.iter().any(Option::is_none)) {
            if natural && !names.is_empty() && !self.columns().is_empty() {
                let (theirs, ours) = (names.join(", "), listed());
                let path = path.display();
                tracing::warn!("{path}: read by position: its columns are {theirs}, those of the run's table {ours}");
            }
            return Ok(Vec::new());
        }
        let one = |((name, words), found): (&(String, Vec<String>), Option<usize>)| match found {
            None => {
                let what = format!("has no column `{name}`; the run's table has {}", listed());
                Err(Error::data(path, what, "give every column that the run was trained on, in any order"))
            }
            Some(_) if names.iter().filter(|other| called(other, name)).count() > 1 => {
                let what = format!("has more than one column `{name}`");
                Err(Error::data(path, what, "give every column a name of its own"))
            }
            Some(at) if words.is_empty() => Ok(Field::Number(at)),
            Some(at) => Ok(Field::Word(at, words.clone())),
        };
        own.iter().zip(found).map(one).collect()
    }

    /// The columns of the table by name, with the words of the categorical ones.
    fn named_columns(&self) -> Vec<(String, Vec<String>)> {
        let Stamp { columns: names, scales, categories, .. } = self.items.stamp();
        let (mut columns, mut c) = (Vec::new(), 0);
        while c < scales.len() {
            let category = categories.iter().find(|category| category.first == c);
            let name = names.get(c).filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| c.to_string());
            let (name, words) = match category {
                Some(category) => (category.name.clone(), category.words.clone()),
                None => (name, Vec::new()),
            };
            // A line of numbers would be no line of names.
            let is_number = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
            let column = (if is_number { format!("x{name}") } else { name }, words);
            c += column.1.len().max(1);
            columns.push(column);
        }
        columns
    }

    /// Rows in the units of the table's columns as the model sees them; each category has a column of 0 and 1, or one
    /// with the places of its words.
    fn of_rows(&self, rows: Vectors, path: &Path) -> Result<Vectors> {
        let scales = self.items.stamp().scales;
        let rows = self.one_hot(rows, path)?;
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

    /// Rows in which a category is one number, its code or the place of its word, with a number for each of its words;
    /// others as they are.
    fn one_hot(&self, rows: Vectors, path: &Path) -> Result<Vectors> {
        let columns = self.named_columns();
        let width: usize = columns.iter().map(|(_, words)| words.len().max(1)).sum();
        if rows.dim != columns.len() || rows.dim == width {
            return Ok(rows);
        }
        let columns: Vec<(String, Vec<f64>)> = columns.into_iter().map(|(name, words)| (name, codes(&words))).collect();
        let mut values = Vec::with_capacity(rows.len() * width);
        for (i, value) in rows.values.iter().enumerate() {
            let Some((name, codes)) = columns.get(i % rows.dim) else { continue };
            if codes.is_empty() {
                values.push(*value);
                continue;
            }
            if !codes.contains(value) {
                let known = codes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let what = format!("row {} (from 0): {value} stands for no word of `{name}`", i / rows.dim);
                return Err(Error::data(path, what, format!("its words have the numbers {known}")));
            }
            values.extend(codes.iter().map(|code| f64::from(code == value)));
        }
        Ok(Vectors { dim: width, values })
    }
}

/// The number that stands for each word of a category where there are no words: the word itself if all are numbers,
/// else its place.
fn codes(words: &[String]) -> Vec<f64> {
    let numbers: Vec<f64> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if numbers.len() == words.len() { numbers } else { (0..words.len()).map(|place| place as f64).collect() }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::data::source::Category;

    #[test]
    fn rows_go_to_the_units_of_the_file_and_back() {
        // The names alone would make a category of the last two, which are numbers, and two of the words of the eyes.
        let columns = ["height", "eye=s=blue", "eye=s=brown", "eye=s=green", "a=b", "a=c"].map(str::to_owned).to_vec();
        let words = ["blue", "brown", "green"].map(str::to_owned).to_vec();
        let categories = vec![Category { name: "eye=s".into(), first: 1, words }];
        let scales = vec![[170.0, 10.0], [0.5, 0.5], [0.4, 0.49], [0.1, 0.3], [0.0, 2.0], [-1.0, 1.0]];
        let stamp = Stamp {
            image: None,
            levels: 0,
            classes: 0,
            class_names: vec![],
            bounds: vec![[0.0, 1.0]; 6],
            columns,
            scales,
            categories,
        };
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
        let places = Vectors { dim: 4, values: vec![180.0, 0.0, 1.0, -1.0] };
        assert_eq!(data.of_rows(places, Path::new("x")).unwrap().values, back);
        let short = Vectors { dim: 2, values: vec![1.0, 2.0] };
        assert_eq!(data.of_rows(short, Path::new("x")).unwrap_err().exit_code(), 4);
    }
}
