//! Coupling layers: one part of an item stays, and a network of it gives the parameters of the other part's map.

use candle_core::Tensor;

use super::rational_quadratic::Spline;
use super::series::Series;
use super::{Bijection, BijectionPullback, InversePullback, chain::no_change};
use crate::Result;
use crate::nets::{Curve, Jet, Layer, Pass};
use crate::ops::{Activation, activate, activate_curve, activate_jet, activate_pullback};

/// The map of the moving part x₂ to z₂, given h = net(x₁) of the part x₁ that stays, with l = log|det ∂z₂/∂x₂|.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// The additive map z₂ = x₂ + h, l = 0 (Dinh et al. 2015, eq. 13).
    Additive,
    /// The affine map z₂ = x₂∘eˢ + t, l = Σ s, with h = [a, t] and s = cap·tanh(a/cap). So |s| < cap, and no step of an
    /// optimiser can make the inverse explode (Dinh et al. 2017, eq. 8, whose s is tanh times a learned scale).
    Affine {
        /// The bound of |s|.
        cap: f64,
    },
    /// The spline map: each number of x₂ goes through a monotone spline of rational quadratics on [-bound, bound] and
    /// stays as it is outside (Durkan et al. 2019, eq. 4); h gives the knots and the slopes there.
    Spline {
        /// The number of bins of each spline, at least 2.
        bins: usize,
        /// Half the width of the box.
        bound: f64,
    },
}

impl Kind {
    /// The number of the network's outputs for each moving number.
    pub fn outputs(self) -> usize {
        match self {
            Kind::Additive => 1,
            Kind::Affine { .. } => 2,
            Kind::Spline { bins, bound } => Spline { bins, bound }.parameters(),
        }
    }
}

/// The coupling z = [x₁, z₂], where z₂ is the image of x₂ under a map of the given [`Kind`] with parameters h =
/// net(x₁).
///
/// # Shapes
/// x `[B, C, ..]`: `first` channels (or coordinates) and the C₂ others; net: x₁ ↦ h, `[B, outputs·C₂, ..]`.
pub struct Coupling {
    /// The size of the first part, in channels.
    first: usize,
    /// Whether x₁ is the first part, rather than the second.
    keep_first: bool,
    kind: Kind,
    net: Box<dyn Layer>,
}

/// The numbers of an affine coupling: s, and the numbers that follow from it.
pub(super) struct Affine {
    /// The argument a/cap of the tanh.
    pub bend: Tensor,
    /// The log-scale s.
    pub log_scale: Tensor,
    scale: Tensor,
    /// The shift t.
    pub shift: Tensor,
}

impl Coupling {
    /// A coupling in which the first `first` channels stay if `keep_first`, else all others.
    pub fn new(first: usize, keep_first: bool, kind: Kind, net: impl Layer + 'static) -> Self {
        Coupling { first, keep_first, kind, net: Box::new(net) }
    }

    /// The parts (x₁, x₂).
    fn parts(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let a = x.narrow(1, 0, self.first)?.contiguous()?;
        let b = x.narrow(1, self.first, x.dim(1)? - self.first)?.contiguous()?;
        Ok(if self.keep_first { (a, b) } else { (b, a) })
    }

    fn join(&self, kept: &Tensor, moved: &Tensor) -> Result<Tensor> {
        let order = if self.keep_first { [kept, moved] } else { [moved, kept] };
        Ok(Tensor::cat(&order, 1)?)
    }
}

impl Affine {
    /// The numbers that h = [a, t] and the bound `cap` of |s| give.
    pub fn of(h: &Tensor, cap: f64) -> Result<Self> {
        let (a, shift) = halves(h)?;
        let bend = a.affine(1.0 / cap, 0.0)?;
        let log_scale = activate(Activation::Tanh, &bend)?.affine(cap, 0.0)?;
        let scale = log_scale.exp()?;
        Ok(Affine { bend, log_scale, scale, shift })
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        Ok(((x * &self.scale)? + &self.shift)?)
    }

    fn log_det(&self) -> Result<Tensor> {
        sum(&self.log_scale)
    }

    /// The pull-back to (h̄, x̄₂): s̄ = x̄₂∘x₂ + l̄ with x̄₂ = z̄₂∘eˢ, and ā = s̄·tanh'(a/cap).
    fn pull(&self, x: &Tensor, g: &Tensor, l: &Tensor) -> Result<(Tensor, Tensor)> {
        let to_x = (g * &self.scale)?;
        let l = l.reshape([&[l.dim(0)?], vec![1; x.rank() - 1].as_slice()].concat())?;
        let to_s = (&to_x * x)?.broadcast_add(&l)?;
        let to_a = activate_pullback(Activation::Tanh, &self.bend, &to_s)?;
        Ok((Tensor::cat(&[&to_a, g], 1)?, to_x))
    }
}

