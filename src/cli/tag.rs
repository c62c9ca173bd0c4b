//! `ebm tag`: words that people put on a run.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{GlobalArgs, output};
use crate::Result;
use crate::run::Remarks;

/// Adds tags to a run, or removes some; `ebm ls --filter 'tags=NAME'` finds it by them.
#[derive(Args)]
pub struct TagArgs {
    /// The run folder
    run: PathBuf,
    /// Words without blanks, such as baseline or paper
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Removes them
    #[arg(long)]
    remove: bool,
}

/// Changes the tags and prints what they are now.
pub fn run(args: &TagArgs, global: &GlobalArgs) -> Result<()> {
    let change = |remarks: &mut Remarks| match args.remove {
        true => remarks.remove(&args.names),
        false => remarks.add(&args.names),
    };
    let remarks = Remarks::edit(&args.run, change)?;
    told(&args.run, &remarks, &remarks.listed(), global)
}

/// Prints what is said of a run now; `said` is the part that was asked for.
pub(super) fn told(run: &Path, remarks: &Remarks, said: &str, global: &GlobalArgs) -> Result<()> {
    if global.json {
        return output::print_json(&json!({"run": run, "tags": remarks.tags, "note": remarks.note}));
    }
    let said = if said.is_empty() { "-" } else { said };
    output::print(&format!("{}: {said}\n", run.display()))
}
