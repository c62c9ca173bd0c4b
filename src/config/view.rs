//! Reading a document that is no experiment, such as the plan of a sweep: a cursor that knows where it stands.

use std::path::{Path, PathBuf};

use super::diagnostics::Problem;
use super::document::Document;
use super::node::{Node, Value};
use super::suggest;

/// A value of a document, with its position.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub(super) document: &'a Document,
    pub(super) node: &'a Node,
}

impl Document {
    /// The table that the whole document is.
    pub fn view(&self) -> View<'_> {
        View { document: self, node: &self.root }
    }

    /// The same document with nothing but these keys at its top: sections that are checked by themselves.
    pub fn only(&self, keys: &[&str]) -> Document {
        let mut document = self.clone();
        if let Value::Table(fields) = &mut document.root.value {
            fields.retain(|key, _| keys.contains(&key.as_str()));
        }
        document
    }
}

impl<'a> View<'a> {
    /// The content in the order written, if this is a table.
    pub fn fields(&self) -> Option<Vec<(&'a str, View<'a>)>> {
        let fields = self.node.fields()?;
        let mut list: Vec<_> = fields.iter().map(|(key, node)| (key.as_str(), self.of(node))).collect();
        list.sort_by_key(|(_, view)| view.node.key);
        Some(list)
    }

    /// The entries, if this is a list.
    pub fn items(&self) -> Option<Vec<View<'a>>> {
        match &self.node.value {
            Value::List(items) => Some(items.iter().map(|node| self.of(node)).collect()),
            _ => None,
        }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&'a str> {
        self.node.as_str()
    }

    /// The value without its position; nothing if a number in it is not finite.
    pub fn value(&self) -> Option<toml::Value> {
        let mut finite = true;
        let value = self.node.to_toml(&mut |_| finite = false);
        finite.then_some(value)
    }

    /// As messages repeat it: `5`, the string "x", a list.
    pub fn written(&self) -> String {
        self.document.written(self.node)
    }

    /// The folder of the file that this was written in; paths are relative to it.
    pub fn folder(&self) -> PathBuf {
        let source = self.document.sources.get(self.node.at.source);
        source.and_then(|s| Path::new(&s.name).parent()).map(Path::to_path_buf).unwrap_or_default()
    }

    /// Something wrong with the value.
    pub fn wrong(&self, message: impl Into<String>, hint: Option<String>) -> Problem {
        Problem::at(&self.document.sources, self.node.at, message, hint)
    }

    /// Something wrong with the key in front of it.
    pub fn wrong_key(&self, message: impl Into<String>, hint: Option<String>) -> Problem {
        Problem::at(&self.document.sources, self.node.key, message, hint)
    }

    /// The key in front of it is none of those that `place` may have.
    pub fn unknown_key(&self, key: &str, place: &str, known: &[&str]) -> Problem {
        let message = format!("unknown key `{}`{place}", suggest::short(key));
        self.wrong_key(message, suggest::hint(key, "keys", known))
    }

    fn of(&self, node: &'a Node) -> View<'a> {
        View { document: self.document, node }
    }
}
