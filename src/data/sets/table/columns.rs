//! Which columns of a file are read, and as what.

use std::collections::HashMap;
use std::path::Path;

use super::keys::{ColumnKey, Missing};
use crate::config::nearest;
use crate::data::formats::frame;
use crate::{Error, Result};

/// What the keys ask of every file.
#[derive(Clone, Copy, Default)]
pub(super) struct Asked<'a> {
    /// The column of labels; empty without.
    pub label: &'a str,
    /// The columns that are read; empty for all.
    pub columns: &'a [ColumnKey],
    /// Those of them that are categorical.
    pub categorical: &'a [ColumnKey],
    /// What happens to rows with missing values.
    pub missing: Missing,
}

/// The columns of a file that are read, by their places.
#[derive(Default)]
pub(super) struct Choice {
    pub label: Option<usize>,
    /// In the order of the key, else of the file, and whether each is categorical.
    pub columns: Vec<(usize, bool)>,
}

impl Choice {
    /// The columns that the keys name, of `width`.
    ///
    /// # Errors
    /// A column that is not there, or is named twice; the labels among the others.
    pub fn of(path: &Path, asked: &Asked, names: &[String], width: usize) -> Result<Self> {
        let place = |key: &str, name: &str| place(path, key, name, names, width);
        let label = if asked.label.is_empty() { None } else { Some(place("label", asked.label)?) };
        let all =
            |key, columns: &[ColumnKey]| columns.iter().map(|name| place(key, &name.0)).collect::<Result<Vec<_>>>();
        let (chosen, categorical) = (all("columns", asked.columns)?, all("categorical", asked.categorical)?);
        let chosen = match chosen.as_slice() {
            [] => (0..width).filter(|at| Some(*at) != label).collect(),
            _ => chosen,
        };
        let refused = |key: &str, what: String| Err(Error::config(format!("{}: {what}", path.display())).at(key));
        for (i, at) in chosen.iter().enumerate() {
            let name = names.get(*at).cloned().unwrap_or_else(|| at.to_string());
            if Some(*at) == label {
                return refused("columns", format!("the column `{name}` holds the labels"));
            }
            if chosen.iter().take(i).any(|other| other == at) {
                return refused("columns", format!("the column `{name}` is named twice"));
            }
        }
        if let Some(at) = categorical.iter().find(|at| !chosen.contains(at)) {
            let name = names.get(*at).cloned().unwrap_or_else(|| at.to_string());
            return refused("categorical", format!("the column `{name}` is none of those that are read"));
        }
        Ok(Choice { label, columns: chosen.into_iter().map(|at| (at, categorical.contains(&at))).collect() })
    }

    /// The same columns where the first `n` of the file, an index of the rows, are left out.
    pub fn without_first(self, n: usize) -> Self {
        let columns = self.columns.into_iter().filter_map(|(at, categorical)| Some((at.checked_sub(n)?, categorical)));
        Choice { label: self.label.and_then(|at| at.checked_sub(n)), columns: columns.collect() }
    }
}

/// Which of `width` columns a key means.
fn place(path: &Path, key: &str, name: &str, names: &[String], width: usize) -> Result<usize> {
    let twice = names.iter().filter(|other| *other == name).count() > 1;
    if let Some(column) = frame::column(name, names, width).filter(|_| !twice) {
        return Ok(column);
    }
    if twice {
        let what = format!("has more than one column `{name}`");
        return Err(Error::data(path, what, format!("set `dataset.{key}` to the number of the one, from 0")));
    }
    let these = match names {
        [] => format!("it names none, and has {width}: 0 to {}", width.saturating_sub(1)),
        names => format!("it has {}", names.join(", ")),
    };
    let what = format!("has no column `{name}`{}; {these}", meant(name, names));
    let remedy = format!("set `dataset.{key}` to a name, or to a number from 0, where -1 is the last column");
    Err(Error::data(path, what, remedy))
}

/// ", did you mean …?" where a name is near.
pub(super) fn meant(word: &str, names: &[String]) -> String {
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    nearest(word, &known).map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default()
}

/// The different words of a categorical column, in the order in which they were met.
#[derive(Debug, Default)]
pub(super) struct Categories {
    pub words: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Categories {
    /// The number of a word.
    pub fn number(&mut self, word: String) -> usize {
        let next = self.words.len();
        *self.numbers.entry(word).or_insert_with_key(|word| {
            self.words.push(word.clone());
            next
        })
    }
}
