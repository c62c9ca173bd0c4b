//! Chains in the latent space of a flow (Hoffman et al. 2019, "NeuTra-lizing bad geometry"; Nijkamp et al. 2022, NT-EBM).

use candle_core::Tensor;

use super::{Bijection as _, Flow};
use crate::density::{Energy, NoiseSpace, Potential};
use crate::{Result, rng::Key};

/// The points are z, the items T(z) = f⁻¹(z).
pub struct Latent<'a>(pub &'a Flow);

impl NoiseSpace for Latent<'_> {
    fn start(&self, key: Key, n: usize) -> Result<Tensor> {
        self.0.prior.sample(key, (n, self.0.dim), &self.0.like)
    }

    fn push(&self, at: &Tensor) -> Result<Tensor> {
        self.0.body.inverse(at)
    }

    fn pulled(&self, at: &Tensor, on_x: &dyn Fn(&Tensor) -> Result<Tensor>) -> Result<(Tensor, Tensor)> {
        let (x, pull) = self.0.body.inverse_vjp(at)?;
        let slope = on_x(&x)?;
        Ok((x, pull(&slope)?))
    }

    /// -log π(z), its constant included.
    fn base(&self, at: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok((self.0.prior.energy(at)?, self.0.prior.slope(at)?))
    }
}

/// Any energy in the coordinates of a flow: V(z) = E(T(z)) - log|det ∂T/∂z|, so that T of a chain on exp(-V) is one on exp(-E).
/// A flow that resembles exp(-E) makes V nearly the prior's energy. It does not join modes that the flow keeps apart.
///
/// # Errors
/// The device's own.
pub fn neutra<'a>(energy: &'a dyn Energy, flow: &'a Flow) -> Result<Potential<'a>> {
    // log|det ∂T/∂z| = log π(z) - log q(T(z)): what tilts the prior is E + log q.
    let tilt = |x: &Tensor| {
        let (e, slope) = energy.grad(x)?;
        let (minus_log_q, of_q) = flow.grad(x)?;
        Ok(((e - minus_log_q)?, (slope - of_q)?))
    };
    Potential::new(Box::new(Latent(flow)), Some(Box::new(tilt)))
}
