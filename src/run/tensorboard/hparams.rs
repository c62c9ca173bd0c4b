//! The two summaries from which TensorBoard's HParams plugin makes its table: what a run was given, and how it ended.
//!
//! A run is a session. Without a summary of the whole experiment the plugin takes the columns from all sessions below
//! its folder, so that a sweep, or any folder of runs, is one table and no run must know the others.

use std::path::Path;

use serde_json::Value;

use super::{EventLog, Message, since_epoch};
use crate::config::Resolved;
use crate::run::folder::Paths;
use crate::run::label::Label;
use crate::run::manifest::Status;
use crate::{Error, Result};

const PLUGIN: &[u8] = b"hparams";

/// Fields of `HParamsPluginData`, and the words for how a session ended.
const START: u64 = 3;
const END: u64 = 4;
const SUCCESS: u64 = 1;
const FAILURE: u64 = 2;

/// What the run in `dir` was given: the settings of a trial, or of a run that is none, every key of its configuration.
fn settings(dir: &Path) -> Vec<(String, Value)> {
    // A label or a configuration that cannot be read costs the table a row and the run nothing.
    if let Some(label) = Label::of(dir).ok().flatten() {
        let arm = label.arm.map(|arm| ("arm".to_owned(), arm.into()));
        return arm.into_iter().chain(label.settings).chain([("seed".to_owned(), label.seed.into())]).collect();
    }
    let text = std::fs::read_to_string(Paths::of(dir).config()).unwrap_or_default();
    let leaves = Resolved(toml::from_str(&text).unwrap_or_default()).leaves();
    // Numbers, words in quotes, true and false are the same in TOML and in JSON; a list stays a text.
    let value = |text: String| match serde_json::from_str(&text) {
        Ok(value @ (Value::Number(_) | Value::String(_) | Value::Bool(_))) => value,
        _ => Value::String(text),
    };
    leaves.into_iter().map(|(key, text)| (key, value(text))).collect()
}

impl EventLog {
    /// Writes what the run in `dir` was given.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin_session(&mut self, dir: &Path) -> Result<()> {
        let settings = settings(dir);
        self.session(b"_hparams_/session_start_info", START, |start| {
            for (key, value) in &settings {
                start.message(1, |entry| {
                    entry.bytes(1, key.as_bytes());
                    entry.message(2, |field| written(field, value));
                });
            }
            start.fixed64(5, since_epoch());
        })
    }

    /// Writes how the run in `dir` ended, behind what it wrote last. A run that may go on has not ended: what is said
    /// first of a session counts.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn end_session(dir: &Path, status: Status) -> Result<()> {
        let word = match status {
            Status::Finished => SUCCESS,
            Status::Diverged => FAILURE,
            Status::Running | Status::Interrupted | Status::Stopped | Status::Failed => return Ok(()),
        };
        let Some(mut log) = Self::newest(dir)? else { return Ok(()) };
        log.session(b"_hparams_/session_end_info", END, |end| {
            end.varint(1, word);
            end.fixed64(2, since_epoch());
        })
    }

    /// The file of `dir` that was written to last.
    fn newest(dir: &Path) -> Result<Option<Self>> {
        let files = std::fs::read_dir(dir).map_err(Error::io(dir))?.flatten();
        let ours = files.filter(|file| file.file_name().to_string_lossy().starts_with("events.out.tfevents."));
        let newest = ours.max_by_key(|file| (file.metadata().and_then(|m| m.modified()).ok(), file.file_name()));
        let Some(path) = newest.map(|file| file.path()) else { return Ok(None) };
        let file = std::fs::File::options().append(true).open(&path).map_err(Error::io(&path))?;
        Ok(Some(EventLog { path, file }))
    }

    /// A summary without a value, whose metadata is the plugin's.
    fn session(&mut self, tag: &[u8], field: u64, fill: impl FnOnce(&mut Message)) -> Result<()> {
        let mut data = Message::default();
        data.message(field, fill);
        self.event(0, |event| {
            event.message(5, |summary| {
                summary.message(1, |row| {
                    row.bytes(1, tag);
                    row.message(9, |metadata| {
                        metadata.message(1, |plugin| {
                            plugin.bytes(1, PLUGIN);
                            plugin.bytes(2, &data.0);
                        });
                    });
                });
            });
        })
    }
}

/// A `google.protobuf.Value`.
fn written(field: &mut Message, value: &Value) {
    match value {
        Value::Number(number) => field.fixed64(2, number.as_f64().unwrap_or(f64::NAN)),
        Value::Bool(yes) => field.varint(4, u64::from(*yes)),
        Value::String(text) => field.bytes(3, text.as_bytes()),
        other => field.bytes(3, other.to_string().as_bytes()),
    }
}
