//! The score-matching objective J = E[½|∇E|² - ΔE] on test items (Hyvärinen 2005): the Fisher divergence to the data,
//! up to a constant that only the data decide. Lower is better, between models of the same data.

use candle_core::Tensor;

use crate::config::{Schema, decode, rule};
use crate::data::Split;
use crate::density::Energy;
use crate::math::stats;
use crate::methods::{Noise, score};
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::items::{items, present};
use crate::probes::support::rows::{host, in_chunks};
use crate::{Result, rng::Key};

crate::config! {
    /// Keys of the probe `score_matching`.
    pub struct ScoreMatchingConfig {
        /// Test items used; 0 uses all (10,000 drawn ones where the data are generated).
        items: usize = 0;
        /// Take the exact trace of the Hessian when an item has at most this many dimensions, else random directions.
        exact_trace_dim: usize = 64;
        /// Directions an item, where the trace is not exact.
        projections: usize = 16, rule::at_least(1);
        /// Their distribution: gaussian or rademacher.
        noise: Noise = Noise::Rademacher;
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "score_matching",
    about: "score-matching objective on test items: Fisher divergence to the data up to the data's constant",
    cite: "Hyvärinen 2005, JMLR 6, theorem 1; Song et al. 2019, SSM-VR",
    schema: Schema::of::<(ScoreMatchingConfig, Schedule)>(),
    numbers: &[
        Number::new(
            "sm",
            Unit::Plain,
            "score-matching objective: half the Fisher divergence, up to a constant of the data",
        )
        .lower()
        .lead(),
        Number::new("sm_se", Unit::Plain, "standard error of sm"),
    ],
    example: example!(plane, "name = \"score_matching\"\nitems = 100\n"),
    build: |table, _| Ok(Box::new(ScoreMatching(decode(table)?))),
};

struct ScoreMatching(ScoreMatchingConfig);

impl Probe for ScoreMatching {
    fn fits(&self, subject: &Subject) -> Result<()> {
        present(ENTRY.name, subject, Split::Test)
    }

    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        let x = items(subject.data, Split::Test, self.0.items)?;
        let values = objective(&self.0, subject.model, &x, subject.key)?;
        Ok(Finding::of(Metrics::new().with("sm", stats::mean(&values)).with("sm_se", stats::std_error(&values))))
    }
}

/// Rows of one pass: bounds the memory.
const ROWS: usize = 1000;

/// ½|∇E|² - ΔE of every item of x, `[N, ..]`.
///
/// # Errors
/// Items of another shape than the energy's.
pub fn objective(config: &ScoreMatchingConfig, energy: &dyn Energy, x: &Tensor, key: Key) -> Result<Vec<f64>> {
    let n = x.dim(0)?;
    let exact = x.elem_count() / n.max(1) <= config.exact_trace_dim;
    let slices = score::Slices { noise: config.noise, count: config.projections, variance_reduced: true };
    let chunk = if exact { ROWS } else { (ROWS / config.projections).max(1) };
    let values = in_chunks(x, chunk, |at, rows| {
        let terms = match exact {
            true => score::exact(energy, rows)?,
            false => score::sliced(energy, key.at(at as u64), rows, slices)?,
        };
        host(&terms.objective()?)
    })?;
    Ok(values.concat())
}
