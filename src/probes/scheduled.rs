//! A probe of a run: built from its `[[probe]]` section, with the steps at which it is due and its label.

use candle_core::Device;

use super::PROBES;
use super::probe::{Finding, Probe, Schedule, Subject};
use crate::config::{Spec, decode, find};
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
        Ok(Scheduled { name: spec.name().into(), every, label, probe, section: spec.clone() })
    }

    /// What the probe finds, under its label.
    ///
    /// # Errors
    /// The probe's own.
    pub fn look(&self, subject: &Subject) -> Result<Finding> {
        let finding = self.section.within(self.probe.run(subject))?;
        if self.label.is_empty() {
            return Ok(finding);
        }
        let named = |name: String| format!("{}_{name}", self.label);
        Ok(Finding {
            metrics: finding.metrics.into_iter().map(|(name, value)| (named(name), value)).collect(),
            pictures: finding.pictures.into_iter().map(|(name, picture)| (named(name), picture)).collect(),
        })
    }

    /// Whether the probe is due after `step` steps of `total`.
    pub fn due(&self, step: u64, total: u64) -> bool {
        step == total || (self.every > 0 && step.is_multiple_of(self.every))
    }
}
