//! Categories as columns of their own.

use std::path::Path;

use super::labels::{MOST_CLASSES, ranked};
use super::sheet::{Column, Sheet};
use crate::data::source::Category;
use crate::{Error, Result};

/// Rows of numbers alone.
pub(super) struct OneHot {
    /// The names of the columns, `colour=red` where one stands for a word; empty if the file names none and no column
    /// is categorical.
    pub names: Vec<String>,
    /// Which columns stand for words.
    pub categories: Vec<Category>,
    /// Row after row.
    pub values: Vec<f64>,
}

impl Sheet {
    /// Appends the rows of a file with the same columns.
    pub fn append(&mut self, other: Sheet) {
        let width = self.columns.len().max(1);
        // The other file's categories by this one's numbers.
        let known: Vec<Option<Vec<usize>>> = self
            .columns
            .iter_mut()
            .zip(other.columns)
            .map(|(own, other)| {
                let words = other.categories?.words;
                own.categories.as_mut().map(|own| words.into_iter().map(|word| own.number(word)).collect())
            })
            .collect();
        let number = |(i, value): (usize, f64)| match known.get(i % width) {
            Some(Some(known)) => known.get(value as usize).filter(|_| !value.is_nan()).map_or(f64::NAN, |n| *n as f64),
            _ => value,
        };
        self.values.extend(other.values.into_iter().enumerate().map(number));
        self.labels.extend(other.labels);
    }

    /// All rows, each categorical column in a column of 0 and 1 a category.
    ///
    /// # Errors
    /// So many categories that they are taken for a mistake.
    pub fn one_hot(&mut self, path: &Path) -> Result<OneHot> {
        let values = std::mem::take(&mut self.values);
        let name_of = |column: &Column| match column.name.is_empty() {
            true => column.at.to_string(),
            false => column.name.clone(),
        };
        if self.columns.iter().all(|column| column.categories.is_none()) {
            // A column without a name among others is called by its place.
            let named = self.columns.iter().any(|column| !column.name.is_empty());
            let names = self.columns.iter().filter(|_| named).map(name_of).collect();
            return Ok(OneHot { names, categories: Vec::new(), values });
        }
        // Of each categorical column the place of every category, and how many these are.
        let ranks: Vec<Option<(Vec<u32>, usize)>> =
            self.columns.iter().map(|column| Some(ranked(&column.categories.as_ref()?.words))).collect();
        let (mut names, mut categories) = (Vec::new(), Vec::new());
        for (column, ranks) in self.columns.iter().zip(&ranks) {
            let name = name_of(column);
            match words_of(path, column, &name, ranks.as_ref())? {
                None => names.push(name),
                Some(words) => {
                    let first = names.len();
                    names.extend(words.iter().map(|word| format!("{name}={word}")));
                    categories.push(Category { name, first, words });
                }
            }
        }
        let mut all = Vec::with_capacity(values.len() / self.columns.len().max(1) * names.len());
        for row in values.chunks_exact(self.columns.len().max(1)) {
            for (value, ranks) in row.iter().zip(&ranks) {
                match ranks {
                    None => all.push(*value),
                    Some((_, n)) if value.is_nan() => all.extend(std::iter::repeat_n(f64::NAN, *n)),
                    Some((places, n)) => {
                        let place = places.get(*value as usize).map(|place| *place as usize);
                        all.extend((0..*n).map(|k| f64::from(u8::from(Some(k) == place))));
                    }
                }
            }
        }
        Ok(OneHot { names, categories, values: all })
    }
}

/// The words of a categorical column in their order; `None` of a column of numbers.
fn words_of(
    path: &Path,
    column: &Column,
    name: &str,
    ranks: Option<&(Vec<u32>, usize)>,
) -> Result<Option<Vec<String>>> {
    let (Some(categories), Some((places, n))) = (&column.categories, ranks) else { return Ok(None) };
    if *n > MOST_CLASSES {
        let what = format!("{}: the column `{name}` has {n} different words", path.display());
        return Err(Error::config(what).at("categorical").hint("leave it out by `dataset.columns`"));
    }
    let mut words = vec![String::new(); *n];
    for (word, place) in categories.words.iter().zip(places) {
        words.get_mut(*place as usize).into_iter().for_each(|to| to.clone_from(word));
    }
    Ok(Some(words))
}
