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
        let x = self.all(Split::Train, n)?.x;
        let count = x.dim(0)?;
        if count < 2 {
            return Err(Error::config(format!("a standard deviation needs two items, not {count}")));
        }
        // The scales are factors, as in a tensor's own mean.
        let (each, all, less) = (1.0 / count as f64, 1.0 / x.elem_count() as f64, 1.0 / (count - 1) as f64);
        let (mut sums, mut total) = (vec![0.0; self.spec.dim()], 0.0);
        for_each(&x, |place, v| {
            sums.get_mut(place).into_iter().for_each(|sum| *sum += v);
            total += v;
        })?;
        let mean: Vec<f64> = sums.iter().map(|sum| sum * each).collect();
        let overall_mean = total * all;
        let (mut squares, mut spread) = (vec![0.0; self.spec.dim()], 0.0);
        for_each(&x, |place, v| {
            let mean = mean.get(place).copied().unwrap_or(0.0);
            squares.get_mut(place).into_iter().for_each(|sum| *sum += (v - mean).powi(2));
            spread += (v - overall_mean).powi(2);
        })?;
        let std = squares.iter().map(|sum| (sum * less).sqrt()).collect();
        let overall_std = (spread / (x.elem_count() - 1) as f64).sqrt();
        let shaped = |values: Vec<f64>| -> Result<Tensor> {
            Ok(Tensor::from_vec(values, self.spec.shape.as_slice(), self.device())?.to_dtype(DType::F32)?)
        };
        Ok(Moments { mean: shaped(mean)?, std: shaped(std)?, overall_mean, overall_std })
    }
}

/// Hands every number of the items to `each` with its place in the item, item by item; a few items are in memory in
/// another form at a time, as all in f64 would need twice the memory of the items, several times over.
fn for_each(x: &Tensor, mut each: impl FnMut(usize, f64)) -> Result<()> {
    /// Items at a time.
    const SOME: usize = 256;
    let count = x.dim(0)?;
    for from in (0..count).step_by(SOME) {
        let some = x.narrow(0, from, SOME.min(count - from))?.flatten_from(1)?.to_dtype(DType::F32)?;
        let dim = some.dim(1)?;
        for item in some.flatten_all()?.to_vec1::<f32>()?.chunks_exact(dim.max(1)) {
            item.iter().enumerate().for_each(|(place, v)| each(place, f64::from(*v)));
        }
    }
    Ok(())
}
