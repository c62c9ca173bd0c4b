//! `ebm show`: the configuration as it is resolved, of a file or of a checkpoint.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{GlobalArgs, output};
use crate::Result;
use crate::config::Document;
use crate::run::sections;
use crate::store::Checkpoint;

/// Shows a configuration as it is resolved: every key, defaults filled in.
#[derive(Args)]
pub struct ShowArgs {
    /// The configuration file, or a checkpoint (.safetensors), whose stored configuration is shown
    config: PathBuf,
    /// Says for every key where its value comes from
    #[arg(long)]
    origin: bool,
}

/// Prints the resolved TOML, or each key with its origin.
pub fn run(args: &ShowArgs, global: &GlobalArgs) -> Result<()> {
    let sets = global.overrides();
    let document = match stored(&args.config)? {
        // As it was written: a version that knows other keys must be able to show it too.
        Some(text) if sets.is_empty() && !global.json && !args.origin => return output::print(&text),
        Some(text) => Document::from_str(&format!("{} (stored configuration)", args.config.display()), &text, &sets)?,
        None => Document::load(&args.config, &sets)?,
    };
    let resolved = document.resolve(&sections())?;
    let row = |(path, value): (String, String)| {
        let origin = document.origin(&path);
        [path, value, origin]
    };
    match (global.json, args.origin) {
        (true, true) => {
            let rows = resolved.leaves().into_iter().map(row);
            let rows =
                rows.map(|[key, value, origin]| serde_json::json!({"key": key, "value": value, "origin": origin}));
            output::print_json(&rows.collect::<Vec<_>>())
        }
        (true, false) => output::print_json(&resolved.0),
        (false, false) => output::print(&resolved.to_toml()),
        (false, true) => {
            let rows: Vec<_> = resolved.leaves().into_iter().map(|leaf| row(leaf).to_vec()).collect();
            output::print(&output::table(&rows))
        }
    }
}

/// The configuration inside a checkpoint; nothing for any other file.
fn stored(path: &Path) -> Result<Option<String>> {
    if path.extension().is_none_or(|extension| extension != "safetensors") {
        return Ok(None);
    }
    Ok(Some(Checkpoint::load(path, &candle_core::Device::Cpu)?.config))
}
