//! A configuration as it was written: all its sources merged into one tree with positions.

use std::path::Path;

use super::diagnostics::{Problem, Problems};
use super::load::Loader;
use super::node::{Node, Value, follow};
use super::source::{ARGUMENT, Source, Span};
use super::{set, suggest};
use crate::{Error, Result};

/// The merged tree of a file, what it extends, and the `--set` arguments.
#[derive(Clone, Debug)]
pub struct Document {
    pub(super) name: String,
    pub(super) sources: Vec<Source>,
    pub(super) root: Node,
    /// The source that the user named; what is missing altogether is missing from it.
    pub(super) main: usize,
}

impl Document {
    /// Reads a file, the files it extends (relative to itself, later ones win) and the `path=value` of every `--set`.
    ///
    /// # Errors
    /// [`Error::Config`]: a file that cannot be read, TOML syntax, `--set` syntax; all of them at once.
    pub fn load(path: &Path, sets: &[String]) -> Result<Document> {
        let load = |loader: &mut Loader<'_>| loader.file(path);
        Ok(Self::assemble(path.display().to_string(), sets, load)?)
    }

    /// The same for a text; `name` is what messages call it, and `extends` is relative to its folder.
    ///
    /// # Errors
    /// As [`Document::load`].
    #[allow(clippy::should_implement_trait)]
    pub fn from_str(name: &str, text: &str, sets: &[String]) -> Result<Document> {
        Ok(Self::parse(name, text, sets)?)
    }

    /// [`Document::from_str`] with the problems as data.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn parse(name: &str, text: &str, sets: &[String]) -> std::result::Result<Document, Problems> {
        let load = |loader: &mut Loader<'_>| loader.text(name.to_owned(), text.to_owned());
        Self::assemble(name.to_owned(), sets, load)
    }

    fn assemble(
        name: String,
        sets: &[String],
        load: impl FnOnce(&mut Loader<'_>) -> Option<Node>,
    ) -> std::result::Result<Document, Problems> {
        let mut problems = Problems::new(&name);
        let mut sources = Vec::new();
        let loaded = load(&mut Loader::new(&mut sources, &mut problems));
        let mut root = loaded.unwrap_or_else(|| Node::empty(Span::start_of(0)));
        // A file that was not understood makes paths of `--set` fail that are right: its problems come alone.
        if problems.is_empty() {
            let files = sources.len();
            for argument in sets {
                sources.push(Source { name: ARGUMENT.into(), text: argument.clone() });
                let outcome = set::apply(&mut root, &sources, sources.len() - 1, files);
                outcome.err().into_iter().flatten().for_each(|problem| problems.push(problem));
            }
        }
        if problems.is_empty() { Ok(Document { name, sources, root, main: 0 }) } else { Err(problems) }
    }

    /// An error that later code found, shown at its position if it names a key of this document. `arguments_only`: the
    /// file is none that the user knows, such as the one stored in a checkpoint, so that positions in `--set` alone are
    /// shown.
    pub fn placed(&self, error: Error, arguments_only: bool) -> Error {
        let Error::Config(found) = &error else { return error };
        let Some(path) = found.path() else { return error };
        let at =
            follow(&self.root, &set::names(path)).last().map(|node| node.at.source).and_then(|i| self.sources.get(i));
        match at {
            Some(source) if !arguments_only || source.name == ARGUMENT => {
                self.problems_at(path, found.message(), found.remedy().map(str::to_owned)).into()
            }
            _ => error,
        }
    }

    /// Something wrong with the value at `path`, such as `method.critic.hidden`, or with the table closest to it.
    pub fn problems_at(&self, path: &str, message: impl Into<String>, hint: Option<String>) -> Problems {
        let mut problems = Problems::new(&self.name);
        problems.push(Problem::at(&self.sources, self.nearest(path), message, hint));
        problems
    }

    /// Where the value at `path` comes from: `configs/x.toml:7`, `--set` or `default`.
    pub fn origin(&self, path: &str) -> String {
        let names = set::names(path);
        let found = follow(&self.root, &names);
        match found
            .last()
            .filter(|_| found.len() == names.len())
            .and_then(|n| Some((n, self.sources.get(n.at.source)?)))
        {
            None => "default".into(),
            Some((_, source)) if source.name == ARGUMENT => source.name.clone(),
            Some((node, source)) => format!("{}:{}", source.name, source.line_of(source.clamp(node.at).start).0),
        }
    }

    /// A value as the user wrote it, shortened.
    pub(super) fn written(&self, node: &Node) -> String {
        match &node.value {
            Value::List(_) => "a list".into(),
            Value::Table(_) => "a table".into(),
            Value::Plain(value) => {
                let text = self.sources.get(node.at.source).map_or("", |s| s.slice(node.at));
                let text = value.as_str().map_or_else(|| format!("`{text}`"), |s| format!("the string {s:?}"));
                suggest::short(&text)
            }
        }
    }

    /// The position of the value at `path`, or of the table closest to it.
    fn nearest(&self, path: &str) -> Span {
        follow(&self.root, &set::names(path)).last().map_or(Span::start_of(self.main), |node| node.at)
    }
}
