//! How far a sweep is, on standard error: a bar on a terminal, a plain line now and then elsewhere.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use crate::run::{bar, show};

use crate::run::is_watched;

/// Without a terminal, a line at most this often.
const EVERY: Duration = Duration::from_secs(10);

/// Shows how many trials are done, which are under way, and the time left.
pub(super) enum Progress {
    Quiet,
    Bar(ProgressBar),
    Lines { total: usize, last: Option<Instant> },
}

impl Progress {
    pub fn new(total: usize, done: usize, quiet: bool) -> Self {
        match (quiet, is_watched()) {
            (true, _) => Progress::Quiet,
            (_, true) => Progress::Bar(bar::bar(total as u64, done as u64, " trials")),
            (_, false) => Progress::Lines { total, last: None },
        }
    }

    /// `done` trials have ended; `running` are under way.
    pub fn show(&mut self, done: usize, running: &[&str]) {
        match self {
            Progress::Quiet => {}
            Progress::Bar(bar) => {
                bar.set_message(running.join("  "));
                bar.set_position(done as u64);
            }
            Progress::Lines { total, last } => {
                if done == *total || last.is_none_or(|at| at.elapsed() >= EVERY) {
                    let said =
                        format!("{done} of {} done  {}", show::counted(*total as u64, "trial"), running.join("  "));
                    tracing::info!("{}", said.trim_end());
                    *last = Some(Instant::now());
                }
            }
        }
    }

    /// Leaves the bar as it stands.
    pub fn finish(self) {
        if let Progress::Bar(bar) = self {
            bar::end(&bar);
        }
    }
}
