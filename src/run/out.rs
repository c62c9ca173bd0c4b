//! Standard output and standard error, whose readers may leave early: `ebm ls | head -1` is no error, and a run does
//! not end for want of a listener. The one place that writes to them (clippy.toml).

#![allow(clippy::disallowed_methods)]

use std::io::{ErrorKind, IsTerminal as _, Write};
use std::path::Path;

use super::layout;
use crate::error::printable_lines;
use crate::{Error, Result};

/// Writes `text` to standard output, without what a terminal would obey, and flushes; a closed pipe swallows it
/// silently.
///
/// # Errors
/// Standard output cannot be written for another reason, such as a full disk behind a redirection.
pub fn print_out(text: &str) -> Result<()> {
    print_to(&mut std::io::stdout().lock(), text)
}

/// Says a line on standard error, as far as anybody listens.
pub fn say(line: &str) {
    let _ = Listener.write_all(format!("{line}\n").as_bytes());
}

/// The columns of the terminal that standard output is; none for a file or a pipe, where lines are as long as they are.
pub fn columns_of_output() -> Option<usize> {
    layout::columns_of(&std::io::stdout())
}

/// The columns of the terminal that standard error is, if it is one.
pub(super) fn columns_watched() -> Option<usize> {
    layout::columns_of(&std::io::stderr())
}

/// Whether somebody watches standard output on a terminal.
pub fn is_output_watched() -> bool {
    std::io::stdout().is_terminal()
}

/// Whether somebody watches standard error on a terminal.
pub fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

/// Standard error as a writer that never fails: what is said to a closed pipe, a full disk or a terminal that has gone
/// is lost.
pub struct Listener;

impl Write for Listener {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = std::io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn print_to(out: &mut impl Write, text: &str) -> Result<()> {
    printed(out.write_all(printable_lines(text).as_bytes()).and_then(|()| out.flush()))
}

/// The outcome of a write to standard output, which a closed pipe swallows silently.
///
/// # Errors
/// As [`print_out`].
pub fn printed(outcome: std::io::Result<()>) -> Result<()> {
    match outcome {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Error::io(Path::new("standard output"))(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind);
    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_a_full_disk_is() {
        print_to(&mut Failing(ErrorKind::BrokenPipe), "x").unwrap();
        assert_eq!(print_to(&mut Failing(ErrorKind::StorageFull), "x").unwrap_err().exit_code(), 5);
        let mut text = Vec::new();
        print_to(&mut text, "{}\t\u{1b}[2J\n").unwrap();
        assert_eq!(text, b"{}\t\\u{1b}[2J\n");
    }
}
