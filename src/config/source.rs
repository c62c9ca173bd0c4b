//! The texts that a configuration is made of, and the positions in them.

/// The name of the source of a `--set`.
pub(super) const ARGUMENT: &str = "--set";

/// One text: a file, or the argument of one `--set`.
#[derive(Clone, Debug)]
pub struct Source {
    /// As messages show it: `configs/x.toml` or `--set`.
    pub name: String,
    /// All of it.
    pub text: String,
}

/// A byte range of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Which source: its index in the document.
    pub source: usize,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The bytes `range` of a source.
    pub fn new(source: usize, range: std::ops::Range<usize>) -> Self {
        Span { source, start: range.start, end: range.end }
    }

    /// The beginning of a source: for what is missing from all of it.
    pub fn start_of(source: usize) -> Self {
        Span::new(source, 0..0)
    }
}

impl Source {
    /// The byte range of a span, cut to the text and to whole characters, whatever the span says.
    pub(super) fn clamp(&self, span: Span) -> std::ops::Range<usize> {
        let floor = |mut at: usize| {
            at = at.min(self.text.len());
            while !self.text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = floor(span.start);
        start..floor(span.end).max(start)
    }

    /// The text of a span.
    pub(super) fn slice(&self, span: Span) -> &str {
        self.text.get(self.clamp(span)).unwrap_or_default()
    }

    /// Line number (from 1) of a byte and the byte at which that line starts.
    pub(super) fn line_of(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_spans_are_cut_to_whole_characters_of_the_text() {
        let source = Source { name: "x".into(), text: "añb\nc".into() };
        let slice = |a, b| source.slice(Span { source: 0, start: a, end: b });
        assert_eq!((slice(1, 3), slice(2, 3), slice(4, 99), slice(99, 2), slice(3, 1)), ("ñ", "ñ", "\nc", "", ""));
        assert_eq!((source.line_of(0), source.line_of(4), source.line_of(5)), ((1, 0), (1, 0), (2, 5)));
    }
}
