//! Any energy in the latent space of a flow (Hoffman et al. 2019, "NeuTra-lizing bad geometry").

use candle_core::Tensor;

use super::density::{Flow, Latent};
use crate::Result;
use crate::density::{Energy, Potential};

/// The energy `energy`, E(x), in the latent coordinates z of a flow with x = T(z): V(z) = E(T(z)) - log|det ∂T/∂z|
/// (Hoffman et al. 2019, "NeuTra-lizing bad geometry"). A chain on exp(-V), mapped by T, is a chain on exp(-E). A flow
/// that resembles exp(-E) makes V nearly the prior's energy. It does not join modes that the flow keeps apart.
///
/// # Errors
/// The device fails.
pub fn neutra<'a>(energy: &'a dyn Energy, flow: &'a Flow) -> Result<Potential<'a>> {
    Potential::new(Box::new(Latent(flow)), Some(Box::new(Ratio { energy, flow })))
}

/// The energy E + log q of items, with q the flow's density. It tilts the prior in the flow's coordinates, since
/// log|det ∂T/∂z| = log π(z) - log q(T(z)).
struct Ratio<'a> {
    energy: &'a dyn Energy,
    flow: &'a Flow,
}

impl Energy for Ratio<'_> {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        Ok((self.energy.energy(x)? - self.flow.energy(x)?)?)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let ((e, of_e), (minus_log_q, of_q)) = (self.energy.grad(x)?, self.flow.grad(x)?);
        Ok(((e - minus_log_q)?, (of_e - of_q)?))
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let ((e, of_e), (minus_log_q, of_q)) = (self.energy.directional(x, v)?, self.flow.directional(x, v)?);
        Ok(((e - minus_log_q)?, (of_e - of_q)?))
    }

    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let ([e0, s0, b0], [e1, s1, b1]) = (self.energy.curvature(x, v)?, self.flow.curvature(x, v)?);
        Ok([(e0 - e1)?, (s0 - s1)?, (b0 - b1)?])
    }

    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        let ((e0, g0, l0), (e1, g1, l1)) = (self.energy.laplacian(x)?, self.flow.laplacian(x)?);
        Ok(((e0 - e1)?, (g0 - g1)?, (l0 - l1)?))
    }
}
