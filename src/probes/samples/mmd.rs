//! Maximum mean discrepancy of samples to data, with a permutation test.

use candle_core::Device;

use crate::Result;
use crate::config::{Schema, decode};
use crate::math::mmd::{Mmd, median_distance};
use crate::metrics::Metrics;
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::features::{Compared, Space, SpaceConfig};

crate::config! {
    /// Keys of the probe `mmd`.
    pub struct MmdConfig {
        /// Divisions of the pool that the p-value is computed from; 0 for no p-value.
        permutations: usize = 200;
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "mmd",
    about: "unbiased squared maximum mean discrepancy of samples to data under five Gaussian kernels, with a permutation p-value",
    cite: "Gretton, Borgwardt, Rasch, Schölkopf & Smola 2012, JMLR 13",
    schema: Schema::of::<(MmdConfig, SpaceConfig, Schedule)>(),
    numbers: &[],
    example: "",
    build: |table| {
        let probe = MmdProbe { config: decode(table)?, keys: decode(table)? };
        // Read before training begins, so that a wrong path is not found after it.
        Space::load(&probe.keys.features, &Device::Cpu)?;
        Ok(Box::new(probe))
    },
};

struct MmdProbe {
    config: MmdConfig,
    keys: SpaceConfig,
}

impl Probe for MmdProbe {
    /// Finds `mmd2` with bandwidths ¼, ½, 1, 2 and 4 times the median distance of the real items, whatever the samples are;
    /// `mmd2_floor` between two sets of real items; `mmd_p`, uniform for a perfect sampler; `mmd_items`, the size of each set.
    fn run(&self, subject: &Subject) -> Result<Finding> {
        let space = Space::load(&self.keys.features, subject.data.device())?;
        let sets = Compared::new("mmd", subject, &self.keys, &space)?;
        let median = median_distance(&sets.real)?;
        let mmd = Mmd::new(&sets.real, &sets.samples, median)?;
        let floor = Mmd::new(&sets.real, &sets.again, median)?.value();
        let mut metrics = Metrics::new().with("mmd2", mmd.value()).with("mmd2_floor", floor);
        if self.config.permutations > 0 {
            metrics.set("mmd_p", mmd.p_value(subject.key.with("permutations"), self.config.permutations));
        }
        metrics.set("mmd_items", sets.len() as f64);
        space.stamp(&mut metrics);
        Ok(Finding::of(metrics))
    }
}
