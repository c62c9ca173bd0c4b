//! Values that others published, to be shown beside ours.

use std::collections::BTreeMap;
use std::path::Path;

use super::{same, unknown};
use crate::{Error, Result};

/// One published value.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The group that it belongs to: a value for each of some keys.
    pub keys: BTreeMap<String, String>,
    /// The metric; the first one if the file does not say.
    pub metric: Option<String>,
    /// As it was printed, such as `-25.53` or `NaN`.
    pub value: String,
}

impl Published {
    /// Reads a CSV file with a header, or a TOML file of `[[row]]` tables. Columns: group keys (those in `by`),
    /// `published`, and `metric` if there are several.
    ///
    /// # Errors
    /// A file that cannot be read, a column that is no key, a row without a value.
    pub fn load(path: &Path, by: &[String]) -> Result<Vec<Self>> {
        let is_toml = path.extension().is_some_and(|e| e == "toml");
        let rows = if is_toml { toml_rows(path)? } else { csv_rows(path)? };
        rows.into_iter().map(|row| Self::new(row, path, by)).collect()
    }

    fn new(mut row: BTreeMap<String, String>, path: &Path, by: &[String]) -> Result<Self> {
        let Some(value) = row.remove("published") else {
            return Err(Error::data(path, "no column `published`", "name the column of the values `published`"));
        };
        let metric = row.remove("metric");
        row.retain(|_, value| !value.is_empty());
        match row.keys().find(|key| !by.contains(key)) {
            Some(wrong) => Err(unknown("group key", wrong, by)),
            None => Ok(Published { keys: row, metric, value }),
        }
    }

    /// Whether it belongs to a group with these values of `by`, and to this metric.
    pub(super) fn fits(&self, by: &[String], values: &[String], metric: &str, first: bool) -> bool {
        let has = |(key, value): (&String, &String)| by.iter().zip(values).any(|(k, v)| k == key && same(v, value));
        self.metric.as_ref().map_or(first, |m| m == metric) && self.keys.iter().all(has)
    }
}

fn csv_rows(path: &Path) -> Result<Vec<BTreeMap<String, String>>> {
    let wrong = |e: csv::Error| Error::data(path, e.to_string(), "the first line names the columns");
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_path(path).map_err(wrong)?;
    reader.deserialize().collect::<std::result::Result<_, _>>().map_err(wrong)
}

fn toml_rows(path: &Path) -> Result<Vec<BTreeMap<String, String>>> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rows {
        row: Vec<BTreeMap<String, toml::Value>>,
    }
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let hint = "write one `[[row]]` for each value; dotted keys need quotes";
    let rows: Rows = toml::from_str(&text).map_err(|e| Error::data(path, e.message(), hint))?;
    let word = |value: toml::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Ok(rows.row.into_iter().map(|row| row.into_iter().map(|(k, v)| (k, word(v))).collect()).collect())
}
