//! A probe of a run: built from its `[[probe]]` section, with the steps at which it is due and its label.

use candle_core::Device;

use super::PROBES;
use super::probe::{Finding, Probe, Schedule, Subject, labelled};
use crate::config::{Spec, decode, find};
use crate::metrics::{Number, fits};
use crate::{Error, Result};

/// A probe with its schedule: one `[[probe]]` of a run.
pub struct Scheduled {
    /// Registry name.
    pub name: String,
    /// Every so many steps; 0 for the end only.
    pub every: u64,
    /// Is put before the names of what it finds, if not empty.
    pub label: String,
    /// The probe.
    pub probe: Box<dyn Probe>,
    numbers: &'static [Number],
    section: Spec,
}

impl Scheduled {
    /// Builds one `[[probe]]`, with what it compares with on `device`.
    ///
    /// # Errors
    /// A specification that is not resolved; a file that the probe needs and that cannot be read.
    pub fn new(spec: &Spec, device: &Device) -> Result<Self> {
        let row = find(PROBES, spec.name()).ok_or_else(|| Error::Other(format!("unknown probe `{}`", spec.name())))?;
        let Schedule { every, label } = spec.within(decode(&spec.table))?;
        let probe = spec.within((row.build)(&spec.table, device))?;
        Ok(Scheduled { name: spec.name().into(), every, label, probe, numbers: row.numbers, section: spec.clone() })
    }

    /// The probe, by its name and label, as messages call it.
    pub fn title(&self) -> String {
        match self.label.as_str() {
            "" => format!("probe `{}`", self.name),
            label => format!("probe `{}` (label `{label}`)", self.name),
        }
    }

    /// The numbers that it declares, under its label; parts in braces stand for one character or more.
    pub fn numbers(&self) -> impl Iterator<Item = (String, &Number)> {
        self.numbers.iter().map(|number| (self.labelled(number.name), number))
    }

    /// Whether it declares a number of this name.
    pub fn reports(&self, name: &str) -> bool {
        self.numbers().any(|(declared, _)| fits(&declared, name))
    }

    /// Refuses to report a number `name` that another probe reports too.
    ///
    /// # Errors
    /// Always, at the probe's label.
    pub fn clash(&self, name: &str) -> Result<()> {
        let what = format!("{} reports `{name}`, which another probe does too", self.title());
        let hint = "set `label = \"…\"` of one of them, which is put before its names";
        self.section.within(Err(Error::config(what).at("label").hint(hint)))
    }

    /// Whether the probe can look at a subject like this, as far as that is known without looking.
    ///
    /// # Errors
    /// What the subject lacks.
    pub fn fits(&self, subject: &Subject) -> Result<()> {
        self.section.within(self.probe.fits(subject))
    }

    fn labelled(&self, name: &str) -> String {
        labelled(&self.label, name)
    }

    /// What the probe finds, under its label.
    ///
    /// # Errors
    /// The probe's own.
    pub fn look(&self, subject: &Subject) -> Result<Finding> {
        let finding = self.section.within(self.probe.run(subject))?;
        Ok(Finding {
            metrics: finding.metrics.into_iter().map(|(name, value)| (self.labelled(&name), value)).collect(),
            pictures: finding.pictures.into_iter().map(|(name, picture)| (self.labelled(&name), picture)).collect(),
        })
    }

    /// Whether the probe is due after `step` steps of `total`.
    pub fn due(&self, step: u64, total: u64) -> bool {
        step == total || (self.every > 0 && step.is_multiple_of(self.every))
    }
}
