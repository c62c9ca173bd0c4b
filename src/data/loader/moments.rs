//! Mean and standard deviation of the training items.

use candle_core::{DType, Tensor};

use super::Data;
use crate::data::pipeline::split::Split;
use crate::{Error, Result};

/// Mean and standard deviation (n - 1 in the denominator) of training items in model space.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Of each coordinate, of an item's shape, f32.
    pub mean: Tensor,
    /// Of each coordinate, of an item's shape, f32; 0 for coordinates that never change.
    pub std: Tensor,
    /// Of all numbers together.
    pub overall_mean: f64,
    /// Of all numbers together.
    pub overall_std: f64,
}

impl Data {
    /// Mean and standard deviation of the first `n` training items in model space, summed in f64.
    ///
    /// # Errors
    /// Fewer than two items.
    pub fn mean_std(&self, n: usize) -> Result<Moments> {
        let x = self.all(Split::Train, n)?.x.flatten_from(1)?.to_dtype(DType::F64)?;
        let count = x.dim(0)?;
        if count < 2 {
            return Err(Error::config(format!("a standard deviation needs two items, not {count}")));
        }
        let mean = x.mean(0)?;
        let std = (x.broadcast_sub(&mean)?.sqr()?.sum(0)? / (count - 1) as f64)?.sqrt()?;
        let overall_mean = x.mean_all()?.to_scalar::<f64>()?;
        let spread = (&x - overall_mean)?.sqr()?.sum_all()?.to_scalar::<f64>()?;
        let overall_std = (spread / (x.elem_count() - 1) as f64).sqrt();
        let shaped = |t: Tensor| -> Result<Tensor> { Ok(t.to_dtype(DType::F32)?.reshape(self.spec.shape.as_slice())?) };
        Ok(Moments { mean: shaped(mean)?, std: shaped(std)?, overall_mean, overall_std })
    }
}
