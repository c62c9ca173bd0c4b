//! Maximum mean discrepancy of samples to data, with a permutation test.

use super::two_sample::{Compared, ComparisonConfig, Distance, TwoSample};
use crate::config::Schema;
use crate::math::mmd::{Mmd, median_distance};
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{ProbeRow, Schedule};
use crate::probes::support::example::example;
use crate::{Result, rng::Key};

crate::config! {
    /// Keys of the probe `mmd`.
    pub struct MmdConfig {
        /// Divisions of the pool that the p-value is computed from; 0 for no p-value.
        permutations: usize = 200;
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "mmd",
    about: "unbiased squared maximum mean discrepancy of samples to data under five Gaussian kernels, with a \
            permutation p-value",
    cite: "Gretton, Borgwardt, Rasch, Schölkopf & Smola 2012, JMLR 13",
    schema: Schema::of::<(MmdConfig, ComparisonConfig, Schedule)>(),
    numbers: &[
        Number::new("mmd2", Unit::Plain, "unbiased squared maximum mean discrepancy between samples and data")
            .lower()
            .against("mmd2_floor")
            .lead(),
        Number::new("mmd2_floor", Unit::Plain, "the same between two sets of real items"),
        Number::new("mmd_p", Unit::Share, "p-value of the permutation test, uniform for a perfect sampler")
            .when("`permutations` is above 0"),
        Number::new("mmd_items", Unit::Count, "size of each set"),
        Number::new("features_sha", Unit::Hash, "sha256 of the file of features").when("`features` is given"),
    ],
    example: example!(plane, "name = \"mmd\"\nn = 60\npermutations = 20\n"),
    build: TwoSample::<MmdConfig>::build,
};

impl Distance for MmdConfig {
    const NAME: &'static str = ENTRY.name;

    /// Finds `mmd2` with bandwidths ¼, ½, 1, 2 and 4 times the median distance of the real items, whatever the samples
    /// are; `mmd2_floor` between two sets of real items; `mmd_p`, uniform for a perfect sampler; `mmd_items`, the size
    /// of each set.
    fn measure(&self, sets: &Compared, key: Key) -> Result<Metrics> {
        let median = median_distance(&sets.real)?;
        let mmd = Mmd::new(&sets.real, &sets.samples, median)?;
        let floor = Mmd::new(&sets.real, &sets.again, median)?.value();
        let mut metrics = Metrics::new().with("mmd2", mmd.value()).with("mmd2_floor", floor);
        if self.permutations > 0 {
            metrics.set("mmd_p", mmd.p_value(key.with("permutations"), self.permutations));
        }
        metrics.set("mmd_items", sets.len() as f64);
        Ok(metrics)
    }
}
