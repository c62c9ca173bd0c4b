//! What can be asked of a run by name: keys of its configuration, its numbers, and how it stands.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use serde_json::{Value, json};

use super::Run;
use super::json::{number, typed};
use crate::config::nearest;
use crate::run::evaluations::PREFIX;
use crate::run::{Declared, Reporter};
use crate::shell;

/// The value behind a name.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact<'a> {
    /// A number that the run reported, or counted.
    Number(f64),
    /// A key of the configuration, as it is written there without quotes; or a word of the run.
    Text(Cow<'a, str>),
    /// Tags.
    Words(&'a BTreeSet<String>),
}

impl Fact<'_> {
    /// In full.
    pub fn text(&self) -> String {
        match self {
            Fact::Number(number) => number.to_string(),
            Fact::Text(text) => text.clone().into_owned(),
            Fact::Words(words) => words.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
        }
    }

    /// As JSON: numbers as numbers, several words as a list.
    pub fn json(&self) -> Value {
        match self {
            Fact::Number(value) => number(*value),
            Fact::Text(text) => typed(text),
            Fact::Words(words) => json!(words),
        }
    }
}

/// The names that every run answers to, or would if it had the thing: a note, tags, an arm.
const ALWAYS: [&str; 10] = ["run", "name", "status", "step", "started", "seconds", "tags", "note", "arm", "seed"];

/// Whether a run may lack what the name stands for without anybody having misspelt it.
pub fn is_always_known(name: &str) -> bool {
    ALWAYS.contains(&name)
}

impl Run {
    /// What the run has under a name: `name` (its folder's), `step`, `started`, `seconds`, `tags`, `note`; else a key
    /// of the configuration, of which `method` is short for `method.name`; else a number of the last logged step.
    pub fn fact(&self, name: &str) -> Option<Fact<'_>> {
        let text = |text: &'_ str| (!text.is_empty()).then(|| Fact::Text(text.to_owned().into()));
        match name {
            "name" => text(&self.name()),
            "step" => self.step.map(|step| Fact::Number(step as f64)),
            "started" => text(&self.started),
            "seconds" => self.seconds().map(Fact::Number),
            "tags" => Some(Fact::Words(&self.remarks.tags)),
            "note" => text(&self.remarks.note),
            _ => {
                let key = self.key(name).map(|value| Fact::Text(value.into()));
                key.or_else(|| self.last.get(name).map(Fact::Number))
            }
        }
    }

    /// The name of its folder.
    pub fn name(&self) -> String {
        self.dir.file_name().map_or_else(|| self.dir.display().to_string(), |name| name.to_string_lossy().into_owned())
    }
}

/// The names of `asked` that stand for nothing in any of `runs`.
pub fn missing<'a>(asked: &[&'a str], runs: &[&Run]) -> Vec<&'a str> {
    let known = |name: &str| is_always_known(name) || runs.iter().any(|run| run.fact(name).is_some());
    asked.iter().filter(|name| !known(name)).copied().collect()
}

/// What to write in the place of a name that no run has.
pub fn hint_at_name(wrong: &str, runs: &[&Run]) -> String {
    let later = format!("{PREFIX}{wrong}");
    if runs.iter().any(|run| run.last.get(&later).is_some()) {
        return format!("it was found after training, by `eval --keep`: `{later}`");
    }
    let mut known: HashSet<&str> = ALWAYS.into_iter().collect();
    for run in runs {
        known.extend(run.keys().flat_map(|(key, _)| [Some(key), key.strip_suffix(".name")]).flatten());
        known.extend(run.last.iter().map(|(name, _)| name));
    }
    let mut known: Vec<&str> = known.into_iter().collect();
    // The shorter of two that are as near, whatever the order of a set.
    known.sort_by_key(|name| (name.len(), *name));
    match (nearest(wrong, &known), Declared::everything().find(wrong).map(|declared| declared.by)) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, Some(Reporter::Probe(probe))) => {
            format!("the probe `{probe}` reports it, which none of these runs has")
        }
        _ => format!(
            "names are keys of the configuration (`{}` shows them), numbers that the runs report, and {}",
            shell::ebm("show RUN"),
            ALWAYS.join(", ")
        ),
    }
}
