//! `ebm init`: a commented configuration to start from.

use clap::Args;

use super::{Global, output, usage};
use crate::Result;
use crate::config::template;
use crate::run::sections;

/// Writes a commented configuration to stdout: ebm init --method lsd > my.toml
#[derive(Args)]
pub struct InitArgs {
    /// The training method
    #[arg(long, default_value = "lsd")]
    method: String,
    /// The data set
    #[arg(long, default_value = "moons")]
    dataset: String,
}

/// Prints the template.
pub fn run(args: &InitArgs, global: &Global) -> Result<()> {
    let choices = [("method", args.method.as_str()), ("dataset", args.dataset.as_str())];
    let text = template(&sections(), &choices)
        .map_err(|e| usage(e, "ebm methods lists what can be named"))?;
    match global.json {
        true => output::print_json(&serde_json::json!({"toml": text})),
        false => output::print(&text),
    }
}
