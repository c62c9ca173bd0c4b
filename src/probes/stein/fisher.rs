//! The Fisher divergence to the truth, where the data set knows its score: what a perfect critic would find.

use candle_core::{DType, Tensor};

use crate::config::{Schema, decode, rule};
use crate::data::{Data, Split};
use crate::density::Energy;
use crate::math::stats;
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::items::{blank, present};
use crate::{Error, Result};

crate::config! {
    /// Keys of the probe `fisher`.
    pub struct FisherConfig {
        /// Test items drawn.
        items: usize = 1_000, rule::at_least(2);
        /// λ of the bound F/(2λ): the discrepancy of the best critic under that penalty; at 0.5 it is F itself.
        lambda: f64 = 0.5, rule::positive;
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "fisher",
    about: "Fisher divergence E|∇log q - ∇log p|² to data whose score is known: the upper bound of LSD",
    cite: "Grathwohl et al. 2020, eq. 9 and Fig. 6",
    schema: Schema::of::<(FisherConfig, Schedule)>(),
    numbers: &[
        Number::new(
            "fisher",
            Unit::Plain,
            "Fisher divergence, the mean squared distance between the scores of model and data",
        )
        .lower()
        .lead(),
        Number::new("fisher_se", Unit::Plain, "standard error of fisher"),
        Number::new(
            "fisher_bound",
            Unit::Plain,
            "what the best critic under the penalty λ finds: an upper bound of LSD",
        )
        .lower(),
    ],
    example: example!(plane, "name = \"fisher\"\nitems = 100\n"),
    build: |table, _| Ok(Box::new(Fisher(decode(table)?))),
};

struct Fisher(FisherConfig);

impl Probe for Fisher {
    fn fits(&self, subject: &Subject) -> Result<()> {
        present(ENTRY.name, subject, Split::Test)?;
        score(subject.data, &blank(subject.data)?).map(drop)
    }

    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        let x = subject.data.all(Split::Test, self.0.items)?.x;
        let (f, se) = divergence(subject.model, subject.data, &x)?;
        let metrics = Metrics::new().with("fisher", f).with("fisher_se", se);
        Ok(Finding::of(metrics.with("fisher_bound", f / (2.0 * self.0.lambda))))
    }
}

/// F = E_p|s_q - s_p|² over items x of p, `[N, D]`, and its standard error; s_q = -∇E, s_p the data's own score.
///
/// The best critic under the penalty λE|f|² is (s_q - s_p)/2λ and finds F/(2λ) (Grathwohl 2020, eq. 9).
///
/// # Errors
/// Data whose score is not known in closed form.
pub fn divergence(energy: &dyn Energy, data: &Data, x: &Tensor) -> Result<(f64, f64)> {
    let truth = score(data, x)?;
    let model = energy.grad(x)?.1.detach().to_dtype(DType::F64)?;
    let squares: Vec<f64> = (model + truth)?.sqr()?.flatten_from(1)?.sum(1)?.to_vec1()?;
    Ok((stats::mean(&squares), stats::std_error(&squares)))
}

/// The data's own score at x.
fn score(data: &Data, x: &Tensor) -> Result<Tensor> {
    data.score(x)?.ok_or_else(|| {
        Error::config(format!(
            "probe `fisher` compares scores, but that of the data set `{}` is not known",
            data.spec().name
        ))
        .hint("remove it, or use the probe `lsd`; known are gaussian, rbm, 8gaussians and 25gaussians without `noise`")
    })
}
