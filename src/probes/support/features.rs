//! The numbers by which samples and data are compared: an item's own, or what a network computes of it.

use std::path::Path;

use candle_core::{Device, Tensor};
use nalgebra::DMatrix;

use super::inception::Inception;
use super::judge::{self, Judge, shape};
use crate::data::Data;
use crate::math::linalg;
use crate::metrics::Metrics;
use crate::store::checkpoint::sha256;
use crate::{Error, Result};

/// What an item is compared by.
pub(in crate::probes) enum Features {
    /// By an item's own numbers.
    Own,
    /// By a classifier's features of it.
    Classifier(Box<Judge>),
    /// By Inception's features, of weights with this path and sha256.
    Inception { network: Inception, path: String, sha256: String },
}

impl Features {
    /// Those of the classifier in the checkpoint `path`, or of the Inception whose weights the file holds; an item's
    /// own numbers for an empty path. Loaded before training begins, so that a wrong path is not found after it.
    ///
    /// # Errors
    /// A file that is neither.
    pub fn load(path: &str, device: &Device) -> Result<Self> {
        if path.is_empty() {
            return Ok(Features::Own);
        }
        let bytes = judge::read(path)?;
        if !Inception::recognises(&bytes) {
            return Ok(Features::Classifier(Box::new(Judge::of(path, &bytes, device)?)));
        }
        let network = Inception::of(&bytes, Path::new(path), device)?;
        Ok(Features::Inception { network, path: path.to_owned(), sha256: sha256(&bytes) })
    }

    /// The numbers of items x in the space of `data`, a row each.
    ///
    /// # Errors
    /// Items of another shape than the classifier's; for Inception, items that are no images.
    pub fn seen(&self, x: &Tensor, data: &Data) -> Result<DMatrix<f64>> {
        match self {
            Features::Own => linalg::to_host(&x.flatten_from(1)?),
            Features::Classifier(judge) => linalg::to_host(&judge.features(x, data)?),
            Features::Inception { network, .. } => {
                self.check(data)?;
                linalg::to_host(&network.features(&data.to_unit(x)?)?)
            }
        }
    }

    /// Whether there are features of items of `data`.
    ///
    /// # Errors
    /// Items of another shape than the classifier's; for Inception, items that are no images.
    pub fn check(&self, data: &Data) -> Result<()> {
        match (self, shape(data.spec()).as_slice()) {
            (Features::Own, _) | (Features::Inception { .. }, [_, _, _]) => Ok(()),
            (Features::Classifier(judge), _) => judge.check(data),
            (Features::Inception { .. }, other) => Err(Error::config(format!(
                "Inception reads images, and an item of `{}` has shape {other:?}",
                data.spec().name
            ))
            .at("features")
            .hint("leave `features` of the probe empty, or choose a data set of images")),
        }
    }

    /// `features_sha` ([`judge::stamp`]) where features are a network's.
    pub fn stamp(&self, metrics: &mut Metrics) {
        match self {
            Features::Own => {}
            Features::Classifier(judge) => judge.stamp("features_sha", metrics),
            Features::Inception { path, sha256, .. } => judge::stamp(path, sha256, "features_sha", metrics),
        }
    }
}
