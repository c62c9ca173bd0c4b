//! `ebm eval-lsd`: a critic for each checkpoint, one table, the best first.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::loaded::{Loaded, Weights, WeightsArg};
use super::outputs::Outputs;
use super::{GlobalArgs, output};
use crate::config::{Document, Schema, Section, SectionKind, decode};
use crate::data::{Data, Split};
use crate::math::{normal_quantile, stats};
use crate::metrics::Metrics;
use crate::probes;
use crate::probes::lsd::{self, Epoch, LsdConfig, Score};
use crate::report::csv;
use crate::run::{Progress, show, signal};
use crate::store::fs;
use crate::{Error, Result, draw, rng::Key};

/// Scores checkpoints by a learned Stein discrepancy on held-out data and ranks them: smaller is better, 0 is perfect.
#[derive(Args)]
pub struct EvalLsdArgs {
    /// A checkpoint, or the folder of its run; give it again to compare several
    #[arg(long, required_unless_present = "config", value_name = "FILE")]
    ckpt: Vec<PathBuf>,
    /// A configuration, whose model is scored as it is before training
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// The data that the critic sees: train, validation or test
    #[arg(long, default_value = "test")]
    split: Split,
    /// Keys of the evaluation: --eval epochs=100, --eval lambda=0.5, --eval critic.hidden=[1000,1000]
    /// (`ebm explain lsd` lists them)
    #[arg(long = "eval", value_name = "KEY=VALUE")]
    eval: Vec<String>,
    /// Short for --set seed=…: draws of the data, their parts, the critic
    #[arg(long)]
    seed: Option<u64>,
    /// Also writes the critic's training curves, a PNG and a CSV for each checkpoint, into this folder
    #[arg(long, value_name = "DIR")]
    curves: Option<PathBuf>,
    #[command(flatten)]
    weights: WeightsArg,
}

struct Line {
    ckpt: PathBuf,
    step: u64,
    dataset: String,
    /// Of the data and of the key that divides them: lines that share it were scored on the same items.
    items: (String, u64),
    score: Score,
    found: Vec<f64>,
    history: Vec<Epoch>,
}

/// By how much a line lies above the best one.
#[derive(serde::Serialize)]
struct Above {
    mean: f64,
    std_error: f64,
    /// Whether 1.96 standard errors are more than the difference.
    below_error: bool,
}

impl Above {
    /// By the differences item by item where both have the same items, else by both errors together. What another
    /// critic would find is in neither.
    fn of(line: &Line, best: &Line) -> Self {
        let mean = line.score.mean - best.score.mean;
        let same = line.items == best.items && line.found.len() == best.found.len();
        let gaps: Vec<f64> = line.found.iter().zip(&best.found).map(|(a, b)| a - b).collect();
        let apart = line.score.std_error.hypot(best.score.std_error);
        let std_error = if same { stats::std_error(&gaps) } else { apart };
        Above { mean, std_error, below_error: mean <= normal_quantile(0.975) * std_error }
    }
}

/// Evaluates every checkpoint, then prints the table.
pub fn run(args: &EvalLsdArgs, global: &GlobalArgs) -> Result<()> {
    signal::install()?;
    let config = eval_config(&args.eval)?;
    args.curves.iter().try_for_each(|folder| Outputs::new().folder("--curves", folder))?;
    let sets = global.overrides_with(&[("--seed", "seed", args.seed)])?;
    let mut lines = Vec::new();
    for path in &args.ckpt {
        let stored = Loaded::load(path, &sets, args.weights.weights)?;
        let data = stored.experiment.data()?;
        lines.push(evaluate(path, &stored, &data, &config, args, global)?);
    }
    for path in &args.config {
        let stored = Loaded::untrained(path, &sets)?;
        lines.push(evaluate(path, &stored, &stored.data, &config, args, global)?);
    }
    lines.sort_by(|a, b| a.score.mean.total_cmp(&b.score.mean));
    match global.json {
        true => output::print_json(&json!({"split": args.split.to_string(), "lambda": config.lambda,
            "weights": match args.weights.weights { Weights::Ema => "ema", Weights::Raw => "raw" },
            "results": (0..lines.len()).filter_map(|i| as_json(i, &lines)).collect::<Vec<_>>()})),
        false => output::print(&(as_table(&lines) + &alike(&lines))),
    }
}

/// The evaluation's keys, with the defaults of the probe `lsd`.
fn eval_config(sets: &[String]) -> Result<LsdConfig> {
    let document = Document::from_str("--eval", "", sets)?;
    let resolved = document.resolve(&[Section { key: "", kind: SectionKind::Plain(Schema::of::<LsdConfig>()) }])?;
    // Whole: `section("")` would leave out the tables of the critic and its optimiser.
    decode(&resolved.0)
}

