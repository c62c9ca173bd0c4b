//! Products of matrices as `train.precision` has them: with bf16 on a GPU, both factors are rounded to 8 significant
//! bits, and so is what comes out; sums are f32. It is PyTorch's autocast, backward pass included.

use candle_core::{DType, Result, Tensor};

use crate::device::{self, Precision};

/// The product a b.
///
/// # Errors
/// The inner dimensions differ.
pub fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.dtype() != DType::F32 || device::precision(a.device()) != Precision::Bf16 {
        return a.matmul(b);
    }
    a.to_dtype(DType::BF16)?.matmul(&b.to_dtype(DType::BF16)?)?.to_dtype(DType::F32)
}
