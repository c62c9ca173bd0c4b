//! The networks that something is made of, without their weights.

use super::Io;
use crate::config::Spec;

/// A network within a model or a part of a method: what it was built from.
#[derive(Clone, Debug)]
pub struct NamedNet {
    /// The prefix of its parameters, such as `net` or `base.decoder.net`.
    pub name: String,
    /// Its section of the configuration.
    pub spec: Spec,
    /// The shapes of one item.
    pub io: Io,
}

impl NamedNet {
    /// The same network seen from outside, where its parameters are below `part`.
    pub fn within(self, part: &str) -> Self {
        let name = if self.name.is_empty() { part.to_owned() } else { format!("{part}.{}", self.name) };
        NamedNet { name, ..self }
    }
}
