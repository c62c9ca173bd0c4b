//! A file of lines that another process appends to, read as it grows.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Bytes that are read at a time.
const PIECE: u64 = 1 << 22;

/// How far a file has been read.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    /// Behind the last finished line.
    end: u64,
    /// That line and where it begins, which tells whether the file is still the same one.
    last: Option<(u64, Vec<u8>)>,
}

/// What came to the file since it was last looked at.
#[derive(Debug, Default, PartialEq)]
pub struct News {
    /// The file was cut, replaced or removed: what was read of it before holds no longer.
    pub anew: bool,
    /// The finished lines that are new, without their ends.
    pub lines: Vec<Vec<u8>>,
}

impl Tail {
    /// Nothing read yet of a file that need not be there.
    pub fn of(path: &Path) -> Self {
        Tail { path: path.into(), end: 0, last: None }
    }

    /// Reads on. A line without its end is left for the next time.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn news(&mut self) -> Result<News> {
        let mut file = match File::open(&self.path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Ok(News { anew: self.begin_anew(), lines: Vec::new() });
            }
            other => other.map_err(Error::io(&self.path))?,
        };
        let anew = !self.is_the_same(&mut file).map_err(Error::io(&self.path))? && self.begin_anew();
        let mut lines = Vec::new();
        loop {
            let mut bytes = Vec::new();
            let read =
                file.seek(SeekFrom::Start(self.end)).and_then(|_| file.by_ref().take(PIECE).read_to_end(&mut bytes));
            let read = read.map_err(Error::io(&self.path))? as u64;
            let finished = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            for line in bytes.get(..finished).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
                self.last = Some((self.end, line.to_vec()));
                self.end += line.len() as u64;
                lines.push(line.strip_suffix(b"\n").unwrap_or(line).to_vec());
            }
            // A line that is longer than a piece is none of ours.
            if finished == 0 && read == PIECE {
                self.end += PIECE;
            } else if read < PIECE {
                break;
            }
        }
        Ok(News { anew, lines })
    }

    /// Whether the last line that was read is still where it was.
    fn is_the_same(&self, file: &mut File) -> std::io::Result<bool> {
        let Some((start, line)) = &self.last else { return Ok(true) };
        file.seek(SeekFrom::Start(*start))?;
        let mut there = Vec::new();
        file.take(line.len() as u64).read_to_end(&mut there)?;
        Ok(there == *line)
    }

    /// Forgets what was read; whether that was anything.
    fn begin_anew(&mut self) -> bool {
        let read = self.end > 0;
        (self.end, self.last) = (0, None);
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(tail: &mut Tail) -> (bool, String) {
        let News { anew, lines } = tail.news().unwrap();
        (anew, String::from_utf8(lines.join(&b'|')).unwrap())
    }

    #[test]
    fn a_line_is_read_once_and_when_it_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.jsonl");
        let mut tail = Tail::of(&path);
        assert_eq!(news(&mut tail), (false, String::new()));
        for (text, says) in [("a\nb", "a"), ("a\nbc", ""), ("a\nbc\n\nd\n", "bc||d"), ("a\nbc\n\nd\n", "")] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(news(&mut tail), (false, says.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn a_file_that_was_cut_or_replaced_is_read_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.jsonl");
        let mut tail = Tail::of(&path);
        for (text, anew, says) in [
            ("a\nb\nc\n", false, "a|b|c"),
            ("a\nb\n", true, "a|b"),
            ("a\nb\nc\n", false, "c"),
            // Cut back to the first line and grown past where it was.
            ("a\nx\ny\nz\n", true, "a|x|y|z"),
            ("", true, ""),
            ("q\n", false, "q"),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(news(&mut tail), (anew, says.to_owned()), "{text:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(news(&mut tail), (true, String::new()));
        assert_eq!(news(&mut tail), (false, String::new()));
    }
}
