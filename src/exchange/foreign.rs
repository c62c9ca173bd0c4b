//! Tensors of other programs.

use candle_core::{DType, Device, Tensor};

/// A tensor as a file has it.
#[derive(Clone, Debug)]
pub struct Foreign {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its type, such as `f16`.
    pub kind: String,
    /// Its numbers as f32; `None` of a type that no weight has.
    pub tensor: Option<Tensor>,
}

/// A raw tensor: where its numbers lie, little end first and without gaps.
pub(super) struct Raw<'a> {
    pub shape: Vec<usize>,
    pub kind: &'a str,
    pub bytes: &'a [u8],
}

impl Foreign {
    /// A tensor of a file, converted.
    ///
    /// # Errors
    /// Shape and bytes disagree.
    pub(super) fn of(raw: &Raw) -> Result<Self, String> {
        let dtype = match raw.kind {
            "f32" => Some(DType::F32),
            "f64" => Some(DType::F64),
            "f16" => Some(DType::F16),
            "bf16" => Some(DType::BF16),
            "i64" => Some(DType::I64),
            "u8" | "bool" => Some(DType::U8),
            _ => None,
        };
        let tensor = match dtype {
            None => None,
            Some(dtype) => {
                let size = raw.shape.iter().try_fold(dtype.size_in_bytes(), |n, d| n.checked_mul(*d));
                if size != Some(raw.bytes.len()) {
                    return Err(format!("{} bytes are no {:?} of {}", raw.bytes.len(), raw.shape, raw.kind));
                }
                let tensor = Tensor::from_raw_buffer(raw.bytes, dtype, &raw.shape, &Device::Cpu);
                Some(tensor.and_then(|t| t.to_dtype(DType::F32)).map_err(|e| e.to_string())?)
            }
        };
        Ok(Foreign { shape: raw.shape.clone(), kind: raw.kind.to_owned(), tensor })
    }
}
