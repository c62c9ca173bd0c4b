//! The trait of invertible maps.

use candle_core::Tensor;

use crate::Result;
use crate::nets::{Curve, Jet};

/// The pull-back of a [`Bijection`] at the point where `vjp` was taken: (z̄ of z's shape, l̄ `[B]`) -> x̄ = z̄·∂z/∂x +
/// l̄·∂l/∂x. It is differentiable in z̄ and in the parameters.
pub type BijectionPullback<'a> = Box<dyn Fn(&Tensor, &Tensor) -> Result<Tensor> + 'a>;

/// The pull-back of a [`Bijection`]'s inverse at the point where `inverse_vjp` was taken: x̄ ↦ z̄ = x̄·∂x/∂z.
pub type InversePullback<'a> = Box<dyn Fn(&Tensor) -> Result<Tensor> + 'a>;

/// An invertible map x ↦ z of items, with l(x) = log|det ∂z/∂x| of each. The direction x ↦ z, which a likelihood needs,
/// is `forward` and has every derivative pass; `inverse` is for sampling and carries no log-determinant; `inverse_vjp`
/// is for chains that move in the latent space.
///
/// As those of a layer, all passes are ordinary differentiable operations on the weights, so that one `backward()`
/// through a pull-back gives second-order terms. The log-determinant is a second output of the map, which may depend on
/// x in any way: each pass treats the pair (z, l), and a map that keeps volume returns zeros for l.
///
/// # Shapes
/// x `[B, ..]`; z `[B, ..]` of as many numbers, perhaps of another shape; l `[B]`.
///
/// # Errors
/// Every function fails where a tensor operation does.
pub trait Bijection: Send + Sync {
    /// The image and the log-determinant, (z, l).
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Tensor)>;

    /// The inverse: the x that `forward` maps to z.
    fn inverse(&self, z: &Tensor) -> Result<Tensor>;

    /// The inverse and its pull-back: the x that `forward` maps to z, and x̄ ↦ x̄·∂x/∂z.
    fn inverse_vjp<'a>(&'a self, z: &Tensor) -> Result<(Tensor, InversePullback<'a>)>;

    /// The pair (z, l) and the pull-back (z̄, l̄) ↦ x̄.
    fn vjp<'a>(&'a self, x: &Tensor) -> Result<(Tensor, Tensor, BijectionPullback<'a>)>;

    /// The pair and its derivatives along ẋ, ((z, ż), (l, l̇)).
    fn jvp(&self, x: &Jet) -> Result<(Jet, Jet)>;

    /// The pair (z, l) along a curve x(t), with its first two derivatives.
    fn curve(&self, x: &Curve) -> Result<(Curve, Curve)>;

    /// Does the work that must follow every change of the weights. A map that holds networks or maps passes the call
    /// on.
    fn after_update(&self) -> Result<()> {
        Ok(())
    }
}
