//! The scalar formulas of the activations: σ and its first three derivatives.

use super::real::Real;

/// The formula of an activation, as a type, so that loops over it are compiled for it alone.
pub trait Curve: Copy + Sync {
    /// The values [σ(u), σ'(u), σ''(u), σ'''(u)]; those that the caller drops are not computed.
    fn jet<T: Real>(self, u: T) -> [T; 4];
}

/// Runs the expression with `$curve` bound to the formula of an [`Activation`].
macro_rules! with_curve {
    ($act:expr, $curve:ident => $body:expr) => {
        match $act {
            Activation::Swish => with_curve!(@ $curve, crate::ops::cpu::curve::Swish, $body),
            Activation::Softplus => with_curve!(@ $curve, crate::ops::cpu::curve::Softplus, $body),
            Activation::Sigmoid => with_curve!(@ $curve, crate::ops::cpu::curve::Sigmoid, $body),
            Activation::Tanh => with_curve!(@ $curve, crate::ops::cpu::curve::Tanh, $body),
            Activation::Relu => with_curve!(@ $curve, crate::ops::cpu::curve::LeakyRelu(0.0), $body),
            Activation::LeakyRelu(alpha) => with_curve!(@ $curve, crate::ops::cpu::curve::LeakyRelu(alpha), $body),
            Activation::Elu(alpha) => with_curve!(@ $curve, crate::ops::cpu::curve::Elu(alpha), $body),
        }
    };
    (@ $curve:ident, $value:expr, $body:expr) => {{
        let $curve = $value;
        $body
    }};
}
pub(super) use with_curve;

/// The pair [sigmoid(u), 1 - sigmoid(u)], both to full relative precision.
#[inline(always)]
fn sigmoids<T: Real>(u: T) -> [T; 2] {
    let e = (-u.magnitude()).exp();
    let large = T::ONE / (T::ONE + e);
    let small = e * large;
    if u < T::ZERO { [small, large] } else { [large, small] }
}

/// Swish u·s, with s = sigmoid(u) and c = 1 - s: σ' = s(1 + uc), σ'' = sc(2 + u(c-s)), σ''' = sc(3(c-s) + u(1-6sc)).
#[derive(Clone, Copy)]
pub struct Swish;

impl Curve for Swish {
    #[inline(always)]
    fn jet<T: Real>(self, u: T) -> [T; 4] {
        let [s, c] = sigmoids(u);
        let (two, three, six) = (T::of(2.0), T::of(3.0), T::of(6.0));
        let (p, d) = (s * c, c - s);
        [u * s, s * (T::ONE + u * c), p * (two + u * d), p * (three * d + u * (T::ONE - six * p))]
    }
}

/// Softplus, log(1 + eᵘ) = max(u, 0) + log(1 + e^-|u|); its slope is the sigmoid.
#[derive(Clone, Copy)]
pub struct Softplus;

impl Curve for Softplus {
    #[inline(always)]
    fn jet<T: Real>(self, u: T) -> [T; 4] {
        let [s, c] = sigmoids(u);
        let positive = if u < T::ZERO { T::ZERO } else { u };
        [positive + (-u.magnitude()).exp().ln_1p(), s, s * c, s * c * (c - s)]
    }
}

/// The sigmoid s = 1/(1 + e⁻ᵘ), with c = 1 - s: σ' = sc, σ'' = sc(c-s), σ''' = sc(1-6sc).
#[derive(Clone, Copy)]
pub struct Sigmoid;

impl Curve for Sigmoid {
    #[inline(always)]
    fn jet<T: Real>(self, u: T) -> [T; 4] {
        let [s, c] = sigmoids(u);
        let p = s * c;
        [s, p, p * (c - s), p * (T::ONE - T::of(6.0) * p)]
    }
}

/// The hyperbolic tangent t = tanh u: σ' = 1 - t² = 4s(1-s) with s = sigmoid(2u), σ'' = -2tσ', σ''' = (6t² - 2)σ'.
#[derive(Clone, Copy)]
pub struct Tanh;

impl Curve for Tanh {
    #[inline(always)]
    fn jet<T: Real>(self, u: T) -> [T; 4] {
        let t = u.tanh();
        let slope = (T::ONE - t) * (T::ONE + t);
        let two = T::of(2.0);
        [t, slope, -two * t * slope, (T::of(6.0) * t * t - two) * slope]
    }
}

/// The leaky rectifier max(u, αu), with the slope α at 0. `LeakyRelu(0)` is the rectifier.
#[derive(Clone, Copy)]
pub struct LeakyRelu(pub f64);

impl Curve for LeakyRelu {
    #[inline(always)]
    fn jet<T: Real>(self, u: T) -> [T; 4] {
        let slope = if u > T::ZERO { T::ONE } else { T::of(self.0) };
        let value = if u > T::ZERO { u } else { T::of(self.0) * u };
        [value, slope, T::ZERO, T::ZERO]
    }
}

/// The exponential linear unit: u for u > 0, else α(eᵘ - 1).
#[derive(Clone, Copy)]
pub struct Elu(pub f64);

impl Curve for Elu {
    #[inline(always)]
    fn jet<T: Real>(self, u: T) -> [T; 4] {
        let (alpha, below) = (T::of(self.0), u.exp_m1());
        let bend = alpha * (below + T::ONE);
        if u > T::ZERO { [u, T::ONE, T::ZERO, T::ZERO] } else { [alpha * below, bend, bend, bend] }
    }
}
