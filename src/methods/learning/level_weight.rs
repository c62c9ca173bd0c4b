//! How much the denoising loss of each noise level counts.

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::levels::Noisy;
use crate::data::{Data, Moments};
use crate::{Error, Result};

/// The weight of a level's loss, as a key says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossWeight {
    /// σ² on |∇E - ε/σ|².
    #[default]
    Noise,
    /// σ² (s² + σ²)/s²: the loss of the unit-variance target that Karras et al. give the network.
    Edm,
}

impl LossWeight {
    /// The weight for `data`.
    ///
    /// # Errors
    /// Training items that are all the same have no scale; the error names `key` of the method.
    pub(in crate::methods) fn on(self, data: &Data, key: &str) -> Result<LevelWeight> {
        if self == LossWeight::Noise {
            return Ok(LevelWeight(None));
        }
        let std = data.mean_std(Moments::ITEMS)?.std.to_dtype(DType::F64)?;
        let variance = std.sqr()?.mean_all()?.to_scalar::<f64>()?;
        if variance > 0.0 {
            return Ok(LevelWeight(Some(variance)));
        }
        Err(Error::config("the training items are all the same, so that there is no scale for the loss")
            .at(key)
            .hint(format!("--set method.{key}=noise")))
    }
}

/// s², the mean of the variances of the data's coordinates, where the loss has the weight of [`LossWeight::Edm`].
pub(in crate::methods) struct LevelWeight(Option<f64>);

impl LevelWeight {
    /// The denoising losses `[N]` of [`Noisy::denoising`] with their weight.
    ///
    /// # Errors
    /// Losses of another number than the items.
    pub fn of(&self, missed: &Tensor, noisy: &Noisy) -> Result<Tensor> {
        match self.0 {
            Some(variance) => Ok((missed * noisy.unit_target(variance)?)?),
            None => Ok(missed.clone()),
        }
    }
}
