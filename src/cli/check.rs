//! `ebm check`: everything that can go wrong before a long run, in seconds.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::networks::Listed;
use super::{GlobalArgs, output};
use crate::metrics::Unit;
use crate::run::{Declared, Experiment, Stage, Trainer, show};
use crate::{Error, Result};

/// Checks a configuration: decodes it, opens and verifies the data, builds everything, runs one step.
#[derive(Args)]
pub struct CheckArgs {
    /// The configuration file
    config: PathBuf,
}

/// Runs one step in memory; writes nothing.
pub fn run(args: &CheckArgs, global: &GlobalArgs) -> Result<()> {
    let experiment = Experiment::load(&args.config, &global.overrides())?;
    let building = Stage::new("opening the data, building everything", global.quiet, String::new);
    let mut trainer = Trainer::new(experiment)?;
    drop(building);
    refuse(&trainer.troubles()?)?;
    let mut guard = trainer.guard();
    let (started, meter) = (Instant::now(), trainer.model().meter().clone());
    let stepping =
        Stage::new("running one step", global.quiet, move || format!("{} so far", output::cost(meter.read())));
    let metrics = trainer.advance(&mut guard)?;
    drop(stepping);
    let seconds = started.elapsed().as_secs_f64();
    let memory = trainer.memory()?.least;
    let parameters = trainer.model().params().count();
    let bytes = trainer.checkpoint_bytes()?;
    let networks = Listed::all(&trainer.networks(), &trainer.experiment().resolved)?;
    let (spec, declared) = (trainer.data().spec(), Declared::of(&trainer.experiment().resolved)?);
    if global.json {
        let metrics = output::numbers(metrics, |name| declared.unit(name));
        return output::print_json(&json!({
            "config": args.config, "ok": true, "steps": trainer.total(), "parameters": parameters,
            "dataset": spec.name, "shape": spec.shape,
            "checkpoint_bytes": bytes, "memory_bytes_at_least": memory, "first_step_seconds": seconds,
            "metrics": metrics, "networks": networks.iter().map(Listed::json).collect::<Vec<_>>(),
        }));
    }
    let facts = [
        ("data", format!("{} {:?}", spec.name, spec.shape)),
        ("parameters", show::value(Unit::Count, parameters as f64, 0)),
        ("steps", format!("{}, the first took {seconds:.2} s", show::value(Unit::Count, trainer.total() as f64, 0))),
        ("checkpoint", size(bytes as f64)),
        ("memory", format!("{} at least", size(memory as f64))),
    ];
    let metrics = metrics.iter().map(|(name, value)| (name, show::value(declared.unit(name), value, 5)));
    let rows: Vec<_> = facts.into_iter().chain(metrics).map(|(name, said)| vec![format!("  {name}"), said]).collect();
    let networks: String = networks.iter().map(|listed| format!("\n{}", listed.short())).collect();
    output::print(&format!("{}: ok\n{}{networks}", args.config.display(), output::table(&rows)))
}

/// A number of bytes, in the unit that leaves something in front of the point.
fn size(bytes: f64) -> String {
    if bytes < 1e6 { format!("{:.1} kB", bytes / 1e3) } else { format!("{:.1} MB", bytes / 1e6) }
}

/// All that is known to go wrong with the probes, as one error.
fn refuse(troubles: &[Error]) -> Result<()> {
    match troubles {
        [] => Ok(()),
        all => Err(Error::all_of(all)),
    }
}
