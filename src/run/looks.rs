//! The looks of a run's probes: what they find, what they fail at, and what is known of that beforehand.

use serde::Serialize;

use super::stage::Stage;
use crate::metrics::Unit;
use crate::probes::{Finding, Scheduled, Subject};
use crate::{Error, Result};

/// A probe whose last look did not find all of its numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Missing {
    /// The probe, by its name and label.
    pub probe: String,
    /// The step of the look.
    pub step: u64,
    /// What was wrong.
    pub why: String,
    /// Its place among the probes.
    #[serde(skip)]
    at: usize,
}

/// The probes of a run.
#[derive(Default)]
pub struct Looks {
    probes: Vec<Scheduled>,
    missing: Vec<Missing>,
}

impl Looks {
    /// Of these probes, none of which has looked yet.
    pub fn new(probes: Vec<Scheduled>) -> Self {
        Looks { probes, missing: Vec::new() }
    }

    /// Whether a probe is due after `step` steps of `total`.
    pub fn due(&self, step: u64, total: u64) -> bool {
        self.probes.iter().any(|probe| probe.due(step, total))
    }

    /// Whether a probe runs the chains of the run's sampler.
    pub fn draw(&self) -> bool {
        self.probes.iter().any(|probe| probe.probe.draws())
    }

    /// The probes whose last look did not find all.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Whether `name` is a number of a probe whose last look did not find all.
    pub fn misses(&self, name: &str) -> bool {
        self.missing.iter().filter_map(|missing| self.probes.get(missing.at)).any(|probe| probe.reports(name))
    }

    /// What is known to go wrong before a run begins: probes that cannot look at its model and data, and such as report
    /// numbers under the same names. The subject's key is of no account.
    pub fn troubles(&self, subject: &Subject) -> Vec<Error> {
        let unfit = self.probes.iter().filter_map(|probe| probe.fits(subject).err());
        let (_, clashes) = self.probes.iter().fold((Vec::new(), Vec::new()), |(mut names, mut clashes), probe| {
            // Stamps of files are the same number wherever they are the same file.
            let counted = probe.numbers().filter(|(name, number)| number.unit != Unit::Hash && !name.contains('{'));
            let own: Vec<String> = counted.map(|(name, _)| name).collect();
            clashes.extend(own.iter().find(|name| names.contains(*name)).and_then(|name| probe.clash(name).err()));
            names.extend(own);
            (names, clashes)
        });
        unfit.chain(clashes).collect()
    }

    /// All that the probes find that are due after `step` steps of `total`, each with randomness of its own from the
    /// subject's key. A probe that fails is warned of, and its numbers are missing; so are such as are not finite.
    ///
    /// # Errors
    /// A signal; where `stops` says so, a model that has diverged.
    pub fn look(&mut self, (step, total): (u64, u64), subject: &Subject, stops: bool) -> Result<Finding> {
        let mut found = Finding::default();
        for (at, probe) in self.probes.iter().enumerate().filter(|(_, probe)| probe.due(step, total)) {
            let key = subject.key.with(&probe.name);
            let outcome = {
                let _long = Stage::long(format!("at step {step}, {}", probe.title()));
                probe.look(&Subject { key, ..*subject })
            };
            let before = self.missing.iter().position(|missing| missing.at == at).map(|i| self.missing.remove(i));
            let why = match outcome {
                Ok(finding) => keep(probe, finding, &mut found),
                Err(error @ Error::Interrupted(_)) => return Err(error),
                Err(Error::Diverged { what, remedy, .. }) if stops => {
                    let what = format!("probe `{}`: {what}", probe.name);
                    return Err(Error::Diverged { step: Some(step), what, remedy });
                }
                Err(error) => Some(error.to_string()),
            };
            if let Some(why) = why {
                let missing = Missing { probe: probe.title(), step, why, at };
                match before.is_some_and(|before| before.why == missing.why) {
                    true => tracing::warn!("at step {step}, {} fails again", missing.probe),
                    false => tracing::warn!(
                        "at step {step}, {} FAILS, and the run goes on without its numbers: {}",
                        missing.probe,
                        missing.why
                    ),
                }
                self.missing.push(missing);
            }
        }
        Ok(found)
    }
}

/// Adds what a probe found to what others did; says which of its numbers are not finite, and so left out. A number or a
/// picture whose name is taken gets a free one.
fn keep(probe: &Scheduled, finding: Finding, found: &mut Finding) -> Option<String> {
    let mut undefined = Vec::new();
    for (name, value) in finding.metrics {
        match found.metrics.get(&name) {
            _ if !value.is_finite() => undefined.push(format!("`{name}` is {value}")),
            Some(other) if other == value => {}
            Some(_) => {
                let free = free(&name, |name| found.metrics.get(name).is_some());
                tracing::warn!(
                    "{}: another probe finds `{name}` too, so this one is `{free}`; set `label` of one of them",
                    probe.title()
                );
                found.metrics.set(free, value);
            }
            None => found.metrics.set(name, value),
        }
    }
    for (name, picture) in finding.pictures {
        let name = free(&name, |name| found.pictures.iter().any(|(taken, _)| taken == name));
        found.pictures.push((name, picture));
    }
    (!undefined.is_empty()).then(|| undefined.join(", "))
}

/// `name`, or with `_2`, `_3` … behind it where that is taken.
fn free(name: &str, taken: impl Fn(&str) -> bool) -> String {
    let numbered = (2u64..).map(|n| format!("{name}_{n}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    names.find(|name| !taken(name)).unwrap_or_else(|| name.to_owned())
}