fn halves(h: &Tensor) -> Result<(Tensor, Tensor)> {
    let half = h.dim(1)? / 2;
    Ok((h.narrow(1, 0, half)?.contiguous()?, h.narrow(1, half, half)?.contiguous()?))
}

/// The sum over all dimensions but the batch, `[B]`.
fn sum(x: &Tensor) -> Result<Tensor> {
    Ok(x.flatten_from(1)?.sum(1)?)
}

/// The pair (z₂, l) of an affine coupling with its tangents: ż₂ = (ẋ₂ + x₂∘ṡ)∘eˢ + ṫ.
fn affine_jet(x: &Jet, h: &Jet, cap: f64) -> Result<(Jet, Jet)> {
    let (a, shift) = halves(h.stacked())?;
    let log_scale = Jet::from_stacked(activate_jet(Activation::Tanh, &a.affine(1.0 / cap, 0.0)?)?.affine(cap, 0.0)?);
    let (shift, scale, value) = (Jet::from_stacked(shift), log_scale.value()?.exp()?, x.value()?);
    let z = ((&value * &scale)? + shift.value()?)?;
    let along = (((x.tangent()? + (value * log_scale.tangent()?)?)? * scale)? + shift.tangent()?)?;
    Ok((Jet::new(&z, &along)?, log_scale.linear(sum)?))
}

/// The pair (z₂, l) of an affine coupling along curves: (eˢ)' = eˢs' and (eˢ)'' = eˢ(s'² + s'').
fn affine_curve(x: &Curve, h: &Curve, cap: f64) -> Result<(Curve, Curve)> {
    let bend = h.linear(|h| Ok(halves(h)?.0.affine(1.0 / cap, 0.0)?))?;
    let shift = h.linear(|h| Ok(halves(h)?.1))?;
    let log_scale = Curve::bent(activate_curve(Activation::Tanh, bend.stacked(), bend.blocks())?.affine(cap, 0.0)?);
    let (scale, first) = (log_scale.value()?.exp()?, log_scale.first()?);
    let second = ((first.sqr()? + log_scale.second()?)? * &scale)?;
    let scale = Curve::new(&scale, &(first * &scale)?, &second)?;
    Ok((x.times(&scale)?.plus(&shift)?, log_scale.linear(sum)?))
}

fn spline_values(spline: Spline, x: &Tensor, h: &Tensor) -> Result<(Tensor, Tensor)> {
    let (z, log_det) = spline.forward(&Series(vec![x.clone()]), &Series(vec![h.clone()]))?;
    Ok((z.value()?.clone(), log_det.value()?.clone()))
}

fn spline_jet(spline: Spline, x: &Jet, h: &Jet) -> Result<(Jet, Jet)> {
    let terms = |j: &Jet| -> Result<Series> { Ok(Series(vec![j.value()?.contiguous()?, j.tangent()?.contiguous()?])) };
    let (z, log_det) = spline.forward(&terms(x)?, &terms(h)?)?;
    Ok((Jet::new(z.at(0)?, z.at(1)?)?, Jet::new(log_det.at(0)?, log_det.at(1)?)?))
}

fn spline_curve(spline: Spline, x: &Curve, h: &Curve) -> Result<(Curve, Curve)> {
    let terms = |c: &Curve| -> Result<Series> {
        Ok(Series(vec![c.value()?.contiguous()?, c.first()?.contiguous()?, c.second()?.contiguous()?]))
    };
    let (z, log_det) = spline.forward(&terms(x)?, &terms(h)?)?;
    let curve = |s: &Series| Curve::new(s.at(0)?, s.at(1)?, s.at(2)?);
    Ok((curve(&z)?, curve(&log_det)?))
}

