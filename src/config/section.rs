//! What a configuration may hold, and what it holds once it is complete.

use super::{Schema, Spec};

/// A function that lists the rows of a registry.
pub type Rows = fn() -> Vec<(&'static str, Schema)>;

/// A section that a configuration may have.
#[derive(Clone, Copy)]
pub struct Section {
    /// Its key; empty for the keys above the first header.
    pub key: &'static str,
    /// What it holds.
    pub kind: SectionKind,
}

/// What a section holds.
#[derive(Clone, Copy)]
pub enum SectionKind {
    /// Keys that are always the same: `[train]`.
    Plain(Schema),
    /// The row of a registry that its `name` selects, with the keys of that row: `[method]`.
    Named {
        /// The rows.
        rows: Rows,
        /// The row when the section or its name is left out; none: it must be written.
        default: Option<&'static str>,
    },
    /// Any number of them: `[[probe]]`.
    List {
        /// The rows.
        rows: Rows,
    },
}

/// A complete configuration: every section, every key, no `extends`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved(pub toml::Table);

impl Resolved {
    /// The table of a section; `""` for the keys above the first header. Empty if there is none.
    pub fn section(&self, key: &str) -> toml::Table {
        if key.is_empty() {
            return self.0.iter().filter(|(_, v)| !is_section(v)).map(|(k, v)| (k.clone(), v.clone())).collect();
        }
        self.0.get(key).and_then(toml::Value::as_table).cloned().unwrap_or_default()
    }

    /// A section that selects a row.
    pub fn spec(&self, key: &str) -> Spec {
        Spec::outermost(self.section(key), key.into())
    }

    /// The entries of a list of sections, in the order written.
    pub fn list(&self, key: &str) -> Vec<Spec> {
        let items = self.0.get(key).and_then(toml::Value::as_array).into_iter().flatten();
        let tables = items.filter_map(toml::Value::as_table).cloned().enumerate();
        tables.map(|(i, table)| Spec::outermost(table, format!("{key}.{i}"))).collect()
    }
}

fn is_section(value: &toml::Value) -> bool {
    value.is_table() || value.as_array().is_some_and(|a| a.iter().any(toml::Value::is_table))
}
