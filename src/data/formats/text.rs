//! Tables as text: a row a line, between commas, semicolons, tabs or blanks.

use std::path::Path;

use super::frame::{Frame, Layout, Lead, delimiter, has_decimal_comma, truth};
use super::vectors::Vectors;
use crate::{Error, Result};

/// The numbers of a text with a row a line.
///
/// # Errors
/// What [`file::read`](super::file::read) refuses.
pub(crate) fn vectors(path: &Path, bytes: &[u8]) -> Result<Vectors> {
    const REMEDY: &str = "one sample a line: numbers between commas, semicolons, tabs or blanks";
    let (mut dim, mut values) = (0, Vec::new());
    rows(path, bytes, &Layout { remedy: REMEDY, ..Layout::default() }, &mut |row| {
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
    pub frame: &'a Frame,
    /// Without an index of the rows.
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

    /// The place of a column in the file, from 1.
    pub(crate) fn place(&self, column: usize) -> usize {
        self.frame.left_out + column + 1
    }

    /// What is wrong in a column of this row.
    pub(crate) fn bad_at(&self, column: usize, what: &str) -> Error {
        let place = self.place(column);
        let name = self.frame.names.get(place - 1).map(|name| format!(" (`{name}`)")).unwrap_or_default();
        self.bad(format!("column {place}{name}: {what}"))
    }

    /// The number in a column; truth values are 0 and 1.
    pub(crate) fn number(&self, column: usize) -> Result<f64> {
        let field = self.fields.get(column).copied().unwrap_or_default();
        let bad = |what: String| Err(self.bad_at(column, &what));
        match field.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            Ok(_) => bad(format!("{field} is not finite")),
            Err(_) if has_decimal_comma(field) => bad(format!("`{field}` has a decimal comma; write a point")),
            Err(_) => truth(field).map_or_else(|| bad(format!("`{}` is no number", short(field))), Ok),
        }
    }
}

/// As much of a field as a message repeats.
fn short(field: &str) -> String {
    const MOST: usize = 60;
    if field.chars().count() <= MOST { field.to_owned() } else { field.chars().take(MOST).chain(['…']).collect() }
}

/// Hands every row of a text to `each`, without the lines that are skipped, comments, names and an index of the rows.
///
/// # Errors
/// What is no text, and what `each` refuses.
pub(crate) fn rows(path: &Path, bytes: &[u8], layout: &Layout, each: &mut dyn FnMut(&Row) -> Result<()>) -> Result<()> {
    let bad = |(line, what): Problem| Error::data(path, format!("line {line}: {what}"), layout.remedy);
    let mut records = Records::new(bytes, layout.skip).map_err(bad)?;
    let Some(first) = records.next().map_err(bad)? else { return Ok(()) };
    let second = records.next().map_err(bad)?;
    let frame = Frame::of(layout, &first.lead(), second.as_ref().map(Record::lead).as_ref());
    let frame = frame.map_err(|what| bad((first.line, what)))?;
    frame.notes.iter().for_each(|note| tracing::warn!("{}: {note}", path.display()));
    let mut ahead = [Some(first).filter(|_| !frame.header), second].into_iter().flatten();
    loop {
        let next = ahead.next().map_or_else(|| records.next(), |record| Ok(Some(record)));
        let Some(record) = next.map_err(bad)? else { return Ok(()) };
        let fields = record.fields();
        let (line, fields) = (record.line, frame.of_row(&fields));
        each(&Row { path, remedy: layout.remedy, line, frame: &frame, fields })?;
    }
}

/// A line, from 1, and what is wrong there.
type Problem = (u64, String);

/// A line of a text, or several where a field has line ends.
struct Record {
    /// Where it begins, from 1.
    line: u64,
    delimiter: u8,
    cells: csv::StringRecord,
    /// Whether every field stands between quotation marks.
    quoted: bool,
}

impl Record {
    fn fields(&self) -> Vec<&str> {
        // Columns padded with blanks leave empty fields between them.
        let kept = |field: &&str| self.delimiter != b' ' || !field.is_empty();
        self.cells.iter().map(str::trim).filter(kept).collect()
    }

    fn lead(&self) -> Lead<'_> {
        Lead { fields: self.fields(), quoted: self.quoted }
    }
}

/// The records of a text that are neither blank nor comments.
struct Records<'a> {
    content: &'a str,
    reader: csv::Reader<&'a [u8]>,
    delimiter: u8,
    /// Of the next byte to be read.
    line: u64,
}

impl<'a> Records<'a> {
    /// Those behind the first `skip` lines.
    fn new(bytes: &'a [u8], skip: usize) -> std::result::Result<Self, Problem> {
        let whole = std::str::from_utf8(bytes)
            .map_err(|e| (1 + newlines(&bytes[..e.valid_up_to()]), format!("is no text in UTF-8{}", kind(bytes))))?;
        let whole = whole.trim_start_matches('\u{feff}');
        let skipped: usize = whole.split_inclusive('\n').take(skip).map(str::len).sum();
        let (above, content) = whole.split_at(skipped);
        let delimiter = delimiter(content);
        let mut options = csv::ReaderBuilder::new();
        options.delimiter(delimiter).has_headers(false).flexible(true).comment(Some(b'#'));
        let reader = options.from_reader(content.as_bytes());
        Ok(Records { content, reader, delimiter, line: 1 + newlines(above.as_bytes()) })
    }

