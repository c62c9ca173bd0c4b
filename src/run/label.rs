//! `trial.json`: which trial of a sweep a run is. The sweep writes it before the run begins.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::folder::Paths;
use crate::{Error, Result};

/// The content of `trial.json`: what runs are grouped by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Label {
    /// The arm, in a sweep that has some.
    pub arm: Option<String>,
    /// The swept keys with their values.
    pub settings: BTreeMap<String, Value>,
    /// The seed.
    pub seed: u64,
}

impl Label {
    /// The label of the run in `dir`; nothing for a run that is no trial.
    ///
    /// # Errors
    /// The file cannot be read or holds something else.
    pub fn of(dir: &Path) -> Result<Option<Self>> {
        let path = Paths::of(dir).trial();
        let text = match std::fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(Error::io(&path))?,
        };
        let wrong = |e| Error::data(&path, format!("not the label of a trial: {e}"), "the sweep writes it anew");
        serde_json::from_slice(&text).map_err(wrong)
    }

    /// What the repeats of a trial have in common, which differ in their seeds.
    pub fn setting(&self) -> String {
        json!([self.arm, self.settings]).to_string()
    }

    /// The value of `arm` or of a swept key, as text.
    pub fn value(&self, key: &str) -> Option<String> {
        match key {
            "arm" => self.arm.clone(),
            _ => self.settings.get(key).map(ToString::to_string),
        }
    }
}
