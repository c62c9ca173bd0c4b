//! The numbers that samples and data are compared by, and the real items that they are compared with.

use candle_core::{Device, Tensor};
use nalgebra::DMatrix;

use super::Subject;
use super::judge::Judge;
use crate::config::rule;
use crate::data::{Data, Split};
use crate::math::linalg;
use crate::metrics::Metrics;
use crate::{Error, Result};

crate::config! {
    /// Keys of a comparison of samples with data.
    pub struct SpaceConfig {
        /// Samples, and items of the data. Fewer where the split has less than twice as many, as the floor takes as many items
        /// again.
        n: usize = 1_000, rule::at_least(4);
        /// The data that samples are compared with: test, validation or train.
        split: Split = Split::Test;
        /// Checkpoint of a classifier that ebm trained, whose last linear layer's input is the space; empty: the numbers of an
        /// item as the model sees them. Numbers of different spaces cannot be compared.
        features: String = String::new();
    }
}

/// An item's own numbers, or a classifier's features of it.
pub(super) struct Space(Option<Judge>);

impl Space {
    /// Features of the classifier in the checkpoint `path`; an item's own numbers for an empty path.
    ///
    /// # Errors
    /// A file that is no checkpoint of a classifier.
    pub fn load(path: &str, device: &Device) -> Result<Self> {
        Ok(Space(if path.is_empty() { None } else { Some(Judge::load(path, device)?) }))
    }

    /// Items x in the space of `data`, a row each.
    ///
    /// # Errors
    /// Items of another shape than the classifier's.
    pub fn seen(&self, x: &Tensor, data: &Data) -> Result<DMatrix<f64>> {
        match &self.0 {
            None => linalg::to_host(&x.flatten_from(1)?),
            Some(judge) => linalg::to_host(&judge.features(x, data)?),
        }
    }

    /// `features_sha` ([`Judge::stamp`]) where features are a classifier's.
    pub fn stamp(&self, metrics: &mut Metrics) {
        self.0.iter().for_each(|judge| judge.stamp("features_sha", metrics));
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
    pub fn new(name: &str, subject: &Subject, keys: &SpaceConfig, space: &Space) -> Result<Self> {
        let real = subject.data.all(keys.split, keys.n.saturating_mul(2))?.x;
        let half = real.dim(0)? / 2;
        if half < 2 {
            return Err(Error::Config(format!(
                "error: probe `{name}` needs four items or more, and the {} split of `{}` has {}\n\nhint: choose another split",
                keys.split,
                subject.data.spec().name,
                real.dim(0)?
            )));
        }
        let seen = |x: &Tensor| space.seen(x, subject.data);
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
