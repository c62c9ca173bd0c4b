//! The true distribution of generated data, where it is known: density, score, modes, unmixing matrix, bounds.

use candle_core::{DType, Tensor};
use nalgebra::DMatrix;

use super::Data;
use crate::Result;
use crate::data::source::{Bounds, Modes};

impl Data {
    /// The box of each coordinate that holds the data; `None` unless items are points in the plane.
    pub fn bounds_2d(&self) -> Option<[[f64; 2]; 2]> {
        let bounds: Bounds = self.items.bounds();
        bounds.try_into().ok()
    }

    /// The true log p(x) in nats, `[B, D]` -> `[B]` f64, where it is known and no `noise` blurs it.
    ///
    /// # Errors
    /// A tensor operation that failed.
    pub fn log_density(&self, x: &Tensor) -> Result<Option<Tensor>> {
        let Some(generator) = self.items.generator().filter(|_| self.lens.noise == 0.0) else { return Ok(None) };
        let rows = x.to_dtype(DType::F64)?.to_vec2::<f64>()?;
        let logs: Option<Vec<f64>> = rows.iter().map(|row| generator.log_density(row)).collect();
        logs.map(|logs| Ok(Tensor::from_vec(logs, rows.len(), x.device())?)).transpose()
    }

    /// Means, weights and width of the components, where items are a mixture of isotropic Gaussians; `noise` widens
    /// them.
    pub fn modes(&self) -> Option<Modes> {
        let modes = self.items.generator()?.modes()?;
        Some(Modes { std: modes.std.hypot(self.lens.noise), ..modes })
    }

    /// B with independent Bx, `[D, D]`, where items are a linear mixture of independent sources and no `noise` blurs
    /// them.
    pub fn unmixing(&self) -> Option<&DMatrix<f64>> {
        self.items.generator().filter(|_| self.lens.noise == 0.0)?.unmixing()
    }

    /// The true ∇x log p(x), `[B, D]` -> `[B, D]` f64, where it is known and no `noise` blurs it.
    ///
    /// # Errors
    /// A tensor operation that failed.
    pub fn score(&self, x: &Tensor) -> Result<Option<Tensor>> {
        let Some(generator) = self.items.generator().filter(|_| self.lens.noise == 0.0) else { return Ok(None) };
        let rows = x.to_dtype(DType::F64)?.to_vec2::<f64>()?;
        let scores: Option<Vec<Vec<f64>>> = rows.iter().map(|row| generator.score(row)).collect();
        scores.map(|scores| Ok(Tensor::from_vec(scores.concat(), x.dims(), x.device())?)).transpose()
    }
}
