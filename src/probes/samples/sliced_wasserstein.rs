//! Sliced Wasserstein distance of samples to data.

use candle_core::Device;

use crate::config::{Schema, decode, rule};
use crate::math::sliced_wasserstein;
use crate::metrics::Metrics;
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::features::{Compared, Space, SpaceConfig};
use crate::{Result, rng::Key};

crate::config! {
    /// Keys of the probe `sliced_wasserstein`.
    pub struct SlicedConfig {
        /// Directions that the items are projected on.
        directions: usize = 500, rule::at_least(1);
        /// Which directions; apart from the run's seed, so that all runs have the same.
        directions_seed: u64 = 0;
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "sliced_wasserstein",
    about: "squared 2-Wasserstein distance of samples to data, averaged over fixed directions",
    cite: "Rabin, Peyré, Delon & Bernot 2011; Bonneel, Rabin, Peyré & Pfister 2015",
    schema: Schema::of::<(SlicedConfig, SpaceConfig, Schedule)>(),
    numbers: &[],
    example: "",
    build: |table| {
        let probe = Sliced { config: decode(table)?, keys: decode(table)? };
        // Read before training begins, so that a wrong path is not found after it.
        Space::load(&probe.keys.features, &Device::Cpu)?;
        Ok(Box::new(probe))
    },
};

struct Sliced {
    config: SlicedConfig,
    keys: SpaceConfig,
}

impl Probe for Sliced {
    /// Finds `sw2`, squared, `sw2_floor` between two sets of real items of the same size, and `sw_items`, that size.
    fn run(&self, subject: &Subject) -> Result<Finding> {
        let space = Space::load(&self.keys.features, subject.data.device())?;
        let sets = Compared::new("sliced_wasserstein", subject, &self.keys, &space)?;
        let key = Key::new(self.config.directions_seed).with("directions");
        let to_real = |x| sliced_wasserstein(&sets.real, x, self.config.directions, key);
        let mut metrics = Metrics::new().with("sw2", to_real(&sets.samples)?).with("sw2_floor", to_real(&sets.again)?);
        metrics.set("sw_items", sets.len() as f64);
        space.stamp(&mut metrics);
        Ok(Finding::of(metrics))
    }
}
