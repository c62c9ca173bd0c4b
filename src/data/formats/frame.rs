//! The columns of a text, as its first lines tell: what stands between them, their names, which ones are no numbers.

use serde::{Deserialize, Serialize};

/// Whether the first line names the columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Header {
    /// If it looks so.
    #[default]
    Auto,
    /// It does, numbers or not.
    Yes,
    /// It is a row.
    No,
}

/// Where the rows of a text begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Begin {
    /// Lines above the table that are left out.
    pub skip: usize,
    /// Whether the first line names the columns.
    pub header: Header,
}

/// What is known of a text before it is read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Layout<'a> {
    /// Where its rows begin.
    pub begin: Begin,
    /// The column of labels, by its name or number; empty without.
    pub label: &'a str,
    /// What errors advise.
    pub remedy: &'static str,
    /// What follows a sentence on a first line that was taken for names: how to have it as a row.
    pub unless: &'static str,
}

/// One of the first two records of a text.
pub(crate) struct Lead<'a> {
    pub fields: Vec<&'a str>,
    /// Whether every field stands between quotation marks.
    pub quoted: bool,
}

/// What there is in every row.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Frame {
    /// Of all columns of the file; empty if it does not name them.
    pub names: Vec<String>,
    /// Columns of the file.
    pub width: usize,
    /// The first so many are an index of the rows and left out.
    pub left_out: usize,
    /// Whether the first line names the columns.
    pub header: bool,
    /// Whether rows end in a delimiter with nothing behind it.
    trailing: bool,
    /// What a user should know of how the text was understood.
    pub notes: Vec<String>,
}

impl Frame {
    /// What the first two records tell.
    ///
    /// # Errors
    /// More or fewer names than columns, in words.
    pub(crate) fn of(layout: &Layout, first: &Lead, second: Option<&Lead>) -> Result<Frame, String> {
        let mut frame = Frame { header: is_header(layout, first, second), ..Frame::default() };
        if layout.begin.header == Header::Auto && counts(&first.fields) {
            frame.notes.push(format!("line 1 counts the columns and is taken for their names{}", layout.unless));
        }
        let row = match (frame.header, second) {
            (false, _) => &first.fields,
            (true, Some(second)) => &second.fields,
            (true, None) => return Ok(frame),
        };
        if frame.header {
            frame.names = first.fields.iter().map(|name| (*name).to_owned()).collect();
        }
        let nameless = |names: &[String]| names.last().is_none_or(String::is_empty);
        frame.trailing = row.len() > 1
            && row.last().is_some_and(|field| field.is_empty())
            && (nameless(&frame.names) || frame.names.len() + 1 == row.len());
        frame.width = row.len() - usize::from(frame.trailing);
        if frame.names.len() == frame.width + 1 && nameless(&frame.names) {
            frame.names.pop();
        }
        // R names the columns and not that of the names of the rows.
        if frame.header && frame.names.len() + 1 == frame.width {
            frame.names.insert(0, String::new());
        }
        if frame.header && frame.names.len() != frame.width {
            return Err(format!("has {} names, the row below {} numbers", frame.names.len(), frame.width));
        }
        frame.leave_out_index(layout.label);
        Ok(frame)
    }

    /// A column at the left without a name, as pandas and R write the numbers or names of the rows, is no number of the
    /// items; unless it is the one of the labels.
    fn leave_out_index(&mut self, label: &str) {
        let unnamed = |name: &&String| name.is_empty() || name.starts_with("Unnamed: ");
        let unnamed = self.names.iter().take_while(unnamed).count();
        if unnamed == 0 || unnamed == self.width {
            return;
        }
        self.left_out = column(label, &self.names, self.width).map_or(unnamed, |label| label.min(unnamed));
        if self.left_out > 0 {
            let what = if self.left_out == 1 { "column 1 has" } else { "the first columns have" };
            self.notes.push(format!(
                "{what} no name and is left out, as an index of the rows; give it a name to keep it as a number"
            ));
        }
    }

    /// The fields of a row without what is left out.
    pub(crate) fn of_row<'r, 'f>(&self, fields: &'r [&'f str]) -> &'r [&'f str] {
        let fields = match fields {
            [rest @ .., ""] if self.trailing && rest.len() == self.width => rest,
            fields => fields,
        };
        fields.get(self.left_out..).unwrap_or_default()
    }
}

/// Which of `width` columns a name or a number means.
pub(crate) fn column(label: &str, names: &[String], width: usize) -> Option<usize> {
    let place = |n: i64| usize::try_from(if n < 0 { n + width as i64 } else { n }).ok().filter(|c| *c < width);
    let named = names.iter().position(|name| name == label).filter(|_| !label.is_empty());
    named.or_else(|| label.parse().ok().and_then(place))
}

/// `-1,5`: digits on both sides of one comma.
pub(super) fn has_decimal_comma(field: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let sides = field.trim_start_matches(['+', '-']).split_once(',');
    sides.is_some_and(|(whole, part)| digits(whole) && digits(part))
}

/// 1 of `True`, 0 of `False`, as pandas and R write truth values.
pub(super) fn truth(field: &str) -> Option<f64> {
    let is = |word: &str| field.eq_ignore_ascii_case(word);
    if is("true") { Some(1.0) } else { is("false").then_some(0.0) }
}

fn is_header(layout: &Layout, first: &Lead, second: Option<&Lead>) -> bool {
    let fields = &first.fields;
    let is_word = |f: &&str| f.parse::<f64>().is_err() && !has_decimal_comma(f) && truth(f).is_none();
    let words = fields.iter().all(is_word) && fields.iter().any(|f| !f.is_empty());
    let names_the_label = layout.label.parse::<i64>().is_err() && !layout.label.is_empty();
    let quoted = first.quoted && second.is_some_and(|second| !second.quoted);
    match layout.begin.header {
        Header::Yes => true,
        Header::No => false,
        Header::Auto => words || counts(fields) || quoted || (names_the_label && fields.contains(&layout.label)),
    }
}

