//! The tree of a configuration, every node of which remembers where it was written.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::diagnostics::Problem;
use super::source::{Source, Span};

/// Tables and lists may be nested this deep; nobody needs more, and the stack is finite.
const DEEPEST: usize = 32;

/// A value with its position.
#[derive(Clone, Debug)]
pub struct Node {
    pub value: Value,
    /// The value; for a table with a header, the header.
    pub at: Span,
    /// The key in front of it.
    pub key: Span,
    /// Written for a row that a higher source replaced by another `name`: dropped silently if the new row has no
    /// such key.
    pub outdated: bool,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub enum Value {
    /// A number, string, boolean or date.
    Plain(toml::Value),
    /// An array, also one of tables.
    List(Vec<Node>),
    /// A table.
    Table(Fields),
}

/// The content of a table.
pub type Fields = BTreeMap<String, Node>;

impl Node {
    /// An empty table.
    pub fn empty(at: Span) -> Self {
        Node { value: Value::Table(Fields::new()), at, key: at, outdated: false }
    }

    /// The content, if it is a table.
    pub fn fields(&self) -> Option<&Fields> {
        match &self.value {
            Value::Table(fields) => Some(fields),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Plain(value) => value.as_str(),
            _ => None,
        }
    }

    /// The value without positions. Every number that is not finite is handed to `refuse`.
    pub fn to_toml(&self, refuse: &mut impl FnMut(&Node)) -> toml::Value {
        match &self.value {
            Value::Plain(toml::Value::Float(x)) if !x.is_finite() => {
                refuse(self);
                toml::Value::Float(*x)
            }
            Value::Plain(value) => value.clone(),
            Value::List(items) => toml::Value::Array(items.iter().map(|item| item.to_toml(refuse)).collect()),
            Value::Table(fields) => {
                toml::Value::Table(fields.iter().map(|(key, node)| (key.clone(), node.to_toml(refuse))).collect())
            }
        }
    }

    /// Lays `over` on top: tables merge key by key, everything else is replaced.
    ///
    /// Where the name of a table changes, the keys below it that sources `..below` wrote were meant for another row:
    /// they become outdated.
    pub fn merge(&mut self, over: Node, below: usize) {
        match (&mut self.value, over.value) {
            (Value::Table(mine), Value::Table(theirs)) => {
                rename(mine, theirs.get("name"), below);
                for (key, node) in theirs {
                    match mine.get_mut(&key) {
                        Some(old) => old.merge(node, below),
                        None => drop(mine.insert(key, node)),
                    }
                }
                (self.at, self.key, self.outdated) = (over.at, over.key, false);
            }
            (_, value) => *self = Node { value, ..over },
        }
    }

    fn outdate(&mut self, below: usize) {
        self.outdated = self.at.source < below;
        if let Value::Table(fields) = &mut self.value {
            fields.values_mut().for_each(|node| node.outdate(below));
        }
    }
}

/// Marks the keys of a table that sources `..below` wrote as outdated if `name` names another row than the table does
/// now.
pub fn rename(fields: &mut Fields, name: Option<&Node>, below: usize) {
    let old = fields.get("name").and_then(Node::as_str);
    if let (Some(old), Some(new)) = (old, name.and_then(Node::as_str))
        && old != new
    {
        fields.values_mut().for_each(|node| node.outdate(below));
    }
}

/// The nodes that a path leads through, as far as it exists.
pub fn follow<'a>(root: &'a Node, names: &[String]) -> Vec<&'a Node> {
    let mut node = root;
    let mut found = Vec::new();
    for name in names {
        let next = match &node.value {
            Value::Table(fields) => fields.get(name),
            Value::List(items) => name.parse::<usize>().ok().and_then(|i| items.get(i)),
            Value::Plain(_) => None,
        };
        let Some(next) = next else { break };
        found.push(next);
        node = next;
    }
    found
}

/// Turns what toml parsed into nodes, collecting what is too large or too deep.
pub struct Reader<'a> {
    pub sources: &'a [Source],
    /// The source that was parsed, and where in it the parsed text begins.
    pub source: usize,
    pub offset: usize,
    pub problems: Vec<Problem>,
}

impl Reader<'_> {
    /// A table and its position.
    pub fn table(&mut self, table: &DeTable<'_>, depth: usize) -> Fields {
        let mut fields = Fields::new();
        for (key, value) in table {
            let key_at = self.span(key.span());
            if let Some(node) = self.node(value.get_ref(), self.span(value.span()), key_at, depth) {
                fields.insert(key.get_ref().to_string(), node);
            }
        }
        fields
    }

    /// A value and its position; nothing if it was refused.
    pub fn node(&mut self, value: &DeValue<'_>, at: Span, key: Span, depth: usize) -> Option<Node> {
        if depth > DEEPEST {
            return self.refuse(key, format!("nested more than {DEEPEST} deep"), None);
        }
        let value = match value {
            DeValue::Table(table) => Value::Table(self.table(table, depth + 1)),
            DeValue::Array(array) => {
                let item = |v: &toml::Spanned<DeValue<'_>>| self.node(v.get_ref(), self.span(v.span()), key, depth + 1);
                Value::List(array.iter().filter_map(item).collect())
            }
            plain => Value::Plain(self.plain(plain, at)?),
        };
        Some(Node { value, at, key, outdated: false })
    }

    fn plain(&mut self, value: &DeValue<'_>, at: Span) -> Option<toml::Value> {
        Some(match value {
            DeValue::String(text) => toml::Value::String(text.to_string()),
            DeValue::Boolean(yes) => toml::Value::Boolean(*yes),
            DeValue::Datetime(date) => toml::Value::Datetime(*date),
            DeValue::Float(number) => toml::Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => toml::Value::Integer(number),
                Err(_) => return self.refuse(at, "this whole number is too large", largest()),
            },
            DeValue::Array(_) | DeValue::Table(_) => return None,
        })
    }

    fn refuse<T>(&mut self, at: Span, message: impl Into<String>, hint: Option<String>) -> Option<T> {
        self.problems.push(Problem::at(self.sources, at, message, hint));
        None
    }

    fn span(&self, range: std::ops::Range<usize>) -> Span {
        Span::new(self.source, range.start + self.offset..range.end + self.offset)
    }
}

fn largest() -> Option<String> {
    Some(format!("whole numbers reach from {} to {}", i64::MIN, i64::MAX))
}
