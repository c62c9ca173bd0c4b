//! The colours of the dashboard, none with `NO_COLOR`, and its bars.

use ratatui::style::{Color, Modifier, Style};

/// What each thing looks like.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    colours: bool,
}

impl Look {
    /// With colours or without.
    pub fn new(colours: bool) -> Self {
        Look { colours }
    }

    /// As the environment asks: `NO_COLOR` with any text in it says none (no-color.org).
    pub fn of_environment() -> Self {
        Look::new(std::env::var_os("NO_COLOR").is_none_or(|said| said.is_empty()))
    }

    fn coloured(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    pub fn curve(self) -> Style {
        self.coloured(Color::Cyan)
    }

    pub fn good(self) -> Style {
        self.coloured(Color::Green)
    }

    pub fn bad(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub fn head(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// How a run stands.
    pub fn status(self, status: &str) -> Style {
        match status {
            "running" => self.curve(),
            "finished" => self.good(),
            "diverged" | "failed" | "killed" | "unreadable" => self.bad(),
            _ => Style::new(),
        }
    }
}

/// `████░░░░` of so many columns, the done part first.
pub fn bar(share: f64, columns: usize) -> String {
    let done = (share.clamp(0.0, 1.0) * columns as f64).floor() as usize;
    "█".repeat(done) + &"░".repeat(columns.saturating_sub(done))
}
