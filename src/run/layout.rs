//! Words in columns, as a terminal shows them: an accent takes no column, a Chinese character two.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use unicode_width::UnicodeWidthStr as _;

use crate::error::printable;

/// The least that is left beside a head for the text that belongs to it.
const LEAST: usize = 24;

/// How far a text is moved in that stands below its head.
const BELOW: usize = 4;

/// The columns of the terminal that `stream` writes to; none where it is no terminal.
pub fn columns_of(stream: &(impl AsFd + IsTerminal)) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok().filter(|_| stream.is_terminal())?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// `text` with blanks behind it, so that it takes `columns` columns.
pub fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(text.width())))
}

/// The columns that the widest of `texts` takes.
pub fn widest<'a>(texts: impl IntoIterator<Item = &'a str>) -> usize {
    texts.into_iter().map(|text| text.width()).max().unwrap_or(0)
}

/// The cells of each column below each other, two spaces between columns; a cell takes one line, whatever is in it.
pub fn aligned(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let column = |c: usize| widest(rows.iter().filter_map(|row| row.get(c)).map(String::as_str));
    let widths: Vec<usize> = (0..count).map(column).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, columns)| padded(cell, *columns)).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// [`aligned`] rows below their header, if they fit into `most` columns, if there is such a limit; else for each row
/// its first cell, and below it the others with their headings.
pub fn fitted(rows: &[Vec<String>], most: Option<usize>) -> String {
    let table = aligned(rows);
    let Some(most) = most.filter(|most| widest(table.lines()) > *most) else { return table };
    let Some((header, rows)) = rows.split_first() else { return table };
    let block = |row: &Vec<String>| {
        let known = header.iter().zip(row).skip(1).filter(|(_, cell)| *cell != "-");
        let cells: Vec<String> = known.map(|(heading, cell)| format!("{heading} {}", printable(cell))).collect();
        beside(&row.first().map(|cell| printable(cell)).unwrap_or_default(), most, &cells.join(", "), Some(most))
    };
    rows.iter().map(block).collect()
}

/// `head` in a column of `indent`, and `text` beside it in lines that end before column `most`, if there is such a
/// limit; below it where the head leaves too little room.
pub fn beside(head: &str, indent: usize, text: &str, most: Option<usize>) -> String {
    let most = most.unwrap_or(usize::MAX);
    let (indent, first) = match head.is_empty() || most.saturating_sub(indent) >= LEAST {
        true => (indent, padded(head, indent)),
        false if head.trim_end().width() <= most => (BELOW, format!("{}\n{}", head.trim_end(), " ".repeat(BELOW))),
        false => (BELOW, format!("{}\n{}", wrapped(head, most).join("\n"), " ".repeat(BELOW))),
    };
    let lines = wrapped(text, most.saturating_sub(indent));
    format!("{first}{}", lines.join(&format!("\n{}", " ".repeat(indent)))).trim_end().to_owned() + "\n"
}

/// Lines of at most `most` columns; a word that is longer has a line of its own.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= most => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_begins_where_the_one_above_does() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["", "R̂", "tail ESS"]), row(["größe", "1.000", "9"]), row(["日本", "k̂ 2", "10"])];
        assert_eq!(aligned(&rows), "       R̂      tail ESS\ngröße  1.000  9\n日本   k̂ 2    10\n");
        assert_eq!((aligned(&[]), padded("R̂", 3), widest(["a", "日本"])), (String::new(), "R̂  ".to_owned(), 4));
    }

    #[test]
    fn a_table_that_is_too_wide_becomes_blocks() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["run", "status", "step"]), row(["runs/a", "finished", "100"]), row(["runs/b", "killed", "-"])];
        assert_eq!(fitted(&rows, Some(80)), aligned(&rows));
        assert_eq!(fitted(&rows, None), aligned(&rows));
        assert_eq!(
            fitted(&rows, Some(18)),
            "runs/a\n    status\n    finished, step\n    100\nruns/b\n    status killed\n"
        );
    }

    #[test]
    fn a_text_keeps_beside_its_head_or_goes_below_it() {
        let text = "one two three four five six";
        assert_eq!(beside("  lsd", 8, text, None), format!("  lsd   {text}\n"));
        assert_eq!(beside("  lsd", 8, text, Some(32)), "  lsd   one two three four five\n        six\n");
        assert_eq!(beside("  lsd", 8, text, Some(20)), "  lsd\n    one two three\n    four five six\n");
        assert_eq!(
            beside("mnist     to fetch", 20, text, Some(16)),
            "mnist to fetch\n    one two\n    three four\n    five six\n"
        );
        assert_eq!(beside("  lsd", 8, "", Some(5)), "  lsd\n");
        assert_eq!(beside("", 2, "an unbreakable", Some(6)), "  an\n  unbreakable\n");
    }
}
