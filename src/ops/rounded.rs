//! Products of matrices as `train.precision` has them: with bf16 on a GPU, both factors are rounded to 8 significant
//! bits, and so is what comes out; sums are f32. It is PyTorch's autocast, backward pass included.

use candle_core::{DType, Result, Tensor};

use crate::device::{self, Precision};

/// The type to which the factors of a product with t are rounded: t's own where they stay as they are.
pub fn factor(t: &Tensor) -> DType {
    let brief = t.dtype() == DType::F32 && device::precision(t.device()) == Precision::Bf16;
    if brief { DType::BF16 } else { t.dtype() }
}

/// The product a b. b may be rounded already, to the [`factor`] of a.
///
/// # Errors
/// The inner dimensions differ.
pub fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (own, rounded) = (a.dtype(), factor(a));
    a.to_dtype(rounded)?.matmul(&b.to_dtype(rounded)?)?.to_dtype(own)
}
