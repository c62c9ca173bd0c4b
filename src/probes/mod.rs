//! What is measured while a run trains and after: numbers against exact or published values, and pictures.

mod accuracy;
pub mod ais;
mod amari;
mod bound;
mod class_balance;
mod conditional;
pub mod diagnose;
mod entropy_gradient;
pub mod fisher;
mod frechet;
pub mod gof;
mod inception;
mod inpainting;
mod judge;
mod labelled;
pub mod likelihood;
pub mod lsd;
mod magnetisation;
mod memorisation;
mod mmd;
pub mod mode_weights;
pub mod modes;
pub mod nll;
mod ood;
pub mod robustness;
mod samples;
pub mod score_matching;
mod scored;
mod sliced_wasserstein;
mod space;
mod stacked_modes;
mod teaching;

pub use samples::Picture;
pub use scored::Scored;

use candle_core::Tensor;
use image::RgbImage;

use crate::config::rule::Verdict;
use crate::config::{self, Head, Row, Schema, Spec, decode, find};
use crate::data::Data;
use crate::density::{Energy, Proposal, Target};
use crate::metrics::{Metrics, Number};
use crate::samplers::{Sampler, Trace};
use crate::{Error, Result, rng::Key};

/// What a probe looks at.
pub struct Subject<'a> {
    /// The energy, frozen.
    pub energy: &'a dyn Energy,
    /// What the method draws from at once, if it keeps such a thing.
    pub proposal: Option<&'a dyn Proposal>,
    /// The data it was trained on.
    pub data: &'a Data,
    /// The run's sampler.
    pub sampler: &'a Sampler,
    /// Randomness of this look.
    pub key: Key,
}

impl Subject<'_> {
    /// n samples by the run's sampler, `[n, ..]`, with randomness from `key`.
    pub fn sample(&self, key: Key, n: usize) -> Result<Tensor> {
        Ok(self.trace(key, n)?.x)
    }

    /// The chains of the run's sampler from their start to their end, n of them.
    pub fn trace(&self, key: Key, n: usize) -> Result<Trace> {
        let x = self.sampler.start(key.with("start"), self.energy, self.proposal, self.data, n)?;
        self.sampler.run(key.with("steps"), &self.target(), &x, |_, _| Ok(()))
    }

    /// The energy as the sampler's chains see it.
    pub fn target(&self) -> Target<'_> {
        Target::new(self.energy).proposing(self.proposal)
    }
}

/// What a probe found.
#[derive(Default)]
pub struct Finding {
    /// Numbers, in the order found.
    pub metrics: Metrics,
    /// By name, which becomes the file's.
    pub pictures: Vec<(String, RgbImage)>,
}

impl Finding {
    /// Numbers without a picture.
    pub fn of(metrics: Metrics) -> Self {
        Finding { metrics, pictures: Vec::new() }
    }
}

/// A measurement. The same subject gives the same finding.
pub trait Probe {
    /// Looks.
    fn run(&self, subject: &Subject) -> Result<Finding>;
}

crate::config! {
    /// When a probe runs, and under what name.
    pub struct Schedule {
        /// Every so many steps; 0 means at the end of the run only.
        every: u64 = 0;
        /// Is put before the names of its numbers and pictures, as LABEL_, where two probes would find numbers of one name.
        label: String = String::new(), plain;
    }
}

/// A label becomes part of file names.
fn plain(v: &String) -> Verdict {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (!v.chars().all(fits)).then(|| format!("must be of letters, digits, _ and -, got {v:?}"))
}

/// Makes a probe from its resolved section.
pub type BuildProbe = fn(&toml::Table) -> Result<Box<dyn Probe>>;

/// A row of [`PROBES`]: all that the house knows about a probe.
#[derive(Clone, Copy)]
pub struct ProbeRow {
    /// What the configuration says: `name = "nll"`.
    pub name: &'static str,
    /// One line for listings.
    pub about: &'static str,
    /// Where it comes from: authors, year, equation or algorithm; empty where it is folklore.
    pub cite: &'static str,
    /// The keys of its section.
    pub schema: Schema,
    /// The numbers that it reports at every look.
    pub numbers: &'static [Number],
    /// A small experiment that it looks at, as TOML: `[dataset]`, `[model]`, `[method]` and the probe's keys. The contract
    /// tests run it.
    pub example: &'static str,
    /// Makes it from its resolved section.
    pub build: BuildProbe,
}

impl Row for ProbeRow {
    fn head(&self) -> Head {
        Head { name: self.name, about: self.about, cite: self.cite, schema: self.schema, numbers: self.numbers }
    }
}

/// Every probe that `[[probe]] name = "…"` can name.
pub const PROBES: &[ProbeRow] = &[
    nll::ENTRY,
    likelihood::ENTRY,
    bound::ENTRY,
    teaching::ENTRY,
    conditional::ENTRY,
    samples::ENTRY,
    lsd::ENTRY,
    fisher::ENTRY,
    score_matching::ENTRY,
    amari::ENTRY,
    entropy_gradient::ENTRY,
    accuracy::ENTRY,
    ood::ENTRY,
    robustness::ENTRY,
    frechet::ENTRY,
    modes::ENTRY,
    mode_weights::ENTRY,
    mmd::ENTRY,
    sliced_wasserstein::ENTRY,
    memorisation::ENTRY,
    stacked_modes::ENTRY,
    class_balance::ENTRY,
    magnetisation::ENTRY,
    inpainting::ENTRY,
    ais::ENTRY,
    gof::lsd::PROBE,
    gof::ksd::PROBE,
    gof::lksd::PROBE,
    gof::fssd::PROBE,
];

/// The rows of [`PROBES`] for the configuration.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    config::schemas(PROBES)
}

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
}

impl Scheduled {
    /// Builds one `[[probe]]`.
    ///
    /// # Errors
    /// A specification that is not resolved.
    pub fn new(spec: &Spec) -> Result<Self> {
        let row = find(PROBES, spec.name()).ok_or_else(|| Error::Other(format!("unknown probe `{}`", spec.name())))?;
        let Schedule { every, label } = decode(&spec.0)?;
        Ok(Scheduled { name: spec.name().into(), every, label, probe: (row.build)(&spec.0)? })
    }

    /// What the probe finds, under its label.
    ///
    /// # Errors
    /// The probe's own.
    pub fn look(&self, subject: &Subject) -> Result<Finding> {
        let finding = self.probe.run(subject)?;
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
