//! What was found of a run's checkpoints after training, in a file of its own that no run reads.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::folder::Paths;
use super::metrics::write_line;
use crate::metrics::Metrics;
use crate::store::fs::write_atomic;
use crate::{Error, Result};

/// What stands before the name of a number that was found after training: it may have been found in another way than
/// the run's own probes find theirs.
pub const PREFIX: &str = "eval/";

/// The finding of one probe on one checkpoint, a line of `evaluations.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Steps that the checkpoint was trained.
    pub step: u64,
    /// The probe.
    pub probe: String,
    /// How it looked: its keys as `PROBE.KEY`, those of the sampler, the others that `--set` made other than the run
    /// has them, which weights; but not the seed.
    pub how: BTreeMap<String, String>,
    /// The seed of its draws.
    pub seed: u64,
    /// What it found, by the names of its numbers behind its label.
    pub metrics: Metrics,
}

impl Evaluation {
    /// The key under which the seed of its draws is told, which need not be that of the run.
    const SEED: &str = "eval.seed";

    /// The value of a key that it was made with; none where that is the run's own.
    pub fn made_with(&self, key: &str) -> Option<String> {
        if key == Self::SEED {
            return Some(self.seed.to_string());
        }
        let value = self.how.get(key).or_else(|| self.how.get(&format!("{key}.name")))?;
        Some(value.trim_matches('"').to_owned())
    }

    /// Adds the line to the file of the run in `dir`, in one piece.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&self, dir: &Path) -> Result<PathBuf> {
        let path = Paths::of(dir).evaluations();
        // A line that a full disk or a kill has cut stands alone, so that it takes no other with it.
        let torn = fs::read(&path).is_ok_and(|bytes| bytes.last().is_some_and(|last| *last != b'\n'));
        let mut file = File::options().create(true).append(true).open(&path).map_err(Error::io(&path))?;
        if torn {
            file.write_all(b"\n").map_err(Error::io(&path))?;
        }
        write_line(&mut file, &path, self)?;
        file.sync_data().map_err(Error::io(&path))?;
        Ok(path)
    }
}

/// What was found of the run in `dir`, oldest first; none without a file. A line that is none is noted.
///
/// # Errors
/// The file cannot be read.
pub fn of(dir: &Path, notes: &mut Vec<String>) -> Result<Vec<Evaluation>> {
    let path = Paths::of(dir).evaluations();
    let bytes = match fs::read(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::io(&path))?,
    };
    let mut found = Vec::new();
    for (i, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match serde_json::from_slice(line) {
            Ok(evaluation) => found.push(evaluation),
            Err(e) => notes.push(format!("{}: line {} is passed over: {e}", path.display(), i + 1)),
        }
    }
    Ok(found)
}

/// The numbers found at `step`, each with [`PREFIX`] before its name; of one that was found again, the newest.
pub fn at(found: &[Evaluation], step: u64) -> Metrics {
    let mut metrics = Metrics::new();
    let there = found.iter().filter(|evaluation| evaluation.step == step);
    there.for_each(|one| metrics.extend(one.metrics.iter().map(|(name, value)| (format!("{PREFIX}{name}"), value))));
    metrics
}

/// Leaves out what was found behind `step`, from where a run goes on: its next checkpoints are others.
///
/// # Errors
/// The file cannot be read or replaced.
pub fn cut(dir: &Path, step: u64) -> Result<()> {
    let found = of(dir, &mut Vec::new())?;
    if found.iter().all(|evaluation| evaluation.step <= step) {
        return Ok(());
    }
    let path = Paths::of(dir).evaluations();
    let mut kept = Vec::new();
    for evaluation in found.iter().filter(|evaluation| evaluation.step <= step) {
        serde_json::to_writer(&mut kept, evaluation).map_err(|e| Error::Other(format!("{}: {e}", path.display())))?;
        kept.push(b'\n');
    }
    write_atomic(&path, &kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(step: u64, value: f64) -> Evaluation {
        let how = BTreeMap::from([("frechet.n".to_owned(), "300".to_owned())]);
        let metrics = [("frechet", value), ("kid", f64::NAN)].into_iter().collect();
        Evaluation { step, probe: "frechet".into(), how, seed: 0, metrics }
    }

    #[test]
    fn the_newest_of_a_step_counts_and_what_lies_behind_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let mut notes = Vec::new();
        assert!(of(dir.path(), &mut notes).unwrap().is_empty());
        cut(dir.path(), 0).unwrap();
        for (step, value) in [(5, 2.0), (10, 3.0), (5, 1.5)] {
            found(step, value).keep(dir.path()).unwrap();
        }
        let path = Paths::of(dir.path()).evaluations();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], b"{\"step\":7,\"pro"].concat()).unwrap();
        let all = of(dir.path(), &mut notes).unwrap();
        assert!(all.len() == 3 && notes.len() == 1 && notes[0].contains("line 4"), "{notes:?}");
        assert_eq!(at(&all, 5).get("eval/frechet"), Some(1.5));
        assert!(at(&all, 5).get("eval/kid").unwrap().is_nan() && at(&all, 6).is_empty());
        cut(dir.path(), 7).unwrap();
        let left = of(dir.path(), &mut Vec::new()).unwrap();
        assert_eq!(left.iter().map(|one| one.step).collect::<Vec<_>>(), [5, 5]);
        // What was written in one piece is not written anew: the torn line behind it stays until something is cut.
        let before = fs::read(&path).unwrap();
        cut(dir.path(), 7).unwrap();
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}