impl Bijection for Coupling {
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (kept, moving) = self.parts(x)?;
        let h = self.net.forward(&kept, Pass::EVAL)?;
        let (moved, log_det) = match self.kind {
            Kind::Additive => ((moving + h)?, no_change(x)?),
            Kind::Affine { cap } => {
                let affine = Affine::of(&h, cap)?;
                (affine.apply(&moving)?, affine.log_det()?)
            }
            Kind::Spline { bins, bound } => spline_values(Spline { bins, bound }, &moving, &h)?,
        };
        Ok((self.join(&kept, &moved)?, log_det))
    }

    fn inverse(&self, z: &Tensor) -> Result<Tensor> {
        let (kept, moved) = self.parts(z)?;
        let h = self.net.forward(&kept, Pass::EVAL)?;
        let moving = match self.kind {
            Kind::Additive => (moved - h)?,
            Kind::Affine { cap } => {
                let affine = Affine::of(&h, cap)?;
                ((moved - affine.shift)? * affine.log_scale.neg()?.exp()?)?
            }
            Kind::Spline { bins, bound } => Spline { bins, bound }.inverse(&moved, &h)?,
        };
        self.join(&kept, &moving)
    }

    fn inverse_vjp<'a>(&'a self, z: &Tensor) -> Result<(Tensor, InversePullback<'a>)> {
        let (kept, moved) = self.parts(z)?;
        let (h, pull) = self.net.vjp(&kept, Pass::EVAL)?;
        let (moving, undo) = self.kind.undo(&moved, &h)?;
        let back = move |g: &Tensor| {
            let (g_kept, g_moving) = self.parts(g)?;
            let (to_h, to_moved) = undo(&g_moving)?;
            self.join(&(g_kept + pull(&to_h)?)?, &to_moved)
        };
        Ok((self.join(&kept, &moving)?, Box::new(back)))
    }

    fn vjp<'a>(&'a self, x: &Tensor) -> Result<(Tensor, Tensor, BijectionPullback<'a>)> {
        let (kept, moving) = self.parts(x)?;
        let (h, pull) = self.net.vjp(&kept, Pass::EVAL)?;
        match self.kind {
            Kind::Additive => {
                let z = self.join(&kept, &(moving + h)?)?;
                let back = move |g: &Tensor, _: &Tensor| {
                    let (g_kept, g_moved) = self.parts(g)?;
                    self.join(&(g_kept + pull(&g_moved)?)?, &g_moved)
                };
                Ok((z, no_change(x)?, Box::new(back)))
            }
            Kind::Affine { cap } => {
                let affine = Affine::of(&h, cap)?;
                let (z, log_det) = (self.join(&kept, &affine.apply(&moving)?)?, affine.log_det()?);
                let back = move |g: &Tensor, l: &Tensor| {
                    let (g_kept, g_moved) = self.parts(g)?;
                    let (to_h, to_moving) = affine.pull(&moving, &g_moved, l)?;
                    self.join(&(g_kept + pull(&to_h)?)?, &to_moving)
                };
                Ok((z, log_det, Box::new(back)))
            }
            Kind::Spline { bins, bound } => {
                let spline = Spline { bins, bound };
                let (moved, log_det) = spline_values(spline, &moving, &h)?;
                let z = self.join(&kept, &moved)?;
                let back = move |g: &Tensor, l: &Tensor| {
                    let (g_kept, g_moved) = self.parts(g)?;
                    let (to_h, to_moving) = spline.pull(&moving, &h, &g_moved, l)?;
                    self.join(&(g_kept + pull(&to_h)?)?, &to_moving)
                };
                Ok((z, log_det, Box::new(back)))
            }
        }
    }

    fn jvp(&self, x: &Jet) -> Result<(Jet, Jet)> {
        let (kept, moving) = self.parts(x.stacked())?;
        let h = self.net.jvp(&Jet::from_stacked(kept.clone()), Pass::EVAL)?;
        let (moved, log_det) = match self.kind {
            Kind::Additive => (Jet::from_stacked((moving + h.stacked())?), x.linear(no_change)?),
            Kind::Affine { cap } => affine_jet(&Jet::from_stacked(moving), &h, cap)?,
            Kind::Spline { bins, bound } => spline_jet(Spline { bins, bound }, &Jet::from_stacked(moving), &h)?,
        };
        Ok((moved.linear(|moved| self.join(&kept, moved))?, log_det))
    }

    fn curve(&self, x: &Curve) -> Result<(Curve, Curve)> {
        let kept = x.linear(|x| Ok(self.parts(x)?.0))?;
        let moving = x.linear(|x| Ok(self.parts(x)?.1))?;
        let h = self.net.curve(&kept, Pass::EVAL)?;
        let (moved, log_det) = match self.kind {
            Kind::Additive => (moving.plus(&h)?, x.linear(no_change)?),
            Kind::Affine { cap } => affine_curve(&moving, &h, cap)?,
            Kind::Spline { bins, bound } => spline_curve(Spline { bins, bound }, &moving, &h)?,
        };
        let z = if self.keep_first { kept.beside(&moved, 1)? } else { moved.beside(&kept, 1)? };
        Ok((z, log_det))
    }

    fn after_update(&self) -> Result<()> {
        self.net.power_iterate()
    }
}
