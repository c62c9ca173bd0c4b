//! Tensors as the bytes of a file.

use std::borrow::Cow;

use candle_core::{DType, Tensor};
use safetensors::{Dtype, View};

use crate::Result;

/// A tensor as bytes of f32, the little end first.
pub struct Floats {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Floats {
    /// The numbers of a tensor, as f32.
    ///
    /// # Errors
    /// The device fails.
    pub fn of(tensor: &Tensor) -> Result<Self> {
        let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(Floats { shape: tensor.dims().to_vec(), bytes: values.into_iter().flat_map(f32::to_le_bytes).collect() })
    }

    /// The bytes alone.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl View for Floats {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.bytes.as_slice().into()
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
