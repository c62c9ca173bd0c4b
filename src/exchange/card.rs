//! The model card: what the model is, what it takes, what it was measured to be, and how to get it again.

use std::collections::{BTreeMap, BTreeSet};

use super::subject::{Export, ExportFormat};
use crate::config::find;
use crate::data::{DATASETS, Origin, Rescaling, file_set};
use crate::density::MODELS;
use crate::methods::METHODS;
use crate::metrics::Metrics;
use crate::run::{Declared, Manifest, Paths, Reporter, evaluations, metrics, show};
use crate::{Result, config, shell};

/// The card of an export, as Markdown; of a model of noise levels or of one energy.
///
/// # Errors
/// The run's own files cannot be read.
pub fn write(export: &Export, formats: &[ExportFormat], of_levels: bool) -> Result<String> {
    let manifest = export.manifest();
    let sections = [
        summary(export, manifest.as_ref()),
        input(export),
        usage(formats, of_levels),
        numbers(export)?,
        reproduction(export, manifest.as_ref()),
        citations(export),
    ];
    Ok(sections.join("\n"))
}

/// The name of a section's row.
fn name_of(export: &Export, section: &str) -> String {
    export.experiment.resolved.spec(section).name().to_owned()
}

fn summary(export: &Export, manifest: Option<&Manifest>) -> String {
    let [method, model, dataset] = ["method", "model", "dataset"].map(|section| name_of(export, section));
    let about = |rows: Option<config::Head>| rows.map_or("", |head| head.about);
    let weights: usize = export.weights.values().map(candle_core::Tensor::elem_count).sum();
    let sum = manifest.and_then(|m| m.dataset_sha256.clone()).filter(|sum| !sum.is_empty());
    let sum = sum.map_or_else(|| "not known: exported without its run folder".to_owned(), |sum| format!("`{sum}`"));
    let mut rows = vec![
        ("model", format!("`{model}`: {}", about(find(MODELS, &model).map(config::Row::head)))),
        ("weights", format!("{}, {}", show::counted(weights as u64, "number"), export.kind_of_weights())),
        ("method", format!("`{method}`: {}", about(find(METHODS, &method).map(config::Row::head)))),
        ("steps", show::counted(export.step, "step")),
        ("seed", export.experiment.top.seed.to_string()),
        ("data", format!("`{dataset}`: {}", about(find(DATASETS, &dataset).map(config::Row::head)))),
        ("sha256 of the data", sum),
    ];
    if let Some(Manifest { device, threads, started, finished, .. }) = manifest {
        let ended = finished.as_deref().unwrap_or("not finished");
        rows.push((
            "trained",
            format!("on {device}, {}, {started} to {ended}", show::counted(*threads as u64, "thread")),
        ));
    }
    let table: String = rows.into_iter().map(|(what, said)| format!("| {what} | {} |\n", cell(&said))).collect();
    format!("# An energy-based model of `{dataset}`\n\np(x) ∝ exp(-E(x)), with\n\n| | |\n|---|---|\n{table}")
}

/// A text within a table of Markdown.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn input(export: &Export) -> String {
    format!("## Input\n\nThe model takes {}.{}\n", export.data.in_words(), columns(export))
}

/// How the columns of a table become what the model takes, where they are scaled.
fn columns(export: &Export) -> String {
    let Rescaling { shift, scale, .. } = export.data.rescaling();
    let names = export.data.columns();
    if !export.data.is_table() || shift.iter().zip(&scale).all(|pair| pair == (&0.0, &1.0)) {
        return String::new();
    }
    let row = |(c, (mean, std)): (usize, (&f64, &f64))| {
        let name = names.get(c).filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| c.to_string());
        format!("| {} | {mean} | {std} |\n", cell(&name))
    };
    let rows: String = shift.iter().zip(&scale).enumerate().map(row).collect();
    format!(
        " Each column is its value in the table minus the mean, divided by the standard deviation, both of the \
         training rows:\n\n| column | mean | standard deviation |\n|---|---|---|\n{rows}"
    )
}

fn usage(formats: &[ExportFormat], of_levels: bool) -> String {
    let mut text = "## Use\n".to_owned();
    if of_levels {
        return text + &usage_of_levels(formats);
    }
    if formats.contains(&ExportFormat::Torch) {
        text += "\n```python\nfrom ebm_model import Model  # needs torch and safetensors\n\n\
                 model = Model(\"this folder\")\n\
                 x = model.input(v)  # raw values, such as pixels from 0 to 255, in model space\n\
                 energy, score = model(x), model.score(x)  # E(x) and -∇x E(x) = ∇x log p(x)\n```\n\n\
                 `ebm import --from FOLDER --out RUN` makes a run of it again.\n";
    }
    if formats.contains(&ExportFormat::Onnx) {
        text +=
            "\n`model.onnx` takes `x` and gives `energy` (of a classifier `logits` too); batches may have any size.\n";
    }
    text
}

fn usage_of_levels(formats: &[ExportFormat]) -> String {
    let mut text = String::new();
    if formats.contains(&ExportFormat::Torch) {
        text += "\n```python\nfrom ebm_ladder import Model  # needs torch and safetensors\n\n\
                 model = Model(\"this folder\")\n\
                 x = model.input(v)  # raw values, such as pixels from 0 to 255, in model space\n\
                 energy, score = model(x), model.score(x)  # E(x) and -∇x E(x), at the lowest level\n\
                 energy, score = model(x, sigma), model.score(x, sigma)  # under noise of standard deviation sigma\n\
                 model.sigmas  # the levels that were trained\n```\n\n\
                 `ebm import --from FOLDER --out RUN` makes a run of it again.\n";
    }
    if formats.contains(&ExportFormat::Onnx) {
        text +=
            "\n`model.onnx` takes `x` and `sigma`, one level an item, and gives `energy`; batches may have any size.\n";
    }
    text
}

