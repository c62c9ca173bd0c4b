//! Tables as text: a row a line, between commas, semicolons, tabs or blanks.

use std::path::Path;

use super::vectors::Vectors;
use crate::{Error, Result};

/// The numbers of a text with a row a line.
///
/// # Errors
/// What [`file::read`](super::file::read) refuses.
pub(crate) fn vectors(path: &Path, bytes: &[u8]) -> Result<Vectors> {
    let (mut dim, mut values) = (0, Vec::new());
    rows(path, bytes, 0, REMEDY, &mut |row| {
        dim = if dim == 0 { row.fields.len() } else { dim };
        row.has(dim)?;
        for column in 0..dim {
            values.push(row.number(column)?);
        }
        Ok(())
    })?;
    Ok(Vectors { dim, values })
}

/// One row of a text.
pub(crate) struct Row<'a> {
    path: &'a Path,
    remedy: &'static str,
    /// From 1.
    line: u64,
    /// The names of the columns; empty if the text has none.
    pub names: &'a [String],
    pub fields: &'a [&'a str],
}

impl Row<'_> {
    /// What is wrong with this row.
    pub(crate) fn bad(&self, what: String) -> Error {
        Error::data(self.path, format!("line {}: {what}", self.line), self.remedy)
    }

    /// Refuses a row of another length.
    pub(crate) fn has(&self, width: usize) -> Result<()> {
        match self.fields.len() {
            n if n == width => Ok(()),
            n => Err(self.bad(format!("has {n} numbers, the rows above have {width}"))),
        }
    }

    /// The number in a column.
    pub(crate) fn number(&self, column: usize) -> Result<f32> {
        let field = self.fields.get(column).copied().unwrap_or_default();
        let name = self.names.get(column).map(|name| format!(" (`{name}`)")).unwrap_or_default();
        let at = format!("column {}{name}", column + 1);
        match field.parse::<f32>() {
            Ok(value) if value.is_finite() => Ok(value),
            Ok(_) => Err(self.bad(format!("{at}: {field} is not finite in f32"))),
            Err(_) => Err(self.bad(format!("{at}: `{field}` is no number"))),
        }
    }
}

/// What to do about a text of samples that cannot be read.
const REMEDY: &str = "one sample a line: numbers between commas, semicolons, tabs or blanks";

/// Hands every row of a text to `each`, without the first `skip` lines, comments, and a first line that has names only;
/// `remedy` is what errors advise.
///
/// # Errors
/// What is no text, and what `each` refuses.
pub(crate) fn rows(
    path: &Path,
    bytes: &[u8],
    skip: usize,
    remedy: &'static str,
    each: &mut dyn FnMut(&Row) -> Result<()>,
) -> Result<()> {
    let bad = |line: u64, what: &str| Error::data(path, format!("line {line}: {what}"), remedy);
    let whole = std::str::from_utf8(bytes).map_err(|e| bad(newlines(&bytes[..e.valid_up_to()]), "is no text"))?;
    let skipped: usize = whole.split_inclusive('\n').take(skip).map(str::len).sum();
    let (above, content) = whole.split_at(skipped);
    let content = content.trim_start_matches('\u{feff}');
    let before = newlines(above.as_bytes()) - 1;
    let delimiter = delimiter(content);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(content.as_bytes());
    let (mut names, mut first) = (Vec::new(), true);
    let mut record = csv::StringRecord::new();
    loop {
        let read = reader.read_record(&mut record);
        // A record begins where the last one ended, before blank lines and comments: its own line is where it ends.
        let end = content.get(..reader.position().byte() as usize).unwrap_or(content);
        let line = before + newlines(end.trim_end_matches(['\r', '\n']).as_bytes());
        match read {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(_) => return Err(bad(line, "is no row of numbers")),
        }
        // Columns padded with blanks leave empty fields between them.
        let fields: Vec<&str> = record.iter().filter(|f| delimiter != b' ' || !f.is_empty()).collect();
        let header = first && fields.iter().all(|f| f.parse::<f64>().is_err());
        first = false;
        if header {
            names = fields.iter().map(|name| name.to_string()).collect();
        } else if !fields.is_empty() {
            each(&Row { path, remedy, line, names: &names, fields: &fields })?;
        }
    }
}

/// The line that follows so much text, from 1.
fn newlines(bytes: &[u8]) -> u64 {
    1 + bytes.iter().filter(|b| **b == b'\n').count() as u64
}

/// What stands between the numbers of the first row that is no comment.
fn delimiter(content: &str) -> u8 {
    let row = content.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#')).unwrap_or_default();
    *[b';', b',', b'\t'].iter().find(|d| row.as_bytes().contains(d)).unwrap_or(&b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vectors> {
        vectors(Path::new("x.csv"), text.as_bytes())
    }

    #[test]
    fn every_way_to_write_two_rows_is_read() {
        let want = Vectors { dim: 3, values: vec![1.0, -2.5, 300.0, 4.0, 5.0, 6.0] };
        for text in [
            "1,-2.5,3e2\n4,5,6\n",
            "a,b,c\r\n1, -2.5, 3e2\r\n4,5,6",
            "\u{feff}\"x 1\";y;z\n1;-2.5;3e2\n\n4;5;6\n",
            "# numpy.savetxt\n1\t-2.5\t3e2\n4\t5\t6\n",
            "  1   -2.5  3e2\n  4    5    6 \n",
        ] {
            assert_eq!(of(text).unwrap(), want, "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, says) in [
            ("x,y\n1,2\n3\n", "line 3: has 1 numbers, the rows above have 2"),
            ("1,2\n3,nan\n", "line 2: column 2: nan is not finite"),
            ("1,2\n3,1e99\n", "line 2: column 2: 1e99 is not finite"),
            ("1,two\n", "line 1: column 2: `two` is no number"),
            ("1,2\n\n3,\n", "line 3: column 2: `` is no number"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.to_string().contains(says) && error.exit_code() == 4, "{text:?}: {error}");
        }
    }
}
