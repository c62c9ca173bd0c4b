//! `ebm show`: the configuration as it is resolved, of a file or of a checkpoint; or its networks, layer by layer.

use std::path::PathBuf;

use clap::Args;

use super::loaded::{Loaded, Weights, is_checkpoint, stored};
use super::networks::Listed;
use super::{GlobalArgs, output, usage};
use crate::config::{Document, find, nearest};
use crate::nets::NETS;
use crate::run::{Experiment, Remarks, sections};
use crate::{Result, methods};

/// Shows a configuration as it is resolved: every key, defaults filled in; or its networks as lists of layers.
#[derive(Args)]
pub struct ShowArgs {
    /// The configuration file; or a checkpoint or run folder, whose stored configuration is shown; with --net also the
    /// name of a network
    config: PathBuf,
    /// Says for every key where its value comes from
    #[arg(long)]
    origin: bool,
    /// Shows each network as a `sequential` list of layers, with a table of their shapes, parameters and
    /// multiplications; keys of a named one: --set net.KEY=VALUE
    #[arg(long, conflicts_with = "origin")]
    net: bool,
    /// The shape of an item that the named network reads: --items 3,32,32
    #[arg(long, value_name = "SHAPE", value_delimiter = ',', requires = "net")]
    items: Option<Vec<usize>>,
    /// The shape of what it makes of an item: --makes 10. Without: one number
    #[arg(long, value_name = "SHAPE", value_delimiter = ',', requires = "net")]
    makes: Option<Vec<usize>>,
}

/// Prints the resolved TOML, or each key with its origin.
pub fn run(args: &ShowArgs, global: &GlobalArgs) -> Result<()> {
    let sets = global.overrides();
    if args.net {
        let listed = networks(args, &sets)?;
        if global.json {
            return output::print_json(&listed.iter().map(Listed::json).collect::<Vec<_>>());
        }
        return output::print(&listed.iter().map(Listed::document).collect::<Vec<_>>().join("\n"));
    }
    // What people say of a run stands above its configuration, as comments; a checkpoint file is not the run.
    let remarks = if args.config.is_dir() { Remarks::of(&args.config)?.comments() } else { String::new() };
    let document = match stored(&args.config)? {
        // As it was written: a version that knows other keys must be able to show it too.
        Some(text) if sets.is_empty() && !global.json && !args.origin => return output::print(&(remarks + &text)),
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
        (false, false) => output::print(&(remarks + &resolved.to_toml())),
        (false, true) => {
            let rows: Vec<_> = resolved.leaves().into_iter().map(|leaf| row(leaf).to_vec()).collect();
            output::print(&output::table(&rows))
        }
    }
}

/// The networks that the command line names.
fn networks(args: &ShowArgs, sets: &[String]) -> Result<Vec<Listed>> {
    let name = args.config.to_string_lossy();
    if find(NETS, &name).is_some() {
        return Ok(vec![Listed::of_name(&name, sets, args.items.as_deref(), args.makes.as_deref())?]);
    }
    if (args.items.is_some() || args.makes.is_some()) && !args.config.exists() {
        let names: Vec<&str> = NETS.iter().map(|row| row.name).collect();
        let near = nearest(&name, &names).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        return Err(usage(format!("there is no network `{name}`"), format!("{near}choose from {}", names.join(", "))));
    }
    if args.items.is_some() || args.makes.is_some() {
        return Err(usage(
            "--items and --makes are for the name of a network: an experiment has the shapes of its data",
            "leave them out",
        ));
    }
    if is_checkpoint(&args.config) {
        let Loaded { model, experiment, .. } = Loaded::load(&args.config, sets, Weights::Ema)?;
        return Listed::all(&methods::networks_of_model(&model), &experiment.resolved);
    }
    let experiment = Experiment::load(&args.config, sets)?;
    let method = experiment.method(&experiment.data()?)?;
    Listed::all(&methods::networks(&*method), &experiment.resolved)
}
