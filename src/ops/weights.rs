//! The weights of a convolution as an operation is given them.

use candle_core::{Tensor, Var};

use super::cpu::{Kept, Place};

/// The weights of a convolution, and the place where a frozen network keeps what is made of them.
#[derive(Clone, Copy)]
pub struct ConvWeights<'a> {
    weights: &'a Tensor,
    kept: Option<&'a Kept>,
}

impl<'a> ConvWeights<'a> {
    /// The weights w `[O, C, k, k]` with a place.
    pub fn kept(weights: &'a Tensor, kept: &'a Kept) -> Self {
        ConvWeights { weights, kept: Some(kept) }
    }

    pub(super) fn weights(&self) -> &'a Tensor {
        self.weights
    }

    pub(super) fn place(&self) -> Option<Place> {
        self.kept?.place(self.weights)
    }
}

impl<'a> From<&'a Tensor> for ConvWeights<'a> {
    fn from(weights: &'a Tensor) -> Self {
        ConvWeights { weights, kept: None }
    }
}

impl<'a> From<&'a Var> for ConvWeights<'a> {
    fn from(weights: &'a Var) -> Self {
        ConvWeights { weights, kept: None }
    }
}
