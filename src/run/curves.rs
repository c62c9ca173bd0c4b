//! The curves of a run: one small picture for each metric, all in one file, from `metrics.jsonl` alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use image::RgbImage;

use super::folder::Paths;
use super::metrics;
use crate::Result;
use crate::draw::{self, Curves, Series};
use crate::store::fs;

/// Pixels of one panel.
const PANEL: (u32, u32) = (560, 320);

/// The least time between two pictures of one run: checkpoints may come many times a second.
const PAUSE: Duration = Duration::from_secs(10);

/// `samples/curves.png` of a run that goes on: drawn anew at checkpoints that are far enough apart, and when the run
/// ends, however it ends. That it cannot be drawn is a warning.
pub struct Drawn<'a> {
    paths: &'a Paths,
    at: Instant,
    stale: bool,
}

impl<'a> Drawn<'a> {
    /// The picture in a run folder, drawn when there is more to see than now.
    pub fn new(paths: &'a Paths) -> Self {
        Drawn { paths, at: Instant::now(), stale: !file(paths).exists() }
    }

    /// Takes note of numbers that the picture does not show.
    pub fn outdated(&mut self) {
        self.stale = true;
    }

    /// Draws the picture if the last one is some time ago.
    pub fn in_time(&mut self) {
        if self.stale && self.at.elapsed() >= PAUSE {
            self.draw();
        }
    }

    fn draw(&mut self) {
        write(self.paths).unwrap_or_else(|error| tracing::warn!("no curves.png: {error}"));
        (self.at, self.stale) = (Instant::now(), false);
    }
}

impl Drop for Drawn<'_> {
    fn drop(&mut self) {
        if self.stale {
            self.draw();
        }
    }
}

/// Writes `samples/curves.png`. A run without metrics has no curves.
///
/// # Errors
/// A log that cannot be read, a disk that cannot be written.
fn write(paths: &Paths) -> Result<()> {
    let panels = panels(&metrics::read(&paths.metrics())?)?;
    if panels.is_empty() {
        return Ok(());
    }
    fs::write_atomic(&file(paths), &draw::png(&draw::tile(&panels, 2))?)
}

fn file(paths: &Paths) -> PathBuf {
    paths.samples().join("curves.png")
}

/// A panel for every metric that was logged more than once, in order of first appearance.
fn panels(log: &[(u64, metrics::Metrics)]) -> Result<Vec<RgbImage>> {
    let mut names: Vec<String> = Vec::new();
    let mut points: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for (step, metrics) in log {
        for (name, value) in metrics.iter() {
            if !points.contains_key(name) {
                names.push(name.to_owned());
            }
            points.entry(name.to_owned()).or_default().push((*step as f64, value));
        }
    }
    let many = names.into_iter().filter_map(|name| {
        let points = points.remove(&name).filter(|p| p.len() > 1)?;
        Some(Curves {
            title: name,
            x_label: "step".into(),
            series: vec![Series { name: String::new(), points }],
            ..Curves::default()
        })
    });
    many.map(|curves| curves.picture(PANEL)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn every_metric_with_a_course_gets_a_panel() {
        let row = |step: u64| (step, Metrics::new().with("lsd", 1.0 / step as f64).with("energy", step as f64));
        let mut log: Vec<_> = (1..20).map(row).collect();
        log.push((20, Metrics::new().with("once", 1.0)));
        let found = panels(&log).unwrap();
        let drawn = |name: &str, course: fn(f64) -> f64| {
            let points = (1..20).map(|step| (f64::from(step), course(f64::from(step)))).collect();
            let series = vec![Series { name: String::new(), points }];
            Curves { title: name.into(), x_label: "step".into(), series, ..Curves::default() }.picture(PANEL).unwrap()
        };
        assert!(found == [drawn("lsd", |step| 1.0 / step), drawn("energy", |step| step)], "another picture, or order");
        assert_eq!(found[0].dimensions(), PANEL);
    }
}
