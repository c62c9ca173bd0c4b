//! From a tree to complete tables: names are looked up, keys checked, defaults filled in.

use super::diagnostics::{Problem, Problems};
use super::document::Document;
use super::node::{Fields, Node, Value, follow};
use super::source::Span;
use super::suggest::short;
use super::{Resolved, Rows, Schema, Section, SectionKind, Spec, SubSection, set, suggest, wording};
use crate::Error;

impl Document {
    /// Checks everything against the declared sections and fills in every default.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) with all problems, each at its position.
    pub fn resolve(&self, sections: &[Section]) -> crate::Result<Resolved> {
        Ok(self.check(sections)?)
    }

    /// [`Document::resolve`] with the problems as data.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn check(&self, sections: &[Section]) -> Result<Resolved, Problems> {
        let mut resolver = Resolver { document: self, problems: Problems::new(&self.name) };
        let table = resolver.root(sections);
        if resolver.problems.is_empty() { Ok(Resolved(table)) } else { Err(resolver.problems) }
    }
}

impl Spec {
    /// The row `name` of a registry with the keys of a text, resolved as in a configuration: with its defaults for all
    /// others, and with its parts. It stands in no file.
    ///
    /// # Errors
    /// A name that is no row, a text that is no TOML, keys that the row does not have.
    pub fn of_text(rows: Rows, name: &str, keys: &str) -> crate::Result<Self> {
        let mut table: toml::Table = keys.parse().map_err(|error| Error::config(format!("{name}: {error}")))?;
        table.insert("name".into(), name.into());
        let text = toml::Table::from_iter([("section".to_owned(), table.into())]).to_string();
        let section = Section { key: "section", kind: SectionKind::Named { rows, default: None } };
        Ok(Spec::new(Document::from_str(name, &text, &[])?.resolve(&[section])?.section(section.key)))
    }
}

/// Where the resolver is.
struct Scope<'a> {
    /// As messages say it: `[method.critic]`; empty above the first header.
    label: String,
    /// The dotted path.
    path: String,
    /// What was written.
    node: Option<&'a Node>,
    /// Where to point for what was not written.
    header: Span,
}

impl<'a> Scope<'a> {
    fn part(&self, key: &str, node: Option<&'a Node>) -> Self {
        let path = format!("{}.{key}", self.path);
        Scope { label: format!("[{path}]"), path, node, header: node.map_or(self.header, |n| n.at) }
    }

    /// ` in [method.critic]`, or nothing at the top.
    fn inside(&self) -> String {
        if self.label.is_empty() { String::new() } else { format!(" in {}", self.label) }
    }
}

struct Resolver<'a> {
    document: &'a Document,
    problems: Problems,
}

impl<'a> Resolver<'a> {
    fn refuse(&mut self, at: Span, message: String, hint: Option<String>) {
        self.problems.push(Problem::at(&self.document.sources, at, message, hint));
    }

    fn root(&mut self, sections: &[Section]) -> toml::Table {
        let mut table = toml::Table::new();
        let Some(root) = self.document.root.fields() else { return table };
        self.unknown_sections(root, sections);
        for section in sections {
            if let SectionKind::Plain(schema) = section.kind
                && section.key.is_empty()
            {
                let (label, path) = (String::new(), String::new());
                let scope = Scope { label, path, node: None, header: Span::start_of(self.document.main) };
                let keys = keys_of(&schema);
                let own: Vec<_> = root.iter().filter(|(k, _)| keys.contains(k)).collect();
                table.extend(self.body(&schema, &own, &scope, false));
            } else if let Some(value) = self.section(section, root.get(section.key)) {
                table.insert(section.key.into(), value);
            }
        }
        table
    }

    /// Keys and sections at the top that nothing declares.
    fn unknown_sections(&mut self, root: &Fields, sections: &[Section]) {
        let keys: Vec<&str> = sections.iter().map(|s| s.key).filter(|key| !key.is_empty()).collect();
        let scalars: Vec<String> = sections.iter().filter(|s| s.key.is_empty()).flat_map(top_keys).collect();
        for (key, node) in root.iter().filter(|(k, _)| !keys.contains(&k.as_str()) && !scalars.contains(k)) {
            let all: Vec<&str> = keys.iter().copied().chain(scalars.iter().map(String::as_str)).collect();
            if node.fields().is_some() {
                let hint = suggest::hint(key, "sections", &keys);
                self.refuse(node.key, format!("unknown section [{}]", short(key)), hint);
            } else {
                let hint = suggest::nearest(key, &all).map(|word| format!("did you mean `{word}`?"));
                let hint = hint.or_else(|| home_of(key, sections)).or_else(|| suggest::hint(key, "keys", &all));
                self.refuse(node.key, format!("unknown key `{}` above the first section", short(key)), hint);
            }
        }
    }

