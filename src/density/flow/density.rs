//! The density that an invertible map and a prior make.

use candle_core::Tensor;

use super::bijection::Bijection;
use super::chain::Composition;
use super::prior::Prior;
use crate::density::noise_space::{NoiseSpace, Space};
use crate::density::{Capabilities, Context, Density, Energy, Proposal, laplacian_along_axes};
use crate::nets::{Builder, Curve, Jet};
use crate::{Result, ops, rng::Key};

/// The function that makes a flow from its resolved section.
pub type BuildFlow = fn(&toml::Table, &Context, &Builder) -> Result<Flow>;

/// The density p(x) = π(f(x))·|det ∂f/∂x| of an invertible map f and a prior π.
///
/// Log-determinants are summed in the precision of the parameters: in f32 their error is about 1e-6 a layer. A caller
/// that compares means over items takes them in f64.
pub struct Flow {
    body: Composition,
    prior: Prior,
    dim: usize,
    like: Tensor,
}

impl Flow {
    /// The density of items that f = `body` maps to vectors `[B, dim]`, with π = `prior`.
    ///
    /// # Errors
    /// The device fails.
    pub fn new(body: Composition, prior: Prior, dim: usize, builder: &Builder) -> Result<Self> {
        let like = Tensor::zeros(1, builder.dtype(), builder.device())?;
        Ok(Flow { body, prior, dim, like })
    }

    /// The map f.
    pub fn body(&self) -> &dyn Bijection {
        &self.body
    }

    /// The prior π.
    pub fn prior(&self) -> Prior {
        self.prior
    }
}

impl Energy for Flow {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        let (z, log_det) = self.body.forward(x)?;
        Ok((self.prior.energy(&z)? - log_det)?)
    }

    /// The gradient: with e(z) = -log π(z), ∇x E = ∇e(z)·∂z/∂x - ∂l/∂x.
    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (z, log_det, pull) = self.body.vjp(x)?;
        let energy = (self.prior.energy(&z)? - &log_det)?;
        let minus = log_det.ones_like()?.neg()?;
        Ok((energy, pull(&self.prior.slope(&z)?, &minus)?))
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let (z, log_det) = self.body.jvp(&Jet::new(x, v)?)?;
        let value = z.value()?;
        let slope = ops::dot(&self.prior.slope(&value)?, &z.tangent()?)?;
        Ok(((self.prior.energy(&value)? - log_det.value()?)?, (slope - log_det.tangent()?)?))
    }

    /// The curvature along v: with e(z) = -log π(z), E'' = z'ᵀ∇²e(z)z' + ∇e(z)·z'' - l''.
    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let (z, log_det) = self.body.curve(&Curve::line(x, v)?)?;
        let (value, first) = (z.value()?, z.first()?);
        let slope = self.prior.slope(&value)?;
        let bend = ops::dot(&(self.prior.bend(&value)? * &first)?, &first)?;
        let second = (bend + ops::dot(&slope, &z.second()?)?)?;
        Ok([
            (self.prior.energy(&value)? - log_det.value()?)?,
            (ops::dot(&slope, &first)? - log_det.first()?)?,
            (second - log_det.second()?)?,
        ])
    }

    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        laplacian_along_axes(self, x)
    }
}

impl Capabilities for Flow {
    fn after_update(&self) -> Result<()> {
        self.body.after_update()
    }

    /// Exact draws from the flow: a chain that starts at them starts in equilibrium.
    fn base_sample(&self, key: Key, n: usize) -> Result<Option<Tensor>> {
        self.sample(key, n).map(Some)
    }

    fn density(&self) -> Option<&dyn Density> {
        Some(self)
    }

    fn noise_space(&self, space: Space) -> Option<Box<dyn NoiseSpace + '_>> {
        (space == Space::Noise).then(|| Box::new(Latent(self)) as Box<dyn NoiseSpace>)
    }
}

impl Proposal for Flow {
    fn draw(&self, key: Key, n: usize) -> Result<Tensor> {
        self.sample(key, n)
    }

    fn density(&self) -> Option<&dyn Density> {
        Some(self)
    }
}

impl Density for Flow {
    fn log_prob(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.energy(x)?.neg()?)
    }

    fn sample(&self, key: Key, n: usize) -> Result<Tensor> {
        let z = self.prior.sample(key, (n, self.dim), &self.like)?;
        Ok(self.body.inverse(&z)?.detach())
    }
}

/// The latent space of a flow f, in which chains may move (Nijkamp et al. 2022, NT-EBM): the points are z, the items
/// T(z) = f⁻¹(z).
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

    /// The potential -log π(z), its constant included, and its gradient.
    fn base(&self, at: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok((self.0.prior.energy(at)?, self.0.prior.slope(at)?))
    }
}
