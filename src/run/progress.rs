//! How far a run is, on standard error: a bar on a terminal, a plain line now and then elsewhere.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::declared::Declared;
use super::{bar, out, show};
use crate::metrics::Metrics;

/// Without a terminal, a line at most this often.
const EVERY: Duration = Duration::from_secs(10);

/// On a terminal, other metrics at most this often.
const GLANCE: Duration = Duration::from_millis(200);

/// Metrics shown at most.
const MOST: usize = 6;

/// Significant digits of a metric.
const DIGITS: usize = 4;

/// Shows steps, rate, time left and the newest metrics. It uses no colours, so `NO_COLOR` holds by itself.
pub struct Progress {
    total: u64,
    first: u64,
    begin: Instant,
    kind: Kind,
    declared: Declared,
    last: Option<Instant>,
    shown: String,
}

enum Kind {
    Quiet,
    Bar(ProgressBar),
    Lines,
}

impl Progress {
    /// For a run of `total` steps of which `done` are done; `quiet` shows nothing.
    pub fn new(total: u64, done: u64, quiet: bool) -> Self {
        let kind = match (quiet, out::is_watched()) {
            (true, _) => Kind::Quiet,
            (_, true) => Kind::Bar(bar::bar(total, done, "  {rate}")),
            (_, false) => Kind::Lines,
        };
        let (begin, declared) = (Instant::now(), Declared::default());
        Progress { total, first: done, begin, kind, declared, last: None, shown: String::new() }
    }

    /// Shows of the metrics those that `declared` has first, by their units.
    pub fn showing(self, declared: Declared) -> Self {
        Progress { declared, ..self }
    }

    /// `step` steps are done. Metrics that are empty leave those shown before.
    pub fn step(&mut self, step: u64, metrics: &Metrics) {
        let pause = match &self.kind {
            Kind::Quiet => return,
            Kind::Bar(_) => GLANCE,
            Kind::Lines => EVERY,
        };
        let due = step >= self.total || self.last.is_none_or(|at| at.elapsed() >= pause);
        if due {
            self.last = Some(Instant::now());
            if !metrics.is_empty() {
                self.shown = in_short(metrics, &self.declared);
            }
        }
        match &self.kind {
            Kind::Bar(bar) => {
                if due {
                    bar.set_message(self.shown.clone());
                }
                bar.set_position(step);
            }
            Kind::Lines if due => {
                out::say(&line(step, self.first, self.total, self.begin.elapsed(), &self.shown));
            }
            Kind::Lines | Kind::Quiet => {}
        }
    }

    /// Leaves the bar as it stands.
    pub fn finish(self) {
        if let Kind::Bar(bar) = self.kind {
            bar::end(&bar);
        }
    }
}

/// The metrics that matter first, each with the direction that is better.
fn in_short(metrics: &Metrics, declared: &Declared) -> String {
    let one = |(name, value): (&str, f64)| {
        let number = declared.find(name).map(|declared| &declared.number);
        let value = show::value(declared.unit(name), value, DIGITS);
        format!("{name}{} {value}", show::arrow(number).trim())
    };
    declared.leads(metrics).into_iter().take(MOST).map(one).collect::<Vec<_>>().join("  ")
}

fn line(step: u64, first: u64, total: u64, elapsed: Duration, metrics: &str) -> String {
    let percent = 100 * step / total.max(1);
    let rate = (step - first.min(step)) as f64 / elapsed.as_secs_f64().max(1e-9);
    let left = (total.saturating_sub(step) as f64 / rate.max(1e-9)).min(1e9);
    let eta = if rate > 0.0 { show::time(Duration::from_secs_f64(left)) } else { "?".into() };
    format!("step {step}/{total} ({percent} %)  {}/s  {eta} left  {metrics}", show::number(rate, DIGITS))
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        let m: Metrics = [("loss", -1.23456), ("gap", 1234567.0), ("lr", 1e-4), ("n", 0.0)].into_iter().collect();
        let text = line(600, 200, 1000, Duration::from_secs(100), &in_short(&m, &Declared::default()));
        assert_eq!(text, "step 600/1000 (60 %)  4.000/s  1m40s left  loss -1.235  gap 1.235e6  lr 1.000e-4  n 0");
    }

    #[test]
    fn the_odd_cases_neither_divide_by_zero_nor_panic() {
        assert_eq!(line(0, 0, 0, Duration::ZERO, ""), "step 0/0 (0 %)  0/s  ? left");
        assert!(line(5, 9, 3, Duration::from_secs(1), "").contains("? left"));
        assert_eq!([f64::NAN, f64::NEG_INFINITY].map(|v| show::number(v, 4)), ["NaN", "-inf"]);
        let mut quiet = Progress::new(3, 0, true);
        quiet.step(1, &Metrics::new());
        quiet.finish();
    }
}
