//! Every way a run can fail, and the exit code it ends with.
//!
//! A message names the path or the key, says what is wrong, and what to do next. `candle` errors
//! are passed on without their backtrace.

mod candle;
pub(crate) mod files;

use std::fmt;
use std::path::{Path, PathBuf};

/// The result of nearly everything here.
pub type Result<T> = std::result::Result<T, Error>;

/// A configuration or a command line that is wrong: what, at which key, and what to do about it.
///
/// [`Error::config`] makes one, [`Error::at`] and [`Error::hint`] add to it. Code that builds something knows the keys
/// of its own section only; the path grows on the way up ([`Spec::within`](crate::config::Spec::within)), and where the
/// file is known, it becomes a line with a caret ([`Document::placed`](crate::config::Document::placed)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigError {
    message: String,
    hint: Option<String>,
    /// Dotted, as `--set` takes it.
    key: Option<String>,
    /// Whether `key` is the path from the top of the file.
    whole_path: bool,
    /// Whether `message` is the whole text, with all problems of a file and their places.
    rendered: bool,
}

impl ConfigError {
    /// Problems whose text is complete.
    pub(crate) fn rendered(text: String) -> Self {
        ConfigError { message: text, rendered: true, ..ConfigError::default() }
    }

    /// The sentence that says what is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub fn remedy(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The path from the top of the file to the key that is wrong, if it is known and not yet part of the text.
    pub fn path(&self) -> Option<&str> {
        self.key.as_deref().filter(|_| self.whole_path && !self.rendered)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lead = if self.rendered { "" } else { "error: " };
        write!(f, "{lead}{}", self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n\nhint: {hint}"))
    }
}

/// What went wrong, grouped by what the caller can do about it (and so by exit code).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration or the command line is wrong.
    #[error("{0}")]
    Config(ConfigError),
    /// A data file is missing, truncated, corrupt or not what its name says.
    #[error("{}: {what}\n\nhint: {remedy}", printable(&path.to_string_lossy()))]
    Data {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, with the offset where one is known.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// A checkpoint cannot be used.
    #[error("checkpoint {}: {what}\n\nhint: {remedy}", printable(&path.to_string_lossy()))]
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
    /// A result that says nothing: chains that left no draws, numbers that are not finite.
    #[error("{what}\n\nhint: {remedy}")]
    Undefined {
        /// Which result, and what became of it.
        what: String,
        /// What to set, or where to look.
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
    /// Another process of the same run does not go on.
    #[error("rank {rank} {what}")]
    Rank {
        /// Its number.
        rank: usize,
        /// What became of it.
        what: String,
        /// Its exit code.
        code: i32,
    },
    /// A signal asked to stop. Those who have saved their work say so.
    #[error("stopped by signal {0}")]
    Interrupted(i32),
    /// A file operation failed.
    #[error("{}: {source}{}", printable(&path.to_string_lossy()), files::hint(source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A tensor operation failed: shapes, data types, device.
    #[error("tensor operation failed: {}", first_line(.0))]
    Tensor(#[source] candle_core::Error),
    /// Anything else, in one sentence.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// The exit code of the process (table in `ebm --help`).
    pub fn exit_code(&self) -> i32 {
        match self {
            Error::Config(_) => 2,
            Error::Diverged { .. } | Error::Undefined { .. } | Error::Trials { diverged: true, .. } => 3,
            Error::Data { .. } | Error::Checkpoint { .. } => 4,
            Error::Resource { .. } => 5,
            Error::Interrupted(signal) => 128 + signal,
            Error::Rank { code, .. } => *code,
            Error::Io { source, .. } if files::out_of_space(source) => 5,
            Error::Io { .. } | Error::Tensor(_) | Error::Trials { .. } | Error::Other(_) => 1,
        }
    }

    /// A configuration error that says `message`.
    pub fn config(message: impl Into<String>) -> Self {
        Error::Config(ConfigError { message: message.into(), ..ConfigError::default() })
    }

    /// Several errors as one mistake of the configuration, with all of their texts.
    pub(crate) fn all_of(errors: &[Error]) -> Self {
        let text = |error: &Error| match error {
            Error::Config(error) => error.to_string(),
            other => format!("error: {other}"),
        };
        Error::Config(ConfigError::rendered(errors.iter().map(text).collect::<Vec<_>>().join("\n\n")))
    }

    /// The error with `key` of the section that is being built as the place; such as `step_size` or `sampler.space`.
    pub fn at(self, key: impl Into<String>) -> Self {
        self.edit(|error| (error.key, error.whole_path) = (Some(key.into()), false))
    }

    /// The error with a key of another section as the place, by its path from the top of the file, such as
    /// `train.epochs`.
    pub fn at_path(self, path: impl Into<String>) -> Self {
        self.edit(|error| (error.key, error.whole_path) = (Some(path.into()), true))
    }

    /// The error with a hint at what to do about it.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        self.edit(|error| error.hint = Some(hint.into()))
    }

    /// The error with `section` in front of its key, or the `name` of `section` where it has no key. `outermost`: the
    /// path is complete then.
    pub(crate) fn within(self, section: &str, outermost: bool) -> Self {
        self.edit(|error| {
            if !error.whole_path {
                let key = error.key.as_deref().unwrap_or("name");
                (error.key, error.whole_path) = (Some(format!("{section}.{key}")), outermost);
            }
        })
    }

    /// Changes a configuration error; errors of other kinds stand in no configuration.
    fn edit(mut self, change: impl FnOnce(&mut ConfigError)) -> Self {
        if let Error::Config(error) = &mut self {
            change(error);
        }
        self
    }

    /// A data error: `path` is wrong in the way `what`, `remedy` mends it. `what` may repeat what the file says.
    pub fn data(path: &Path, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Error::Data { path: path.into(), what: printable(&what.into()), remedy: remedy.into() }
    }

    /// A checkpoint error: `path` is wrong in the way `what`, `remedy` mends it.
    pub fn checkpoint(path: &Path, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Error::Checkpoint { path: path.into(), what: printable(&what.into()), remedy: remedy.into() }
    }

    /// A divergence outside any step: `what` is not what it should be, `remedy` says what to try.
    pub fn diverged(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Error::Diverged { step: None, what: what.into(), remedy: remedy.into() }
    }

    /// The error of a result that says nothing: `what` became of it, `remedy` says what to set.
    pub fn undefined(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Error::Undefined { what: what.into(), remedy: remedy.into() }
    }

    /// Wraps an I/O error with the path it happened at: `.map_err(Error::io(path))`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Error::Io { path: path.into(), source }
    }
}

/// Whether a terminal would obey a character instead of showing it: control characters, and the marks that turn the
/// direction of text.
pub(crate) fn is_command(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// What a file or a command line says, on one line and as a terminal may show it: commands are written out, such as
/// `\n` or `\u{1b}`.
pub fn printable(text: &str) -> String {
    shown(text, is_command)
}

/// A text of several lines as a terminal may show it; line ends and tabs stay.
pub fn printable_lines(text: &str) -> String {
    shown(text, |c| is_command(c) && !matches!(c, '\n' | '\t'))
}

fn shown(text: &str, escaped: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match escaped(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}

fn at(step: Option<u64>) -> String {
    step.map_or_else(String::new, |step| format!(" at step {step}"))
}

/// candle prints a backtrace behind its message when `RUST_BACKTRACE` is set; a user wants the message.
pub(crate) fn first_line(error: &candle_core::Error) -> String {
    let text = match error {
        candle_core::Error::WithBacktrace { inner, .. } => inner.to_string(),
        other => other.to_string(),
    };
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_whose_memory_ran_out_is_a_resource() {
        let driver = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
        for said in [driver, "CublasError(CUBLAS_STATUS_ALLOC_FAILED)", "CudnnError(CUDNN_STATUS_ALLOC_FAILED)"] {
            for error in [candle_core::Error::Cuda(said.into()), candle_core::Error::Cuda(said.into()).bt()] {
                let error = Error::from(error);
                assert_eq!(error.exit_code(), 5, "{said}");
                assert!(error.to_string().contains("batch"), "{error}");
            }
        }
        let other = Error::from(candle_core::Error::Cuda("DriverError(CUDA_ERROR_INVALID_VALUE)".into()));
        assert_eq!(other.exit_code(), 1);
        assert!(other.to_string().contains("INVALID_VALUE"), "{other}");
    }

    #[test]
    fn nothing_out_of_a_file_moves_the_cursor() {
        let hostile = "a\u{1b}[2J\nb\r\u{9b}\u{7f}\u{202e}é";
        assert_eq!(printable(hostile), "a\\u{1b}[2J\\nb\\r\\u{9b}\\u{7f}\\u{202e}é");
        assert_eq!(printable_lines("a\tb\n\u{7}"), "a\tb\n\\u{7}");
        for error in [
            Error::data(Path::new(hostile), hostile, "x"),
            Error::checkpoint(Path::new(hostile), hostile, "x"),
            Error::io(Path::new(hostile))(std::io::Error::other("x")),
        ] {
            let text = error.to_string();
            assert!(!text.replace("\n\nhint: ", "").chars().any(is_command), "{text:?}");
        }
    }
}
