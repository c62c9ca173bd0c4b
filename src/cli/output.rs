//! What a user sees: data on stdout, everything else on stderr.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::OnceLock;

use serde::Serialize;
use serde_json::{Map, Value};
use tracing_subscriber::EnvFilter;

use super::GlobalArgs;
use crate::metrics::{Metrics, Spent, Unit};
use crate::{Error, Result};

pub use crate::report::aligned as table;
pub use crate::run::print_out as print;

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
    let text = error.to_string();
    let prefix = if text.starts_with("error") { "" } else { "error: " };
    // Nobody is left to tell that stderr is closed.
    let _ = writeln!(std::io::stderr(), "{prefix}{text}");
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

impl std::io::Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::io::stderr().write_all(bytes)?;
        match LOG_FILE.get() {
            Some(mut file) => file.write(bytes),
            None => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
/// What chains or a run asked of the energy, as users read it.
pub fn cost(spent: Spent) -> String {
    let Spent { values, gradients } = spent;
    format!("{gradients} gradients of the energy and {values} energies without one")
}
