//! `ebm methods`: everything that a configuration can name.

use clap::Args;

use super::{Global, catalogue, output};
use crate::Result;

/// Lists methods, models, samplers, data sets, networks, optimisers and probes.
#[derive(Args)]
pub struct MethodsArgs {
    /// Only one kind: method, model, network, sampler, dataset, optimiser or probe
    #[arg(long)]
    kind: Option<String>,
}

/// Prints the catalogue.
pub fn run(args: &MethodsArgs, global: &Global) -> Result<()> {
    let mut rows = catalogue::rows();
    rows.retain(|row| args.kind.as_deref().is_none_or(|kind| kind == row.kind));
    if global.json {
        return output::print_json(&rows);
    }
    let mut text = String::new();
    let mut kind = "";
    for row in &rows {
        if row.kind != kind {
            kind = row.kind;
            text += &format!("{}{kind}\n", if text.is_empty() { "" } else { "\n" });
        }
        text += &format!("  {:<16} {}\n", row.name, row.about);
    }
    output::print(&(text + "\nebm explain NAME tells more.\n"))
}
