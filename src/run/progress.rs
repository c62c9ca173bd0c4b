//! How far a run is, on standard error: a bar on a terminal, a plain line now and then elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::metrics::Metrics;

/// Without a terminal, a line at most this often.
const EVERY: Duration = Duration::from_secs(10);

/// Shows steps, rate, time left and the newest metrics. It uses no colours, so `NO_COLOR` holds by itself.
pub struct Progress {
    total: u64,
    first: u64,
    begin: Instant,
    kind: Kind,
    shown: String,
}

enum Kind {
    Quiet,
    Bar(ProgressBar),
    Lines(Option<Instant>),
}

impl Progress {
    /// For a run of `total` steps of which `done` are done; `quiet` shows nothing.
    pub fn new(total: u64, done: u64, quiet: bool) -> Self {
        let kind = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Kind::Quiet,
            (_, true) => Kind::Bar(bar(total, done)),
            (_, false) => Kind::Lines(None),
        };
        Progress { total, first: done, begin: Instant::now(), kind, shown: String::new() }
    }

    /// `step` steps are done. Metrics that are empty leave those shown before.
    pub fn step(&mut self, step: u64, metrics: &Metrics) {
        if !metrics.is_empty() && !matches!(self.kind, Kind::Quiet) {
            self.shown = in_short(metrics);
        }
        let due = match &self.kind {
            Kind::Quiet => false,
            Kind::Bar(bar) => {
                bar.set_message(self.shown.clone());
                bar.set_position(step);
                false
            }
            Kind::Lines(last) => step >= self.total || last.is_none_or(|at| at.elapsed() >= EVERY),
        };
        if due {
            eprintln!("{}", line(step, self.first, self.total, self.begin.elapsed(), &self.shown));
            self.kind = Kind::Lines(Some(Instant::now()));
        }
    }

    /// Says something without tearing the bar.
    pub fn note(&self, text: &str) {
        match &self.kind {
            Kind::Quiet => {}
            Kind::Bar(bar) => bar.suspend(|| eprintln!("{text}")),
            Kind::Lines(_) => eprintln!("{text}"),
        }
    }

    /// Leaves the bar as it stands.
    pub fn finish(self) {
        if let Kind::Bar(bar) = self.kind {
            bar.abandon();
        }
    }
}

fn bar(total: u64, done: u64) -> ProgressBar {
    let template = "{bar:24} {pos}/{len}  {per_sec}  {eta} left  {wide_msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(5));
    bar.set_style(style);
    bar.set_position(done);
    bar.reset_eta();
    bar
}

/// The first six metrics, four digits each.
fn in_short(metrics: &Metrics) -> String {
    metrics.iter().take(6).map(|(name, value)| format!("{name} {}", four_digits(value))).collect::<Vec<_>>().join("  ")
}

fn four_digits(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-3..1e5).contains(&size) {
        let places = (3 - size.max(1e-3).log10().floor() as i32).clamp(0, 6) as usize;
        format!("{value:.places$}")
    } else {
        format!("{value:.3e}")
    }
}

fn line(step: u64, first: u64, total: u64, elapsed: Duration, metrics: &str) -> String {
    let percent = 100 * step / total.max(1);
    let rate = (step - first.min(step)) as f64 / elapsed.as_secs_f64().max(1e-9);
    let left = (total.saturating_sub(step) as f64 / rate.max(1e-9)).min(1e9);
    let eta = if rate > 0.0 { in_words(Duration::from_secs_f64(left)) } else { "?".into() };
    format!("step {step}/{total} ({percent} %)  {}/s  {eta} left  {metrics}", four_digits(rate)).trim_end().to_owned()
}

/// `3h04m`, `12m30s`, `8s`.
fn in_words(time: Duration) -> String {
    match time.as_secs() {
        s if s >= 3600 => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        s if s >= 60 => format!("{}m{:02}s", s / 60, s % 60),
        s => format!("{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        let m: Metrics = [("loss", -1.23456), ("gap", 1234567.0), ("lr", 1e-4), ("n", 0.0)].into_iter().collect();
        let text = line(600, 200, 1000, Duration::from_secs(100), &in_short(&m));
        assert_eq!(
            text,
            "step 600/1000 (60 %)  4.000/s  1m40s left  loss -1.235  gap 1.235e6  lr 1.000e-4  n 0.000000"
        );
    }

    #[test]
    fn the_odd_cases_neither_divide_by_zero_nor_panic() {
        assert_eq!(line(0, 0, 0, Duration::ZERO, ""), "step 0/0 (0 %)  0.000000/s  ? left");
        assert!(line(5, 9, 3, Duration::from_secs(1), "").contains("? left"));
        assert_eq!(four_digits(f64::NAN), "NaN");
        assert_eq!(four_digits(f64::NEG_INFINITY), "-inf");
        assert_eq!(in_words(Duration::from_secs(7500)), "2h05m");
        let mut quiet = Progress::new(3, 0, true);
        quiet.step(1, &Metrics::new());
        quiet.finish();
    }
}
