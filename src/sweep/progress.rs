//! How far a sweep is, on standard error: a bar on a terminal, a plain line now and then elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

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
            (_, true) => Progress::Bar(bar(total as u64, done as u64)),
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
                    tracing::info!("{done} of {total} trials done  {}", running.join("  "));
                    *last = Some(Instant::now());
                }
            }
        }
    }

    /// Says something without tearing the bar.
    pub fn warn(&self, text: &str) {
        match self {
            Progress::Bar(bar) => bar.suspend(|| tracing::warn!("{text}")),
            _ => tracing::warn!("{text}"),
        }
    }

    /// Leaves the bar as it stands.
    pub fn finish(self) {
        if let Progress::Bar(bar) = self {
            bar.abandon();
        }
    }
}

fn bar(total: u64, done: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} trials  {eta} left  {wide_msg}");
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(5));
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_position(done);
    bar.reset_eta();
    bar
}
