//! Rows of numbers, whatever file they came from.

use std::path::Path;

use candle_core::{Device, Tensor};

use crate::{Error, Result};

/// The rows of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    /// Numbers in a row.
    pub dim: usize,
    /// Row after row.
    pub values: Vec<f32>,
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

    /// The rows as items of a model's shape, `[N, ..]`; `path` is named in the error.
    ///
    /// # Errors
    /// Rows of another length than an item.
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
        Ok(Tensor::from_vec(self.values, shape, device)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_items_of_the_models_shape() {
        let vectors = Vectors { dim: 4, values: (0..8).map(|v| v as f32).collect() };
        let items = vectors.clone().items(&[1, 2, 2], Path::new("x"), &Device::Cpu).unwrap();
        assert_eq!(items.dims(), [2, 1, 2, 2]);
        let error = vectors.items(&[5], Path::new("x"), &Device::Cpu).unwrap_err();
        assert!(error.to_string().contains("4 numbers") && error.exit_code() == 4, "{error}");
    }
}
