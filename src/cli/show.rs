//! `ebm show`: the configuration as it is resolved.

use std::path::PathBuf;

use clap::Args;

use super::{Global, output};
use crate::Result;
use crate::config::Document;
use crate::run::sections;

/// Shows a configuration as it is resolved: every key, defaults filled in.
#[derive(Args)]
pub struct ShowArgs {
    /// The configuration file
    config: PathBuf,
    /// Says for every key where its value comes from
    #[arg(long)]
    origin: bool,
}

/// Prints the resolved TOML, or each key with its origin.
pub fn run(args: &ShowArgs, global: &Global) -> Result<()> {
    let document = Document::load(&args.config, &global.overrides())?;
    let resolved = document.resolve(&sections())?;
    match (global.json, args.origin) {
        (true, _) => output::print_json(&resolved.0),
        (false, false) => output::print(&resolved.to_toml()),
        (false, true) => {
            let row = |(path, value): (String, String)| vec![path.clone(), value, document.origin(&path)];
            let rows: Vec<_> = Vec::<(String, String)>::new().into_iter().map(row).collect();
            output::print(&output::table(&rows))
        }
    }
}
