//! Skeleton of a probe that finds one number. Copy it to a room of `src/probes/`, write `crate::` for `ebm::`, and add
//! the row to `PROBES`; `docs/adding-a-probe.md` tells the rest.

use candle_core::{DType, Tensor};
use ebm::config::{Schema, decode, rule};
use ebm::data::Split;
use ebm::math::stats;
use ebm::metrics::{Metrics, Number, Unit};
use ebm::probes::{Finding, Probe, ProbeRow, Schedule, Subject, items};
use ebm::{Error, Result};

ebm::config! {
    /// Keys of the probe `norms`.
    pub struct NormsConfig {
        /// Samples drawn by the run's sampler, and test items beside them.
        n: usize = 1_000, rule::at_least(2);
    }
}

/// `norms`.
pub const ENTRY: ProbeRow = ProbeRow {
    name: "norms",
    about: "mean norm of samples beside that of test items",
    // Authors, year and equation; empty where it is folklore.
    cite: "",
    // Every probe has the keys of `Schedule`.
    schema: Schema::of::<(NormsConfig, Schedule)>(),
    // All that `run` may find, and nothing else: name, unit and meaning, which way is better, whether it is shown
    // first.
    numbers: &[Number::new("norm_gap", Unit::Plain, "difference of mean |x| of samples and of test items, in size")
        .lower()
        .lead()],
    // A small experiment; the contract tests look at it twice.
    example: r#"[dataset]
name = "8gaussians"

[model]
net = { name = "mlp", hidden = [8, 8] }

[method]
name = "none"

[sampler]
name = "mala"
steps = 5

[train]
steps = 10

[[probe]]
name = "norms"
n = 60
"#,
    // What does not depend on the subject, such as a classifier to judge with, is loaded here, once, onto the device.
    build: |table, _device| Ok(Box::new(Norms(decode(table)?))),
};

struct Norms(NormsConfig);

impl Probe for Norms {
    /// What is known to be missing without looking; `ebm check` asks, and `run` asks again.
    fn fits(&self, subject: &Subject) -> Result<()> {
        match subject.data.len(Split::Test) {
            Some(0) => Err(Error::config("probe `norms` needs test items").hint("hold out items by `dataset.test`")),
            _ => Ok(()),
        }
    }

    /// All randomness comes from `subject.key`: the same subject gives the same finding.
    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        let samples = subject.sample(subject.key.with("samples"), self.0.n)?;
        let real = items(subject.data, Split::Test, self.0.n)?;
        let gap = (mean_norm(&samples)? - mean_norm(&real)?).abs();
        Ok(Finding::of(Metrics::new().with("norm_gap", gap)))
    }
}

/// Mean of |x|, x `[N, ..]`.
fn mean_norm(x: &Tensor) -> Result<f64> {
    let squares = x.to_dtype(DType::F64)?.flatten_from(1)?.sqr()?.sum(1)?;
    Ok(stats::mean(&squares.sqrt()?.to_vec1()?))
}
