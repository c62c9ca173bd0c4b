//! What a user sees: data on stdout, everything else on stderr.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

use serde::Serialize;
use serde_json::{Map, Value};
use tracing_subscriber::EnvFilter;

use super::GlobalArgs;
use crate::error::printable_lines;
use crate::metrics::{Metrics, Spent, Unit};
use crate::run::{bar, layout, show};
use crate::{Error, Result};

pub use crate::run::layout::aligned as table;
use crate::run::{Listener, say};
pub use crate::run::{columns_of_output as columns, print_out as print, printed};

/// Heads with what there is to say about each beside it, in lines that fit the terminal. `widest` is the widest head.
pub fn list<'a>(rows: impl IntoIterator<Item = (&'a str, &'a str)>, widest: usize) -> String {
    rows.into_iter().map(|(head, about)| layout::beside(head, widest + 2, about, columns())).collect()
}

/// Rows below their header as a table where the terminal is wide enough, else as blocks.
pub fn fitted(rows: &[Vec<String>]) -> String {
    layout::fitted(rows, columns())
}

/// Writes one JSON document to stdout.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::Other(format!("cannot write JSON: {e}")))?;
    print(&(text + "\n"))
}

/// Numbers as JSON: counts are whole, all others have a fraction.
pub fn numbers(metrics: &Metrics, unit: impl Fn(&str) -> Unit) -> Map<String, Value> {
    const EXACT: f64 = (1u64 << f64::MANTISSA_DIGITS) as f64;
    let value = |name: &str, v: f64| match unit(name) {
        Unit::Count | Unit::Hash if v.fract() == 0.0 && (0.0..EXACT).contains(&v) => Value::from(v as u64),
        _ => Value::from(v),
    };
    metrics.iter().map(|(name, v)| (name.to_owned(), value(name, v))).collect()
}

/// The final word on stderr. Diagnostics come rendered, with their own `error:`.
pub fn print_error(error: &Error) {
    let text = printable_lines(&error.to_string());
    let prefix = if text.starts_with("error") { "" } else { "error: " };
    say(&format!("{prefix}{text}"));
}

/// Sets the log level from `-q`, `-v` and `RUST_LOG`; logs go to stderr.
pub fn start_log(global: &GlobalArgs) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => "ebm=warn",
        (false, 0) => "ebm=info",
        (false, 1) => "ebm=debug",
        (false, _) => "ebm=trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Tee);
    // A second subscriber (tests) keeps the first.
    let _ = log.with_ansi(false).with_target(false).without_time().try_init();
}

/// Log lines go to stderr, and to the run's `log.txt` once there is a run.
struct Tee;

static LOG_FILE: OnceLock<File> = OnceLock::new();

/// From here on, everything logged is also appended to this file.
///
/// # Errors
/// The file cannot be opened.
pub fn log_to(path: &Path) -> Result<()> {
    let file = File::options().create(true).append(true).open(path).map_err(Error::io(path))?;
    // A process has one run; a second file (tests) is not wanted.
    let _ = LOG_FILE.set(file);
    Ok(())
}

impl Write for Tee {
    /// Never fails: a run is not stopped by what it cannot say. A full disk stops it at its metrics and checkpoints.
    /// The subscriber writes a line in one piece.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = printable_lines(&String::from_utf8_lossy(bytes));
        if let Some(mut file) = LOG_FILE.get() {
            let _ = file.write_all(text.as_bytes());
        }
        bar::aside(|| Listener.write_all(text.as_bytes()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What chains or a run asked of the energy, as users read it.
pub fn cost(spent: Spent) -> String {
    let energies = if spent.values == 1 { "energy" } else { "energies" };
    let values = show::value(Unit::Count, spent.values as f64, 0);
    format!("{} of the energy and {values} {energies} without one", show::counted(spent.gradients, "gradient"))
}
