//! What a whole run will take, by its first steps.

use std::time::{Duration, Instant};

use super::Trainer;
use crate::Result;
use crate::metrics::Metrics;
use crate::run::guard::Guard;
use crate::run::train_config::TrainConfig;

/// Steps that are timed at most, and how long: the first one prepares what the others find.
const STEPS: u64 = 10;
const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes of a line of `timing.jsonl`, and of a number and of an event in TensorBoard's file beside its name.
const TIMING: u64 = 70;
const NUMBER: u64 = 20;
const EVENT: u64 = 50;

/// What a run will take, probes and pictures aside.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// The numbers of the first step.
    pub first: Metrics,
    /// Seconds of the first step.
    pub first_seconds: f64,
    /// Seconds of a later step, or of the first one where no other was timed.
    pub step_seconds: f64,
    /// Steps that were run.
    pub steps: u64,
    /// Seconds of all steps.
    pub seconds: f64,
    /// Bytes of a checkpoint's tensors.
    pub checkpoint: u64,
    /// Checkpoints that stay.
    pub checkpoints: u64,
    /// Bytes of the run folder at its end.
    pub disk: u64,
}

impl Trainer {
    /// Runs a few steps and says what all of them will take.
    ///
    /// # Errors
    /// As [`Self::advance`].
    pub fn estimate(&mut self, guard: &mut Guard) -> Result<Estimate> {
        let begin = Instant::now();
        let first = self.advance(guard)?.clone();
        let (first_seconds, from) = (begin.elapsed().as_secs_f64(), Instant::now());
        let mut steps = 1;
        while steps < STEPS.min(self.total) && begin.elapsed() < PATIENCE {
            self.advance(guard)?;
            steps += 1;
        }
        let step_seconds = if steps > 1 { from.elapsed().as_secs_f64() / (steps - 1) as f64 } else { first_seconds };
        let seconds = first_seconds + step_seconds * self.total.saturating_sub(1) as f64;
        let (checkpoint, checkpoints) = (self.checkpoint_bytes()? as u64, self.checkpoints_kept());
        let disk = checkpoint.saturating_mul(checkpoints).saturating_add(self.log_bytes(&first));
        Ok(Estimate { first, first_seconds, step_seconds, steps, seconds, checkpoint, checkpoints, disk })
    }

    /// How many checkpoints stay at the end.
    fn checkpoints_kept(&self) -> u64 {
        let TrainConfig { checkpoint_every: every, .. } = self.experiment.train;
        let written = if every == 0 { 1 } else { self.total.div_ceil(every).max(1) };
        let keep = self.keep();
        let newest = written.min(keep.last.max(1) as u64);
        // Of those before the newest, which are multiples of `every`, the ones that are kept for good.
        let older = (written - newest).saturating_mul(every);
        let milestones = if keep.every == 0 { 0 } else { older / least_common_multiple(every, keep.every) };
        newest + milestones + u64::from(self.best.is_some() && written > newest)
    }

    /// Bytes of all logs, by the numbers of one step.
    fn log_bytes(&self, line: &Metrics) -> u64 {
        let lines = self.total.div_ceil(self.experiment.train.log_every.max(1));
        let json = serde_json::to_string(line).map_or(0, |text| text.len() as u64);
        let tags: u64 = line.iter().map(|(name, _)| name.len() as u64 + NUMBER).sum();
        lines.saturating_mul(json + TIMING + EVENT + tags)
    }
}

/// Of two numbers that are not 0.
fn least_common_multiple(a: u64, b: u64) -> u64 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x.max(1)).saturating_mul(b).max(1)
}