/// Whether a line is 0, 1, 2 …, as pandas names columns that have no names: of three or more, since two may well be an
/// item, or behind the empty name of an index.
fn counts(fields: &[&str]) -> bool {
    let (rest, least) = match fields {
        ["", rest @ ..] => (rest, 1),
        fields => (fields, 3),
    };
    rest.len() >= least && rest.iter().enumerate().all(|(i, field)| *field == i.to_string())
}

/// What stands between the fields of a text: what leaves the most numbers in its first two lines.
pub(crate) fn delimiter(content: &str) -> u8 {
    let lines = first_lines(content);
    let numbers = |delimiter: char| -> usize {
        let number = |f: &&str| f.parse::<f64>().is_ok() || has_decimal_comma(f);
        lines.iter().map(|line| split(line, delimiter).map(str::trim).filter(number).count()).sum()
    };
    let present = [';', '\t', ','].into_iter().filter(|d| lines.iter().any(|line| split(line, *d).nth(1).is_some()));
    let best = present.reduce(|best, d| if numbers(d) > numbers(best) { d } else { best });
    best.map_or(b' ', |best| best as u8)
}

/// The first two lines that are neither blank nor comments; a line goes on inside of quotation marks.
fn first_lines(content: &str) -> Vec<&str> {
    let kept = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
    split(content, '\n').filter(kept).take(2).collect()
}

/// The parts of a text between delimiters that stand outside of quotation marks.
fn split(text: &str, delimiter: char) -> impl Iterator<Item = &str> {
    let mut inside = false;
    let at = move |c: char| {
        inside ^= c == '"';
        c == delimiter && !inside
    };
    text.split(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(layout: &Layout, lines: [&'static str; 2]) -> Result<Frame, String> {
        let lead = |line: &'static str| Lead { fields: line.split(',').collect(), quoted: line.starts_with('"') };
        Frame::of(layout, &lead(lines[0]), Some(&lead(lines[1])))
    }

    #[test]
    fn first_lines_that_are_names_are_told_from_rows() {
        let auto = Layout::default();
        for (line, row, header) in [
            ("a,b,c", "1,2,3", true),
            ("0,1,2", "5,3,1", true),
            (",0", "0,0.5", true),
            ("\"2019\",\"2020\"", "1,2", true),
            ("0,1", "1,2", false),
            ("1,2,3", "4,5,6", false),
            ("0,1,3", "4,5,6", false),
            ("1,two", "3,4", false),
            (",", "1,2", false),
        ] {
            assert_eq!(frame(&auto, [line, row]).unwrap().header, header, "{line}");
        }
        let lines = ["2019,2020", "1.5,2.5"];
        assert!(frame(&Layout { begin: Begin { skip: 0, header: Header::Yes }, ..auto }, lines).unwrap().header);
        assert!(
            !frame(&Layout { begin: Begin { skip: 0, header: Header::No }, ..auto }, ["0,1,2", "3,4,5"])
                .unwrap()
                .header
        );
        assert!(frame(&Layout { label: "kind", ..auto }, ["2019,kind", "1.5,a"]).unwrap().header);
    }

    #[test]
    fn an_index_of_the_rows_is_left_out() {
        for (label, names, row, left_out) in [
            ("", ",a,b", "7,1,2", 1),
            ("", "Unnamed: 0,a,b", "0,1,2", 1),
            ("", ",Unnamed: 0,b", "0,1,2", 2),
            ("", "a,b", "x,1,2", 1),
            ("0", ",a,b", "7,1,2", 0),
            ("-3", ",a,b", "7,1,2", 0),
            ("Unnamed: 0", ",Unnamed: 0,b", "0,1,2", 1),
            ("", "a,,b", "7,1,2", 0),
        ] {
            let layout = Layout { label, ..Layout::default() };
            let frame = frame(&layout, [names, row]).unwrap();
            assert_eq!((frame.left_out, frame.width, frame.names.len()), (left_out, 3, 3), "{names}");
            assert_eq!(frame.notes.len(), usize::from(left_out > 0), "{names}");
        }
        assert_eq!(frame(&Layout::default(), ["a,b", "1,2,3,4"]).unwrap_err(), "has 2 names, the row below 4 numbers");
    }

    #[test]
    fn delimiters_at_the_end_are_no_column() {
        for lines in [["a,b,", "1,2,"], ["a,b", "1,2,"], ["a,b,", "1,2"], ["1,2,", "3,4,"]] {
            let frame = frame(&Layout::default(), lines).unwrap();
            assert_eq!((frame.width, frame.of_row(&["5", "6"])), (2, &["5", "6"][..]), "{lines:?}");
            assert_eq!(frame.of_row(&["5", "6", "7"]).len(), 3);
        }
        assert_eq!(frame(&Layout::default(), ["a,b,c", "1,2,"]).unwrap().width, 3, "a value is missing");
    }

    #[test]
    fn delimiters_are_found_outside_of_quotation_marks() {
        for (text, want) in [
            ("a;b\n1,5;2,5\n", b';'),
            ("1,5\t2,5\n1,5\t2,5\n", b'\t'),
            ("Length, cm\tWidth, cm\n1.5\t2.5\n", b'\t'),
            ("\"a;b\",\"c\nd\"\n1,2\n", b','),
            ("1,\t2,\t3\n", b','),
            ("# a, b\n\n1 2\n", b' '),
            ("", b' '),
        ] {
            assert_eq!(delimiter(text), want, "{text:?}");
        }
    }
}
