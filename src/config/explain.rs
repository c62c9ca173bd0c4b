//! A schema in words: the keys for `ebm explain`, a commented configuration for `ebm init`.

use std::fmt::Write as _;

use super::dump::inline;
use super::{KeyDoc, Rows, Schema, Section, SectionKind, suggest, wording};

/// Every key of a schema; a part is listed as the names it can have, followed by the keys of its default row as
/// `part.key`.
pub fn explain_keys(schema: &Schema) -> Vec<KeyDoc> {
    let mut keys = own_keys(schema);
    for part in schema.parts() {
        let rows = (part.rows)();
        let names: Vec<&str> = rows.iter().map(|row| row.0).collect();
        keys.push(KeyDoc {
            name: part.key.into(),
            kind: format!("one of {}", suggest::quoted(&names)),
            doc: part.doc.trim().into(),
            default: part.default.into(),
        });
        let default = rows.iter().find(|row| row.0 == part.default);
        for mut key in default.map(|row| explain_keys(&row.1)).unwrap_or_default() {
            key.name = format!("{}.{}", part.key, key.name);
            keys.push(key);
        }
    }
    keys
}

/// The plain keys, with the values that a key can have in the place of the name of its Rust enum.
fn own_keys(schema: &Schema) -> Vec<KeyDoc> {
    let mut keys = schema.keys();
    for key in keys.iter_mut().filter(|key| key.default.is_str() && !key.kind.contains("String")) {
        // serde says what it knows when it is asked for a variant that cannot exist.
        let nonsense = toml::Table::from_iter([(key.name.clone(), toml::Value::from(" "))]);
        let refused = schema.decode(&nonsense).err().unwrap_or_default();
        let answer = refused.iter().find_map(|(_, what)| what.lines().next()?.strip_prefix("unknown variant "));
        let names: Vec<&str> = answer.map(wording::quoted_words).unwrap_or_default().into_iter().skip(1).collect();
        if !names.is_empty() {
            key.kind = format!("one of {}", suggest::quoted(&names));
        }
    }
    keys
}

/// A configuration with every key, its documentation and its default. `chosen` names rows, as `("method", "lsd")`;
/// other sections take their default row, or their first if there is none; `("train.steps", "1000")` writes another
/// value than the default. Lists are shown as comments.
pub fn template(sections: &[Section], chosen: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let (top, below): (Vec<&Section>, Vec<&Section>) = sections.iter().partition(|section| section.key.is_empty());
    for section in top.into_iter().chain(below) {
        let key = section.key;
        let wanted = chosen.iter().find(|(k, _)| *k == key).map(|(_, name)| *name);
        match section.kind {
            SectionKind::Plain(schema) => table(&mut out, key, None, &schema, chosen),
            SectionKind::Named { rows, default } => row(&mut out, key, "", rows, wanted.or(default), chosen),
            SectionKind::List { rows } => {
                let mut list = String::new();
                row(&mut list, key, "", rows, wanted, chosen);
                let list = list.replacen(&format!("[{key}]"), &format!("[[{key}]]"), 1);
                out.push('\n');
                comment_out(&mut out, &list);
            }
        }
    }
    out
}

/// Whatever is not a comment or empty already, as a comment.
fn comment_out(out: &mut String, text: &str) {
    for line in text.lines() {
        let mark = if line.is_empty() || line.starts_with('#') { "" } else { "# " };
        let _ = writeln!(out, "{mark}{line}");
    }
}

/// A section that names a row.
fn row(out: &mut String, path: &str, doc: &str, rows: Rows, wanted: Option<&str>, chosen: &[(&str, &str)]) {
    let rows = rows();
    let names: Vec<&str> = rows.iter().map(|row| row.0).collect();
    let found = wanted.and_then(|name| rows.iter().find(|row| row.0 == name)).or(rows.first());
    if let Some((name, schema)) = found {
        let about = format!("{doc} One of {}.", suggest::quoted(&names));
        table(out, path, Some((name, about.trim())), schema, chosen);
    }
}

fn table(out: &mut String, path: &str, name: Option<(&str, &str)>, schema: &Schema, chosen: &[(&str, &str)]) {
    if !path.is_empty() {
        let gap = if out.is_empty() { "" } else { "\n" };
        let _ = writeln!(out, "{gap}[{path}]");
    }
    if let Some((name, about)) = name {
        comment(out, about);
        let _ = writeln!(out, "name = \"{name}\"");
    }
    let defaults = schema.defaults();
    for key in own_keys(schema) {
        comment(out, &format!("{} ({})", key.doc, key.kind));
        let place = if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) };
        let chosen = chosen.iter().find(|(k, _)| *k == place);
        match chosen.map(|(_, value)| (*value).to_owned()).or_else(|| defaults.get(&key.name).map(inline)) {
            Some(value) => drop(writeln!(out, "{} = {value}", key.name)),
            None => drop(writeln!(out, "# {} is not set", key.name)),
        }
    }
    for part in schema.parts() {
        let path = if path.is_empty() { part.key.to_owned() } else { format!("{path}.{}", part.key) };
        let wanted = chosen.iter().find(|(k, _)| *k == path).map_or(part.default, |(_, name)| *name);
        row(out, &path, part.doc.trim(), part.rows, Some(wanted), chosen);
    }
}

/// A comment, line by line.
fn comment(out: &mut String, text: &str) {
    for line in text.lines() {
        let _ = writeln!(out, "# {}", line.trim());
    }
}