    fn section(&mut self, section: &Section, node: Option<&'a Node>) -> Option<toml::Value> {
        let key = section.key;
        let header = node.map_or(Span::start_of(self.document.main), |n| n.at);
        let scope = Scope { label: format!("[{key}]"), path: key.to_owned(), node, header };
        match section.kind {
            SectionKind::Plain(schema) => {
                let fields: Vec<_> = self.fields(&scope)?.into_iter().flatten().collect();
                Some(toml::Value::Table(self.body(&schema, &fields, &scope, false)))
            }
            SectionKind::Named { rows, default } => self.named(&rows(), default, &scope).map(toml::Value::Table),
            // A list without an entry is no key, which would stand in the way of its first [[header]].
            SectionKind::List { rows } => {
                self.list(&rows(), key, node).filter(|list| !list.is_empty()).map(toml::Value::Array)
            }
        }
    }

    fn list(
        &mut self,
        rows: &[(&'static str, Schema)],
        key: &str,
        node: Option<&'a Node>,
    ) -> Option<toml::value::Array> {
        let items: &[Node] = match node.map(|n| (&n.value, n)) {
            None => &[],
            Some((Value::List(items), _)) => items,
            Some((_, node)) => {
                self.refuse(node.key, format!("`{key}` must be a list"), Some(format!("write `[[{key}]]`")));
                return None;
            }
        };
        let scope = |item: &'a Node| Scope {
            label: format!("[[{key}]]"),
            path: key.to_owned(),
            node: Some(item),
            header: item.at,
        };
        Some(items.iter().filter_map(|item| self.named(rows, None, &scope(item)).map(toml::Value::Table)).collect())
    }

    /// The content of a section: nothing if it is not written, refused if it is no table.
    fn fields(&mut self, scope: &Scope<'a>) -> Option<Option<&'a Fields>> {
        match scope.node {
            None => Some(None),
            Some(node) if node.fields().is_some() => Some(node.fields()),
            Some(node) => {
                let message = format!("{} must be a table, got {}", scope.label, self.written(node));
                self.refuse(node.at, message, Some(format!("write `{}`, and its keys below", scope.label)));
                None
            }
        }
    }

    /// A section whose `name` selects a row.
    fn named(
        &mut self,
        rows: &[(&'static str, Schema)],
        default: Option<&str>,
        scope: &Scope<'a>,
    ) -> Option<toml::Table> {
        let fields = self.fields(scope)?;
        let (name, schema) = self.row(rows, default, fields.and_then(|f| f.get("name")), scope)?;
        let own: Vec<_> = fields.into_iter().flatten().filter(|(key, _)| *key != "name").collect();
        let mut table = self.body(&schema, &own, scope, true);
        table.insert("name".into(), name.into());
        Some(table)
    }

    fn row(
        &mut self,
        rows: &[(&'static str, Schema)],
        default: Option<&str>,
        name: Option<&Node>,
        scope: &Scope<'a>,
    ) -> Option<(&'static str, Schema)> {
        let names: Vec<&str> = rows.iter().map(|row| row.0).collect();
        let label = &scope.label;
        let wanted = match (name, default) {
            (Some(node), _) => match node.as_str() {
                Some(name) => name,
                None => {
                    let message = format!("`name` in {label} must be a string, got {}", self.written(node));
                    self.refuse(node.at, message, Some(format!("known names: {}", suggest::quoted(&names))));
                    return None;
                }
            },
            (None, Some(default)) => default,
            (None, None) => {
                let (missing, remedy) = match scope.node {
                    Some(_) => ("needs a `name`", "write `name` =".to_owned()),
                    None => ("is missing", format!("add `{label}` with `name` =")),
                };
                let hint = format!("{remedy} one of {}", suggest::quoted(&names));
                self.refuse(scope.header, format!("{label} {missing}"), Some(hint));
                return None;
            }
        };
        let found = rows.iter().find(|row| row.0 == wanted).copied();
        if found.is_none() {
            let hint = suggest::hint(wanted, "names", &names);
            self.refuse(
                name.map_or(scope.header, |n| n.at),
                format!("unknown name `{}` in {label}", short(wanted)),
                hint,
            );
        }
        found
    }

    /// The keys and parts of one schema, checked and completed. `lenient`: outdated keys may be unknown.
    fn body(
        &mut self,
        schema: &Schema,
        fields: &[(&'a String, &'a Node)],
        scope: &Scope<'a>,
        lenient: bool,
    ) -> toml::Table {
        let parts = schema.parts();
        let is_part = |key: &str| parts.iter().any(|part| part.key == key);
        let known = keys_of(schema);
        let mut plain = toml::Table::new();
        for (key, node) in fields.iter().filter(|(key, _)| !is_part(key)) {
            if known.contains(key) {
                self.plain(key, node, scope, &mut plain);
            } else if !(lenient && node.outdated) {
                let keys: Vec<&str> = known.iter().map(String::as_str).collect();
                let hint = suggest::hint(key, "keys", &keys);
                self.refuse(node.key, format!("unknown key `{}`{}", short(key), scope.inside()), hint);
            }
        }
        let mut table = schema.decode(&plain).unwrap_or_else(|wrong| {
            wrong.iter().for_each(|(path, what)| self.wrong(fields, scope, path, what));
            toml::Table::new()
        });
        for part in &parts {
            let node = fields.iter().find(|(key, _)| *key == part.key).map(|(_, node)| *node);
            self.part(part, &scope.part(part.key, node), &mut table);
        }
        table
    }

    fn part(&mut self, part: &SubSection, scope: &Scope<'a>, table: &mut toml::Table) {
        if let Some(resolved) = self.named(&(part.rows)(), Some(part.default), scope) {
            table.insert(part.key.into(), toml::Value::Table(resolved));
        }
    }

    /// Takes over a plain value, unless it holds a number that is not finite.
    fn plain(&mut self, key: &str, node: &Node, scope: &Scope<'a>, into: &mut toml::Table) {
        let mut infinite = Vec::new();
        let value = node.to_toml(&mut |n| infinite.push((n.at, self.written(n))));
        if infinite.is_empty() {
            into.insert(key.to_owned(), value);
        }
        for (at, written) in infinite {
            self.refuse(at, format!("`{key}`{} must be a finite number, got {written}", scope.inside()), None);
        }
    }

    /// Places what decoding refused at the value, or at the header if it is a default.
    fn wrong(&mut self, fields: &[(&'a String, &'a Node)], scope: &Scope<'a>, path: &str, what: &str) {
        let names = set::names(path);
        let first = names.first().and_then(|name| fields.iter().find(|(key, _)| *key == name)).map(|(_, node)| *node);
        let below = first.map(|node| follow(node, names.get(1..).unwrap_or_default())).unwrap_or_default();
        let node = below.last().copied().or(first);
        let written = node.map(|n| self.written(n));
        let (sentence, hint) = wording::sentence(what, written.as_deref());
        self.refuse(node.map_or(scope.header, |n| n.at), format!("`{path}`{} {sentence}", scope.inside()), hint);
    }

    fn written(&self, node: &Node) -> String {
        self.document.written(node)
    }
}

/// The plain keys and the parts of a schema.
fn keys_of(schema: &Schema) -> Vec<String> {
    let parts = schema.parts();
    let parts = parts.iter().map(|part| part.key.to_owned());
    schema.keys().into_iter().map(|doc| doc.name).chain(parts).collect()
}

fn top_keys(section: &Section) -> Vec<String> {
    match &section.kind {
        SectionKind::Plain(schema) => keys_of(schema),
        _ => Vec::new(),
    }
}

/// The plain sections that have a key that stands at the wrong place.
fn home_of(key: &str, sections: &[Section]) -> Option<String> {
    let has = |s: &&Section| !s.key.is_empty() && top_keys(s).iter().any(|k| k == key);
    sections.iter().find(has).map(|s| format!("`{key}` belongs below `[{}]`", s.key))
}
