//! The true distribution of generated data, where it is known: density, score, modes, unmixing matrix, bounds.

use candle_core::{DType, Tensor};
use nalgebra::DMatrix;

use super::Data;
use crate::Result;
use crate::data::source::{Bounds, Modes, PointGenerator};

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
        match self.items.generator().filter(|_| self.lens.noise == 0.0) {
            Some(generator) => log_density(generator, x),
            None => Ok(None),
        }
    }

    /// The true log p_σ(x) in nats of the items, with their `noise`, under further noise N(0, σ²I), `[B, D]` -> `[B]`
    /// f64, where it is known in closed form.
    ///
    /// # Errors
    /// A tensor operation that failed.
    pub fn log_density_at(&self, x: &Tensor, sigma: f64) -> Result<Option<Tensor>> {
        self.blurred(sigma).map_or(Ok(None), |generator| log_density(&*generator, x))
    }

    /// The true ∇x log p_σ(x) of [`Data::log_density_at`], `[B, D]` -> `[B, D]` f64.
    ///
    /// # Errors
    /// A tensor operation that failed.
    pub fn score_at(&self, x: &Tensor, sigma: f64) -> Result<Option<Tensor>> {
        self.blurred(sigma).map_or(Ok(None), |generator| score(&*generator, x))
    }

    /// The distribution of the items under further noise N(0, σ²I).
    fn blurred(&self, sigma: f64) -> Option<Box<dyn PointGenerator>> {
        self.items.generator()?.blurred(sigma.hypot(self.lens.noise))
    }

    /// Means, weights and widths of the components, where items are a mixture of Gaussians that differ in their means
    /// alone; `noise` widens them.
    pub fn modes(&self) -> Option<Modes> {
        let modes = self.items.generator()?.modes()?;
        let stds: Vec<f64> = modes.stds().map(|std| std.hypot(self.lens.noise)).collect();
        Some(Modes::new(modes.centres, modes.weights, &stds))
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
        match self.items.generator().filter(|_| self.lens.noise == 0.0) {
            Some(generator) => score(generator, x),
            None => Ok(None),
        }
    }
}

fn log_density(generator: &dyn PointGenerator, x: &Tensor) -> Result<Option<Tensor>> {
    let rows = x.to_dtype(DType::F64)?.to_vec2::<f64>()?;
    let logs: Option<Vec<f64>> = rows.iter().map(|row| generator.log_density(row)).collect();
    logs.map(|logs| Ok(Tensor::from_vec(logs, rows.len(), x.device())?)).transpose()
}

fn score(generator: &dyn PointGenerator, x: &Tensor) -> Result<Option<Tensor>> {
    let rows = x.to_dtype(DType::F64)?.to_vec2::<f64>()?;
    let scores: Option<Vec<Vec<f64>>> = rows.iter().map(|row| generator.score(row)).collect();
    scores.map(|scores| Ok(Tensor::from_vec(scores.concat(), x.dims(), x.device())?)).transpose()
}
