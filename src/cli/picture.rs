//! Pictures on the terminal, by the protocols of kitty, iTerm2 and sixel.

use std::io::{IsTerminal as _, stdin};
use std::path::Path;

use viuer::{Config, KittySupport, get_kitty_support, is_iterm_supported, is_sixel_supported};

use super::output;

/// The columns that a picture takes at most.
const COLUMNS: u32 = 48;

/// Shows the picture in a file where the terminal can show pictures. A terminal is asked what it can do only if its
/// environment names one that answers: others would print the question, or wait for ever.
pub(super) fn show(path: &Path) {
    let terminal = output::columns().is_some() && stdin().is_terminal();
    let known = terminal && shows_pictures(|name| std::env::var(name).ok());
    if known && (get_kitty_support() != KittySupport::None || is_iterm_supported() || is_sixel_supported()) {
        let config = Config { absolute_offset: false, width: Some(COLUMNS), ..Config::default() };
        let shown = image::open(path).map_err(|e| e.to_string());
        let shown = shown.and_then(|picture| viuer::print(&picture, &config).map_err(|e| e.to_string()));
        shown.map_or_else(|why| tracing::debug!("{} is not shown: {why}", path.display()), drop);
    }
}

/// Whether the environment is that of a terminal which shows pictures. Multiplexers pass them on only if told to.
fn shows_pictures(variable: impl Fn(&str) -> Option<String>) -> bool {
    /// Beginnings of `$TERM`.
    const TERMS: &[&str] = &["xterm-kitty", "xterm-ghostty", "foot", "mlterm", "contour", "yaft"];
    /// `$TERM_PROGRAM`.
    const PROGRAMS: &[&str] = &["iTerm.app", "WezTerm", "ghostty", "rio", "mintty"];
    /// Variables that one terminal alone sets.
    const OWN: &[&str] = &["KITTY_WINDOW_ID", "KONSOLE_VERSION"];
    let (term, program) = (variable("TERM").unwrap_or_default(), variable("TERM_PROGRAM").unwrap_or_default());
    let inside = ["tmux", "screen", "dumb"].iter().any(|name| term.starts_with(name)) || program == "tmux";
    let known = TERMS.iter().any(|name| term.starts_with(name)) || PROGRAMS.contains(&program.as_str());
    !inside && (known || OWN.iter().any(|name| variable(name).is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_terminals_that_answer_are_asked() {
        let with = |set: &[(&str, &str)]| {
            shows_pictures(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert!(with(&[("TERM", "xterm-kitty")]) && with(&[("TERM", "foot-extra")]));
        assert!(with(&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "WezTerm")]));
        assert!(with(&[("TERM", "xterm-256color"), ("KONSOLE_VERSION", "230804")]));
        assert!(!with(&[("TERM", "xterm-256color")]) && !with(&[]));
        assert!(!with(&[("TERM", "tmux-256color"), ("KITTY_WINDOW_ID", "1")]));
    }
}
