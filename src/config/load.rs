//! Reading files: `extends`, recursively, and TOML syntax errors.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::diagnostics::{Problem, Problems};
use super::node::{Node, Reader, Value};
use super::source::{Source, Span};
use super::suggest;

/// A configuration is smaller than this; a larger file was named by mistake.
const LARGEST: u64 = 1 << 20;
/// How many files may be read for one configuration.
const MOST_FILES: usize = 64;

/// Reads a file and all that it extends.
pub(super) struct Loader<'a> {
    pub sources: &'a mut Vec<Source>,
    pub problems: &'a mut Problems,
    /// The files being read, outermost first.
    stack: Vec<PathBuf>,
}

impl<'a> Loader<'a> {
    pub fn new(sources: &'a mut Vec<Source>, problems: &'a mut Problems) -> Self {
        Loader { sources, problems, stack: Vec::new() }
    }

    /// The tree of the file that the user named.
    pub fn file(&mut self, path: &Path) -> Option<Node> {
        match read(path) {
            Ok(bytes) => self.bytes(path, bytes),
            Err(why) => {
                let message = format!("cannot read {}: {why}", path.display());
                self.problems.push(Problem::nowhere(message, neighbour(path)));
                None
            }
        }
    }

    fn bytes(&mut self, path: &Path, bytes: Vec<u8>) -> Option<Node> {
        let name = path.display().to_string();
        let bad = std::str::from_utf8(&bytes).err().map(|e| e.valid_up_to());
        let text = String::from_utf8_lossy(&bytes).into_owned();
        self.stack.push(path.canonicalize().unwrap_or_else(|_| path.into()));
        let node = match bad {
            None => self.text(name, text),
            Some(at) => {
                let source = self.add(name, text);
                self.refuse(Span::new(source, at..at + 3), "this is not UTF-8", Some("save the file as UTF-8".into()));
                None
            }
        };
        self.stack.pop();
        node
    }

    /// The tree of a text and of the files that it extends; nothing if a file is broken.
    pub fn text(&mut self, name: String, text: String) -> Option<Node> {
        let folder = Path::new(&name).parent().map(Path::to_path_buf).unwrap_or_default();
        let source = self.add(name, text);
        let mut own = self.parse(source)?;
        let extends = match &mut own.value {
            Value::Table(fields) => fields.remove("extends"),
            _ => None,
        };
        let bases = extends.map(|node| self.bases(&folder, &node)).unwrap_or_default();
        let mut layers = bases.into_iter();
        match layers.next() {
            None => Some(own),
            Some(mut merged) => {
                layers.chain([own]).for_each(|layer| merged.merge(layer, usize::MAX));
                Some(merged)
            }
        }
    }

    fn add(&mut self, name: String, text: String) -> usize {
        self.sources.push(Source { name, text });
        self.sources.len() - 1
    }

    fn refuse(&mut self, at: Span, message: impl Into<String>, hint: Option<String>) {
        self.problems.push(Problem::at(self.sources, at, message, hint));
    }

    fn parse(&mut self, source: usize) -> Option<Node> {
        let text = self.sources.get(source)?.text.clone();
        let (table, errors) = DeTable::parse_recoverable(&text);
        if !errors.is_empty() {
            self.syntax(source, &errors);
            return None;
        }
        let mut reader = Reader { sources: self.sources, source, offset: 0, problems: Vec::new() };
        let fields = reader.table(table.get_ref(), 0);
        let refused = reader.problems;
        let sound = refused.is_empty();
        refused.into_iter().for_each(|problem| self.problems.push(problem));
        let at = Span::start_of(source);
        sound.then_some(Node { value: Value::Table(fields), ..Node::empty(at) })
    }

    /// Syntax errors, the first of each line: what follows on the same line is mostly an echo.
    fn syntax(&mut self, source: usize, errors: &[toml::de::Error]) {
        let mut lines = Vec::new();
        for error in errors {
            let span = Span::new(source, error.span().unwrap_or(0..0));
            let line = self.sources.get(source).map_or(1, |s| s.line_of(s.clamp(span).start).0);
            if !lines.contains(&line) {
                self.refuse(span, error.message().trim_end_matches(", expected nothing"), None);
                lines.push(line);
            }
        }
    }

    /// The trees of the files named by `extends`, lowest first.
    fn bases(&mut self, folder: &Path, extends: &Node) -> Vec<Node> {
        let named: Vec<(&str, Span)> = match &extends.value {
            Value::List(items) => items.iter().filter_map(|n| Some((n.as_str()?, n.at))).collect(),
            _ => extends.as_str().map(|name| (name, extends.at)).into_iter().collect(),
        };
        let complete = match &extends.value {
            Value::List(items) => items.len() == named.len(),
            _ => !named.is_empty(),
        };
        if !complete {
            self.refuse(extends.at, "`extends` must be a file name or a list of file names", None);
        }
        named.into_iter().filter_map(|(name, at)| self.base(&folder.join(name), at)).collect()
    }

    fn base(&mut self, path: &Path, at: Span) -> Option<Node> {
        let real = path.canonicalize().unwrap_or_else(|_| path.into());
        if let Some(first) = self.stack.iter().position(|p| *p == real) {
            let name = |p: &PathBuf| p.file_name().unwrap_or(p.as_os_str()).to_string_lossy().into_owned();
            let round: Vec<String> = self.stack.iter().skip(first).chain([&real]).map(name).collect();
            self.refuse(at, format!("files extend each other in a circle: {}", round.join(" → ")), None);
            return None;
        }
        if self.sources.len() >= MOST_FILES {
            self.refuse(at, format!("more than {MOST_FILES} files are extended"), None);
            return None;
        }
        match read(path) {
            Ok(bytes) => self.bytes(path, bytes),
            Err(why) => {
                self.refuse(at, format!("cannot read {}: {why}", path.display()), neighbour(path));
                None
            }
        }
    }
}

/// The content of a file of sensible size.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let reason = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => e.to_string(),
    };
    if path.is_dir() {
        return Err("it is a folder".into());
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(reason)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(reason)?;
    let fits = bytes.len() as u64 <= LARGEST;
    fits.then_some(bytes).ok_or_else(|| "it is larger than 1 MiB; is it a configuration?".to_owned())
}

/// The file in the same folder that was most likely meant.
fn neighbour(path: &Path) -> Option<String> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Some(format!("there is no folder {}; paths are relative to the file that extends", folder.display()));
    };
    let mut names: Vec<String> = entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    names.retain(|name| name.ends_with(".toml"));
    names.sort();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    suggest::nearest(path.file_name()?.to_str()?, &names)
        .map(|name| format!("did you mean `{}`?", path.with_file_name(name).display()))
}
