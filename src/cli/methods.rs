//! `ebm methods`: everything that a configuration can name.

use clap::Args;

use super::catalogue::{self, Row};
use super::{GlobalArgs, output, usage};
use crate::config::nearest;
use crate::run::layout;
use crate::{Result, shell};

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
    let heads: Vec<String> = rows.iter().map(|row| format!("  {}", row.head.name)).collect();
    let widest = layout::widest(heads.iter().map(String::as_str));
    let all: Vec<(&Row, &String)> = rows.iter().zip(&heads).collect();
    let of_kind = |rows: &[(&Row, &String)]| {
        let kind = rows.first().map_or("", |(row, _)| row.kind);
        format!("{kind}\n{}\n", output::list(rows.iter().map(|(row, head)| (head.as_str(), row.head.about)), widest))
    };
    let text: String = all.chunk_by(|a, b| a.0.kind == b.0.kind).map(of_kind).collect();
    output::print(&format!("{text}{} tells more.\n", shell::ebm("explain NAME")))
}
