//! The kernelised Stein discrepancy as a test: quadratic in the items, wild bootstrap.

use candle_core::{DType, Device, Tensor};

use super::estimate::{Statistic, estimate};
use super::{BuildTest, Evidence, KernelConfig, PointSet, Registered, Scored, Test, numbers, probe, size};
use crate::config::{Entry, Schema, decode, rule};
use crate::probes::probe::{ProbeRow, Schedule};
use crate::probes::support::example::example;
use crate::{Result, ops, rng::Key};

crate::config! {
    /// Keys of the quadratic-time kernel test `gof_ksd`.
    pub struct KsdConfig {
        /// Items used; 0 uses all (10,000 drawn ones where the data are generated).
        items: usize = 1000;
        /// Size of the test.
        alpha: f64 = 0.05, size;
        /// u (unbiased) or v (all pairs); the p-value is the same.
        statistic: Statistic = Statistic::U;
        /// Replicates of the wild bootstrap.
        replicates: usize = 1000, rule::at_least(1);
        /// p = (1 + k)/(1 + replicates) for k replicates at or above the statistic; false: k/replicates, which can be 0
        /// and rejects a true model slightly too often.
        plus_one: bool = true;
    }
}

/// The probe.
pub(in crate::probes) const PROBE: ProbeRow = probe::<Ksd>(
    Schema::of::<(KsdConfig, KernelConfig, Schedule)>(),
    numbers!("gof_ksd"),
    example!(plane, "name = \"gof_ksd\"\nitems = 100\nkernel = \"imq\"\nbandwidth = \"learned\"\n"),
);

/// n times the mean of h(xᵢ, xⱼ), against n times the mean of wᵢwⱼh(xᵢ, xⱼ) with random signs w.
#[derive(Default)]
pub struct Ksd {
    /// Its own keys.
    pub config: KsdConfig,
    /// Its kernel.
    pub kernel: KernelConfig,
}

impl Registered for Ksd {
    const TEST: Entry<BuildTest> = Entry {
        name: "gof_ksd",
        about: "kernelised Stein discrepancy test, all pairs, wild bootstrap",
        cite: "Liu, Lee & Jordan 2016, arXiv 1602.03253; Chwialkowski, Strathmann & Gretton 2016, arXiv 1602.02964",
        schema: Schema::of::<(KsdConfig, KernelConfig)>(),
        build: |table| Ok(Box::new(Ksd { config: decode(table)?, kernel: decode(table)? })),
    };
}

impl Test for Ksd {
    fn name(&self) -> &'static str {
        Self::TEST.name
    }

    fn level(&self) -> (usize, f64) {
        (self.config.items, self.config.alpha)
    }

    fn weigh(&self, sample: &Scored, key: Key) -> Result<Evidence> {
        let points = PointSet::new(Self::TEST.name, sample, 10)?;
        let (kernel, points) = self.kernel.choose(points, key.with("learn"))?;
        let n = points.len();
        let statistic = self.config.statistic;
        let h = kernel.stein_matrix(&points)?;
        let (value, std_error) = estimate(&h, n, statistic);
        let replicates = bootstrap(&h, n, statistic, self.config.replicates, key.with("bootstrap"))?;
        let above = replicates.iter().filter(|v| **v >= value).count();
        let p_value = p_value(above, replicates.len(), self.config.plus_one);
        Ok(Evidence { statistic: n as f64 * value, p_value, discrepancy: value, std_error })
    }
}

/// The share of replicates at or above the statistic, which itself counts as one of them with `plus_one`: under the
/// null it is exchangeable with them, so that P(p ≤ α) ≤ α (Davison & Hinkley 1997, section 4.2).
fn p_value(above: usize, of: usize, plus_one: bool) -> f64 {
    let one = usize::from(plus_one);
    (above + one) as f64 / (of + one) as f64
}

/// Replicates of the estimate with h(xᵢ, xⱼ) replaced by wᵢwⱼh(xᵢ, xⱼ), wᵢ = ±1: all from one product of signs and h.
fn bootstrap(h: &[f64], n: usize, statistic: Statistic, replicates: usize, key: Key) -> Result<Vec<f64>> {
    let signs = key.rademacher((replicates, n), DType::F64, &Device::Cpu)?;
    let h_tensor = Tensor::from_slice(h, (n, n), &Device::Cpu)?;
    let quadratic = ops::dot(&ops::linear(&signs, &h_tensor, None)?, &signs)?.to_vec1::<f64>()?;
    let (own, pairs) = statistic.pairs(h, n);
    Ok(quadratic.into_iter().map(|q| (q - own) / pairs).collect())
}
