//! The numbers that samples and data are compared by, and the real items that they are compared with.

use std::path::Path;

use candle_core::{Device, Tensor};
use nalgebra::DMatrix;

use super::inception::Inception;
use super::judge::{self, Judge, shape};
use crate::config::rule;
use crate::data::{Data, Split};
use crate::math::linalg;
use crate::metrics::Metrics;
use crate::probes::probe::Subject;
use crate::store::checkpoint::sha256;
use crate::{Error, Result};

crate::config! {
    /// Keys of a comparison of samples with data.
    pub struct SpaceConfig {
        /// Samples, and items of the data. Fewer where the split has less than twice as many, as the floor takes as many items
        /// again.
        n: usize = 1_000, rule::at_least(4);
        /// The data that samples are compared with: test, validation or train.
        split: Split = Split::Test;
        /// Checkpoint of a classifier that ebm trained, whose last linear layer's input is the space, or the weights of
        /// Inception-v3 (docs/methods.md); empty: the numbers of an item as the model sees them. Numbers of different spaces
        /// cannot be compared.
        features: String = String::new();
    }
}

/// Where items are compared.
pub(in crate::probes) enum Space {
    /// By an item's own numbers.
    Own,
    /// By a classifier's features of it.
    Classifier(Box<Judge>),
    /// By Inception's features, of weights with this path and sha256.
    Inception { network: Inception, path: String, sha256: String },
}

impl Space {
    /// Features of the classifier in the checkpoint `path`, or of the Inception whose weights the file holds; an item's own
    /// numbers for an empty path.
    ///
    /// # Errors
    /// A file that is neither.
    pub fn load(path: &str, device: &Device) -> Result<Self> {
        if path.is_empty() {
            return Ok(Space::Own);
        }
        let bytes = judge::read(path)?;
        if !Inception::recognises(&bytes) {
            return Ok(Space::Classifier(Box::new(Judge::of(path, &bytes, device)?)));
        }
        let network = Inception::of(&bytes, Path::new(path), device)?;
        Ok(Space::Inception { network, path: path.to_owned(), sha256: sha256(&bytes) })
    }

    /// Items x in the space of `data`, a row each.
    ///
    /// # Errors
    /// Items of another shape than the classifier's; for Inception, items that are no images.
    pub fn seen(&self, x: &Tensor, data: &Data) -> Result<DMatrix<f64>> {
        match self {
            Space::Own => linalg::to_host(&x.flatten_from(1)?),
            Space::Classifier(judge) => linalg::to_host(&judge.features(x, data)?),
            Space::Inception { network, .. } => match shape(data.spec()).as_slice() {
                [_, _, _] => linalg::to_host(&network.features(&data.to_unit(x)?)?),
                other => Err(Error::Config(format!(
                    "error: Inception reads images, and an item of `{}` has shape {other:?}\n\nhint: leave `features` of the probe \
                     empty, or choose a data set of images",
                    data.spec().name
                ))),
            },
        }
    }

    /// `features_sha` ([`judge::stamp`]) where features are a network's.
    pub fn stamp(&self, metrics: &mut Metrics) {
        match self {
            Space::Own => {}
            Space::Classifier(judge) => judge.stamp("features_sha", metrics),
            Space::Inception { path, sha256, .. } => judge::stamp(path, sha256, "features_sha", metrics),
        }
    }
}

/// Samples and twice as many real items, in one space.
pub(in crate::probes) struct Compared {
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
