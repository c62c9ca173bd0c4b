//! On which side of zero samples lie: the balance of two wells, such as those of the φ⁴ field.

use candle_core::Tensor;

use crate::Result;
use crate::config::{Schema, decode, rule};
use crate::data::Split;
use crate::math::stats;
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::items::present;
use crate::probes::support::rows::host_rows;

crate::config! {
    /// Keys of the probe `magnetisation`.
    pub struct MagnetisationConfig {
        /// Samples drawn by the run's sampler, and test items beside them.
        n: usize = 1_000, rule::at_least(2);
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "magnetisation",
    about: "mean coordinate of samples: share of samples where it is above 0, mean of its amount, beside test items",
    cite: "Gabrié, Rotskoff & Vanden-Eijnden 2022, PNAS 119(10); arXiv 2105.12603",
    schema: Schema::of::<(MagnetisationConfig, Schedule)>(),
    numbers: &[
        Number::new("up_share", Unit::Share, "share of samples whose mean coordinate is above 0").lead(),
        Number::new("up_share_se", Unit::Share, "standard error of up_share"),
        Number::new("magnetisation", Unit::Plain, "mean size of the mean coordinate of samples"),
        Number::new("up_share_data", Unit::Share, "up_share of test items"),
        Number::new("up_share_data_se", Unit::Share, "standard error of up_share_data"),
        Number::new("magnetisation_data", Unit::Plain, "magnetisation of test items"),
    ],
    example: example!(plane, "name = \"magnetisation\"\nn = 60\n"),
    build: |table, _| Ok(Box::new(Magnetisation(decode(table)?))),
};

struct Magnetisation(MagnetisationConfig);

impl Probe for Magnetisation {
    fn draws(&self) -> bool {
        true
    }

    fn fits(&self, subject: &Subject) -> Result<()> {
        present(ENTRY.name, subject, Split::Test)
    }

    /// Finds `up_share` and `up_share_data`, the shares of samples and of test items whose mean coordinate is above 0,
    /// with the standard errors of independent draws, `_se`; `magnetisation` and `magnetisation_data`, the means of its
    /// amount.
    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        let x = subject.sample(subject.key.with("samples"), self.0.n)?;
        let real = subject.data.all(Split::Test, self.0.n)?.x;
        let rows = |x: &Tensor| host_rows(&x.flatten_from(1)?);
        let mut metrics = found(&rows(&x)?, "");
        metrics.extend(found(&rows(&real)?, "_data"));
        Ok(Finding::of(metrics))
    }
}

fn found(rows: &[Vec<f64>], suffix: &str) -> Metrics {
    let means: Vec<f64> = rows.iter().map(|row| stats::mean(row)).collect();
    let up: Vec<f64> = means.iter().map(|m| f64::from(u8::from(*m > 0.0))).collect();
    let amounts: Vec<f64> = means.iter().map(|m| m.abs()).collect();
    [
        (format!("up_share{suffix}"), stats::mean(&up)),
        (format!("up_share{suffix}_se"), stats::std_error(&up)),
        (format!("magnetisation{suffix}"), stats::mean(&amounts)),
    ]
    .into_iter()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_amounts_are_those_by_hand() {
        let rows = [vec![1.0, 0.0], vec![-1.0, 0.5], vec![-2.0, -2.0], vec![0.5, 0.5]];
        let metrics = found(&rows, "_data");
        assert_eq!(metrics.get("up_share_data"), Some(0.5));
        assert_eq!(metrics.get("magnetisation_data"), Some((0.5 + 0.25 + 2.0 + 0.5) / 4.0));
        assert!((metrics.get("up_share_data_se").unwrap() - (1.0f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
    }
}
