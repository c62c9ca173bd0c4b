//! The log of a run's numbers, `metrics.jsonl`.
//!
//! A line is one JSON object with `step` first; floats in the shortest form that reads back to the same bits, what is
//! not finite as `null`. After a crash [`MetricsLog::resume`] cuts the file back, to the byte, to the lines that the
//! checkpoint knows of; so a resumed run's file equals that of a run that was never stopped.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

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

/// Logs whose damage has been told of: they are read several times.
static TOLD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Every line of a `metrics.jsonl`. Lines that are none are passed over and warned of once, but for a last one that a
/// kill or a running process left unfinished.
///
/// # Errors
/// The file cannot be read.
pub fn read(path: &Path) -> Result<Vec<(u64, Metrics)>> {
    read_noting(path, &mut Vec::new())
}

/// The same, and the warning is added to `notes`, whether or not it was told before.
///
/// # Errors
/// The file cannot be read.
pub fn read_noting(path: &Path, notes: &mut Vec<String>) -> Result<Vec<(u64, Metrics)>> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    for (i, (_, line)) in lines(&bytes).enumerate() {
        match line {
            Some(line) => rows.push((line.step, line.metrics)),
            None => bad.push(i + 1),
        }
    }
    if let Some(first) = bad.first() {
        let (name, lines) = (path.display(), if bad.len() == 1 { "line" } else { "lines" });
        let note = format!("{name}: {} damaged {lines} passed over, the first is line {first}", bad.len());
        if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(path.into()) {
            tracing::warn!("{note}");
        }
        notes.push(note);
    }
    Ok(rows)
}

/// The first line that is one, without reading further.
///
/// # Errors
/// The file cannot be read.
pub fn first(path: &Path) -> Result<Option<(u64, Metrics)>> {
    let mut file = BufReader::new(File::open(path).map_err(Error::io(path))?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if file.read_until(b'\n', &mut line).map_err(Error::io(path))? == 0 {
            return Ok(None);
        }
        if let Some(found) = line.strip_suffix(b"\n").and_then(parse) {
            return Ok(Some(found));
        }
    }
}

/// What one finished line without its end says, if it is one.
pub fn parse(line: &[u8]) -> Option<(u64, Metrics)> {
    let Line { step, metrics } = serde_json::from_slice(line).ok()?;
    Some((step, metrics))
}

/// Bytes at the end of a file in which its last line is looked for.
const LAST: u64 = 1 << 16;

/// The last finished line that is one, without reading what comes long before; nothing where there is none.
pub fn last(path: &Path) -> Option<(u64, Metrics)> {
    let mut file = File::open(path).ok()?;
    let start = file.metadata().ok()?.len().saturating_sub(LAST);
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    let finished = bytes.iter().rposition(|byte| *byte == b'\n')?;
    bytes.get(..finished)?.rsplit(|byte| *byte == b'\n').find_map(parse)
}

/// Cuts the file behind its last line with a step of at most `step` that comes before any with a larger one; damaged
/// lines between good ones stay. A missing file stays so. Lines that `step` had and that are lost are told.
///
/// # Errors
/// The file cannot be read or cut.
pub fn truncate_after(path: &Path, step: u64) -> Result<()> {
    let bytes = match fs::read(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            if step > 0 {
                tracing::warn!("{}: is missing; the numbers of the steps up to {step} are lost", path.display());
            }
            return Ok(());
        }
        other => other.map_err(Error::io(path))?,
    };
    let good = lines(&bytes).filter_map(|(end, line)| Some((end, line?)));
    let keep = good.take_while(|(_, line)| line.step <= step).last().map_or(0, |(end, _)| end);
    if keep == bytes.len() {
        return Ok(());
    }
    if has_lost(bytes.get(keep..).unwrap_or_default(), step) {
        let path = path.display();
        tracing::warn!("{path}: damaged behind byte {keep}, and cut there; numbers of steps up to {step} may be lost");
    }
    let file = File::options().write(true).open(path).map_err(Error::io(path))?;
    file.set_len(keep as u64).and_then(|()| file.sync_all()).map_err(Error::io(path))
}

/// Whether what is cut away begins with a damaged line, or has one of a step up to `step`.
fn has_lost(cut: &[u8], step: u64) -> bool {
    let mut lines = lines(cut).map(|(_, line)| line).peekable();
    let begins_damaged = !matches!(lines.peek(), Some(Some(_)));
    begins_damaged || lines.flatten().any(|line| line.step <= step)
}

/// The finished lines, each with the offset behind it; `None` for what is damaged.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, Option<Line>)> {
    let mut end = 0;
    bytes.split_inclusive(|&b| b == b'\n').map_while(move |line| {
        end += line.len();
        Some((end, serde_json::from_slice(line.strip_suffix(b"\n")?).ok()))
    })
}

pub(super) fn write_line(file: &mut File, path: &Path, line: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec(line).map_err(|e| Error::Other(format!("{}: {e}", path.display())))?;
    text.push(b'\n');
    file.write_all(&text).map_err(Error::io(path))
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
    fn a_damaged_line_hides_none_of_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.jsonl");
        let good = log_of(&path, 1..=4);
        let first = good.iter().position(|b| *b == b'\n').unwrap() + 1;
        for garbage in [&b"garbage\n"[..], b"\xff\0\n", b"\n", b"{\"loss\":1}\n", b"[]\n{\"step\":\n"] {
            let damaged = [&good[..first], garbage, &good[first..]].concat();
            fs::write(&path, &damaged).unwrap();
            assert_eq!(read(&path).unwrap().iter().map(|r| r.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
            fs::write(&path, [garbage, &good].concat()).unwrap();
            assert_eq!((super::first(&path).unwrap().unwrap().0, super::last(&path).unwrap().0), (1, 4));
            fs::write(&path, &damaged).unwrap();
            truncate_after(&path, 4).unwrap();
            assert_eq!(fs::read(&path).unwrap(), damaged, "resuming takes no good line away");
            truncate_after(&path, 1).unwrap();
            assert_eq!(fs::read(&path).unwrap(), &good[..first]);
        }
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
    fn numbers_that_the_checkpoint_had_and_the_log_has_not_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.jsonl");
        let good = log_of(&path, 4..=6);
        assert!(!has_lost(&good, 3) && has_lost(&good, 4) && has_lost(b"{\"step\":4", 3));
        let torn = [&good, &b"{\"st"[..]].concat();
        assert!(!has_lost(&torn, 3), "what a killed run was writing");
        log_of(&path, [200, 3]);
        assert!(has_lost(&fs::read(&path).unwrap(), 3));
    }
}
