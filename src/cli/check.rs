//! `ebm check`: everything that can go wrong before a long run, in seconds.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::{GlobalArgs, output};
use crate::run::{Declared, Experiment, Trainer, show};
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
    let mut trainer = Trainer::new(experiment)?;
    refuse(&trainer.troubles()?)?;
    let mut guard = trainer.guard();
    let started = Instant::now();
    let metrics = trainer.advance(&mut guard)?;
    let seconds = started.elapsed().as_secs_f64();
    let parameters = trainer.model().params().count();
    let bytes = trainer.checkpoint_bytes()?;
    let (spec, declared) = (trainer.data().spec(), Declared::of(&trainer.experiment().resolved)?);
    if global.json {
        let metrics = output::numbers(metrics, |name| declared.unit(name));
        return output::print_json(&json!({
            "config": args.config, "ok": true, "steps": trainer.total(), "parameters": parameters,
            "dataset": spec.name, "shape": spec.shape,
            "checkpoint_bytes": bytes, "first_step_seconds": seconds, "metrics": metrics,
        }));
    }
    let mut text = format!("{}: ok\n", args.config.display());
    text += &format!("  data        {} {:?}\n", spec.name, spec.shape);
    text += &format!("  parameters  {parameters}\n");
    text += &format!("  steps       {}, the first took {seconds:.2} s\n", trainer.total());
    text += &format!("  checkpoint  {:.1} MB\n", bytes as f64 / 1e6);
    for (name, value) in metrics.iter() {
        text += &format!("  {name:<11} {}\n", show::value(declared.unit(name), value, 5));
    }
    output::print(&text)
}

/// All that is known to go wrong with the probes, as one error.
fn refuse(troubles: &[Error]) -> Result<()> {
    match troubles {
        [] => Ok(()),
        all => Err(Error::all_of(all)),
    }
}
