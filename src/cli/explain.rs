//! `ebm explain lsd`: what it does, its keys with their defaults, its paper.

use clap::Args;
use serde_json::json;

use super::catalogue::{self, Row};
use super::{GlobalArgs, output, usage};
use crate::Result;
use crate::config::{Head, Schema, explain_keys};
use crate::metrics::Number;
use crate::run::show;

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
    let hint = match crate::config::nearest(&args.name, &known) {
        Some(near) => format!("did you mean `{near}`? `ebm methods` lists them all"),
        None => "`ebm methods` lists them all".to_owned(),
    };
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
    let mut text = format!("{} ({})\n  {}\n", row.head.name, row.kind, row.head.about);
    if !row.head.cite.is_empty() {
        text += &format!("  {}\n", row.head.cite);
    }
    text + "\nkeys:\n" + &keys(&row.head.schema) + &numbers(row.head.numbers)
}

/// The numbers that the row reports, each with the direction that is better.
fn numbers(numbers: &[Number]) -> String {
    let row = |number: &Number| {
        let when = if number.when.is_empty() { String::new() } else { format!(" (if {})", number.when) };
        let head = format!("  {} {} {}", number.name, show::arrow(Some(number)), show::unit(number.unit));
        format!("{}\n      {}{when}\n", head.trim_end(), number.about)
    };
    let rows: String = numbers.iter().map(row).collect();
    if rows.is_empty() { rows } else { format!("\nnumbers (↑ large, ↓ small values are better):\n{rows}") }
}

fn keys(schema: &Schema) -> String {
    let row = |key: crate::config::KeyDoc| format!("  {} = {}\n      {}\n", key.name, key.default, key.doc);
    explain_keys(schema).into_iter().map(row).collect()
}