    fn next(&mut self) -> std::result::Result<Option<Record>, Problem> {
        let mut cells = csv::StringRecord::new();
        loop {
            let from = self.reader.position().byte() as usize;
            let read = self.reader.read_record(&mut cells);
            let to = self.reader.position().byte() as usize;
            let raw = self.content.get(from..to).unwrap_or_default();
            // Blank lines and comments stand before a record, and line ends inside of its fields.
            let inside: u64 = cells.iter().map(|field| newlines(field.as_bytes())).sum();
            let own = raw.trim_end_matches(['\r', '\n']);
            let line = (self.line + newlines(own.as_bytes())).saturating_sub(inside);
            self.line += newlines(raw.as_bytes());
            // One that is never closed has all line ends inside.
            let open = inside > 0 && raw.matches('"').count() % 2 == 1;
            match read {
                Ok(true) if open => {
                    let line = self.line.saturating_sub(inside);
                    return Err((line, "no quotation mark closes the one that opens here".into()));
                }
                Ok(true) if own.trim().is_empty() => {}
                Ok(true) => {
                    let (marks, fields) = (own.matches('"').count(), cells.len());
                    let quoted = marks == 2 * fields && own.trim().starts_with('"') && own.trim().ends_with('"');
                    return Ok(Some(Record { line, delimiter: self.delimiter, cells, quoted }));
                }
                Ok(false) => return Ok(None),
                Err(_) => return Err((line, "is no row of numbers".into())),
            }
        }
    }
}

/// `, but …` of what is known by its first bytes.
fn kind(bytes: &[u8]) -> String {
    const KINDS: [(&[u8], &str); 9] = [
        (b"\xff\xfe", "text in UTF-16"),
        (b"\xfe\xff", "text in UTF-16"),
        (b"BZh", "compressed by bzip2"),
        (b"\xfd7zXZ", "compressed by xz"),
        (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
        (b"PAR1", "a Parquet file"),
        (b"\x89HDF", "an HDF5 file"),
        (b"MATLAB 5.0", "a file of MATLAB"),
        (b"\x80", "a pickle of Python"),
    ];
    let found = KINDS.iter().find(|(lead, _)| bytes.starts_with(lead));
    found.map(|(_, what)| format!(", but {what}")).unwrap_or_default()
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|b| **b == b'\n').count() as u64
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
            "a,b,c\r1,-2.5,3e2\r4,5,6\r",
            "1,-2.5,3e2,\n  \n4,5,6,\n",
            "0,1,2\n1,-2.5,3e2\n4,5,6\n",
            ",a,b,c\n17,1,-2.5,3e2\n4,4,5,6\n",
            "\"a\" \"b\" \"c\"\n\"Mazda RX4\" 1 -2.5 3e2\n\"Datsun 710\" 4 5 6\n",
            "\"first\nname\",\"b;\",\"c\"\n\"1\",\"-2.5\",\"3e2\"\n4,5,6\n",
        ] {
            assert_eq!(of(text).unwrap(), want, "{text:?}");
        }
        assert_eq!(of("True,false\nFALSE,true\n").unwrap().values, [1.0, 0.0, 0.0, 1.0]);
        assert_eq!(of("t\n1700000000.25\n").unwrap().values, [1_700_000_000.25], "more than f32 holds");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, says) in [
            ("x,y\n1,2\n3\n", "line 3: has 1 numbers, the rows above have 2"),
            ("1,2\n3,nan\n", "line 2: column 2: nan is not finite"),
            ("1,2\n3,-Infinity\n", "line 2: column 2: -Infinity is not finite"),
            ("1,2\n3,1e999\n", "line 2: column 2: 1e999 is not finite"),
            ("1,two\n", "line 1: column 2: `two` is no number"),
            ("1,2\n\n3,\n", "line 3: column 2: `` is no number"),
            ("1,5;2\n", "line 1: column 1: `1,5` has a decimal comma"),
            ("a,b\n\"1\n\n2\",2\n", "line 2: column 1 (`a`): `1\\n\\n2` is no number"),
            ("\"a\nb\",c\n1,2\nx,3\n", "line 4: column 1 (`a\\nb`): `x` is no number"),
            ("1,2\n3,\"4\n5,6\n7,8\n", "line 2: no quotation mark closes"),
            ("a,b\n1,2,3,4\n", "line 1: has 2 names, the row below 4 numbers"),
            ("1,\u{1b}[2J\n", "column 2: `\\u{1b}[2J` is no number"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.to_string().contains(says) && error.exit_code() == 4, "{text:?}: {error}");
        }
        let long = of(&format!("1,{}\n", "x".repeat(100_000))).unwrap_err().to_string();
        assert!(long.len() < 500, "{} bytes", long.len());
        for (bytes, says) in [(&b"\xff\xfe1\0"[..], "UTF-16"), (b"BZh9\xff", "bzip2"), (b"1,2\n\xe9\n", "line 2: ")] {
            let error = vectors(Path::new("x.csv"), bytes).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("is no text in UTF-8"), "{error}");
        }
    }
}
