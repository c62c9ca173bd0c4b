//! Registries: a new method, sampler, data set, layer or probe is one file and one row.

use serde::Serialize;

use super::Schema;
use crate::metrics::Number;

/// What every row of every registry says about itself.
#[derive(Clone, Copy, Serialize)]
pub struct Head {
    /// What the configuration says: `name = "lsd"`.
    pub name: &'static str,
    /// One line for listings.
    pub about: &'static str,
    /// Where it comes from: authors, year, equation or algorithm; empty where it is folklore.
    pub cite: &'static str,
    /// The keys of its section.
    #[serde(skip)]
    pub schema: Schema,
    /// The numbers that it reports while training; empty for rows that report none.
    pub numbers: &'static [Number],
}

/// A row of a registry. How it is built, and what else a registry asks of its rows, are fields of the implementor.
pub trait Row {
    /// What the row says about itself.
    fn head(&self) -> Head;
}

/// The row called `name`.
pub fn find<'a, R: Row>(rows: &'a [R], name: &str) -> Option<&'a R> {
    rows.iter().find(|row| row.head().name == name)
}

/// Name and keys of every row, as a section's `name` selects them.
pub fn schemas<R: Row>(rows: &[R]) -> Vec<(&'static str, Schema)> {
    rows.iter().map(|row| (row.head().name, row.head().schema)).collect()
}

/// A row that has nothing beside a constructor, of type `B`.
#[derive(Clone, Copy)]
pub struct Entry<B> {
    /// What the configuration says: `name = "lsd"`.
    pub name: &'static str,
    /// One line for listings.
    pub about: &'static str,
    /// Where it comes from: authors, year, equation or algorithm; empty where it is folklore.
    pub cite: &'static str,
    /// The keys of its section.
    pub schema: Schema,
    /// Makes it from a resolved table.
    pub build: B,
}

impl<B> Row for Entry<B> {
    fn head(&self) -> Head {
        Head { name: self.name, about: self.about, cite: self.cite, schema: self.schema, numbers: &[] }
    }
}