fn evaluate(
    path: &Path,
    stored: &Loaded,
    data: &Data,
    config: &LsdConfig,
    args: &EvalLsdArgs,
    global: &GlobalArgs,
) -> Result<Line> {
    let items = probes::items(data, args.split, config.items)?;
    // The same key for every checkpoint: same parts, same critic at the start, same probes.
    let key = Key::new(stored.experiment.top.seed).with("eval-lsd");
    tracing::info!("critic for {}", path.display());
    let mut progress = Progress::new(config.epochs as u64, 0, global.quiet);
    let outcome = lsd::evaluate(config, &stored.model, &items, key, |epoch| {
        progress.step(epoch.epoch as u64, &Metrics::new().with("lsd", epoch.validation));
        signal::stop_requested().map_or(Ok(()), |signal| Err(Error::Interrupted(signal)))
    })?;
    progress.finish();
    if let Some(folder) = &args.curves {
        let name = folder.join(curves_name(args, path));
        fs::create_dir(folder)?;
        let picture = draw::png(&lsd::curves(&outcome.history)?.picture((900, 600))?)?;
        for (ending, bytes) in [("png", picture), ("csv", csv(&curve_rows(&outcome.history))?.into_bytes())] {
            let file = PathBuf::from(format!("{}.{ending}", name.display()));
            fs::write_atomic(&file, &bytes)?;
            tracing::info!("{}", file.display());
        }
    }
    outcome.score.too_short(config).iter().for_each(|what| tracing::warn!("{}: {what}", path.display()));
    let (dataset, items) = (data.spec().name.clone(), (data.sha256().to_owned(), stored.experiment.top.seed));
    let lsd::Outcome { score, found, history, .. } = outcome;
    Ok(Line { ckpt: path.into(), step: stored.step, dataset, items, score, found, history })
}

fn as_json(place: usize, lines: &[Line]) -> Option<serde_json::Value> {
    let (line, best) = (lines.get(place)?, lines.first()?);
    let above = (place > 0).then(|| Above::of(line, best));
    Some(json!({"rank": place + 1, "checkpoint": line.ckpt, "step": line.step, "dataset": line.dataset,
                "lsd": line.score.mean, "std_error": line.score.std_error, "above_best": above, "score": line.score,
                "history": line.history}))
}

/// `last`, or `last-2` for the second checkpoint of that name on the command line.
fn curves_name(args: &EvalLsdArgs, path: &Path) -> String {
    let stem = |path: &Path| path.file_stem().and_then(|s| s.to_str()).unwrap_or("checkpoint").to_owned();
    let all = args.ckpt.iter().chain(&args.config);
    let alike = all.take_while(|other| *other != path).filter(|other| stem(other) == stem(path)).count();
    if alike == 0 { stem(path) } else { format!("{}-{}", stem(path), alike + 1) }
}

/// The critic's training as a table, an epoch a row.
fn curve_rows(history: &[Epoch]) -> Vec<Vec<String>> {
    let header = ["epoch", "train", "validation", "validation_std", "selection", "test"].map(str::to_owned).to_vec();
    let row = |epoch: &Epoch| {
        let Epoch { epoch, train, validation, validation_std, selection, test } = *epoch;
        let numbers = [train, validation, validation_std, selection, test];
        std::iter::once(epoch.to_string()).chain(numbers.map(|x| x.to_string())).collect()
    };
    std::iter::once(header).chain(history.iter().map(row)).collect()
}

/// The lines whose difference to the best one is below its error, in words.
fn alike(lines: &[Line]) -> String {
    let Some(best) = lines.first() else { return String::new() };
    let words = |(i, line): (usize, &Line)| {
        let Above { mean, std_error, below_error } = Above::of(line, best);
        let rank = i + 1;
        let error = normal_quantile(0.975) * std_error;
        below_error.then(|| {
            format!("rank {rank}: the difference to rank 1 is below its error, {mean:.4} ± {error:.4} (1.96 s.e.)\n")
        })
    };
    lines.iter().enumerate().skip(1).filter_map(words).collect()
}

fn as_table(lines: &[Line]) -> String {
    let header = ["rank", "LSD ± s.e.", "items", "epoch", "step", "data", "checkpoint"].map(str::to_owned).to_vec();
    let row = |(i, line): (usize, &Line)| {
        let Score { mean, std_error, items, epoch, .. } = line.score;
        vec![
            (i + 1).to_string(),
            show::with_error(mean, std_error, 5),
            items.to_string(),
            epoch.to_string(),
            line.step.to_string(),
            line.dataset.clone(),
            line.ckpt.display().to_string(),
        ]
    };
    let rows: Vec<_> = std::iter::once(header).chain(lines.iter().enumerate().map(row)).collect();
    output::table(&rows)
}
