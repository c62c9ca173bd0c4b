//! Tables as text: a row a line, between commas, semicolons, tabs or blanks.

use std::io::BufRead;
use std::path::Path;

use super::frame::{Begin, Frame, Layout, has_decimal_comma, truth};
use super::records::{Problem, Record, Records};
use super::vectors::Vectors;
use crate::math::Numeral;
use crate::{Error, Result};

/// A field of a text's rows that is read, by its place, and as what.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// A number.
    Number(usize),
    /// One of these words: 1 in the place of the word among them, and 0 in the places of the others.
    Word(usize, Vec<String>),
}

/// The numbers of a text with a row a line.
///
/// # Errors
/// What [`file::read`](super::file::read) refuses.
pub(crate) fn vectors(path: &Path, bytes: &[u8]) -> Result<Vectors> {
    let mut all = Vectors { dim: 0, values: Vec::new() };
    pieces(path, &mut &*bytes, Begin::default(), (usize::MAX, &[]), &mut |piece| {
        all = piece;
        Ok(())
    })?;
    Ok(all)
}

/// Hands the numbers of a text with a row a line to `each`, at most `most` rows at a time: those of `fields`, in their
/// order, or all where there are none.
///
/// # Errors
/// What [`file::read`](super::file::read) refuses, and what `each` does.
pub(crate) fn pieces(
    path: &Path,
    from: &mut dyn BufRead,
    begin: Begin,
    (most, fields): (usize, &[Field]),
    each: &mut dyn FnMut(Vectors) -> Result<()>,
) -> Result<()> {
    const REMEDY: &str = "one sample a line: numbers between commas, semicolons, tabs or blanks";
    let (mut width, mut dim, mut values) = (0, 0, Vec::new());
    rows(path, from, &Layout { begin, remedy: REMEDY, ..Layout::default() }, &mut |row| {
        width = if width == 0 { row.fields.len() } else { width };
        row.has(width)?;
        let before = values.len();
        match fields {
            [] => (0..width).try_for_each(|column| row.number(column).map(|value| values.push(value)))?,
            fields => fields.iter().try_for_each(|field| row.push(field, &mut values))?,
        }
        dim = values.len() - before;
        if values.len() < dim.saturating_mul(most) {
            return Ok(());
        }
        each(Vectors { dim, values: std::mem::take(&mut values) })
    })?;
    if values.is_empty() { Ok(()) } else { each(Vectors { dim, values }) }
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

    /// Adds the numbers that a field stands for.
    fn push(&self, field: &Field, to: &mut Vec<f64>) -> Result<()> {
        let (column, words) = match field {
            Field::Number(column) => {
                to.push(self.number(*column)?);
                return Ok(());
            }
            Field::Word(column, words) => (*column, words),
        };
        let word = self.fields.get(column).copied().unwrap_or_default();
        // Codes may be written as 1 or as 1.0.
        let number = Numeral::parse(word);
        let is_word = |known: &String| known == word || (number.is_some() && Numeral::parse(known) == number);
        if !words.iter().any(is_word) {
            let what = format!("`{}` is none of {}", short(word), words.join(", "));
            return Err(self.bad_at(column, &what));
        }
        to.extend(words.iter().map(|known| f64::from(is_word(known))));
        Ok(())
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

/// The beginning of a text.
struct Head {
    frame: Frame,
    first: Record,
    second: Option<Record>,
}

/// The first two records of a text, and what they tell; none of a text without records.
fn head(records: &mut Records, layout: &Layout) -> std::result::Result<Option<Head>, Problem> {
    let Some(first) = records.next()? else { return Ok(None) };
    let second = records.next()?;
    let frame = Frame::of(layout, &first.lead(), second.as_ref().map(Record::lead).as_ref());
    let frame = frame.map_err(|what| (first.line, what))?;
    Ok(Some(Head { frame, first, second }))
}

/// The names of the columns of a text, without an index of the rows; none of a text that does not name them.
///
/// # Errors
/// What is no text.
pub(crate) fn names(path: &Path, from: &mut dyn BufRead, begin: Begin) -> Result<Vec<String>> {
    let bad = |(line, what): Problem| Error::data(path, format!("line {line}: {what}"), "a table as text");
    let layout = Layout { begin, ..Layout::default() };
    let found = Records::new(from, begin.skip).and_then(|mut records| head(&mut records, &layout)).map_err(bad)?;
    Ok(found
        .map(|Head { frame, .. }| frame.names.get(frame.left_out..).unwrap_or_default().to_vec())
        .unwrap_or_default())
}

/// Hands every row of a text to `each`, without the lines that are skipped, comments, names and an index of the rows.
///
/// # Errors
/// What is no text, and what `each` refuses.
pub(crate) fn rows(
    path: &Path,
    from: &mut dyn BufRead,
    layout: &Layout,
    each: &mut dyn FnMut(&Row) -> Result<()>,
) -> Result<()> {
    let bad = |(line, what): Problem| Error::data(path, format!("line {line}: {what}"), layout.remedy);
    let mut records = Records::new(from, layout.begin.skip).map_err(bad)?;
    let Some(Head { frame, first, second }) = head(&mut records, layout).map_err(bad)? else { return Ok(()) };
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
