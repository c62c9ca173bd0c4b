//! Standard output, whose reader may leave early: `ebm ls | head -1` is no error.

use std::io::{ErrorKind, Write};
use std::path::Path;

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

fn print_to(out: &mut impl Write, text: &str) -> Result<()> {
    match out.write_all(printable_lines(text).as_bytes()).and_then(|()| out.flush()) {
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
