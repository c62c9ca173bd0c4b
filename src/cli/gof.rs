//! `ebm gof`: do these items come from this model?

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde_json::json;

use super::items::{Items, Space};
use super::loaded::{Loaded, WeightsArg};
use super::{GlobalArgs, output, usage};
use crate::config::{Document, Entry, Section, SectionKind, nearest};
use crate::data::Split;
use crate::probes::gof::{BuildTest, TESTS, Test, Verdict};
use crate::probes::{self, Scored};
use crate::run::show;
use crate::{Result, rng::Key};

/// Tests whether data, or samples in a file, come from a model: goodness of fit by the model's score alone.
#[derive(Args)]
#[command(group = ArgGroup::new("model").required(true).args(["ckpt", "config"]))]
pub struct GofArgs {
    /// A checkpoint, or the folder of its run, whose model is tested against its data set (another one: --set
    /// dataset.name=…) or --samples
    #[arg(long, value_name = "FILE")]
    ckpt: Option<PathBuf>,
    /// A configuration, whose model is tested as it is before training
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Samples to test instead of the data set: .npy or .csv, one item a row
    #[arg(long, value_name = "FILE", conflicts_with = "split")]
    samples: Option<PathBuf>,
    /// What the numbers of --samples are
    #[arg(long, value_enum, default_value_t = Space::Data)]
    space: Space,
    /// The part of the data set: train, validation or test
    #[arg(long, default_value = "test")]
    split: Split,
    /// Which tests: lsd, ksd, lksd, fssd
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    tests: Vec<String>,
    /// Items of each test, 0 for all; default: 1000 of a data set, all of a file
    #[arg(long)]
    items: Option<usize>,
    /// Size of each test; default 0.05
    #[arg(long)]
    alpha: Option<f64>,
    /// Short for --set seed=…: draws of the data, splits, critics, bootstraps
    #[arg(long)]
    seed: Option<u64>,
    /// Keys of the tests: --test-set ksd.kernel=imq, --test-set lsd.iterations=300 (`ebm explain gof_ksd` lists them)
    #[arg(long = "test-set", value_name = "TEST.KEY=VALUE")]
    test_set: Vec<String>,
    #[command(flatten)]
    weights: WeightsArg,
}

/// Runs the tests on the same items, then prints the table.
pub fn run(args: &GofArgs, global: &GlobalArgs) -> Result<()> {
    let tests = tests(args)?;
    let stored = stored(args, global)?;
    let (source, x) = items(args, &stored, &tests)?;
    let sample = Scored::new(&stored.model, x)?;
    let key = Key::new(stored.experiment.top.seed).with("gof");
    let mut verdicts = Vec::with_capacity(tests.len());
    for test in &tests {
        tracing::info!("{} on {source}", test.name());
        verdicts.push(test.run(&sample, key.with(test.name()))?);
    }
    match global.json {
        true => {
            output::print_json(&json!({"model": stored.experiment.resolved.spec("model").name(), "step": stored.step,
            "source": source, "seed": stored.experiment.top.seed, "results": verdicts}))
        }
        false => output::print(&as_table(&verdicts)),
    }
}

/// What a test is called on the command line: without the `gof_` that its probe has.
fn short(row: &Entry<BuildTest>) -> &'static str {
    row.name.strip_prefix("gof_").unwrap_or(row.name)
}

/// The tests asked for, with their keys.
fn tests(args: &GofArgs) -> Result<Vec<Box<dyn Test>>> {
    let names: Vec<&str> = TESTS.iter().map(short).collect();
    if let Some(unknown) = args.tests.iter().find(|t| !names.contains(&t.as_str())) {
        let near = nearest(unknown, &names).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        return Err(usage(format!("there is no test `{unknown}`"), format!("{near}choose from {}", names.join(", "))));
    }
    let document = Document::from_str("--test-set", "", &overrides(args, &names))?;
    let section = |row: &Entry<BuildTest>| Section { key: short(row), kind: SectionKind::Plain(row.schema) };
    let resolved = document.resolve(&TESTS.iter().map(section).collect::<Vec<_>>())?;
    let wanted = |row: &&Entry<BuildTest>| args.tests.is_empty() || args.tests.iter().any(|t| t == short(row));
    TESTS.iter().filter(wanted).map(|row| (row.build)(&resolved.section(short(row)))).collect()
}

/// `--items` and `--alpha` are keys of every test; `--test-set` comes behind them and so counts more.
fn overrides(args: &GofArgs, names: &[&str]) -> Vec<String> {
    let items = args.items.or(args.samples.as_ref().map(|_| 0));
    let each = |key: &'static str, value: Option<String>| {
        let value = value.into_iter();
        value.flat_map(move |v| names.iter().map(move |n| format!("{n}.{key}={v}"))).collect::<Vec<_>>()
    };
    let alpha = args.alpha.map(|a| format!("{a:?}"));
    [each("items", items.map(|n| n.to_string())), each("alpha", alpha), args.test_set.clone()].concat()
}

fn stored(args: &GofArgs, global: &GlobalArgs) -> Result<Loaded> {
    let sets = global.overrides_with(&[("--seed", "seed", args.seed)])?;
    match (&args.ckpt, &args.config) {
        (Some(path), _) => Loaded::load(path, &sets, args.weights.weights),
        (None, Some(path)) => Loaded::untrained(path, &sets),
        (None, None) => Err(usage("no model", "give --ckpt FILE or --config FILE")),
    }
}

/// Where the items come from, and as many of them as the greediest test takes.
fn items(args: &GofArgs, stored: &Loaded, tests: &[Box<dyn Test>]) -> Result<(String, candle_core::Tensor)> {
    let count = tests.iter().map(|t| t.level().0);
    let most = if count.clone().any(|n| n == 0) { 0 } else { count.max().unwrap_or(0) };
    if let Some(path) = &args.samples {
        let x = Items::whole(path, args.space, stored)?;
        return Ok((path.display().to_string(), x));
    }
    let opened;
    let data = match args.ckpt {
        Some(_) => {
            opened = stored.experiment.data()?;
            &opened
        }
        None => &stored.data,
    };
    stored.fits(data)?;
    Ok((format!("{} ({})", data.spec().name, args.split), probes::items(data, args.split, most)?))
}

/// Significant digits of a number without an error.
const DIGITS: usize = 4;

fn as_table(verdicts: &[Verdict]) -> String {
    let header = ["test", "statistic", "p", "decision", "discrepancy ± s.e.", "items", "seconds"];
    let row = |v: &Verdict| {
        let decision = if v.reject { "rejected" } else { "not rejected" };
        vec![
            v.test.strip_prefix("gof_").unwrap_or(v.test).to_owned(),
            show::number(v.statistic, DIGITS),
            show::number(v.p_value, DIGITS),
            format!("{decision} at {}", v.alpha),
            show::with_error(v.discrepancy, v.std_error, DIGITS),
            v.items.to_string(),
            format!("{:.2}", v.seconds),
        ]
    };
    output::table(
        &std::iter::once(header.map(str::to_owned).to_vec()).chain(verdicts.iter().map(row)).collect::<Vec<_>>(),
    )
}
