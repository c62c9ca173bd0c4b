//! The points with a direction (jets), carried through a network together.

use candle_core::Tensor;

use crate::{Result, ops};

/// Values x and tangents ẋ stacked along the batch: rows `0..B` are x, rows `B..2B` are ẋ.
///
/// Stacked, a linear map reads its weights once for both and its weight gradient is one product instead of two.
#[derive(Clone, Debug)]
pub struct Jet(Tensor);

impl Jet {
    /// The jet of x and ẋ = `tangent`, both `[B, ..]`.
    pub fn new(x: &Tensor, tangent: &Tensor) -> Result<Self> {
        Ok(Jet(ops::stacked(&[x, tangent])?))
    }

    /// The jet of a tensor `[2B, ..]` that is stacked already.
    pub fn from_stacked(stacked: Tensor) -> Self {
        Jet(stacked)
    }

    /// The stacked tensor, `[2B, ..]`.
    pub fn stacked(&self) -> &Tensor {
        &self.0
    }

    /// The number of items, B.
    pub fn batch(&self) -> Result<usize> {
        Ok(self.0.dim(0)? / 2)
    }

    /// The values x, `[B, ..]`.
    pub fn value(&self) -> Result<Tensor> {
        Ok(self.0.narrow(0, 0, self.batch()?)?)
    }

    /// The tangents ẋ, `[B, ..]`.
    pub fn tangent(&self) -> Result<Tensor> {
        Ok(self.0.narrow(0, self.batch()?, self.batch()?)?)
    }

    /// The image of the jet under a linear map `f`, which is applied to the stacked tensor.
    pub fn linear(&self, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Self> {
        Ok(Jet(f(&self.0)?))
    }
}
