//! The matrices A, B and G of F(4, 3), 4 outputs of a filter of 3 taps out of 6 inputs with 6 multiplications, applied
//! to vectors of numbers, and the transform of small matrices by them.
//!
//! The points ±1/√2, ±√2, 0 and ∞ are symmetric about 0, so that a transform is the sum and the difference of an even
//! and an odd part, and close together: with the usual ±1, ±2 the rounding errors of f32 are two to four times as
//! large, since powers of 2 differ more in size.

use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

use pulp::Simd;

/// The side of a tile of the output.
pub const TILE: usize = 4;

/// The numbers that a vector register has at most: lengths are multiples of it, so that vectors fit without a rest.
pub const LANES: usize = 16;

/// The side of a kernel.
pub const TAPS: usize = 3;

/// The side of the patch that a tile depends on, and of a transformed kernel.
pub const SIDE: usize = TILE + TAPS - 1;

/// A map of N vectors to M, a matrix of the algorithm.
///
/// It is a trait, since a function that is handed over as a value is called by a shim, which is compiled for any
/// processor: then each of its operations on vectors is a call through memory, ten times slower.
pub trait Map<const N: usize, const M: usize>: Copy {
    /// The M vectors that N become.
    fn of<S: Simd>(self, simd: S, x: [S::f32s; N]) -> [S::f32s; M];
}

/// The map f of the rows of an N×N matrix of vectors, which `row` gives, and then of the columns, of which the M×M
/// result's are handed to `column`.
///
/// Loops over arrays: a closure that `map` calls is not always compiled for the instructions of its caller.
#[inline(always)]
pub fn twice<S: Simd, const N: usize, const M: usize>(
    simd: S,
    f: impl Map<N, M>,
    mut row: impl FnMut(usize) -> [S::f32s; N],
    mut column: impl FnMut(usize, [S::f32s; M]),
) {
    let zero = simd.splat_f32s(0.0);
    let mut across = [[zero; M]; N];
    for (i, to) in across.iter_mut().enumerate() {
        *to = f.of(simd, row(i));
    }
    for j in 0..M {
        let mut entries = [zero; N];
        for (to, row) in entries.iter_mut().zip(&across) {
            *to = row[j];
        }
        column(j, f.of(simd, entries));
    }
}

/// x·c.
#[inline(always)]
fn times<S: Simd>(simd: S, x: S::f32s, c: f32) -> S::f32s {
    simd.mul_f32s(x, simd.splat_f32s(c))
}

/// x·c + y.
#[inline(always)]
fn plus<S: Simd>(simd: S, x: S::f32s, c: f32, y: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(x, simd.splat_f32s(c), y)
}

/// x + y and x - y.
#[inline(always)]
fn both<S: Simd>(simd: S, x: S::f32s, y: S::f32s) -> [S::f32s; 2] {
    [simd.add_f32s(x, y), simd.sub_f32s(x, y)]
}

/// Bᵀ d: a patch of the input.
#[derive(Clone, Copy)]
pub struct Patch;

impl Map<SIDE, SIDE> for Patch {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, d: [S::f32s; SIDE]) -> [S::f32s; SIDE] {
        let near_odd = times(simd, plus(simd, d[1], -2.0, d[3]), FRAC_1_SQRT_2);
        let far_odd = times(simd, plus(simd, d[1], -0.5, d[3]), SQRT_2);
        let [near, minus_near] = both(simd, plus(simd, d[2], -2.0, d[4]), near_odd);
        let [far, minus_far] = both(simd, plus(simd, d[2], -0.5, d[4]), far_odd);
        let zero = plus(simd, d[2], -2.5, simd.add_f32s(d[0], d[4]));
        [zero, near, minus_near, far, minus_far, plus(simd, d[3], -2.5, simd.add_f32s(d[1], d[5]))]
    }
}

/// Aᵀ m: a tile of the output.
#[derive(Clone, Copy)]
pub struct Tile;

impl Map<SIDE, TILE> for Tile {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, m: [S::f32s; SIDE]) -> [S::f32s; TILE] {
        let ([near, near_odd], [far, far_odd]) = (both(simd, m[1], m[2]), both(simd, m[3], m[4]));
        let (near_odd, far_odd) = (times(simd, near_odd, FRAC_1_SQRT_2), times(simd, far_odd, SQRT_2));
        [
            simd.add_f32s(m[0], simd.add_f32s(near, far)),
            simd.add_f32s(near_odd, far_odd),
            plus(simd, far, 2.0, times(simd, near, 0.5)),
            plus(simd, far_odd, 2.0, plus(simd, near_odd, 0.5, m[5])),
        ]
    }
}

/// A g: the gradient for a tile of the output, the transpose of [`Tile`].
#[derive(Clone, Copy)]
pub struct Spread;

impl Map<TILE, SIDE> for Spread {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, g: [S::f32s; TILE]) -> [S::f32s; SIDE] {
        let near_odd = times(simd, plus(simd, g[3], 0.5, g[1]), FRAC_1_SQRT_2);
        let far_odd = times(simd, plus(simd, g[3], 2.0, g[1]), SQRT_2);
        let [near, minus_near] = both(simd, plus(simd, g[2], 0.5, g[0]), near_odd);
        let [far, minus_far] = both(simd, plus(simd, g[2], 2.0, g[0]), far_odd);
        [g[0], near, minus_near, far, minus_far, g[3]]
    }
}

/// G w: a kernel.
#[derive(Clone, Copy)]
pub struct Kernel;

impl Map<TAPS, SIDE> for Kernel {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, w: [S::f32s; TAPS]) -> [S::f32s; SIDE] {
        let near = times(simd, plus(simd, w[2], 0.5, w[0]), -1.0 / 1.5);
        let far = times(simd, plus(simd, w[2], 2.0, w[0]), 1.0 / 6.0);
        let [near, minus_near] = both(simd, near, times(simd, w[1], -FRAC_1_SQRT_2 / 1.5));
        let [far, minus_far] = both(simd, far, times(simd, w[1], SQRT_2 / 6.0));
        [w[0], near, minus_near, far, minus_far, w[2]]
    }
}

/// Gᵀ u: the gradient for a kernel, the transpose of [`Kernel`].
#[derive(Clone, Copy)]
pub struct Fold;

impl Map<SIDE, TAPS> for Fold {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, u: [S::f32s; SIDE]) -> [S::f32s; TAPS] {
        let ([near, near_odd], [far, far_odd]) = (both(simd, u[1], u[2]), both(simd, u[3], u[4]));
        let (near, far) = (times(simd, near, -1.0 / 1.5), times(simd, far, 1.0 / 6.0));
        [
            simd.add_f32s(u[0], simd.add_f32s(near, far)),
            plus(simd, near_odd, -FRAC_1_SQRT_2 / 1.5, times(simd, far_odd, SQRT_2 / 6.0)),
            plus(simd, near, 0.5, plus(simd, far, 2.0, u[5])),
        ]
    }
}
