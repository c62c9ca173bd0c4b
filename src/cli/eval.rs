//! `ebm eval`: one probe on a checkpoint, after training.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::loaded::{Loaded, WeightsArg, keeper, stem};
use super::outputs::{Outputs, all_tried};
use super::{GlobalArgs, output, usage};
use crate::config::{Document, Resolved, Schema, Section, SectionKind, Setting, decode, find, nearest};
use crate::metrics::Unit;
use crate::probes::{Finding, PROBES, ProbeRow, Schedule, Subject, labelled};
use crate::run::{Evaluation, Experiment, show};
use crate::store::fs;
use crate::{Error, Result, draw, rng::Key};

/// Runs one probe on a checkpoint: its keys as the run has them, or their defaults; --set PROBE.KEY=VALUE overrides
/// them, and PROBE.label chooses among several of that name.
#[derive(Args)]
pub struct EvalArgs {
    /// The checkpoint, or the folder of its run
    #[arg(long, value_name = "FILE")]
    ckpt: PathBuf,
    /// Which probe, its keys by --set NAME.KEY=VALUE; `ebm methods` lists them
    #[arg(long, value_name = "NAME")]
    probe: String,
    /// Seed of the data's draws, the sampler and the probe; short for --set seed=…
    #[arg(long)]
    seed: Option<u64>,
    /// Adds the finding to the run's evaluations.jsonl; `compare`, `ls` and `report` know its numbers as eval/NAME
    #[arg(long)]
    keep: bool,
    /// A folder for the probe's pictures; without it none is written
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
    #[command(flatten)]
    weights: WeightsArg,
}

/// Loads, looks, prints what was found.
pub fn run(args: &EvalArgs, global: &GlobalArgs) -> Result<()> {
    let row = find(PROBES, &args.probe).ok_or_else(|| {
        let names: Vec<&str> = PROBES.iter().map(|row| row.name).collect();
        let near = nearest(&args.probe, &names).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        usage(format!("there is no probe `{}`", args.probe), format!("{near}choose from {}", names.join(", ")))
    })?;
    args.pictures.iter().try_for_each(|folder| Outputs::new().folder("--pictures", folder))?;
    let own = |set: &String| Setting::path_of(set).is_some_and(|path| path.split('.').next() == Some(row.name));
    let sets = global.overrides_with(&[("--seed", "seed", args.seed)])?;
    let (keys, sets): (Vec<String>, Vec<String>) = sets.into_iter().partition(own);
    let stored = Loaded::load(&args.ckpt, &sets, args.weights.weights)?;
    let folder = args.keep.then(|| keeper(&args.ckpt)).transpose()?;
    let section = section(row, &stored.experiment, &keys)?;
    let probe = (row.build)(&section, &stored.experiment.device)?;
    let data = stored.experiment.data()?;
    let sampler = stored.experiment.sampler()?;
    let subject = Subject {
        model: &stored.model,
        proposal: stored.proposal.as_deref(),
        data: &data,
        sampler: &sampler,
        key: Key::new(stored.experiment.top.seed).with("probe").with(row.name),
    };
    stored.fits(&data)?;
    let finding = probe.run(&subject)?;
    check_finite(row.name, &finding)?;
    let pictures = write(args, row.name, &finding)?;
    let evaluation = evaluation(args, &stored, &section, &finding)?;
    let kept = folder.map(|folder| evaluation.keep(&folder)).transpose();
    // A finding that cannot be kept is told all the same.
    report(args, global, &stored, &finding, &pictures, kept.as_ref().ok().and_then(Option::as_deref))?;
    kept.map(|_| ())
}

/// What is kept of a finding, whose probe has this section.
fn evaluation(args: &EvalArgs, stored: &Loaded, section: &toml::Table, finding: &Finding) -> Result<Evaluation> {
    let Schedule { label, .. } = decode(section)?;
    let metrics = finding.metrics.iter().map(|(name, value)| (labelled(&label, name), value)).collect();
    let mut keys = section.clone();
    keys.retain(|key, _| !["name", "every", "label"].contains(&key));
    let keys = Resolved(toml::Table::from_iter([(args.probe.clone(), keys.into())])).leaves();
    let how = stored.how(keys, args.weights);
    let seed = stored.experiment.top.seed;
    Ok(Evaluation { step: stored.step, probe: args.probe.clone(), how, seed, metrics })
}

