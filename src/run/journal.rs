//! What a run writes down as it goes: metrics, times, pictures, TensorBoard events.

use std::time::Duration;

use super::folder::RunFolder;
use super::fs;
use super::metrics::{MetricsLog, TimingLog};
use super::tensorboard::EventWriter;
use crate::Result;
use crate::methods::Metrics;

/// All logs of a run, appended in one place so that they agree on the step.
pub struct Journal<'a> {
    folder: &'a RunFolder,
    metrics: MetricsLog,
    timing: TimingLog,
    events: EventWriter,
}

impl<'a> Journal<'a> {
    /// Opens the logs, cut back to what was written up to `step`.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn open(folder: &'a RunFolder, step: u64) -> Result<Self> {
        Ok(Journal {
            metrics: MetricsLog::open(&folder.metrics(), step)?,
            timing: TimingLog::open(&folder.timing(), step)?,
            events: EventWriter::create(folder.path())?,
            folder,
        })
    }

    /// One line of metrics and the pictures of one step.
    ///
    /// # Errors
    /// A full disk, among others.
    pub fn write(&mut self, step: u64, metrics: &Metrics, pictures: &[(String, Vec<u8>)]) -> Result<()> {
        self.metrics.append(step, metrics)?;
        self.events.scalars(step, metrics)?;
        for (name, png) in pictures {
            fs::write_atomic(&self.folder.samples().join(format!("{name}-{step:08}.png")), png)?;
            self.events.image(step, name, png)?;
        }
        Ok(())
    }

    /// How long `steps` steps up to `step` took in this process.
    ///
    /// # Errors
    /// As [`Journal::write`].
    pub fn time(&mut self, step: u64, elapsed: Duration, steps: u64) -> Result<()> {
        self.timing.append(step, elapsed, steps)
    }
}
