//! A row of a registry with its keys, as a section of the configuration chose it.

use serde::{Deserialize, Serialize};

use super::schema::{Config, Schema, SubSection, to_table};
use crate::Result;

/// The resolved content of a section that names a row, such as `[method]` or the [`SubSection`] `[method.critic]`: a
/// table with `name` and every key filled in. Two are equal where their tables are, wherever they stand.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Spec {
    /// `name` and the row's keys.
    pub table: toml::Table,
    /// The key that the section stands under, below that of the section around it; empty if it stands in no file.
    #[serde(skip)]
    key: String,
    /// Whether no section is around it, so that `key` is the whole path.
    #[serde(skip)]
    outermost: bool,
}

impl Spec {
    /// A section that stands in no file.
    pub fn new(table: toml::Table) -> Self {
        Spec { table, ..Spec::default() }
    }

    /// The row `name` with the keys of `config`; it stands in no file.
    pub fn of<C: Config>(name: &str, config: &C) -> Self {
        let mut table = to_table(config);
        table.insert("name".into(), name.into());
        Spec::new(table)
    }

    /// The section at `path`, such as `method` or `probe.2`.
    pub(super) fn outermost(table: toml::Table, path: String) -> Self {
        Spec { table, key: path, outermost: true }
    }

    /// The part as it is when nothing is written: the default row with its defaults.
    pub fn of_default(part: &SubSection) -> Self {
        let rows = (part.rows)();
        let mut table = toml::Table::new();
        table.insert("name".into(), part.default.into());
        if let Some((_, schema)) = rows.iter().find(|(name, _)| *name == part.default) {
            table.extend(schema.defaults());
        }
        Spec { table, key: part.key.into(), outermost: false }
    }

    /// The section with the parts that it lacks at their defaults: one that an older version resolved, which did not
    /// have them.
    pub fn completed(mut self, rows: fn() -> Vec<(&'static str, Schema)>) -> Self {
        let parts = rows().into_iter().find(|(name, _)| *name == self.name()).map(|(_, schema)| schema.parts());
        for part in parts.into_iter().flatten() {
            let own = match self.table.remove(part.key) {
                Some(toml::Value::Table(table)) => Spec::new(table).completed(part.rows),
                _ => Spec::of_default(&part),
            };
            self.table.insert(part.key.into(), own.table.into());
        }
        self
    }

    /// Notes the key that the section stands under.
    #[doc(hidden)]
    pub fn place(&mut self, key: &str) {
        self.key = key.into();
    }

    /// The registry row that was chosen; empty if the table has no name (resolving never leaves that).
    pub fn name(&self) -> &str {
        self.table.get("name").and_then(toml::Value::as_str).unwrap_or_default()
    }

    /// The outcome of building or running the row, with its error as the section around it sees it. A row knows its own
    /// keys only: an error in one of them, such as `step_size`, becomes one in `sampler.step_size`; an error without a
    /// key becomes one in the `name` of the section.
    ///
    /// # Errors
    /// The error in `outcome`.
    pub fn within<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| if self.key.is_empty() { error } else { error.within(&self.key, self.outermost) })
    }
}

impl PartialEq for Spec {
    fn eq(&self, other: &Self) -> bool {
        self.table == other.table
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::decode;
    use super::*;

    crate::config! {
        /// With a part.
        struct Whole {
            /// A number.
            n: usize = 1;
        }
        parts {
            /// Of a registry of one row.
            part: "row" of rows;
        }
    }

    crate::config! {
        /// The keys of the row.
        struct Keys {
            /// Another number.
            m: usize = 2;
        }
    }

    fn rows() -> Vec<(&'static str, Schema)> {
        vec![("row", Schema::of::<Keys>())]
    }

    #[test]
    fn a_part_that_is_missing_is_no_default() {
        let mut table = Schema::of::<Whole>().defaults();
        assert_eq!(decode::<Whole>(&table).unwrap(), Whole::default());
        table.remove("part");
        let refused = decode::<Whole>(&table).unwrap_err();
        assert!(refused.to_string().contains("`part` is missing"), "{refused}");
        // A checkpoint of a version without the part has its default.
        table.insert("name".into(), "whole".into());
        let completed = Spec::new(table).completed(|| vec![("whole", Schema::of::<Whole>())]);
        assert_eq!(decode::<Whole>(&completed.table).unwrap(), Whole::default());
    }
}
