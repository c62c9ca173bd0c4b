//! What is wrong with a configuration: every problem with its line, a caret and a hint.

use std::fmt;

use unicode_width::UnicodeWidthChar as _;

use super::source::{Source, Span};
use crate::{Error, Result};

/// A tab is drawn as this many spaces.
const TAB: usize = 4;
/// Lines longer than this many columns are shown in part.
const WIDEST: usize = 160;

/// Where a problem is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, or `--set`.
    pub source: String,
    /// Line, from 1.
    pub line: usize,
    /// Character of the line, from 1.
    pub column: usize,
    /// Bytes of the source.
    pub span: std::ops::Range<usize>,
    /// The line as shown: tabs expanded, control characters replaced.
    excerpt: String,
    /// Columns before the caret, and the width of the underline.
    underline: (usize, usize),
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// Where; nowhere if there is no text, as with a file that cannot be read.
    pub place: Option<Place>,
    /// What to do about it.
    pub hint: Option<String>,
    order: Option<Span>,
}

impl Problem {
    /// A problem at a position.
    pub(super) fn at(sources: &[Source], span: Span, message: impl Into<String>, hint: Option<String>) -> Self {
        let place = sources.get(span.source).map(|source| Place::new(source, span));
        Problem { message: message.into(), place, hint, order: Some(span) }
    }

    /// A problem that is in no text.
    pub(super) fn nowhere(message: impl Into<String>, hint: Option<String>) -> Self {
        Problem { message: message.into(), place: None, hint, order: None }
    }
}

impl Place {
    fn new(source: &Source, span: Span) -> Self {
        let span = source.clamp(span);
        let (line, start) = source.line_of(span.start);
        let rest = source.text.get(start..).unwrap_or_default();
        let text = rest.split('\n').next().unwrap_or_default();
        let from = span.start.saturating_sub(start).min(text.len());
        let to = span.end.saturating_sub(start).min(text.len());
        let (before, rest) = text.split_at_checked(from).unwrap_or((text, ""));
        let (marked, after) = rest.split_at_checked(to.saturating_sub(from)).unwrap_or((rest, ""));
        let (excerpt, underline) = excerpt(before, marked, after);
        Place { source: source.name.clone(), line, column: before.chars().count() + 1, span, excerpt, underline }
    }
}

/// The three pieces of a line as it is shown, with the caret's column and width.
fn excerpt(before: &str, marked: &str, after: &str) -> (String, (usize, usize)) {
    let (mut before, mut marked, mut after) = (shown(before), shown(marked), shown(after.trim_end_matches('\r')));
    if width(&before) + width(&marked) + width(&after) > WIDEST {
        before = shorten(&before, WIDEST / 4, true);
        marked = shorten(&marked, WIDEST / 2, false);
        after = shorten(&after, WIDEST / 4, false);
    }
    let underline = (width(&before), width(&marked).max(1));
    (before + &marked + &after, underline)
}

fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// At most `columns` of a text, from its end or its beginning, with `…` for what is left out.
fn shorten(text: &str, columns: usize, keep_end: bool) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut room = columns;
    let mut fits = |c: &char| {
        let w = c.width().unwrap_or(0);
        let ok = w <= room;
        room = room.saturating_sub(w);
        ok
    };
    if keep_end {
        let kept: Vec<char> = text.chars().rev().take_while(&mut fits).collect();
        format!("…{}", kept.iter().rev().collect::<String>())
    } else {
        format!("{}…", text.chars().take_while(&mut fits).collect::<String>())
    }
}

/// A line without what would move the cursor of a terminal.
fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push_str(&" ".repeat(TAB)),
            // Control characters and the marks that reverse the direction of text.
            c if c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}') => {
                out.push('\u{FFFD}')
            }
            c => out.push(c),
        }
    }
    out
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", shown(&self.message))?;
        if let Some(place) = &self.place {
            let gutter = place.line.to_string().len();
            let (before, wide) = place.underline;
            write!(f, "\n{:gutter$}--> {}:{}:{}", "", shown(&place.source), place.line, place.column)?;
            write!(f, "\n{:gutter$} |", "")?;
            write!(f, "\n{} | {}", place.line, place.excerpt)?;
            write!(f, "\n{:gutter$} | {:before$}{}", "", "", "^".repeat(wide))?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n\nhint: {}", shown(hint)),
            None => Ok(()),
        }
    }
}

