//! The inverse of a coupling on its moving part: x₂ from z₂ given h, with its reverse pass.

use candle_core::Tensor;

use super::Kind;
use super::chain::no_change;
use super::coupling::Affine;
use super::rational_quadratic::Spline;
use crate::Result;
use crate::ops::{Activation, activate_pullback};

/// The pull-back x̄₂ ↦ (h̄, z̄₂) of the inverse.
pub(super) type Undo = Box<dyn Fn(&Tensor) -> Result<(Tensor, Tensor)>>;

impl Kind {
    /// The inverse x₂ of `moved` = z₂ given h, and its pull-back. From z₂ = m(x₂; h) follows dx₂ = (dz₂ - ∂m/∂h dh)/m',
    /// so that z̄₂ = x̄₂/m' and h̄ = -z̄₂·∂m/∂h.
    pub(super) fn undo(self, moved: &Tensor, h: &Tensor) -> Result<(Tensor, Undo)> {
        match self {
            Kind::Additive => Ok(((moved - h)?, Box::new(|g| Ok((g.neg()?, g.clone()))))),
            Kind::Affine { cap } => undo_affine(moved, Affine::of(h, cap)?),
            Kind::Spline { bins, bound } => undo_spline(Spline { bins, bound }, moved, h),
        }
    }
}

/// The inverse of an affine coupling, x₂ = (z₂ - t)∘e⁻ˢ, with t̄ = -z̄₂ and s̄ = -x̄₂∘x₂.
fn undo_affine(moved: &Tensor, affine: Affine) -> Result<(Tensor, Undo)> {
    let shrink = affine.log_scale.neg()?.exp()?;
    let x = ((moved - &affine.shift)? * &shrink)?;
    let at = x.clone();
    let back = move |g: &Tensor| {
        let to_moved = (g * &shrink)?;
        let to_a = activate_pullback(Activation::Tanh, &affine.bend, &(g * &at)?.neg()?)?;
        Ok((Tensor::cat(&[&to_a, &to_moved.neg()?], 1)?, to_moved))
    };
    Ok((x, Box::new(back)))
}

fn undo_spline(spline: Spline, moved: &Tensor, h: &Tensor) -> Result<(Tensor, Undo)> {
    let x = spline.inverse(moved, h)?;
    let (_, slope) = spline.pull(&x, h, &x.ones_like()?, &no_change(&x)?)?;
    let (at, h) = (x.clone(), h.clone());
    let back = move |g: &Tensor| {
        let to_moved = (g / &slope)?;
        let (to_h, _) = spline.pull(&at, &h, &to_moved, &no_change(&at)?)?;
        Ok((to_h.neg()?, to_moved))
    };
    Ok((x, Box::new(back)))
}
