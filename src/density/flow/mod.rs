//! Normalising flows: an invertible map x ↦ z with a known log-determinant, and a factorised prior on z. Then
//! log p(x) = log π(f(x)) + log|det ∂f/∂x| exactly, and x = f⁻¹(z), z ~ π, is an exact draw.
//!
//! A new kind of map is one [`Bijection`]; a new architecture puts them together with an [`Assembly`].

mod act_norm;
mod assembly;
mod chain;
mod coupling;
mod glow;
mod latent;
mod nice;
mod prior;
mod rational_quadratic;
mod real_nvp;
mod reorder;
mod series;
mod spline;
mod split;
mod undo;

pub use act_norm::ActNorm;
pub use assembly::{Assembly, Mask};
pub use chain::Chain;
pub use coupling::{Coupling, Kind};
pub use latent::{Latent, neutra};
pub use prior::Prior;
pub use reorder::Reorder;
pub use split::Split;

pub(super) use glow::ENTRY as GLOW;
pub(super) use nice::ENTRY as NICE;
pub(super) use real_nvp::ENTRY as REAL_NVP;
pub(super) use spline::ENTRY as SPLINE;

use candle_core::Tensor;

use super::noise_space::{NoiseSpace, Space};
use super::{Capabilities, Context, Density, Energy, Proposal, laplacian_along_axes};
use crate::config::{Schema, Spec};
use crate::nets::{Builder, Curve, Jet};
use crate::{Error, Result, ops, rng::Key};

/// The reverse pass of a [`Bijection`] at the point where `vjp` was taken: (z̄ of z's shape, l̄ `[B]`) -> x̄ =
/// z̄·∂z/∂x + l̄·∂l/∂x. Differentiable in z̄ and in the parameters.
pub type Pullback<'a> = Box<dyn Fn(&Tensor, &Tensor) -> Result<Tensor> + 'a>;

/// The reverse pass of a [`Bijection`]'s inverse at the point where `inverse_vjp` was taken: x̄ ↦ z̄ = x̄·∂x/∂z.
pub type InversePullback<'a> = Box<dyn Fn(&Tensor) -> Result<Tensor> + 'a>;

/// An invertible map x ↦ z of items, with l(x) = log|det ∂z/∂x| of each. The direction of a likelihood, x ↦ z, is
/// `forward` and has every derivative pass; `inverse` is for sampling and carries no log-determinant; `inverse_vjp` is for chains that move in the latent space.
///
/// As a layer's, all passes are ordinary differentiable operations on the weights, so that one `backward()` through a
/// pull-back gives second-order terms. The log-determinant is a second output of the map, of any dependence on x: each
/// pass treats the pair (z, l), and a map that keeps volume returns zeros. A spline, or any other element-wise map
/// that a network conditions, fits in as couplings do.
///
/// # Shapes
/// x `[B, ..]`, z `[B, ..]` of as many numbers but maybe another shape, l `[B]`.
pub trait Bijection: Send + Sync {
    /// (z, l).
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Tensor)>;

    /// The x that `forward` maps to z.
    fn inverse(&self, z: &Tensor) -> Result<Tensor>;

    /// The x that `forward` maps to z, and x̄ ↦ x̄·∂x/∂z.
    fn inverse_vjp<'a>(&'a self, z: &Tensor) -> Result<(Tensor, InversePullback<'a>)>;

    /// (z, l) and (z̄, l̄) ↦ x̄.
    fn vjp<'a>(&'a self, x: &Tensor) -> Result<(Tensor, Tensor, Pullback<'a>)>;

    /// ((z, ż), (l, l̇)) = the values and their derivatives along ẋ.
    fn jvp(&self, x: &Jet) -> Result<(Jet, Jet)>;

    /// (z, l) along a curve x(t), with their first two derivatives.
    fn curve(&self, x: &Curve) -> Result<(Curve, Curve)>;

    /// What must follow every change of the weights. A map that holds networks or maps passes the call on.
    fn after_update(&self) -> Result<()> {
        Ok(())
    }
}

/// Makes a flow from its resolved section.
pub type BuildFlow = fn(&toml::Table, &Context, &Builder) -> Result<Flow>;

/// The rows of [`MODELS`](super::MODELS) that are flows: all that `tests/it/flows.rs` asks of flows, it asks of these.
pub const FLOWS: &[(&str, BuildFlow)] =
    &[("nice", nice::flow), ("real_nvp", real_nvp::flow), ("spline", spline::flow), ("glow", glow::flow)];

/// The rows of the flows, for a part such as `[method.flow]`.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    [NICE, REAL_NVP, SPLINE, GLOW].iter().map(|row| (row.name, row.schema)).collect()
}

/// Builds such a part.
///
/// # Errors
/// A flow that does not fit the items.
pub fn build(spec: &Spec, context: &Context, builder: &Builder) -> Result<Flow> {
    let row = FLOWS.iter().find(|(name, _)| *name == spec.name());
    let (_, build) = row.ok_or_else(|| Error::Other(format!("unknown flow `{}`", spec.name())))?;
    build(&spec.0, context, builder)
}

/// p(x) = π(f(x))·|det ∂f/∂x|.
///
/// Log-determinants are summed in the precision of the parameters: in f32 their error is about 1e-6 a layer. Means over
/// items that decide something are the caller's, in f64.
pub struct Flow {
    body: Chain,
    prior: Prior,
    dim: usize,
    like: Tensor,
}

impl Flow {
    /// A density on items that `body` maps to vectors `[B, dim]`.
    ///
    /// # Errors
    /// None but the device's own.
    pub fn new(body: Chain, prior: Prior, dim: usize, builder: &Builder) -> Result<Self> {
        let like = Tensor::zeros(1, builder.dtype(), builder.device())?;
        Ok(Flow { body, prior, dim, like })
    }

    /// f.
    pub fn body(&self) -> &dyn Bijection {
        &self.body
    }

    /// π.
    pub fn prior(&self) -> Prior {
        self.prior
    }
}

impl Energy for Flow {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        let (z, log_det) = self.body.forward(x)?;
        Ok((self.prior.energy(&z)? - log_det)?)
    }

    /// ∇x E = (∇π-energy(z))·∂z/∂x - ∂l/∂x.
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

    /// E'' = z'ᵀ∇²e(z)z' + ∇e(z)·z'' - l'', e the prior's energy.
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

    /// Exact draws: a chain that starts at them starts where it should end.
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
