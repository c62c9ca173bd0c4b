//! The two logs of a run: `metrics.jsonl` (deterministic) and `timing.jsonl` (wall-clock).
//!
//! A line is one JSON object with `step` first; floats in the shortest form that reads back to the same bits, what is
//! not finite as `null`. After a crash [`MetricsLog::resume`] cuts the file back, to the byte, to the lines that the
//! checkpoint knows of; so a resumed run's file equals that of a run that was never stopped.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use crate::metrics::Metrics;
use crate::{Error, Result};

/// One line of `metrics.jsonl`.
#[derive(Serialize, Deserialize)]
struct Line {
    step: u64,
    #[serde(flatten)]
    metrics: Metrics,
}

/// Appends to `metrics.jsonl`.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// An empty log; what was at `path` is lost.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(Error::io(path))?;
        Ok(MetricsLog { path: path.into(), file })
    }

    /// The log of an earlier run, cut back to the lines with a step of at most `step`.
    ///
    /// # Errors
    /// The file cannot be read or cut.
    pub fn resume(path: &Path, step: u64) -> Result<Self> {
        truncate_after(path, step)?;
        let file = File::options().create(true).append(true).open(path).map_err(Error::io(path))?;
        Ok(MetricsLog { path: path.into(), file })
    }

    /// Writes one line, in one piece.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append(&mut self, step: u64, metrics: &Metrics) -> Result<()> {
        write_line(&mut self.file, &self.path, &Line { step, metrics: metrics.clone() })
    }

    /// Makes the lines durable. Call it before a checkpoint is saved, so that no checkpoint knows of lines that a power
    /// cut can take away.
    ///
    /// # Errors
    /// As the system says.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(Error::io(&self.path))
    }
}

/// Every line of a `metrics.jsonl`, up to a torn one.
///
/// # Errors
/// The file cannot be read.
pub fn read(path: &Path) -> Result<Vec<(u64, Metrics)>> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    Ok(lines(&bytes).map(|(_, line)| (line.step, line.metrics)).collect())
}

/// Cuts the file back to its leading lines that are whole and have a step of at most `step`; a missing file stays so.
///
/// # Errors
/// The file cannot be read or cut.
pub fn truncate_after(path: &Path, step: u64) -> Result<()> {
    let bytes = match fs::read(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::io(path))?,
    };
    let keep = lines(&bytes).take_while(|(_, line)| line.step <= step).last().map_or(0, |(end, _)| end);
    if keep == bytes.len() {
        return Ok(());
    }
    let file = File::options().write(true).open(path).map_err(Error::io(path))?;
    file.set_len(keep as u64).and_then(|()| file.sync_all()).map_err(Error::io(path))
}

/// The leading whole lines, each with the offset behind it.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, Line)> {
    let mut end = 0;
    bytes.split_inclusive(|&b| b == b'\n').map_while(move |line| {
        end += line.len();
        let text = line.strip_suffix(b"\n")?;
        Some((end, serde_json::from_slice(text).ok()?))
    })
}

fn write_line(file: &mut File, path: &Path, line: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec(line).map_err(|e| Error::Other(format!("{}: {e}", path.display())))?;
    text.push(b'\n');
    file.write_all(&text).map_err(Error::io(path))
}

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
    let text = fs::read_to_string(path).ok()?;
    let clock = text.lines().filter_map(|line| serde_json::from_str::<Timing>(line).ok()).map(|line| line.seconds);
    let clock: Vec<f64> = clock.collect();
    // Each process begins its clock anew: its last reading comes before a smaller one.
    let ends = clock.iter().zip(clock.iter().skip(1).chain([&0.0])).filter(|(now, next)| next < now);
    (!clock.is_empty()).then(|| ends.map(|(now, _)| now).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: u64) -> Metrics {
        [("loss", 1.0 / step as f64), ("gap", f64::NAN)].into_iter().collect()
    }

    fn log_of(path: &Path, steps: impl IntoIterator<Item = u64>) -> Vec<u8> {
        let mut log = MetricsLog::create(path).unwrap();
        steps.into_iter().for_each(|s| log.append(s, &row(s)).unwrap());
        log.sync().unwrap();
        fs::read(path).unwrap()
    }

    #[test]
    fn a_line_is_one_object_with_the_step_first() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = log_of(&dir.path().join("m.jsonl"), [3]);
        assert_eq!(String::from_utf8(bytes).unwrap(), "{\"step\":3,\"loss\":0.3333333333333333,\"gap\":null}\n");
    }

    #[test]
    fn cut_anywhere_and_resumed_the_bytes_are_those_of_an_unbroken_run() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.jsonl");
        let whole = log_of(&path, 1..=12);
        let upto5 = log_of(&path, 1..=5).len();
        for cut in upto5..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let mut log = MetricsLog::resume(&path, 5).unwrap();
            (6..=12).for_each(|s| log.append(s, &row(s)).unwrap());
            assert_eq!(fs::read(&path).unwrap(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn torn_and_zeroed_tails_are_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.jsonl");
        let good = log_of(&path, 1..=3);
        for tail in [&b"{\"step\":4,\"lo"[..], b"\0\0\0\0\n", b"\n", b"{\"step\":-4}\n", b"\xff"] {
            fs::write(&path, [&good, tail].concat()).unwrap();
            assert_eq!(read(&path).unwrap().len(), 3);
            truncate_after(&path, 99).unwrap();
            assert_eq!(fs::read(&path).unwrap(), good);
        }
        truncate_after(&path, 0).unwrap();
        assert!(read(&path).unwrap().is_empty());
        truncate_after(&dir.path().join("none"), 3).unwrap();
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.jsonl");
        log_of(&path, [1, 7]);
        let rows = read(&path).unwrap();
        assert_eq!(rows.iter().map(|r| r.0).collect::<Vec<_>>(), [1, 7]);
        assert_eq!(rows[1].1.get("loss").unwrap().to_bits(), (1.0f64 / 7.0).to_bits());
        assert!(rows[1].1.get("gap").unwrap().is_nan());
    }

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
        fs::write(&path, [3.0, 5.0, 1.0, 2.5, 0.5].map(line).concat() + "{\"step").unwrap();
        assert_eq!(seconds(&path), Some(8.0));
    }
}
