//! Probes that compare samples with data in one number: what they share is where the items come from.

use candle_core::{Device, Tensor};
use nalgebra::DMatrix;

use crate::config::{Config, decode, rule};
use crate::data::Split;
use crate::metrics::Metrics;
use crate::probes::probe::{Finding, Probe, Subject};
use crate::probes::support::features::Features;
use crate::{Error, Result, rng::Key};

crate::config! {
    /// Keys of a comparison of samples with data.
    pub struct ComparisonConfig {
        /// Samples, and items of the data. Fewer where the split has less than twice as many, as the floor takes as
        /// many items again.
        n: usize = 1_000, rule::at_least(4);
        /// The data that samples are compared with: test, validation or train.
        split: Split = Split::Test;
        /// Checkpoint of a classifier that ebm trained, whose last linear layer's input is the space, or the weights of
        /// Inception-v3 (docs/methods.md); empty: the numbers of an item as the model sees them. Numbers of different
        /// spaces cannot be compared.
        features: String = String::new();
    }
}

/// A distance between two samples.
pub(super) trait Distance {
    /// The probe's name in the registry.
    const NAME: &'static str;

    /// The distance of the samples to the data, beside its floor, real against real. `key` is the look's.
    ///
    /// # Errors
    /// A tensor operation that failed.
    fn measure(&self, sets: &Compared, key: Key) -> Result<Metrics>;
}

/// The probe that looks at a distance.
pub(super) struct TwoSample<D> {
    distance: D,
    keys: ComparisonConfig,
    features: Features,
}

impl<D: Distance + Config + 'static> TwoSample<D> {
    /// Builds it from the resolved section, which has the keys of the distance and of the comparison.
    ///
    /// # Errors
    /// A file of features that cannot be read.
    pub fn build(table: &toml::Table, device: &Device) -> Result<Box<dyn Probe>> {
        let (distance, keys): (D, ComparisonConfig) = decode(table)?;
        let features = Features::load(&keys.features, device)?;
        Ok(Box::new(TwoSample { distance, keys, features }))
    }
}

impl<D: Distance> Probe for TwoSample<D> {
    fn draws(&self) -> bool {
        true
    }

    fn fits(&self, subject: &Subject) -> Result<()> {
        self.features.check(subject.data)?;
        let ComparisonConfig { n, split, .. } = self.keys;
        let have = subject.data.len(split).unwrap_or(usize::MAX).min(n.saturating_mul(2));
        match have < 4 {
            true => Err(Error::config(format!(
                "probe `{}` needs four items or more, and the {split} split of `{}` has {have}",
                D::NAME,
                subject.data.spec().name,
            ))
            .at("split")
            .hint("hold out more by `dataset.test` or `dataset.validation`, or choose another split")),
            false => Ok(()),
        }
    }

    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        let sets = Compared::new(subject, &self.keys, &self.features)?;
        let mut metrics = self.distance.measure(&sets, subject.key)?;
        self.features.stamp(&mut metrics);
        Ok(Finding::of(metrics))
    }
}

/// Samples and twice as many real items, in one space.
pub(super) struct Compared {
    /// What samples are compared with.
    pub real: DMatrix<f64>,
    /// More real items: between them and the first lies the floor.
    pub again: DMatrix<f64>,
    /// As many samples.
    pub samples: DMatrix<f64>,
}

impl Compared {
    /// At most n of each, for the probe `name`.
    ///
    /// # Errors
    /// A split of fewer than four items.
    pub fn new(subject: &Subject, keys: &ComparisonConfig, features: &Features) -> Result<Self> {
        let real = subject.data.all(keys.split, keys.n.saturating_mul(2))?.x;
        let half = real.dim(0)? / 2;
        let seen = |x: &Tensor| features.seen(x, subject.data);
        Ok(Compared {
            real: seen(&real.narrow(0, 0, half)?)?,
            again: seen(&real.narrow(0, half, half)?)?,
            samples: seen(&subject.sample(subject.key.with("samples"), half)?)?,
        })
    }

    /// Items of each.
    pub fn len(&self) -> usize {
        self.samples.nrows()
    }
}
