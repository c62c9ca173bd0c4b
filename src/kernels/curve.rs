//! The scalar formulas of the activations: σ, σ' and σ'' at once.

use super::real::Real;

/// An activation as a formula, so that loops over it are compiled for it alone.
pub trait Curve: Copy + Sync {
    /// [σ(u), σ'(u), σ''(u)]; what the caller drops is not computed.
    fn jet<T: Real>(self, u: T) -> [T; 3];
}

/// Runs the expression with `$curve` bound to the formula of an [`Activation`].
macro_rules! with_curve {
    ($act:expr, $curve:ident => $body:expr) => {
        match $act {
            Activation::Swish => with_curve!(@ $curve, crate::kernels::curve::Swish, $body),
            Activation::Softplus => with_curve!(@ $curve, crate::kernels::curve::Softplus, $body),
            Activation::Sigmoid => with_curve!(@ $curve, crate::kernels::curve::Sigmoid, $body),
            Activation::Tanh => with_curve!(@ $curve, crate::kernels::curve::Tanh, $body),
            Activation::Relu => with_curve!(@ $curve, crate::kernels::curve::LeakyRelu(0.0), $body),
            Activation::LeakyRelu(alpha) => with_curve!(@ $curve, crate::kernels::curve::LeakyRelu(alpha), $body),
            Activation::Elu(alpha) => with_curve!(@ $curve, crate::kernels::curve::Elu(alpha), $body),
        }
    };
    (@ $curve:ident, $value:expr, $body:expr) => {{
        let $curve = $value;
        $body
    }};
}
pub(super) use with_curve;

/// [sigmoid(u), 1 - sigmoid(u)], both to full relative precision.
#[inline(always)]
fn sigmoids<T: Real>(u: T) -> [T; 2] {
    let e = (-u.magnitude()).exp();
    let large = T::ONE / (T::ONE + e);
    let small = e * large;
    if u < T::ZERO { [small, large] } else { [large, small] }
}

/// u·s with s = sigmoid(u): σ' = s(1 + u(1-s)), σ'' = s(1-s)(2 + u(1-2s)).
#[derive(Clone, Copy)]
pub struct Swish;

impl Curve for Swish {
    #[inline(always)]
    fn jet<T: Real>(self, u: T) -> [T; 3] {
        let [s, c] = sigmoids(u);
        let two = T::of(2.0);
        [u * s, s * (T::ONE + u * c), s * c * (two + u * (c - s))]
    }
}

/// log(1 + eᵘ) = max(u, 0) + log(1 + e^-|u|).
#[derive(Clone, Copy)]
pub struct Softplus;

impl Curve for Softplus {
    #[inline(always)]
    fn jet<T: Real>(self, u: T) -> [T; 3] {
        let [s, c] = sigmoids(u);
        let positive = if u < T::ZERO { T::ZERO } else { u };
        [positive + (-u.magnitude()).exp().ln_1p(), s, s * c]
    }
}

/// s: σ' = s(1-s), σ'' = s(1-s)(1-2s).
#[derive(Clone, Copy)]
pub struct Sigmoid;

impl Curve for Sigmoid {
    #[inline(always)]
    fn jet<T: Real>(self, u: T) -> [T; 3] {
        let [s, c] = sigmoids(u);
        [s, s * c, s * c * (c - s)]
    }
}

/// t: σ' = 1 - t² = 4 s(1-s) at 2u, σ'' = -2tσ'.
#[derive(Clone, Copy)]
pub struct Tanh;

impl Curve for Tanh {
    #[inline(always)]
    fn jet<T: Real>(self, u: T) -> [T; 3] {
        let t = u.tanh();
        let slope = (T::ONE - t) * (T::ONE + t);
        [t, slope, T::of(-2.0) * t * slope]
    }
}

/// max(u, αu); the slope at 0 is α. `LeakyRelu(0)` is the rectifier.
#[derive(Clone, Copy)]
pub struct LeakyRelu(pub f64);

impl Curve for LeakyRelu {
    #[inline(always)]
    fn jet<T: Real>(self, u: T) -> [T; 3] {
        let slope = if u > T::ZERO { T::ONE } else { T::of(self.0) };
        let value = if u > T::ZERO { u } else { T::of(self.0) * u };
        [value, slope, T::ZERO]
    }
}

/// u for u > 0, else α(eᵘ - 1).
#[derive(Clone, Copy)]
pub struct Elu(pub f64);

impl Curve for Elu {
    #[inline(always)]
    fn jet<T: Real>(self, u: T) -> [T; 3] {
        let (alpha, below) = (T::of(self.0), u.exp_m1());
        let bend = alpha * (below + T::ONE);
        if u > T::ZERO { [u, T::ONE, T::ZERO] } else { [alpha * below, bend, bend] }
    }
}
