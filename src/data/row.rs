//! The row of a data set: all that the house knows about it.

use super::files::format::FileFormat;
use super::source::{Images, Source};
use crate::config::{Head, Row, Schema};
use crate::{Error, Result};

/// Builds a data set's raw items from its resolved section; reads and verifies files.
pub type BuildSource = fn(&toml::Table) -> Result<Source>;

/// Where the items of a data set come from.
pub enum Origin {
    /// A recipe in the program.
    Generated,
    /// Known files, which `datasets/manifest.toml` lists under the name of the row.
    Files(&'static dyn FileFormat),
    /// Any file of the user's own.
    Yours,
}

/// A row of [`DATASETS`](super::DATASETS).
pub struct DatasetRow {
    /// What the configuration says: `name = "moons"`.
    pub name: &'static str,
    /// One line for listings.
    pub about: &'static str,
    /// Where it comes from: authors and year; empty where it is folklore.
    pub cite: &'static str,
    /// The keys of its section.
    pub schema: Schema,
    /// Where its items come from.
    pub origin: Origin,
    /// Whether its items are pictures large enough for convolutions that halve them, 16 pixels a side or more.
    pub pictures: bool,
    /// Keys that make it small, as TOML; points then lie in the plane. The contract tests open it with them.
    pub example: &'static str,
    /// Makes the raw items from the resolved section.
    pub build: BuildSource,
}

impl DatasetRow {
    /// The images of a set, with all keys but its folder at their defaults.
    ///
    /// # Errors
    /// The files are missing or damaged, or the set has no images.
    pub fn images(&self, path: &str) -> Result<Images> {
        let mut table = self.schema.defaults();
        table.insert("name".into(), self.name.into());
        table.insert("path".into(), path.into());
        match (self.build)(&table)? {
            Source::Images(images) => Ok(images),
            _ => Err(Error::Other(format!("`{}` is no set of images", self.name))),
        }
    }

    /// How the files are read, of a set of known files.
    pub fn format(&self) -> Option<&'static dyn FileFormat> {
        match self.origin {
            Origin::Files(format) => Some(format),
            Origin::Generated | Origin::Yours => None,
        }
    }
}

impl Row for DatasetRow {
    fn head(&self) -> Head {
        Head { name: self.name, about: self.about, cite: self.cite, schema: self.schema, numbers: &[] }
    }
}
