//! Lists of layers as TOML: a layer a line, those inside a block further to the right.

use std::fmt::Write as _;

use toml::Value;

/// The list of these layers, from the bracket that opens it to the one that closes it.
pub fn text(layers: &[Value]) -> String {
    let mut out = String::new();
    list(&mut out, layers, 0);
    out
}

fn list(out: &mut String, layers: &[Value], depth: usize) {
    out.push_str("[\n");
    for layer in layers {
        out.push_str(&"    ".repeat(depth + 1));
        match layer {
            Value::Table(table) => entry(out, table, depth + 1),
            other => drop(write!(out, "{other}")),
        }
        out.push_str(",\n");
    }
    out.push_str(&"    ".repeat(depth));
    out.push(']');
}

/// `{ name = "conv", channels = 64 }`; its name first, lists of layers last.
fn entry(out: &mut String, table: &toml::Table, depth: usize) {
    let (named, rest): (Vec<_>, Vec<_>) = table.iter().partition(|(key, _)| *key == "name");
    let (lists, plain): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(_, value)| layers_of(value).is_some());
    for (i, (key, value)) in named.into_iter().chain(plain).chain(lists).enumerate() {
        out.push_str(if i == 0 { "{ " } else { ", " });
        let _ = write!(out, "{key} = ");
        match layers_of(value) {
            Some(layers) => list(out, layers, depth),
            None => drop(write!(out, "{value}")),
        }
    }
    out.push_str(" }");
}

/// The layers of a value that is a list of them.
fn layers_of(value: &Value) -> Option<&[Value]> {
    value.as_array().map(Vec::as_slice).filter(|list| !list.is_empty() && list.iter().all(Value::is_table))
}
