//! The weights of a layer as an operation is given them.

use candle_core::{DType, Tensor, Var};

use super::kept::{self, Kept, Place};
use super::order::Order;

/// The weights of a linear map `[O, I]` or of a convolution `[O, C, k, k]`, and the place where a frozen network keeps
/// what is made of them.
#[derive(Clone, Copy)]
pub struct LayerWeights<'a> {
    weights: &'a Tensor,
    kept: Option<&'a Kept>,
}

impl<'a> LayerWeights<'a> {
    /// The weights with a place.
    pub fn kept(weights: &'a Tensor, kept: &'a Kept) -> Self {
        LayerWeights { weights, kept: Some(kept) }
    }

    pub(super) fn weights(&self) -> &'a Tensor {
        self.weights
    }

    pub(super) fn place(&self) -> Option<Place> {
        self.kept?.place(self.weights)
    }

    /// The weights in an order and of a type, kept where there is a place.
    ///
    /// # Errors
    /// A tensor operation fails.
    pub(super) fn laid(&self, order: Order, dtype: DType) -> candle_core::Result<Tensor> {
        kept::laid(self.place().as_ref(), self.weights, order, dtype)
    }
}

impl<'a> From<&'a Tensor> for LayerWeights<'a> {
    fn from(weights: &'a Tensor) -> Self {
        LayerWeights { weights, kept: None }
    }
}

impl<'a> From<&'a Var> for LayerWeights<'a> {
    fn from(weights: &'a Var) -> Self {
        LayerWeights { weights, kept: None }
    }
}
