//! One-sample goodness-of-fit tests: do these items come from p(x) ∝ exp(-E(x))?
//!
//! All need the score s = -∇E at the items and nothing else: no normaliser, no samples of the model. `gof_lsd` trains a
//! critic on one part of the items and tests on another; the kernel tests have their critic in closed form.

mod estimate;
mod features;
pub mod fssd;
mod kernel;
pub mod ksd;
pub mod lksd;
pub mod lsd;
mod points;
#[cfg(test)]
mod tests;

pub use estimate::Statistic;
pub use kernel::{Bandwidth, KernelConfig, Radial, Rule, SteinKernel};
pub use points::PointSet;

use std::time::Instant;

use serde::Serialize;

use crate::config::{Entry, Schema, rule};
use crate::data::Split;
use crate::metrics::{Metrics, Number};
use crate::probes::probe::{BuildProbe, Finding, Probe, ProbeRow, Subject};
use crate::probes::support::items::{items, present};
use crate::probes::support::scored::Scored;
use crate::{Error, Result, rng::Key};

/// What a test decides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Registry name.
    pub test: &'static str,
    /// What is compared with the null distribution.
    pub statistic: f64,
    /// How likely so large a statistic is if the items do come from the model.
    pub p_value: f64,
    /// p ≤ alpha.
    pub reject: bool,
    /// The size asked for.
    pub alpha: f64,
    /// The discrepancy that the statistic is made of, comparable between models on the same items.
    pub discrepancy: f64,
    /// Its standard error.
    pub std_error: f64,
    /// Items given to the test, those that it trains on included.
    pub items: usize,
    /// Wall clock time.
    pub seconds: f64,
}

/// What a test finds, before it is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// As in [`Verdict`].
    pub statistic: f64,
    /// As in [`Verdict`].
    pub p_value: f64,
    /// As in [`Verdict`].
    pub discrepancy: f64,
    /// As in [`Verdict`].
    pub std_error: f64,
}

/// A goodness-of-fit test. The same items and key give the same evidence.
pub trait Test {
    /// Registry name.
    fn name(&self) -> &'static str;

    /// Items asked for, 0 for all, and the size of the test.
    fn level(&self) -> (usize, f64);

    /// Weighs the items.
    ///
    /// # Errors
    /// Too few items; scores that are not finite.
    fn weigh(&self, sample: &Scored, key: Key) -> Result<Evidence>;

    /// Weighs the first of the items, as many as the test asks for, and decides.
    ///
    /// # Errors
    /// As [`Test::weigh`].
    fn run(&self, sample: &Scored, key: Key) -> Result<Verdict> {
        let (items, alpha) = self.level();
        let sample = sample.first(items)?;
        let start = Instant::now();
        let Evidence { statistic, p_value, discrepancy, std_error } = self.weigh(&sample, key)?;
        if ![statistic, p_value].iter().all(|v| v.is_finite()) {
            return Err(not_finite(self.name()));
        }
        let (reject, items, seconds) = (p_value <= alpha, sample.len()?, start.elapsed().as_secs_f64());
        let test = self.name();
        Ok(Verdict { test, statistic, p_value, reject, alpha, discrepancy, std_error, items, seconds })
    }
}

/// Makes a test from its resolved section.
pub type BuildTest = fn(&toml::Table) -> Result<Box<dyn Test>>;

/// A test that stands in the registries: in [`TESTS`], and as a probe.
trait Registered: Test {
    /// The row of [`TESTS`].
    const TEST: Entry<BuildTest>;
}

/// Every test, in the order in which `ebm gof` runs them.
pub const TESTS: &[Entry<BuildTest>] = &[lsd::Lsd::TEST, ksd::Ksd::TEST, lksd::Lksd::TEST, fssd::Fssd::TEST];

/// What the test of this name reports.
macro_rules! numbers {
    ($test:literal) => {{
        use crate::metrics::{Number, Unit};
        const NUMBERS: &[Number] = &[
            Number::new(concat!($test, "_stat"), Unit::Plain, "statistic that the null distribution is known of")
                .lower(),
            Number::new(concat!($test, "_p"), Unit::Share, "p-value: uniform if the items come from the model").lead(),
            Number::new(concat!($test, "_reject"), Unit::Count, "1 where the test rejects the model").lower().lead(),
            Number::new(concat!($test, "_value"), Unit::Plain, "discrepancy that the statistic is made of").lower(),
            Number::new(concat!($test, "_value_se"), Unit::Plain, "standard error of the discrepancy"),
        ];
        NUMBERS
    }};
}
use numbers;

/// The probe that runs a test on test items. `schema` has the keys of the test and of the schedule.
const fn probe<T: Registered>(schema: Schema, numbers: &'static [Number], example: &'static str) -> ProbeRow {
    let Entry { name, about, cite, .. } = T::TEST;
    let build: BuildProbe = |table, _| Ok(Box::new(TestProbe((T::TEST.build)(table)?)));
    ProbeRow { name, about, cite, schema, numbers, example, build }
}

struct TestProbe(Box<dyn Test>);

impl Probe for TestProbe {
    fn fits(&self, subject: &Subject) -> Result<()> {
        present(self.0.name(), subject, Split::Test)
    }

    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        let x = items(subject.data, Split::Test, self.0.level().0)?;
        let verdict = self.0.run(&Scored::new(subject.model, x)?, subject.key)?;
        Ok(Finding::of(verdict.metrics()))
    }
}

impl Verdict {
    /// All but the time, which no two runs share; the names begin with the test's.
    pub fn metrics(&self) -> Metrics {
        let name = |what: &str| format!("{}_{what}", self.test);
        let mut metrics = Metrics::new();
        metrics.set(name("stat"), self.statistic);
        metrics.set(name("p"), self.p_value);
        metrics.set(name("reject"), f64::from(self.reject));
        metrics.set(name("value"), self.discrepancy);
        metrics.set(name("value_se"), self.std_error);
        metrics
    }
}

/// `0 < alpha < 1`.
fn size(alpha: &f64) -> rule::Complaint {
    (!(*alpha > 0.0 && *alpha < 1.0)).then(|| format!("must be between 0 and 1, got {alpha}"))
}

fn not_finite(test: &str) -> Error {
    let remedy = "the model's scores at these items are not finite or too large: look at the data's scale, or go back \
                  to an earlier checkpoint";
    Error::diverged(format!("{test}: the statistic is not finite"), remedy)
}

fn too_few(test: &str, needed: usize, got: usize) -> Error {
    Error::config(format!("{test} needs at least {needed} items, got {got}"))
        .at("items")
        .hint("give more samples, or raise `items`")
}
