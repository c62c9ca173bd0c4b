//! Sliced Wasserstein distance of samples to data.

use super::two_sample::{Compared, ComparisonConfig, Distance, TwoSample};
use crate::config::{Schema, rule};
use crate::math::sliced_wasserstein;
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{ProbeRow, Schedule};
use crate::probes::support::example::example;
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
    schema: Schema::of::<(SlicedConfig, ComparisonConfig, Schedule)>(),
    numbers: &[
        Number::new(
            "sw2",
            Unit::Plain,
            "squared 2-Wasserstein distance between samples and data, mean over directions",
        )
        .lower()
        .against("sw2_floor")
        .lead(),
        Number::new("sw2_floor", Unit::Plain, "the same between two sets of real items"),
        Number::new("sw_items", Unit::Count, "size of each set"),
        Number::new("features_sha", Unit::Hash, "sha256 of the file of features").when("`features` is given"),
    ],
    example: example!(plane, "name = \"sliced_wasserstein\"\nn = 60\ndirections = 20\n"),
    build: TwoSample::<SlicedConfig>::build,
};

impl Distance for SlicedConfig {
    const NAME: &'static str = ENTRY.name;

    /// Finds `sw2`, squared, `sw2_floor` between two sets of real items of the same size, and `sw_items`, that size.
    fn measure(&self, sets: &Compared, _: Key) -> Result<Metrics> {
        let key = Key::new(self.directions_seed).with("directions");
        let to_real = |x| sliced_wasserstein(&sets.real, x, self.directions, key);
        Ok(Metrics::new()
            .with("sw2", to_real(&sets.samples)?)
            .with("sw2_floor", to_real(&sets.again)?)
            .with("sw_items", sets.len() as f64))
    }
}
