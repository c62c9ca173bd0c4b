//! The trait that every probe implements, what it is given, what it gives back, and the row that registers it.

use candle_core::{Device, Tensor};
use image::RgbImage;

use crate::Result;
use crate::config::rule::Complaint;
use crate::config::{Head, Row, Schema};
use crate::data::Data;
use crate::density::{Model, Proposal};
use crate::metrics::{Metrics, Number};
use crate::rng::Key;
use crate::samplers::{Sampler, Target, Trace};

/// What a probe looks at.
pub struct Subject<'a> {
    /// The model, frozen.
    pub model: &'a Model,
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
    ///
    /// # Errors
    /// As [`Subject::chains`].
    pub fn trace(&self, key: Key, n: usize) -> Result<Trace> {
        let x = self.sampler.start(key.with("start"), self.model, self.proposal, self.data, n)?;
        self.chains(key.with("steps"), &self.target(), &x)
    }

    /// The chains of the run's sampler on `on` from x to their end.
    ///
    /// # Errors
    /// A chain that left no draw, so that numbers about draws say nothing; the sampler's own.
    pub fn chains(&self, key: Key, on: &Target, x: &Tensor) -> Result<Trace> {
        let trace = self.sampler.run(key, on, x, |_, _| Ok(()))?;
        self.sampler.losses(on, &trace)?.check(0)?;
        trace.doubt()?.into_iter().for_each(|doubt| tracing::warn!("samples: {doubt}"));
        Ok(trace)
    }

    /// What the sampler's chains move on: the model, with the method's proposal for global moves if that is a density.
    pub fn target(&self) -> Target<'_> {
        Target::of(self.model).proposing(self.proposal)
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
    /// Whether the probe can look at a subject like this, as far as that is known without looking: by the shape of the
    /// items, how many there are, and what the model can do. `ebm check` asks before a run begins.
    ///
    /// # Errors
    /// What the subject lacks, and what to do about it.
    fn fits(&self, _subject: &Subject) -> Result<()> {
        Ok(())
    }

    /// Whether it runs the chains of the run's sampler, which must then be able to move on the model.
    fn draws(&self) -> bool {
        false
    }

    /// Looks.
    ///
    /// # Errors
    /// A subject that the probe does not fit; results that say nothing.
    fn run(&self, subject: &Subject) -> Result<Finding>;
}

crate::config! {
    /// When a probe runs, and under what name.
    pub struct Schedule {
        /// Every so many steps; 0 means at the end of the run only.
        every: u64 = 0;
        /// Is put before the names of its numbers and pictures, as LABEL_, where two probes would find numbers of one
        /// name.
        label: String = String::new(), plain;
    }
}

/// The name of what a probe finds, behind its label if it has one.
pub fn labelled(label: &str, name: &str) -> String {
    if label.is_empty() { name.to_owned() } else { format!("{label}_{name}") }
}

/// A label becomes part of file names.
fn plain(v: &String) -> Complaint {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (!v.chars().all(fits)).then(|| format!("must be of letters, digits, _ and -, got {v:?}"))
}

/// Makes a probe from its resolved section. What it compares with is loaded onto the device where the run's tensors
/// live.
pub type BuildProbe = fn(&toml::Table, &Device) -> Result<Box<dyn Probe>>;

/// A row of [`PROBES`](super::PROBES): all that the house knows about a probe.
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
    /// The numbers that it reports at every look, without the label.
    pub numbers: &'static [Number],
    /// A small experiment that it looks at, as TOML. The contract tests run it, with the path of a checkpoint of a
    /// classifier of the digits in the place of `{classifier}`.
    pub example: &'static str,
    /// Makes it from its resolved section.
    pub build: BuildProbe,
}

impl Row for ProbeRow {
    fn head(&self) -> Head {
        Head { name: self.name, about: self.about, cite: self.cite, schema: self.schema, numbers: self.numbers }
    }
}
