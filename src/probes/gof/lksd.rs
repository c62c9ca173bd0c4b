//! The kernelised Stein discrepancy in linear time: each item meets one other.

use super::kernel::{self, Choice, Criterion};
use super::{Bandwidth, BuildTest, Evidence, Points, Radial, Rule, Scored, Test, probe, size};
use crate::config::{Entry, Schema, decode};
use crate::math::{normal_cdf, stats};
use crate::probes::{BuildProbe, Schedule};
use crate::{Result, rng::Key};

crate::config! {
    /// Keys of the linear-time kernel test `gof_lksd`.
    pub struct LksdConfig {
        /// Items used; 0 uses all (10,000 drawn ones where the data are generated).
        items: usize = 1000;
        /// Size of the test.
        alpha: f64 = 0.05, size;
        /// rbf: exp(-r²/2σ²); imq: (1 + r²/σ²)^beta.
        kernel: Radial = Radial::Rbf;
        /// Exponent of imq.
        beta: f64 = -0.5, kernel::beta;
        /// σ: "median" (distance between items), "learned" (on a share of the items, which the test leaves out) or a number.
        bandwidth: Bandwidth = Bandwidth::Rule(Rule::Median), kernel::bandwidth;
        /// Share of the items that a learned bandwidth is chosen on.
        learn: f64 = 0.2, size;
        /// What a learned bandwidth maximises: power (estimate over standard deviation) or value (the estimate).
        criterion: Criterion = Criterion::Power;
    }
}

/// The test.
pub(super) const TEST: Entry<BuildTest> = Entry {
    name: "gof_lksd",
    about: "kernelised Stein discrepancy test in linear time, normal threshold",
    cite: "Liu, Lee & Jordan 2016, section 4, arXiv 1602.03253",
    schema: Schema::of::<LksdConfig>(),
    build: |table| Ok(Box::new(Lksd(decode(table)?))),
};

/// The probe.
pub const PROBE: Entry<BuildProbe> = Entry {
    name: TEST.name,
    about: TEST.about,
    cite: TEST.cite,
    schema: Schema::joined::<LksdConfig, Schedule>(),
    build: |table| probe(&TEST, table),
};

/// √m mean h(xᵢ, xᵢ₊ₘ) for m = ⌊n/2⌋ pairs, against N(0, mean h²), one-sided.
pub struct Lksd(pub LksdConfig);

impl Test for Lksd {
    fn name(&self) -> &'static str {
        TEST.name
    }

    fn level(&self) -> (usize, f64) {
        (self.0.items, self.0.alpha)
    }

    fn weigh(&self, sample: &Scored, key: Key) -> Result<Evidence> {
        let LksdConfig { kernel: radial, beta, bandwidth, learn, criterion, .. } = self.0;
        let points = Points::new(TEST.name, sample, 10)?;
        let choice = Choice { radial, beta, bandwidth, learn, criterion };
        let (kernel, points) = choice.kernel(points, key.with("learn"))?;
        let both = || points.items().zip(points.scores()).map(|(x, s)| [x, s]);
        let h: Vec<f64> =
            both().zip(both().skip(points.len() / 2)).map(|(one, other)| kernel.stein_pair(one, other)).collect();
        let h = h.get(..points.len() / 2).unwrap_or(&h);
        let (mean, root_m) = (stats::mean(h), (h.len() as f64).sqrt());
        let spread = stats::mean(&h.iter().map(|v| v * v).collect::<Vec<_>>()).sqrt();
        let p_value = normal_cdf(-root_m * mean / spread);
        Ok(Evidence { statistic: root_m * mean, p_value, discrepancy: mean, std_error: stats::std_error(h) })
    }
}
