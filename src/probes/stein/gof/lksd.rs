//! The kernelised Stein discrepancy in linear time: each item meets one other.

use super::{BuildTest, Evidence, KernelConfig, PointSet, Registered, Scored, Test, numbers, probe, size};
use crate::config::{Entry, Schema, decode};
use crate::math::{normal_cdf, stats};
use crate::probes::probe::{ProbeRow, Schedule};
use crate::probes::support::example::example;
use crate::{Result, rng::Key};

crate::config! {
    /// Keys of the linear-time kernel test `gof_lksd`.
    pub struct LksdConfig {
        /// Items used; 0 uses all (10,000 drawn ones where the data are generated).
        items: usize = 1000;
        /// Size of the test.
        alpha: f64 = 0.05, size;
    }
}

/// The probe.
pub(in crate::probes) const PROBE: ProbeRow = probe::<Lksd>(
    Schema::of::<(LksdConfig, KernelConfig, Schedule)>(),
    numbers!("gof_lksd"),
    example!(plane, "name = \"gof_lksd\"\nitems = 100\nkernel = \"imq\"\nbandwidth = \"learned\"\n"),
);

/// √m mean h(xᵢ, xᵢ₊ₘ) for m = ⌊n/2⌋ pairs, against N(0, mean h²), one-sided.
#[derive(Default)]
pub struct Lksd {
    /// Its own keys.
    pub config: LksdConfig,
    /// Its kernel.
    pub kernel: KernelConfig,
}

impl Registered for Lksd {
    const TEST: Entry<BuildTest> = Entry {
        name: "gof_lksd",
        about: "kernelised Stein discrepancy test in linear time, normal threshold",
        cite: "Liu, Lee & Jordan 2016, section 4, arXiv 1602.03253",
        schema: Schema::of::<(LksdConfig, KernelConfig)>(),
        build: |table| Ok(Box::new(Lksd { config: decode(table)?, kernel: decode(table)? })),
    };
}

impl Test for Lksd {
    fn name(&self) -> &'static str {
        Self::TEST.name
    }

    fn level(&self) -> (usize, f64) {
        (self.config.items, self.config.alpha)
    }

    fn weigh(&self, sample: &Scored, key: Key) -> Result<Evidence> {
        let points = PointSet::new(Self::TEST.name, sample, 10)?;
        let (kernel, points) = self.kernel.choose(points, key.with("learn"))?;
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
