//! `ebm methods`: everything that a configuration can name.

use clap::Args;

use super::{GlobalArgs, catalogue, output, usage};
use crate::Result;
use crate::config::nearest;

/// Lists methods, models, samplers, data sets, networks, optimisers and probes.
#[derive(Args)]
pub struct MethodsArgs {
    /// Only one kind: method, model, network, sampler, dataset, optimiser or probe
    #[arg(long)]
    kind: Option<String>,
}

/// Prints the catalogue.
pub fn run(args: &MethodsArgs, global: &GlobalArgs) -> Result<()> {
    let mut rows = catalogue::rows();
    if let Some(kind) = args.kind.as_deref().filter(|kind| rows.iter().all(|row| row.kind != *kind)) {
        let mut kinds: Vec<&str> = rows.iter().map(|row| row.kind).collect();
        kinds.dedup();
        let near = nearest(kind, &kinds).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        return Err(usage(format!("there is no kind `{kind}`"), format!("{near}the kinds are {}", kinds.join(", "))));
    }
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
        text += &format!("  {:<16} {}\n", row.head.name, row.head.about);
    }
    output::print(&(text + "\nebm explain NAME tells more.\n"))
}
