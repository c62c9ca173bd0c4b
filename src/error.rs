//! Every way a run can fail, and the exit code it ends with.
//!
//! A message names the path or the key, says what is wrong, and what to do next. `candle` errors
//! are passed on without their backtrace.

use std::path::{Path, PathBuf};

/// The result of nearly everything here.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, grouped by what the caller can do about it (and so by exit code).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration or the command line is wrong: already rendered, all problems at once.
    #[error("{0}")]
    Config(String),
    /// A data file is missing, truncated, corrupt or not what its name says.
    #[error("{}: {what}\n\nhint: {remedy}", path.display())]
    Data {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, with the offset where one is known.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// A checkpoint cannot be used.
    #[error("checkpoint {}: {what}\n\nhint: {remedy}", path.display())]
    Checkpoint {
        /// The checkpoint file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// Training left the region where numbers mean anything.
    #[error("diverged{}: {what}\n\nhint: {remedy}", at(*.step))]
    Diverged {
        /// The step of the run at which it was noticed; none outside a run.
        step: Option<u64>,
        /// Which quantity or tensor, and its value.
        what: String,
        /// What to try.
        remedy: String,
    },
    /// Memory or disk ran out.
    #[error("{what}\n\nhint: {remedy}")]
    Resource {
        /// What ran out, where.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// Trials of a sweep ended badly; the others are done.
    #[error("{what}\n\nhint: {remedy}")]
    Trials {
        /// Whether all of these diverged, and none failed.
        diverged: bool,
        /// How many, and how.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// SIGINT or SIGTERM: work up to here is saved.
    #[error("stopped by signal {0}; everything up to here is saved")]
    Interrupted(i32),
    /// A file operation failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A tensor operation failed: shapes, data types, device.
    #[error("tensor operation failed: {}", first_line(.0))]
    Tensor(#[from] candle_core::Error),
    /// Anything else, in one sentence.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// The exit code of the process (table in `ebm --help`).
    pub fn exit_code(&self) -> i32 {
        match self {
            Error::Config(_) => 2,
            Error::Diverged { .. } | Error::Trials { diverged: true, .. } => 3,
            Error::Data { .. } | Error::Checkpoint { .. } => 4,
            Error::Resource { .. } => 5,
            Error::Interrupted(signal) => 128 + signal,
            Error::Io { source, .. } if out_of_space(source) => 5,
            Error::Io { .. } | Error::Tensor(_) | Error::Trials { .. } | Error::Other(_) => 1,
        }
    }

    /// A data error: `path` is wrong in the way `what`, `remedy` mends it.
    pub fn data(path: &Path, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Error::Data { path: path.into(), what: what.into(), remedy: remedy.into() }
    }

    /// A checkpoint error: `path` is wrong in the way `what`, `remedy` mends it.
    pub fn checkpoint(path: &Path, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Error::Checkpoint { path: path.into(), what: what.into(), remedy: remedy.into() }
    }

    /// A divergence outside any step: `what` is not what it should be, `remedy` says what to try.
    pub fn diverged(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Error::Diverged { step: None, what: what.into(), remedy: remedy.into() }
    }

    /// Wraps an I/O error with the path it happened at: `.map_err(Error::io(path))`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Error::Io { path: path.into(), source }
    }
}

fn at(step: Option<u64>) -> String {
    step.map_or_else(String::new, |step| format!(" at step {step}"))
}

/// Whether the system says that the disk or a quota is full.
fn out_of_space(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// candle prints a backtrace behind its message when `RUST_BACKTRACE` is set; a user wants the message.
pub(crate) fn first_line(error: &candle_core::Error) -> String {
    let text = match error {
        candle_core::Error::WithBacktrace { inner, .. } => inner.to_string(),
        other => other.to_string(),
    };
    text.lines().next().unwrap_or_default().to_owned()
}
