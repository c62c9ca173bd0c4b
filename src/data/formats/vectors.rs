//! Rows of numbers, whatever file they came from.

use std::path::Path;

use candle_core::{Device, Tensor};

use crate::{Error, Result};

/// The rows of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    /// Numbers in a row.
    pub dim: usize,
    /// Row after row, as exact as the file.
    pub values: Vec<f64>,
}

impl Vectors {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.dim).unwrap_or(0)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The rows as items of a model's shape, `[N, ..]`, f32; `path` is named in the error.
    ///
    /// # Errors
    /// Rows of another length than an item; numbers beyond f32.
    pub fn items(self, shape: &[usize], path: &Path, device: &Device) -> Result<Tensor> {
        let want: usize = shape.iter().product();
        if self.dim != want {
            return Err(Error::data(
                path,
                format!("a row has {} numbers, but the model's items have {want} (shape {shape:?})", self.dim),
                "samples must be in the model's space, one flattened item a row",
            ));
        }
        let shape = [&[self.len()], shape].concat();
        let values: Vec<f32> = self.values.iter().map(|v| *v as f32).collect();
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            let (row, column) = (at / want.max(1), at % want.max(1));
            let what = format!("row {row}, column {column} (from 0): {} is not finite in f32", self.values[at]);
            return Err(Error::data(path, what, "samples must be in the model's space"));
        }
        Ok(Tensor::from_vec(values, shape, device)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_items_of_the_models_shape() {
        let vectors = Vectors { dim: 4, values: (0..8).map(f64::from).collect() };
        let items = vectors.clone().items(&[1, 2, 2], Path::new("x"), &Device::Cpu).unwrap();
        assert_eq!(items.dims(), [2, 1, 2, 2]);
        let error = vectors.items(&[5], Path::new("x"), &Device::Cpu).unwrap_err();
        assert!(error.to_string().contains("4 numbers") && error.exit_code() == 4, "{error}");
        let beyond = Vectors { dim: 2, values: vec![0.0, 1.0, 2.0, 1e99] };
        let error = beyond.items(&[2], Path::new("x"), &Device::Cpu).unwrap_err();
        assert!(error.to_string().contains("row 1, column 1") && error.exit_code() == 4, "{error}");
    }
}
