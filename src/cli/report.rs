//! `ebm report`: runs and sweeps as one HTML file to read, print or send.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::outputs::Outputs;
use super::{GlobalArgs, listed, no_runs, output};
use crate::run::show;
use crate::store::fs;
use crate::{Result, report};

/// Writes one HTML file about runs or sweeps, which needs nothing beside itself.
#[derive(Args)]
pub struct ReportArgs {
    /// Run folders, folders of run folders, or sweeps
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// The file, which is replaced if it is there
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    out: PathBuf,
    /// Above the page [default: the folders]
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
}

/// Reads the runs and writes the page.
pub fn run(args: &ReportArgs, global: &GlobalArgs) -> Result<()> {
    Outputs::new().file("--out", &args.out, &["html", "htm"])?;
    let (runs, warnings) = report::read(&args.runs)?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if runs.is_empty() {
        return Err(no_runs(&args.runs));
    }
    let names = listed(&args.runs);
    let page = report::page(args.title.as_deref().unwrap_or(&names), &runs, warnings);
    fs::write_atomic(&args.out, page.as_bytes())?;
    if global.json {
        return output::print_json(&json!({"report": args.out, "runs": runs.len(), "bytes": page.len()}));
    }
    let size = show::number(page.len() as f64 / f64::from(1 << 20), 2);
    let many = show::counted(runs.len() as u64, "run");
    output::print(&format!("{}: {many}, {size} MiB\n", args.out.display()))
}
