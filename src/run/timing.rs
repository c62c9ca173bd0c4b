//! The clock of a run, `timing.jsonl`: wall-clock seconds, apart from the numbers, which are the same every time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::metrics::write_line;
use crate::{Error, Result};

/// One line of `timing.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// The step that was just done.
    pub step: u64,
    /// Seconds since this process began to train.
    pub seconds: f64,
    /// Steps in a second, since the line before.
    pub steps_per_s: f64,
}

/// Appends to `timing.jsonl`, which a resumed run continues without cutting.
#[derive(Debug)]
pub struct TimingLog {
    path: PathBuf,
    file: File,
    begin: std::time::Instant,
    before: Option<(u64, f64)>,
}

impl TimingLog {
    /// Opens the log; the clock starts now.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(path).map_err(Error::io(path))?;
        Ok(TimingLog { path: path.into(), file, begin: std::time::Instant::now(), before: None })
    }

    /// Writes one line; the first one has no rate yet and says 0.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append(&mut self, step: u64) -> Result<Timing> {
        let seconds = self.begin.elapsed().as_secs_f64();
        let rate = |(s, t): (u64, f64)| step.saturating_sub(s) as f64 / (seconds - t).max(1e-9);
        let steps_per_s = self.before.map_or(0.0, rate);
        self.before = Some((step, seconds));
        let line = Timing { step, seconds, steps_per_s };
        write_line(&mut self.file, &self.path, &line)?;
        Ok(line)
    }
}

/// Seconds that the processes of a run trained, together, probes included; `None` where the log has no line.
pub fn seconds(path: &Path) -> Option<f64> {
    let bytes = fs::read(path).ok()?;
    let lines = bytes.split(|&b| b == b'\n').filter_map(|line| serde_json::from_slice::<Timing>(line).ok());
    let clock: Vec<f64> = lines.map(|line| line.seconds).collect();
    // Each process begins its clock anew: its last reading comes before a smaller one.
    let ends = clock.iter().zip(clock.iter().skip(1).chain([&0.0])).filter(|(now, next)| next < now);
    (!clock.is_empty()).then(|| ends.map(|(now, _)| now).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timing_has_a_rate_from_the_second_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = TimingLog::open(&dir.path().join("t.jsonl")).unwrap();
        assert_eq!(log.append(10).unwrap().steps_per_s, 0.0);
        let second = log.append(20).unwrap();
        assert!(second.steps_per_s > 0.0 && second.seconds > 0.0);
        assert_eq!(fs::read_to_string(dir.path().join("t.jsonl")).unwrap().lines().count(), 2);
    }

    #[test]
    fn the_seconds_of_all_processes_are_added() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.jsonl");
        assert_eq!(seconds(&path), None);
        let line = |seconds: f64| format!("{{\"step\":1,\"seconds\":{seconds},\"steps_per_s\":0.0}}\n");
        let log = [3.0, 5.0, 1.0, 2.5, 0.5].map(line).concat() + "{\"step";
        fs::write(&path, [log.as_bytes(), b"\xff"].concat()).unwrap();
        assert_eq!(seconds(&path), Some(8.0));
    }
}
