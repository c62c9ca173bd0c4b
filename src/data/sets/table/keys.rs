//! The keys of `table`.

use serde::{Deserialize, Deserializer, Serialize, de::Visitor};

use crate::config::rule;
use crate::data::formats::frame::Header;

/// What becomes of rows in which a value is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// The file is refused, with the first of them.
    #[default]
    Refuse,
    /// They are left out, with a warning.
    Drop,
    /// The mean of the column over the training items stands in.
    Mean,
}

impl Missing {
    /// What an error for a missing value advises.
    pub const REMEDY: &str = "fill it in, or set `dataset.missing` to \"drop\" (leaves such rows out) or \"mean\"";
}

crate::config! {
    /// Keys of `table`.
    pub struct TableConfig {
        /// The file: `.csv`, `.tsv` or `.txt` with a row a line, with a line of names above them or none; `.npy` with
        /// an array of rows; `.npz` with the rows in the array `x`, or in the only one besides the labels. Any may be
        /// gzipped. A first column without a name, as pandas and R write the index of the rows, is left out.
        [may_change] path: String = String::new();
        /// The column of labels: its name, or its number from 0, where -1 is the last; of an `.npz`, the array of
        /// labels. Any numbers or words will do. Empty: there are no labels.
        label: ColumnKey = ColumnKey::default();
        /// The columns that are read, by their names or numbers, in this order; empty: all but the labels.
        columns: Vec<ColumnKey> = Vec::new();
        /// The columns of words or codes that have no order. Each becomes a column of 0 and 1 for every word in it
        /// (one-hot), called `colour=red`. On such columns no density is defined unless `noise` spreads them.
        categorical: Vec<ColumnKey> = Vec::new();
        /// What becomes of rows in which a value is missing (empty, NA, NaN, null or ?): "refuse" names the first,
        /// "drop" leaves them out, "mean" fills in the column's mean over the training items, of a categorical column
        /// the share of each word. A label that is missing is refused or dropped.
        missing: Missing = Missing::Refuse;
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
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ColumnKey(pub String);

impl<'de> Deserialize<'de> for ColumnKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrNumber)
    }
}

struct NameOrNumber;

impl Visitor<'_> for NameOrNumber {
    type Value = ColumnKey;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("the name of a column or its number")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> std::result::Result<ColumnKey, E> {
        Ok(ColumnKey(name.to_owned()))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> std::result::Result<ColumnKey, E> {
        Ok(ColumnKey(number.to_string()))
    }
}
