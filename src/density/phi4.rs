//! The φ⁴ field on a line as an energy without parameters: a target for samplers about which everything is known.

use candle_core::{DType, Device, Tensor};

use super::{ANY_ITEMS, Capabilities, Context, Density, Energy, ModelRow, laplacian_along_axes, slope_of_grad};
use crate::config::{Schema, decode};
use crate::data::{Phi4, Phi4Config, PointGenerator as _};
use crate::nets::Builder;
use crate::{Result, rng::Key};

pub(super) const ENTRY: ModelRow = ModelRow {
    name: "phi4",
    about: "the φ⁴ field on a line, without parameters: two wells that a sampler must cross; normaliser known",
    cite: "Gabrié, Rotskoff & Vanden-Eijnden 2022, PNAS 119(10), eq. 14; arXiv 2105.12603",
    schema: Schema::of::<Phi4Config>(),
    init: &[],
    example: "",
    items: ANY_ITEMS,
    build: |table, context, builder| Ok(Box::new(Phi4Field::new(&decode(table)?, context, builder))),
};

/// The energy E(x) = U(x) + log Z of the φ⁴ field, with U as in [`Phi4`] and Z its normaliser (Gabrié, Rotskoff &
/// Vanden-Eijnden 2022, eq. 14).
///
/// # Shapes
/// Items of any shape with D numbers, which are the sites in order.
pub struct Phi4Field {
    truth: Phi4,
    shape: Vec<usize>,
    dtype: DType,
    device: Device,
}

impl Phi4Field {
    /// The energy on the sites of an item.
    pub fn new(config: &Phi4Config, context: &Context, builder: &Builder) -> Self {
        let (shape, dtype, device) = (context.shape.clone(), builder.dtype(), builder.device().clone());
        Phi4Field { truth: Phi4::new(shape.iter().product(), config), shape, dtype, device }
    }

    /// The differences x_{i+1} - x_i for i from 0 to D, with the ends held at `ends`: `[B, D]` -> `[B, D + 1]`.
    fn bonds(x: &Tensor) -> Result<Tensor> {
        let zero = x.narrow(1, 0, 1)?.zeros_like()?;
        Ok((Tensor::cat(&[x, &zero], 1)? - Tensor::cat(&[&zero, x], 1)?)?)
    }
}

impl Energy for Phi4Field {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        let ([bond, site, field], x) = (self.truth.constants(), x.flatten_from(1)?);
        let bonds = (Self::bonds(&x)?.sqr()?.sum(1)? * bond)?;
        let wells = (x.sqr()?.affine(-1.0, 1.0)?.sqr()?.affine(0.25, 0.0)? + (&x * field)?)?;
        Ok((bonds + wells.sum(1)?.affine(site, self.truth.log_z())?)?)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let ([bond, site, field], flat) = (self.truth.constants(), x.flatten_from(1)?);
        let (bonds, sites) = (Self::bonds(&flat)?, flat.dim(1)?);
        let pull = (bonds.narrow(1, 0, sites)? - bonds.narrow(1, 1, sites)?)?.affine(2.0 * bond, 0.0)?;
        let wells = (flat.sqr()?.affine(1.0, -1.0)? * &flat)?.affine(site, site * field)?;
        Ok((self.energy(x)?, (pull + wells)?.reshape(x.shape())?))
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        slope_of_grad(self, x, v)
    }

    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let [bond, site, _] = self.truth.constants();
        let (energy, slope) = self.directional(x, v)?;
        let (x, v) = (x.flatten_from(1)?, v.flatten_from(1)?);
        let wells = (x.sqr()?.affine(3.0 * site, -site)? * v.sqr()?)?;
        let bend = ((Self::bonds(&v)?.sqr()?.sum(1)? * (2.0 * bond))? + wells.sum(1)?)?;
        Ok([energy, slope, bend])
    }

    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        laplacian_along_axes(self, x)
    }
}

impl Capabilities for Phi4Field {
    fn density(&self) -> Option<&dyn Density> {
        Some(self)
    }
}

impl Density for Phi4Field {
    fn log_prob(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.energy(x)?.neg()?)
    }

    fn sample(&self, key: Key, n: usize) -> Result<Tensor> {
        let mut points = vec![0.0; n * self.truth.sites()];
        self.truth.fill(&mut key.rng(), &mut points);
        let shape: Vec<usize> = std::iter::once(n).chain(self.shape.iter().copied()).collect();
        Ok(Tensor::from_vec(points, shape, &self.device)?.to_dtype(self.dtype)?)
    }
}
