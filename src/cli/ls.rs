//! `ebm ls`: the runs under a folder, from their manifests alone.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{GlobalArgs, output, runs_root, usage};
use crate::config::nearest;
use crate::run::{Declared, Manifest, list, show, standing};
use crate::{Result, shell};

/// Lists runs.
#[derive(Args)]
pub struct LsArgs {
    /// The folder that holds them [default: runs]
    root: Option<PathBuf>,
    /// Sorts by a metric of the last step, smallest first
    #[arg(long, value_name = "METRIC")]
    sort: Option<String>,
    /// The other way round; runs without the metric stay last
    #[arg(long, short)]
    reverse: bool,
}

/// Reads every manifest and prints a table; one that cannot be read is warned of.
pub fn run(args: &LsArgs, global: &GlobalArgs) -> Result<()> {
    let root = args.root.clone().unwrap_or_else(runs_root);
    let mut runs = Vec::new();
    // Nobody has trained here yet: no error, unless the folder was named.
    let listed = if args.root.is_none() && !root.exists() { Vec::new() } else { list(&root)? };
    for (path, manifest) in listed {
        match manifest {
            Ok(manifest) => runs.push((path, manifest)),
            Err(error) => tracing::warn!("{error}"),
        }
    }
    let declared = Declared::everything();
    if let Some(name) = &args.sort {
        known(name, &runs, &declared)?;
        let key = |m: &Manifest| m.last_metrics.get(name).filter(|value| !value.is_nan());
        runs.sort_by(|(_, a), (_, b)| match (key(a), key(b)) {
            (Some(a), Some(b)) if args.reverse => b.total_cmp(&a),
            (Some(a), Some(b)) => a.total_cmp(&b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        });
    } else if args.reverse {
        runs.reverse();
    }
    if global.json {
        let row = |(path, manifest): &(PathBuf, Manifest)| json!({"run": path, "manifest": manifest});
        return output::print_json(&runs.iter().map(row).collect::<Vec<_>>());
    }
    let mut header = vec!["run", "status", "method", "data", "seed", "step"];
    header.extend(args.sort.as_deref());
    let header = header.into_iter().map(str::to_owned).collect();
    let rows: Vec<_> =
        std::iter::once(header).chain(runs.iter().map(|(p, m)| row(p, m, args.sort.as_deref(), &declared))).collect();
    output::print(&output::table(&rows))
}

/// Refuses a metric that no run has and nobody declares.
fn known(name: &str, runs: &[(PathBuf, Manifest)], declared: &Declared) -> Result<()> {
    // A name with free parts, such as `{split}_accuracy`, is known where a run has it.
    if runs.iter().any(|(_, m)| m.last_metrics.get(name).is_some()) || declared.names().any(|known| known == name) {
        return Ok(());
    }
    let names = runs.iter().flat_map(|(_, m)| m.last_metrics.iter().map(|(name, _)| name));
    let all: Vec<&str> = names.chain(declared.names()).collect();
    let hint = match nearest(name, &all) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("`{}` lists the numbers of a method or a probe", shell::ebm("explain NAME")),
    };
    Err(usage(format!("no run has the metric `{name}`"), hint))
}

fn row(path: &Path, m: &Manifest, metric: Option<&str>, declared: &Declared) -> Vec<String> {
    let mut row = vec![
        path.display().to_string(),
        standing(path, m).to_owned(),
        m.method.clone(),
        m.dataset.clone(),
        m.seed.to_string(),
        m.last_step.to_string(),
    ];
    let value =
        |name| m.last_metrics.get(name).map_or_else(|| "-".to_owned(), |v| show::value(declared.unit(name), v, 6));
    row.extend(metric.map(value));
    row
}
