//! The posterior of a generator's latent coordinates, as an energy that Markov kernels move on.

use candle_core::Tensor;

use crate::Result;
use crate::density::{Energy, Generator, laplacian_axis_by_axis};

/// The terms whose gradient the kernel sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// Likelihood and prior: the gradient of the energy.
    Joint,
    /// The prior alone, as in the released code. The leapfrog is still a reversible volume-preserving map, so
    /// accept-reject keeps the chain right, but the proposals do not depend on x.
    Prior,
}

/// The energy U(z) = |x - g(z)|²/2σ² + |z|²/2 of each pair of a row of x and a row of z, which is -log q(z|x) up to a
/// constant.
pub struct Posterior<'a> {
    generator: &'a Generator,
    x: &'a Tensor,
    precision: f64,
    force: Force,
}

impl<'a> Posterior<'a> {
    /// The posterior given x `[B, ..]` under a frozen generator.
    pub fn new(generator: &'a Generator, x: &'a Tensor, force: Force) -> Result<Self> {
        Ok(Posterior { generator, x, precision: generator.sigma()?.powi(-2), force })
    }

    /// The residual x - g(z), and the force of likelihood and prior, -∂U/∂z.
    pub fn force(&self, z: &Tensor) -> Result<(Tensor, Tensor)> {
        let weighted = |mean: &Tensor| -> Result<Tensor> { Ok(((self.x - mean)? * self.precision)?) };
        let (mean, pulled) = self.generator.pulled(z, weighted)?;
        Ok(((self.x - mean)?, (pulled - z)?))
    }

    fn value(&self, residual: &Tensor, z: &Tensor) -> Result<Tensor> {
        let square = |t: &Tensor| t.sqr()?.flatten_from(1)?.sum(1);
        Ok((square(residual)?.affine(0.5 * self.precision, 0.0)? + square(z)?.affine(0.5, 0.0)?)?)
    }
}

impl Energy for Posterior<'_> {
    fn energy(&self, z: &Tensor) -> Result<Tensor> {
        self.value(&(self.x - self.generator.mean(z)?)?, z)
    }

    fn grad(&self, z: &Tensor) -> Result<(Tensor, Tensor)> {
        if self.force == Force::Prior {
            return Ok((self.energy(z)?, z.clone()));
        }
        let (residual, force) = self.force(z)?;
        Ok((self.value(&residual, z)?, force.neg()?))
    }

    /// The slope of U itself, whatever the force.
    fn directional(&self, z: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let [value, slope, _] = self.curvature(z, v)?;
        Ok((value, slope))
    }

    fn curvature(&self, z: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let [mean, first, second] = self.generator.curve(z, v)?;
        let residual = (self.x - mean)?;
        let dot = |a: &Tensor, b: &Tensor| (a * b)?.flatten_from(1)?.sum(1);
        let slope = (dot(&residual, &first)?.affine(-self.precision, 0.0)? + dot(z, v)?)?;
        let bend = (dot(&first, &first)? - dot(&residual, &second)?)?.affine(self.precision, 0.0)?;
        Ok([self.value(&residual, z)?, slope, (bend + dot(v, v)?)?])
    }

    fn laplacian(&self, z: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        laplacian_axis_by_axis(self, z)
    }
}
