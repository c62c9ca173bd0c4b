//! The densities between two energies, which annealing passes through.

use candle_core::Tensor;

use super::Energy;
use crate::Result;

/// The energy E_β(x) = (1 - β) E_0(x) + β E_1(x) of the geometric path exp(-E_β) = exp(-E_0)^{1-β} exp(-E_1)^β from the
/// energy `from` to the energy `to` (Neal 2001, eq. 3).
///
/// Both ends are evaluated at every β, so both must be finite wherever a chain goes. Where E_1 = E_0 + R, E_β is E_0 +
/// βR.
pub struct Bridge<'a> {
    /// The energy E_0.
    pub from: &'a dyn Energy,
    /// The energy E_1.
    pub to: &'a dyn Energy,
    /// The place β on the path, from 0 to 1.
    pub beta: f64,
}

impl Bridge<'_> {
    /// The mixture (1 - β) a + β b.
    pub fn mix(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        Ok(((a * (1.0 - self.beta))? + (b * self.beta)?)?)
    }
}

impl Energy for Bridge<'_> {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        self.mix(&self.from.energy(x)?, &self.to.energy(x)?)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let ((e0, g0), (e1, g1)) = (self.from.grad(x)?, self.to.grad(x)?);
        Ok((self.mix(&e0, &e1)?, self.mix(&g0, &g1)?))
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let ((e0, s0), (e1, s1)) = (self.from.directional(x, v)?, self.to.directional(x, v)?);
        Ok((self.mix(&e0, &e1)?, self.mix(&s0, &s1)?))
    }

    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let ([e0, s0, c0], [e1, s1, c1]) = (self.from.curvature(x, v)?, self.to.curvature(x, v)?);
        Ok([self.mix(&e0, &e1)?, self.mix(&s0, &s1)?, self.mix(&c0, &c1)?])
    }

    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        let ((e0, g0, l0), (e1, g1, l1)) = (self.from.laplacian(x)?, self.to.laplacian(x)?);
        Ok((self.mix(&e0, &e1)?, self.mix(&g0, &g1)?, self.mix(&l0, &l1)?))
    }
}