/// What the probes found last, up to the step of the model, in training and after it.
fn numbers(export: &Export) -> Result<String> {
    let mut log = match &export.run {
        Some(run) if Paths::of(run).metrics().exists() => metrics::read(&Paths::of(run).metrics())?,
        _ => Vec::new(),
    };
    let kept = export.run.as_deref().map_or(Ok(Vec::new()), |run| evaluations::of(run, &mut Vec::new()))?;
    let steps: BTreeSet<u64> = kept.iter().map(|evaluation| evaluation.step).collect();
    log.extend(steps.into_iter().map(|step| (step, evaluations::at(&kept, step))));
    let (own, any) = (Declared::of(&export.experiment.resolved)?, Declared::everything());
    let of_probe = |name: &str| {
        let declared = if name.starts_with(evaluations::PREFIX) { &any } else { &own };
        declared.find(name).filter(|found| matches!(found.by, Reporter::Probe(_)))
    };
    let mut last: BTreeMap<&str, (u64, f64, &Metrics)> = BTreeMap::new();
    for (step, line) in log.iter().filter(|(step, _)| *step <= export.step) {
        last.extend(line.iter().filter(|(name, _)| of_probe(name).is_some()).map(|(name, v)| (name, (*step, v, line))));
    }
    let row = |(name, (step, value, line)): (&&str, &(u64, f64, &Metrics))| {
        let found = of_probe(name)?;
        let unit = found.number.unit;
        let shown = match line.get(&format!("{name}_se")) {
            Some(error) => show::with_error(*value, error, 5),
            None => show::value(unit, *value, 5),
        };
        let (arrow, unit) = (show::arrow(Some(&found.number)), show::unit(unit));
        Some(format!(
            "| `{name}` {arrow} | {} | {step} | {} |\n",
            format!("{shown} {unit}").trim_end(),
            cell(found.number.about)
        ))
    };
    let is_error = |name: &str| name.strip_suffix("_se").is_some_and(|of| last.contains_key(of));
    let mut found: Vec<_> = last.iter().filter(|(name, _)| !is_error(name)).collect();
    found.sort_by_key(|(name, _)| !of_probe(name).is_some_and(|found| found.number.lead));
    let rows: String = found.into_iter().filter_map(row).collect();
    if rows.is_empty() {
        return Ok("## What the probes found\n\nNo probe has looked at this model.\n".into());
    }
    let head = "With standard errors; ↑ and ↓ say what is better.\n\n| | | step | |\n|---|---|---|---|\n";
    Ok(format!("## What the probes found\n\n{head}{rows}"))
}

fn reproduction(export: &Export, manifest: Option<&Manifest>) -> String {
    let dataset = name_of(export, "dataset");
    let version = manifest.map_or(env!("CARGO_PKG_VERSION"), |manifest| manifest.version.as_str());
    let mut lines = vec![format!("# ebm {version}, {}", env!("CARGO_PKG_REPOSITORY"))];
    if let Some(manifest) = manifest.filter(|manifest| !manifest.command.is_empty()) {
        let command = manifest.command.iter().skip(1).map(shell::word).collect::<Vec<_>>().join(" ");
        lines.push(format!("# made by: ebm {command}"));
    }
    if let Some(git) = manifest.and_then(|manifest| manifest.git.as_ref()) {
        let changed = if git.dirty { ", with changes" } else { "" };
        lines.push(format!("# started in a source tree at commit {}{changed}", git.hash));
    }
    lines.extend(source_of_data(&dataset));
    lines.push("ebm train config.toml".into());
    let same = "On a CPU the same configuration gives the same bytes; on a GPU sums may differ in their last digits.";
    format!("## How to reproduce\n\n```\n{}\n```\n\n{same}\n", lines.join("\n"))
}

/// How the data come to where a run looks for them.
fn source_of_data(dataset: &str) -> Option<String> {
    match find(DATASETS, dataset)?.origin {
        Origin::Generated => None,
        Origin::Yours => Some("# the data are the trainer's own: see `path` of [dataset] in config.toml".into()),
        Origin::Files(format) => {
            let known = file_set(dataset).ok()?.known;
            let shipped = known.files.iter().all(|file| format.built_in(file).is_some());
            match known.manual {
                _ if shipped => None,
                Some(how) => Some(format!("# {dataset}: {how}")),
                None => Some(format!("ebm data fetch {dataset}")),
            }
        }
    }
}

fn citations(export: &Export) -> String {
    let [method, model, dataset] = ["method", "model", "dataset"].map(|section| name_of(export, section));
    let heads = [
        find(METHODS, &method).map(config::Row::head),
        find(MODELS, &model).map(config::Row::head),
        find(DATASETS, &dataset).map(config::Row::head),
    ];
    let line = |head: config::Head| format!("- `{}`: {}\n", head.name, head.cite);
    let lines: String = heads.into_iter().flatten().filter(|head| !head.cite.is_empty()).map(line).collect();
    if lines.is_empty() { String::new() } else { format!("## Citation\n\n{lines}") }
}
