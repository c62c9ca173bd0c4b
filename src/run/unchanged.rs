//! What stays as it was while a run goes on: whatever its steps depend on, in its configuration and its data.

use std::path::Path;

use super::best::Best;
use super::experiment::{Experiment, Reader, read_sections};
use crate::config::{Difference, Document, Resolved, Section, SectionKind};
use crate::data::Data;
use crate::metrics::Metrics;
use crate::store::Checkpoint;
use crate::{Error, Result};

/// Key of a checkpoint's metadata for the hash of the data that are stored in files.
pub(super) const CONTENT: &str = "content";

/// The keys of which an experiment has another value than the run had that wrote a checkpoint, but for those that may
/// change on the way.
///
/// # Errors
/// The stored configuration is none that this version reads.
pub fn edits(experiment: &Experiment, path: &Path, checkpoint: &Checkpoint) -> Result<Vec<Difference>> {
    let text = &checkpoint.config;
    let stored = Document::from_str(&path.display().to_string(), text, &[]).and_then(|d| Ok(Experiment::check(&d)?));
    let stored = stored.map_err(|error| {
        let what = format!("its configuration cannot be compared with that of the run: {error}");
        Error::checkpoint(path, what, "go on with the version that wrote it")
    })?;
    Ok(bound(&stored, &experiment.resolved))
}

/// The keys that have another value in `now` than in `before`, but for those that may change while a run goes on.
pub fn bound(before: &Resolved, now: &Resolved) -> Vec<Difference> {
    let mut differing = before.differences(now);
    differing.retain(|difference| !may_change(&difference.key, now));
    differing
}

/// Whether a run may go on with another value of the key at `path`.
fn may_change(path: &str, resolved: &Resolved) -> bool {
    let (first, key) = path.split_once('.').unwrap_or(("", path));
    // An empty list is a value under its own name.
    if read_sections().iter().any(|(section, reader)| section.key == path && *reader == Reader::Onlooker) {
        return true;
    }
    let found = read_sections().into_iter().find(|(section, _)| section.key == first);
    found.is_some_and(|(section, reader)| match section.kind {
        _ if reader == Reader::Onlooker => true,
        SectionKind::Plain(schema) => schema.may_change(key),
        SectionKind::Named { rows, .. } => {
            let spec = resolved.spec(first);
            rows().iter().any(|(name, schema)| *name == spec.name() && schema.may_change(key))
        }
        SectionKind::List { .. } => false,
    })
}

/// What may change, as a hint lists it: sections, and keys of the others that are the same in every experiment.
pub fn changeable() -> Vec<String> {
    let of = |(section, reader): (Section, Reader)| -> Vec<String> {
        let Section { key, kind } = section;
        match kind {
            SectionKind::List { .. } if reader == Reader::Onlooker => vec![format!("[[{key}]]")],
            _ if reader == Reader::Onlooker => vec![format!("[{key}]")],
            SectionKind::Plain(schema) => {
                let keys = schema.keys().into_iter().filter(|doc| schema.may_change(&doc.name));
                keys.map(|doc| if key.is_empty() { doc.name } else { format!("{key}.{}", doc.name) }).collect()
            }
            SectionKind::Named { .. } | SectionKind::List { .. } => Vec::new(),
        }
    };
    read_sections().into_iter().flat_map(of).collect()
}

/// Refuses data of another content than those that a checkpoint was trained on.
pub(super) fn check_content(data: &Data, path: &Path, checkpoint: &Checkpoint) -> Result<()> {
    let before: Option<String> = checkpoint.meta(CONTENT, path)?;
    match (before.as_deref(), data.content()) {
        (Some(before), Some(now)) if before != now => {
            let what = format!(
                "the data are no longer those that it was trained on: the sha256 of `{}` was {before}, is now {now}",
                data.spec().name
            );
            let remedy = "put the files back as they were, or start a new run: ebm train RUN/config.toml --run-dir DIR";
            Err(Error::checkpoint(path, what, remedy))
        }
        _ => Ok(()),
    }
}

/// The best step that a checkpoint knows of; none if the run is judged by another number since.
pub(super) fn best_found(
    experiment: &Experiment,
    path: &Path,
    checkpoint: &Checkpoint,
) -> Result<Option<(u64, Metrics)>> {
    let found: Option<(u64, Metrics)> = checkpoint.meta(Best::META, path)?;
    let stored = Resolved(checkpoint.config.parse().unwrap_or_default()).section("train");
    let now = experiment.resolved.section("train");
    if found.is_some() && ["best", "best_is"].iter().any(|key| stored.get(*key) != now.get(*key)) {
        let (best, step) = (&experiment.train.best, checkpoint.step);
        match best.as_str() {
            "" => tracing::warn!("train.best is empty now: no best step is kept from step {step} on"),
            best => tracing::warn!("train.best is now `{best}`: the best step is looked for from step {step} on"),
        }
        return Ok(None);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steps_depend_on_stays_and_the_rest_may_change() {
        let toml = "[dataset]\nname = \"table\"\n[model]\nname = \"neural\"\n[method]\nname = \"pcd\"\n";
        let resolved = Resolved(toml.parse().unwrap());
        let free = ["device", "train.steps", "train.log_every", "train.best", "probe.0.every", "probe", "sampler.init"];
        for key in free.iter().chain(&["guard.enabled", "dataset.path", "sampler.warm_up.target"]) {
            assert!(may_change(key, &resolved), "{key}");
        }
        let kept = ["seed", "train.batch_size", "train.ema", "train.decay", "optim.lr", "dataset.name", "method.name"];
        for key in kept.iter().chain(&["dataset.label", "model.net.activation", "method.sampler.steps", "new"]) {
            assert!(!may_change(key, &resolved), "{key}");
        }
        let listed = changeable().join(" ");
        assert!(
            listed.contains("device") && listed.contains("train.log_every") && listed.contains("[probe]"),
            "{listed}"
        );
        assert!(!listed.contains("seed") && !listed.contains("batch_size"), "{listed}");
    }
}
