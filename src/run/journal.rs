//! What a run writes down as it goes: metrics, times, curves, pictures, TensorBoard events.

use image::RgbImage;

use super::curves::Drawn;
use super::declared::Declared;
use super::evaluations;
use super::folder::RunFolder;
use super::metrics::{self, MetricsLog};
use super::tensorboard::EventLog;
use super::timing::TimingLog;
use crate::metrics::Metrics;
use crate::store::fs;
use crate::{Result, draw};

/// All logs of a run, appended in one place so that they agree on the step.
pub struct Journal<'a> {
    folder: &'a RunFolder,
    metrics: MetricsLog,
    timing: TimingLog,
    events: EventLog,
    declared: Declared,
    /// The last to be dropped, as it reads what the others wrote.
    curves: Drawn<'a>,
}

impl<'a> Journal<'a> {
    /// Opens the logs, cut back to what was written of the steps up to `step`. `declared` groups the curves of
    /// TensorBoard.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn open(folder: &'a RunFolder, step: u64, declared: Declared) -> Result<Self> {
        evaluations::cut(folder.dir(), step)?;
        let mut events = EventLog::create(folder.dir(), step)?;
        events.begin_session(folder.dir())?;
        Ok(Journal {
            metrics: MetricsLog::resume(&folder.metrics(), step)?,
            timing: TimingLog::open(&folder.timing())?,
            events,
            curves: Drawn::new(folder),
            folder,
            declared,
        })
    }

    /// The newest value of every metric; empty if there is none yet. A method of two stages reports others in each.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn last(&self) -> Result<Metrics> {
        let mut newest = Metrics::new();
        metrics::read(&self.folder.metrics())?.into_iter().for_each(|(_, metrics)| newest.extend(metrics));
        Ok(newest)
    }

    /// One line of metrics and the pictures of one step.
    ///
    /// # Errors
    /// A full disk, among others.
    pub fn write(&mut self, step: u64, metrics: &Metrics, pictures: &[(String, RgbImage)]) -> Result<()> {
        self.metrics.append(step, metrics)?;
        self.curves.outdated();
        self.timing.append(step)?;
        self.events.scalars(step, metrics.iter().map(|(name, value)| (self.declared.tag(name), value)))?;
        for (name, picture) in pictures {
            let png = draw::png(picture)?;
            fs::write_atomic(&self.folder.samples().join(format!("{name}-{step:08}.png")), &png)?;
            self.events.image(step, &format!("probe/{name}"), picture.dimensions(), &png)?;
        }
        Ok(())
    }

    /// Draws the curves, if it is time.
    pub fn draw(&mut self) {
        self.curves.in_time();
    }

    /// Makes the metrics durable, before a checkpoint that counts on them.
    ///
    /// # Errors
    /// As the system says.
    pub fn sync(&self) -> Result<()> {
        self.metrics.sync()
    }
}
