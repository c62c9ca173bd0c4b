//! The activations and their derivatives on the CPU, entry by entry.

use candle_core::Result;

use super::{
    access::{Argument, Output, on_floats, output, slice},
    curve::{Curve, with_curve},
    raw::map,
    real::Real,
    vector::vectorised,
};
use crate::ops::Activation;

/// σ(u).
///
/// # Errors
/// As all of these functions: an argument is not contiguous, or arguments differ in length.
pub fn value(act: Activation, u: Argument<'_>) -> Output {
    let shape = u.1.shape();
    with_curve!(act, c => on_floats!(u.0, T => {
        output(map([slice::<T>(u)?], #[inline(always)] move |[u]| { let [y, ..] = c.jet(u); [y] })?, shape)
    }))
}

/// σ'(u)·v.
///
/// # Errors
/// As [`value`].
pub fn pullback(act: Activation, u: Argument<'_>, v: Argument<'_>) -> Output {
    let shape = u.1.shape();
    with_curve!(act, c => on_floats!(u.0, T => {
        let pulled = map([slice::<T>(u)?, slice(v)?], #[inline(always)] move |[u, v]: [T; 2]| {
            let [_, slope, ..] = c.jet(u);
            [slope * v]
        })?;
        output(pulled, shape)
    }))
}

/// Writes σ(u) to y, as far as both go, on the calling thread.
pub fn apply<T: Real>(act: Activation, u: &[T], y: &mut [T]) {
    with_curve!(act, c => in_place(u, y, #[inline(always)] move |u, _| { let [y, ..] = c.jet(u); y }));
}

/// Multiplies y by σ'(u), as far as both go, on the calling thread.
pub fn times_slope<T: Real>(act: Activation, u: &[T], y: &mut [T]) {
    with_curve!(act, c => in_place(u, y, #[inline(always)] move |u, y| { let [_, slope, ..] = c.jet(u); slope * y }));
}

/// Replaces every y by f(u, y).
fn in_place<T: Real>(u: &[T], y: &mut [T], f: impl Fn(T, T) -> T + Copy) {
    vectorised!({
        for (y, &u) in y.iter_mut().zip(u) {
            *y = f(u, *y);
        }
    });
}

/// σ''(u)·v·g, and with `slope_too` behind it σ'(u)·g.
///
/// # Errors
/// As [`value`].
pub fn bend(act: Activation, u: Argument<'_>, v: Argument<'_>, g: Argument<'_>, slope_too: bool) -> Output {
    let shape = u.1.shape();
    with_curve!(act, c => on_floats!(u.0, T => {
        let sources = [slice::<T>(u)?, slice(v)?, slice(g)?];
        if slope_too {
            let both = map(sources, #[inline(always)] move |[u, v, g]: [T; 3]| {
                let [_, slope, bend, _] = c.jet(u);
                [bend * v * g, slope * g]
            })?;
            output(both, [&[2], shape.dims()].concat())
        } else {
            let bent = map(sources, #[inline(always)] move |[u, v, g]: [T; 3]| {
                let [_, _, bend, _] = c.jet(u);
                [bend * v * g]
            })?;
            output(bent, shape)
        }
    }))
}

/// [σ(u); σ'(u)·u̇] of [u; u̇].
///
/// # Errors
/// As [`value`].
pub fn jet(act: Activation, uu: Argument<'_>) -> Output {
    let shape = uu.1.shape();
    with_curve!(act, c => on_floats!(uu.0, T => {
        let jet = map(blocks::<T, 2>(uu)?, #[inline(always)] move |[u, du]: [T; 2]| {
            let [y, slope, ..] = c.jet(u);
            [y, slope * du]
        })?;
        output(jet, shape)
    }))
}

/// [σ'g + σ''u̇ġ; σ'ġ] of [u; u̇] and [g; ġ].
///
/// # Errors
/// As [`value`].
pub fn jet_backward(act: Activation, uu: Argument<'_>, gg: Argument<'_>) -> Output {
    let shape = uu.1.shape();
    with_curve!(act, c => on_floats!(uu.0, T => {
        let ([u, du], [g, dg]) = (blocks::<T, 2>(uu)?, blocks::<T, 2>(gg)?);
        output(map([u, du, g, dg], #[inline(always)] move |[u, du, g, dg]: [T; 4]| {
            let [_, slope, bend, _] = c.jet(u);
            [slope * g + bend * du * dg, slope * dg]
        })?, shape)
    }))
}

/// [σ(u); σ'u'; σ''u'² + σ'u''] of `count` = 3 blocks [u; u'; u''], or of 2 where u'' = 0.
///
/// # Errors
/// As [`value`].
pub fn curve(act: Activation, stacked: Argument<'_>, count: usize) -> Output {
    let mut shape = stacked.1.dims().to_vec();
    shape.iter_mut().take(1).for_each(|rows| *rows = *rows / count.max(1) * 3);
    with_curve!(act, c => on_floats!(stacked.0, T => {
        if count == 2 {
            output(map(blocks::<T, 2>(stacked)?, #[inline(always)] move |[u, du]: [T; 2]| {
                let [y, slope, bend, _] = c.jet(u);
                [y, slope * du, bend * du * du]
            })?, shape)
        } else {
            output(map(blocks::<T, 3>(stacked)?, #[inline(always)] move |[u, du, ddu]: [T; 3]| {
                let [y, slope, bend, _] = c.jet(u);
                [y, slope * du, bend * du * du + slope * ddu]
            })?, shape)
        }
    }))
}

/// [σ'a + σ''u'b + (σ'''u'² + σ''u'')c; σ'b + 2σ''u'c; σ'c] of [u; u'; u''] and [a; b; c], without the last block where
/// there are only [u; u'].
///
/// # Errors
/// As [`value`].
pub fn curve_backward(act: Activation, x: Argument<'_>, g: Argument<'_>, count: usize) -> Output {
    let shape = x.1.shape();
    with_curve!(act, f => on_floats!(x.0, T => {
        let ([a, b, c], two) = (blocks::<T, 3>(g)?, T::of(2.0));
        if count == 2 {
            let [u, du] = blocks::<T, 2>(x)?;
            output(map([u, du, a, b, c], #[inline(always)] move |[u, du, a, b, c]: [T; 5]| {
                let [_, slope, bend, third] = f.jet(u);
                [slope * a + bend * du * b + third * du * du * c, slope * b + two * bend * du * c]
            })?, shape)
        } else {
            let [u, du, ddu] = blocks::<T, 3>(x)?;
            output(map([u, du, ddu, a, b, c], #[inline(always)] move |[u, du, ddu, a, b, c]: [T; 6]| {
                let [_, slope, bend, third] = f.jet(u);
                let first = slope * a + bend * du * b + (third * du * du + bend * ddu) * c;
                [first, slope * b + two * bend * du * c, slope * c]
            })?, shape)
        }
    }))
}

/// The N equal blocks of a contiguous tensor along its first dimension.
fn blocks<T: Real, const N: usize>(argument: Argument<'_>) -> Result<[&[T]; N]> {
    let all = slice::<T>(argument)?;
    let mut parts = all.chunks_exact((all.len() / N).max(1));
    Ok(std::array::from_fn(|_| parts.next().unwrap_or_default()))
}
