//! What an invertible map is.

use candle_core::Tensor;

use crate::Result;
use crate::nets::{Curve, Jet};

/// The reverse pass of a [`Bijection`] at the point where `vjp` was taken: (z̄ of z's shape, l̄ `[B]`) -> x̄ =
/// z̄·∂z/∂x + l̄·∂l/∂x. Differentiable in z̄ and in the parameters.
pub type BijectionPullback<'a> = Box<dyn Fn(&Tensor, &Tensor) -> Result<Tensor> + 'a>;

/// The reverse pass of a [`Bijection`]'s inverse at the point where `inverse_vjp` was taken: x̄ ↦ z̄ = x̄·∂x/∂z.
pub type InversePullback<'a> = Box<dyn Fn(&Tensor) -> Result<Tensor> + 'a>;

/// An invertible map x ↦ z of items, with l(x) = log|det ∂z/∂x| of each. The direction of a likelihood, x ↦ z, is
/// `forward` and has every derivative pass; `inverse` is for sampling and carries no log-determinant; `inverse_vjp` is
/// for chains that move in the latent space.
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
    fn vjp<'a>(&'a self, x: &Tensor) -> Result<(Tensor, Tensor, BijectionPullback<'a>)>;

    /// ((z, ż), (l, l̇)) = the values and their derivatives along ẋ.
    fn jvp(&self, x: &Jet) -> Result<(Jet, Jet)>;

    /// (z, l) along a curve x(t), with their first two derivatives.
    fn curve(&self, x: &Curve) -> Result<(Curve, Curve)>;

    /// What must follow every change of the weights. A map that holds networks or maps passes the call on.
    fn after_update(&self) -> Result<()> {
        Ok(())
    }
}
