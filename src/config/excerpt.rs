//! One line of a source as a terminal shows it: tabs, wide characters, control characters, very long lines.

use unicode_width::UnicodeWidthChar as _;

use crate::error::is_command;

/// A tab is drawn as this many spaces.
const TAB: usize = 4;
/// Lines longer than this many columns are shown in part.
const WIDEST: usize = 160;

/// The three pieces of a line as it is shown, with the caret's column and width.
pub(super) fn excerpt(before: &str, marked: &str, after: &str) -> (String, (usize, usize)) {
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
pub(super) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push_str(&" ".repeat(TAB)),
            c if is_command(c) => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_shown_in_part() {
        let (before, after) = (format!("x = \"{}\" ", "日".repeat(500)), format!(" = 日 {}", "z".repeat(500)));
        let (line, (column, wide)) = excerpt(&before, "y", &after);
        assert!(width(&line) < WIDEST && line.starts_with('…') && line.ends_with('…'), "{line}");
        assert_eq!((width(&line[..line.find('y').unwrap()]), wide), (column, 1));
    }

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(excerpt("\t\u{1b}[2J", "\r", "\u{202e}\r"), ("    \u{FFFD}[2J\u{FFFD}\u{FFFD}".into(), (8, 1)));
    }
}
