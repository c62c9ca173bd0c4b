//! The row of a model: all that the house knows about it.

use super::context::BuildModel;
use crate::config::{Head, Row, Schema};

/// A row of [`MODELS`](super::MODELS).
#[derive(Clone, Copy)]
pub struct ModelRow {
    /// What the configuration says: `name = "neural"`.
    pub name: &'static str,
    /// One line for listings.
    pub about: &'static str,
    /// Where it comes from: authors, year, equation or algorithm; empty where it is folklore.
    pub cite: &'static str,
    /// The keys of its section.
    pub schema: Schema,
    /// What `ebm init` writes in its section in the place of a default: key and value, as TOML; and under `dataset`,
    /// the data set that it takes where the user names none.
    pub init: &'static [(&'static str, &'static str)],
    /// Keys that make it small, as TOML. The contract tests build it with them.
    pub example: &'static str,
    /// Shapes of items that it takes with these keys.
    pub items: &'static [&'static [usize]],
    /// Makes it from its resolved section.
    pub build: BuildModel,
}

/// The items of a model that takes any: a point of the plane, a small picture.
pub const ANY_ITEMS: &[&[usize]] = &[&[2], &[1, 3, 3]];

impl Row for ModelRow {
    fn head(&self) -> Head {
        Head { name: self.name, about: self.about, cite: self.cite, schema: self.schema, numbers: &[] }
    }
}
