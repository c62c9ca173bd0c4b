//! `ebm init`: a commented configuration to start from.

use clap::Args;

use super::{Global, catalogue, output, usage};
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
    for (kind, name) in choices {
        if !catalogue::rows().iter().any(|row| row.kind == kind && row.name == name) {
            return Err(usage(format!("there is no {kind} `{name}`"), "`ebm methods` lists what can be named"));
        }
    }
    let text = template(&sections(), &choices);
    match global.json {
        true => output::print_json(&serde_json::json!({"toml": text})),
        false => output::print(&text),
    }
}
