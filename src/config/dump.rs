//! A resolved configuration as TOML: the same text for the same content, and itself runnable.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::{Table, Value};

use super::Resolved;

impl Resolved {
    /// The complete configuration. Parsing and resolving it gives the same text again.
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        body(&mut out, "", &self.0);
        out
    }

    /// Every value in the order of [`Resolved::to_toml`]: (dotted path as `--set` takes it, the value on one line).
    pub fn leaves(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        leaves(&mut found, "", &self.0);
        found
    }

    /// Every key that has another value in `now`, by path.
    pub fn differences(&self, now: &Resolved) -> Vec<Difference> {
        let mut keys: BTreeMap<String, [Option<String>; 2]> = BTreeMap::new();
        for (i, resolved) in [self, now].into_iter().enumerate() {
            for (key, value) in resolved.leaves() {
                keys.entry(key).or_default()[i] = Some(value);
            }
        }
        let differing = keys.into_iter().filter(|(_, [was, is])| was != is);
        differing.map(|(key, [was, is])| Difference { key, was, is }).collect()
    }
}

/// A key that has another value in one configuration than in another.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Its path, as `--set` takes it.
    pub key: String,
    was: Option<String>,
    /// Its value now, as a dump has it; none where there is no such key any more.
    pub is: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        write!(f, "{} was {}, is now {}", self.key, text(&self.was), text(&self.is))
    }
}

/// A dotted path, each step quoted only if it needs it.
pub(super) fn path_text<'a>(steps: impl Iterator<Item = &'a str>) -> String {
    steps.map(bare).collect::<Vec<_>>().join(".")
}

fn leaves(found: &mut Vec<(String, String)>, path: &str, table: &Table) {
    let (below, plain): (Vec<_>, Vec<_>) = table.iter().partition(|(_, value)| has_header(value));
    let (names, others): (Vec<_>, Vec<_>) = plain.into_iter().partition(|(key, _)| *key == "name");
    for (key, value) in names.into_iter().chain(others) {
        found.push((joined(path, &bare(key)), inline(value)));
    }
    for (key, value) in below {
        let path = joined(path, &bare(key));
        match value {
            Value::Array(items) => {
                let tables = items.iter().filter_map(Value::as_table).enumerate();
                tables.for_each(|(i, table)| leaves(found, &joined(&path, &i.to_string()), table));
            }
            other => other.as_table().into_iter().for_each(|table| leaves(found, &path, table)),
        }
    }
}

/// `a.b`, or `b` where there is no `a`.
fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The plain keys of a table, `name` first, then its sub-tables under headers of their own.
fn body(out: &mut String, path: &str, table: &Table) {
    let plain = table.iter().filter(|(_, value)| !has_header(value));
    let (names, others): (Vec<_>, Vec<_>) = plain.partition(|(key, _)| *key == "name");
    for (key, value) in names.into_iter().chain(others) {
        let _ = writeln!(out, "{} = {}", bare(key), inline(value));
    }
    for (key, value) in table.iter().filter(|(_, value)| has_header(value)) {
        let path = joined(path, &bare(key));
        let (open, close, tables) = match value {
            Value::Array(items) => ("[[", "]]", items.iter().filter_map(Value::as_table).collect()),
            other => ("[", "]", other.as_table().into_iter().collect::<Vec<_>>()),
        };
        for table in tables {
            let gap = if out.is_empty() { "" } else { "\n" };
            let _ = writeln!(out, "{gap}{open}{path}{close}");
            body(out, &path, table);
        }
    }
}

/// Whether a value is written below a `[header]` or `[[header]]`.
fn has_header(value: &Value) -> bool {
    value.is_table() || value.as_array().is_some_and(|a| !a.is_empty() && a.iter().all(Value::is_table))
}

/// A value on one line.
pub(super) fn inline(value: &Value) -> String {
    match value {
        // Debug keeps the point of 1.0 and the exponent of 1e-300, and reads back to the same bits.
        Value::Float(x) => format!("{x:?}"),
        Value::String(text) => quote(text),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Table(table) => {
            let pairs: Vec<String> = table.iter().map(|(k, v)| format!("{} = {}", bare(k), inline(v))).collect();
            if pairs.is_empty() { "{}".into() } else { format!("{{ {} }}", pairs.join(", ")) }
        }
        plain => plain.to_string(),
    }
}

/// A key, in quotes only if it needs them.
fn bare(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(plain) { key.to_owned() } else { quote(key) }
}

/// A basic string.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => drop(write!(out, "\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_reads_back_to_the_same_content() {
        let text = "z = 1.0\n'odd key' = \"tab\\t quote\\\" \\u007F \\u0000 é\"\ne = [1e-300, 1e300, -0.0, 3.0]\n\
                    n = []\n\
                    [m]\nname = 'b'\na = 1\n[m.part]\nname = 'c'\n[[p]]\nx = [{a = 1}, {b = {c = 2}}]\n[[p]]\n[p.q]\n\
                    y = true\n";
        let table: Table = toml::from_str(text).unwrap();
        let dumped = Resolved(table.clone()).to_toml();
        assert_eq!(toml::from_str::<Table>(&dumped).unwrap(), table, "{dumped}");
        assert!(dumped.contains("z = 1.0\n") && dumped.contains("[m]\nname = \"b\"\na = 1\n\n[m.part]\n"), "{dumped}");
    }

    #[test]
    fn leaves_are_the_values_with_their_paths() {
        let text = "z = 1.0\n'odd key' = []\n[m]\na = 1\nname = 'b'\n[m.part]\nname = 'c'\n[[p]]\nx = [1, 2]\n[[p]]\n\
                    q.y = true\n";
        let leaves = Resolved(toml::from_str(text).unwrap()).leaves();
        let lines: Vec<String> = leaves.into_iter().map(|(path, value)| format!("{path} = {value}")).collect();
        let want = [
            "\"odd key\" = []",
            "z = 1.0",
            "m.name = \"b\"",
            "m.a = 1",
            "m.part.name = \"c\"",
            "p.0.x = [1, 2]",
            "p.1.q.y = true",
        ];
        assert_eq!(lines, want);
        // The same content again, from the paths alone.
        assert_eq!(toml::from_str::<Table>(&lines[..5].join("\n")).unwrap().len(), 3);
    }
}