/// Numbers that are none are no result.
fn check_finite(probe: &str, finding: &Finding) -> Result<()> {
    let bad: Vec<String> =
        finding.metrics.iter().filter(|(_, v)| !v.is_finite()).map(|(name, v)| format!("`{name}` is {v}")).collect();
    if bad.is_empty() {
        return Ok(());
    }
    let remedy = "look at more items (`ebm explain PROBE` names the key), at an earlier checkpoint, or with smaller \
                  steps of the sampler";
    Err(Error::undefined(format!("probe `{probe}`: {}", bad.join(", ")), remedy))
}

/// The probe's section: as the run's `[[probe]]` of that name has it, or its defaults, with `keys` on top. Of several
/// it is the one with the label that `keys` ask for, or else the first.
fn section(row: &ProbeRow, experiment: &Experiment, keys: &[String]) -> Result<toml::Table> {
    let with = |keys: &[String], table: toml::Table, schema: Schema| {
        let text = toml::Table::from_iter([(row.name.to_owned(), table.into())]).to_string();
        let document = Document::from_str("the probe of the stored configuration", &text, keys)?;
        let resolved = document.resolve(&[Section { key: row.name, kind: SectionKind::Plain(schema) }])?;
        Ok::<_, Error>(resolved.section(row.name))
    };
    let label = |table: &toml::Table| table.get("label").cloned();
    let of_label = Some(format!("{}.label", row.name));
    let labels: Vec<String> = keys.iter().filter(|set| Setting::path_of(set) == of_label).cloned().collect();
    let asked = label(&with(&labels, toml::Table::new(), Schema::of::<Schedule>())?);
    let list = experiment.resolved.list("probe");
    let mut of_run = list.into_iter().filter(|spec| spec.name() == row.name).map(|spec| spec.table);
    let first = of_run.next().unwrap_or_default();
    let mut table =
        if label(&first) == asked { first } else { of_run.find(|one| label(one) == asked).unwrap_or(first) };
    table.remove("name");
    with(keys, table, row.schema)
}

fn write(args: &EvalArgs, probe: &str, finding: &Finding) -> Result<Vec<PathBuf>> {
    let Some(folder) = &args.pictures else { return Ok(vec![]) };
    fs::create_dir(folder)?;
    let stem = stem(&args.ckpt);
    let path = |name: &str| folder.join(format!("{stem}-{probe}-{name}.png"));
    let one = |(name, picture): &(String, image::RgbImage)| fs::write_atomic(&path(name), &draw::png(picture)?);
    all_tried(finding.pictures.iter().map(one))?;
    Ok(finding.pictures.iter().map(|(name, _)| path(name)).collect())
}

fn report(
    args: &EvalArgs,
    global: &GlobalArgs,
    stored: &Loaded,
    finding: &Finding,
    pictures: &[PathBuf],
    kept: Option<&Path>,
) -> Result<()> {
    let declared = find(PROBES, &args.probe).map_or(&[][..], |row| row.numbers);
    let number = |name: &str| declared.iter().find(|number| number.is(name));
    let unit = |name: &str| number(name).map_or(Unit::Plain, |number| number.unit);
    if global.json {
        let metrics = output::numbers(&finding.metrics, unit);
        let seed = stored.experiment.top.seed;
        return output::print_json(&json!({"checkpoint": args.ckpt, "step": stored.step, "probe": args.probe,
            "seed": seed, "metrics": metrics, "pictures": pictures, "kept": kept}));
    }
    let row = |(name, value): (&str, f64)| {
        let (arrow, unit) = (show::arrow(number(name)), unit(name));
        vec![name.to_owned(), arrow.to_owned(), show::value(unit, value, 5), show::unit(unit).to_owned()]
    };
    let rows: Vec<Vec<String>> = finding.metrics.iter().map(row).collect();
    let paths = pictures.iter().map(PathBuf::as_path).chain(kept);
    let paths: String = paths.map(|path| format!("{}\n", path.display())).collect();
    output::print(&format!("{}{paths}", output::table(&rows)))
}
