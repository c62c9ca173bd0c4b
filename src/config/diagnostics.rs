//! What is wrong with a configuration: every problem with its line, a caret and a hint.

use std::fmt;

use super::excerpt::{excerpt, shown};
use super::source::{Source, Span};
use crate::error::{ConfigError, Error, Result};

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
    pub place: Option<Box<Place>>,
    /// What to do about it.
    pub hint: Option<String>,
    order: Option<Span>,
}

impl Problem {
    /// A problem at a position.
    pub(super) fn at(sources: &[Source], span: Span, message: impl Into<String>, hint: Option<String>) -> Self {
        let place = sources.get(span.source).map(|source| Box::new(Place::new(source, span)));
        Problem { message: message.into(), place, hint, order: Some(span) }
    }

    /// A problem with a text that is no configuration, such as the argument of an option; `name` is what it is called.
    pub fn in_text(
        name: &str,
        text: &str,
        range: std::ops::Range<usize>,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Self {
        let sources = [Source { name: name.to_owned(), text: text.to_owned() }];
        Self::at(&sources, Span::new(0, range), message, hint)
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

    /// Adds all of another configuration's.
    pub fn extend(&mut self, others: Problems) {
        others.list.into_iter().for_each(|problem| self.push(problem));
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

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Error::Config(ConfigError::rendered(problem.to_string()))
    }
}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        Error::Config(ConfigError::rendered(problems.to_string()))
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