/// All that is wrong with one configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    subject: String,
    list: Vec<Problem>,
}

impl Problems {
    /// No problem yet with `subject`, the file or text that the user named.
    pub fn new(subject: impl Into<String>) -> Self {
        Problems { subject: subject.into(), list: Vec::new() }
    }

    /// Adds one, unless it is there already.
    pub fn push(&mut self, problem: Problem) {
        if !self.list.contains(&problem) {
            self.list.push(problem);
        }
    }

    /// The problems, in order of position.
    pub fn list(&self) -> Vec<&Problem> {
        let mut list: Vec<_> = self.list.iter().collect();
        list.sort_by_key(|p| p.order);
        list
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Nothing, or everything that is wrong as one error.
    ///
    /// # Errors
    /// [`Error::Config`] with all problems rendered.
    pub fn into_result(self) -> Result<()> {
        if self.is_empty() { Ok(()) } else { Err(self.into()) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.list().iter().map(|p| p.to_string()).collect();
        write!(f, "{}", texts.join("\n\n"))?;
        match texts.len() {
            0 | 1 => Ok(()),
            n => write!(f, "\n\nerror: {n} problems in {}", shown(&self.subject)),
        }
    }
}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        Error::Config(problems.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str, range: std::ops::Range<usize>) -> String {
        let sources = [Source { name: "x.toml".into(), text: text.into() }];
        Problem::at(&sources, Span::new(0, range), "bad", None).to_string()
    }

    #[test]
    fn the_caret_stands_under_wide_characters_and_tabs() {
        assert_eq!(render("\tñ = 1", 1..3), "error: bad\n --> x.toml:1:2\n  |\n1 |     ñ = 1\n  |     ^");
        assert_eq!(
            render("a = \"日本\" b", 13..14),
            "error: bad\n --> x.toml:1:10\n  |\n1 | a = \"日本\" b\n  |            ^"
        );
        assert_eq!(render("日本", 0..6), "error: bad\n --> x.toml:1:1\n  |\n1 | 日本\n  | ^^^^");
    }

    #[test]
    fn odd_spans_never_panic() {
        for text in ["", "\n", "é", "a\r\nb", "\u{1b}[31m\t", "日本\n\n語"] {
            for start in 0..12 {
                for end in 0..12 {
                    let shown = render(text, start..end);
                    assert!(shown.contains('^') && !shown.contains('\u{1b}') && !shown.contains('\r'), "{shown:?}");
                }
            }
        }
    }

    #[test]
    fn long_lines_are_shown_in_part() {
        let text = format!("x = \"{}\" y = 日 {}", "日".repeat(500), "z".repeat(500));
        let at = text.find('y').unwrap();
        let shown = render(&text, at..at + 1);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(width(lines[3]) < WIDEST, "{shown}");
        assert_eq!(width(&lines[3][..lines[3].find('y').unwrap()]), width(&lines[4][..lines[4].find('^').unwrap()]));
    }

    #[test]
    fn several_problems_are_counted() {
        let sources = [Source { name: "x.toml".into(), text: "a\nb".into() }];
        let mut problems = Problems::new("x.toml");
        problems.push(Problem::at(&sources, Span::new(0, 2..3), "second", None));
        problems.push(Problem::at(&sources, Span::new(0, 0..1), "first", Some("do".into())));
        problems.push(Problem::at(&sources, Span::new(0, 0..1), "first", Some("do".into())));
        let text = problems.to_string();
        assert!(text.starts_with("error: first") && text.ends_with("\n\nerror: 2 problems in x.toml"), "{text}");
    }
}
