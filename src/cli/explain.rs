//! `ebm explain lsd`: what it does, its keys with their defaults, its paper.

use clap::Args;
use serde_json::json;

use super::catalogue::{self, Row};
use super::{GlobalArgs, output, usage};
use crate::config::{Head, KeyDoc, Schema, explain_keys, nearest};
use crate::metrics::Number;
use crate::run::{layout, show};
use crate::{Result, shell};

/// Explains what a name in a configuration stands for.
#[derive(Args)]
pub struct ExplainArgs {
    /// lsd, neural, langevin, mnist, …; or train, guard for the keys of those sections
    name: String,
}

/// Prints every row of that name.
pub fn run(args: &ExplainArgs, global: &GlobalArgs) -> Result<()> {
    let mut rows = catalogue::rows();
    rows.extend(catalogue::plain_sections());
    let known: Vec<&str> = rows.iter().map(|row| row.head.name).collect();
    let near = nearest(&args.name, &known).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
    let hint = format!("{near}`{}` lists them all", shell::ebm("methods"));
    rows.retain(|row| row.head.name == args.name);
    if rows.is_empty() {
        return Err(usage(format!("nothing is called `{}`", args.name), hint));
    }
    if global.json {
        let describe = |row: &Row| {
            let Head { name, about, cite, schema, numbers } = &row.head;
            let keys = explain_keys(schema);
            json!({"kind": row.kind, "name": name, "about": about, "cite": cite, "keys": keys, "numbers": numbers})
        };
        return output::print_json(&rows.iter().map(describe).collect::<Vec<_>>());
    }
    output::print(&rows.iter().map(text).collect::<Vec<_>>().join("\n"))
}

fn text(row: &Row) -> String {
    let mut text = format!("{} ({})\n", row.head.name, row.kind);
    text.extend([row.head.about, row.head.cite].iter().filter(|said| !said.is_empty()).map(|said| paragraph(2, said)));
    text + "\nkeys:\n" + &keys(&row.head.schema) + &numbers(row.head.numbers)
}

/// The numbers that the row reports, each with the direction that is better.
fn numbers(numbers: &[Number]) -> String {
    let row = |number: &Number| {
        let when = if number.when.is_empty() { String::new() } else { format!(" (if {})", number.when) };
        let head = format!("  {} {} {}", number.name, show::arrow(Some(number)), show::unit(number.unit));
        let against = if number.against.is_empty() { String::new() } else { format!(", against {}", number.against) };
        format!("{}\n{}", head.trim_end(), paragraph(6, &format!("{}{against}{when}", number.about)))
    };
    let rows: String = numbers.iter().map(row).collect();
    if rows.is_empty() { rows } else { format!("\nnumbers (↑ large, ↓ small values are better):\n{rows}") }
}

fn keys(schema: &Schema) -> String {
    let row = |key: KeyDoc| format!("  {} = {}\n{}", key.name, key.default, paragraph(6, &key.doc));
    explain_keys(schema).into_iter().map(row).collect()
}

/// Text that is moved in, in as many lines as the terminal makes of it.
fn paragraph(indent: usize, text: &str) -> String {
    layout::beside("", indent, text, output::columns())
}
