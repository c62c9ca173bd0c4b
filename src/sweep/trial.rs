//! One trial: its settings, and a name that follows from them alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::config::{Resolved, Setting};
use crate::store::checkpoint::sha256;

/// One run of a sweep.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Its folder's name: `lsd-dim10-lr1e-3-s0-1f0c2a`. What else the sweep holds does not change it.
    pub id: String,
    /// Its place in the plan.
    pub label: Label,
    /// The experiment file.
    pub config: PathBuf,
    /// `path=value` for `ebm train --set`.
    pub sets: Vec<String>,
    /// The configuration that this comes to; its seed is that of the first trial that shares it.
    pub(super) resolved: Arc<Resolved>,
    with_seed: Arc<Vec<Setting>>,
}

/// The content of `trial.json`: what runs are grouped by.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Label {
    /// The arm, in a sweep that has some.
    pub arm: Option<String>,
    /// The swept keys with their values.
    pub settings: BTreeMap<String, serde_json::Value>,
    /// The seed.
    pub seed: u64,
}

impl Label {
    /// What its repeats have in common, which differ in their seeds.
    pub(super) fn setting(&self) -> String {
        json!([self.arm, self.settings]).to_string()
    }

    /// The value of `arm` or of a swept key, as text.
    pub(super) fn value(&self, key: &str) -> Option<String> {
        match key {
            "arm" => self.arm.clone(),
            _ => self.settings.get(key).map(ToString::to_string),
        }
    }
}

impl Trial {
    /// The complete configuration.
    pub fn resolved(&self) -> Resolved {
        let mut table = self.resolved.0.clone();
        table.insert("seed".into(), toml::Value::Integer(self.label.seed.cast_signed()));
        let mut resolved = Resolved(table);
        for setting in self.with_seed.iter() {
            setting.put_in(&mut resolved, seed_plus(setting, self.label.seed));
        }
        resolved
    }

    /// Its length, in steps or in epochs as its experiment counts.
    pub(super) fn length(&self) -> u64 {
        length(&self.resolved)
    }

    /// Where its tensors live, as the configuration says it.
    pub fn device(&self) -> &str {
        self.resolved.0.get("device").and_then(toml::Value::as_str).unwrap_or("cpu")
    }
}

/// The length of an experiment, in steps or in epochs as it counts.
pub(super) fn length(resolved: &Resolved) -> u64 {
    let train = resolved.section("train");
    let length = |key: &str| train.get(key).and_then(toml::Value::as_integer).and_then(|n| u64::try_from(n).ok());
    length("steps").filter(|n| *n > 0).or_else(|| length("epochs")).unwrap_or(0)
}

/// The value that a key of `with_seed` has in the trial of a seed: its own value plus the seed.
pub(super) fn seed_plus(setting: &Setting, seed: u64) -> toml::Value {
    toml::Value::Integer(setting.value().as_integer().unwrap_or(0).saturating_add(seed.cast_signed()))
}

/// The trials of one point of the plan, which differ in their seeds.
pub(super) struct Naming {
    arm: Option<String>,
    settings: BTreeMap<String, serde_json::Value>,
    readable: String,
    resolved: Arc<Resolved>,
    with_seed: Arc<Vec<Setting>>,
}

impl Naming {
    /// The point where `swept` have these values, and `with_seed` follow the seed.
    pub fn new(arm: Option<&str>, swept: &[Setting], resolved: &Resolved, with_seed: &[Setting]) -> Self {
        let value = |setting: &Setting| setting.value_in(resolved);
        let plain = |v: toml::Value| serde_json::to_value(v).unwrap_or_default();
        let settings = swept.iter().map(|setting| (setting.path(), plain(value(setting)))).collect();
        let last = |setting: &Setting| setting.path().rsplit('.').next().unwrap_or_default().to_owned();
        let word = |setting: &Setting| {
            let shared = swept.iter().filter(|other| last(other) == last(setting)).count() > 1;
            let key = if shared { setting.path() } else { last(setting) };
            let key = if key == "name" { String::new() } else { key };
            safe(&key, 24) + &safe(&shown(&value(setting)), 24)
        };
        let words: Vec<String> = arm.map(str::to_owned).into_iter().chain(swept.iter().map(word)).collect();
        Naming {
            arm: arm.map(str::to_owned),
            settings,
            readable: words.join("-"),
            resolved: Arc::new(resolved.clone()),
            with_seed: Arc::new(with_seed.to_vec()),
        }
    }

    /// The trial with this seed.
    pub fn trial(&self, seed: u64, config: PathBuf, sets: Vec<String>) -> Trial {
        let label = Label { arm: self.arm.clone(), settings: self.settings.clone(), seed };
        let hash = sha256(json!(label).to_string().as_bytes());
        let readable: String = self.readable.chars().take(120).collect();
        let gap = if readable.is_empty() { "" } else { "-" };
        let id = format!("{readable}{gap}s{seed}-{}", hash.get(..6).unwrap_or_default());
        Trial { id, label, config, sets, resolved: Arc::clone(&self.resolved), with_seed: Arc::clone(&self.with_seed) }
    }
}

/// A value as part of a name: `1e-3`, `rings`, `300x300`.
fn shown(value: &toml::Value) -> String {
    match value {
        toml::Value::Float(x) => number(*x),
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join("x"),
        toml::Value::Table(table) => table.get("name").map(shown).unwrap_or_default(),
        other => other.to_string(),
    }
}

/// The shorter of `0.001` and `1e-3`.
fn number(x: f64) -> String {
    let (plain, short) = (x.to_string(), format!("{x:e}"));
    if short.len() < plain.len() { short } else { plain }
}

/// Letters, digits and `_ - .` only, at most `length` of them.
fn safe(text: &str, length: usize) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '_' };
    text.chars().map(keep).take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;

    fn id(plan: &str, resolved: &str, seed: u64) -> String {
        let document = Document::from_str("plan.toml", plan, &[]).unwrap();
        let swept = Setting::all(document.view(), &|_| false).unwrap();
        let resolved = Resolved(toml::from_str(resolved).unwrap());
        Naming::new(Some("lsd"), &swept, &resolved, &[]).trial(seed, PathBuf::new(), Vec::new()).id
    }

    #[test]
    fn names_say_what_was_swept_and_follow_from_it_alone() {
        let plan = "\"dataset.dim\" = 10\n\"optim.lr\" = 0.001\n\"dataset.name\" = \"rings\"\n\"m.hidden\" = [8, 8]\n";
        let name = id(plan, "", 3);
        assert!(name.starts_with("lsd-dim10-lr1e-3-rings-hidden8x8-s3-"), "{name}");
        assert_eq!(name, id(plan, "other = 5", 3));
        assert_ne!(name, id(plan, "", 4));
        // One number, however it is written; two keys of one name are told apart.
        let one = |lr: &str| id(&format!("\"optim.lr\" = {lr}"), "[optim]\nlr = 1.0", 0);
        assert_eq!(one("1"), one("1.0"));
        assert!(id("\"a.lr\" = 1\n\"b.lr\" = 2\n", "", 0).starts_with("lsd-a.lr1-b.lr2-s0-"));
        let odd = id("\"x.y\" = \"../a b/é\"\n", "", 0);
        assert!(odd.starts_with("lsd-y.._a_b__-s0-"), "{odd}");
    }
}
