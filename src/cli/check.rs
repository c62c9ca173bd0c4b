//! `ebm check`: everything that can go wrong before a long run, in seconds.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::networks::Listed;
use super::{GlobalArgs, output};
use crate::metrics::Unit;
use crate::run::{Declared, Estimate, Experiment, Stage, Trainer, layout, show};
use crate::{Error, Result, device};

/// Checks a configuration: decodes it, opens and verifies the data, builds everything, runs a few steps; says what the
/// run will take.
#[derive(Args)]
pub struct CheckArgs {
    /// The configuration file
    config: PathBuf,
}

/// Runs a few steps in memory; writes nothing but the cache of pictures, which the run will read.
pub fn run(args: &CheckArgs, global: &GlobalArgs) -> Result<()> {
    let experiment = Experiment::load(&args.config, &global.overrides())?;
    let building = Stage::new("opening the data, building everything", global.quiet, String::new);
    let mut trainer = Trainer::new(experiment)?;
    drop(building);
    refuse(&trainer.troubles()?)?;
    let mut guard = trainer.guard();
    let meter = trainer.model().meter().clone();
    let stepping = Stage::new("running one step, then a few", global.quiet, move || {
        format!("{} so far", output::cost(meter.read()))
    });
    let estimate = trainer.estimate(&mut guard)?;
    drop(stepping);
    let networks = Listed::all(&trainer.networks(), &trainer.experiment().resolved)?;
    let declared = Declared::of(&trainer.experiment().resolved)?;
    if global.json {
        return output::print_json(&document(args, &trainer, &estimate, &networks, &declared)?);
    }
    let metrics = estimate.first.iter().map(|(name, value)| (name, show::value(declared.unit(name), value, 5)));
    let facts = facts(&trainer, &estimate)?;
    let widest = layout::widest(facts.iter().map(|(name, _)| *name).chain(estimate.first.iter().map(|(name, _)| name)));
    let row = |(name, said): (&str, String)| layout::beside(&format!("  {name}"), widest + 4, &said, output::columns());
    let rows: String = facts.into_iter().chain(metrics).map(row).collect();
    let networks: String = networks.iter().map(|listed| format!("\n{}", listed.short())).collect();
    output::print(&format!("{}: ok\n{rows}{networks}", args.config.display()))
}

fn document(
    args: &CheckArgs,
    trainer: &Trainer,
    estimate: &Estimate,
    networks: &[Listed],
    declared: &Declared,
) -> Result<Value> {
    let spec = trainer.data().spec();
    Ok(json!({
        "config": args.config, "ok": true, "steps": trainer.total(), "parameters": trainer.model().params().count(),
        "dataset": spec.name, "shape": spec.shape,
        "checkpoint_bytes": estimate.checkpoint, "memory_bytes_at_least": trainer.memory()?.least,
        "memory_bytes_peak": device::memory_peak(), "disk_bytes": estimate.disk,
        "checkpoints_kept": estimate.checkpoints, "first_step_seconds": estimate.first_seconds,
        "step_seconds": estimate.step_seconds, "seconds": estimate.seconds, "steps_run": estimate.steps,
        "metrics": output::numbers(&estimate.first, |name| declared.unit(name)),
        "networks": networks.iter().map(Listed::json).collect::<Vec<_>>(),
    }))
}

/// What there is to say before the numbers of the first step.
fn facts(trainer: &Trainer, e: &Estimate) -> Result<[(&'static str, String); 7]> {
    let (spec, count) = (trainer.data().spec(), |n: u64| show::value(Unit::Count, n as f64, 0));
    let time = show::time(Duration::try_from_secs_f64(e.seconds).unwrap_or(Duration::MAX));
    let step = |seconds: f64| format!("{} ms", show::number(1e3 * seconds, 3));
    let of = show::counted(e.checkpoints, "checkpoint");
    let peak = device::memory_peak().map(|bytes| format!(", {} in these steps", size(bytes as f64)));
    Ok([
        ("data", format!("{} {:?}{}", spec.name, spec.shape, classes(trainer.data().class_names()))),
        ("parameters", count(trainer.model().params().count() as u64)),
        ("steps", format!("{}, the first took {:.2} s", count(trainer.total()), e.first_seconds)),
        ("time", format!("about {time}, {} a step over {}; probes come on top", step(e.step_seconds), count(e.steps))),
        ("checkpoint", size(e.checkpoint as f64)),
        ("memory", format!("{} at least{}", size(trainer.memory()?.least as f64), peak.unwrap_or_default())),
        ("disk", format!("about {} with {of}; pictures come on top", size(e.disk as f64))),
    ])
}

/// The names of the classes, where they have some: the first of many.
fn classes(names: &[String]) -> String {
    const MOST: usize = 8;
    let shown = names.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    let more = if names.len() > MOST { ", …" } else { "" };
    if names.is_empty() { String::new() } else { format!(", {} classes: {shown}{more}", names.len()) }
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
