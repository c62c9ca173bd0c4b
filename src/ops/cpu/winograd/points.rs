//! The matrices A, B and G of F(4, R), applied to vectors of numbers, and the transform of small matrices by them.
//!
//! The points are symmetric about 0, so that a transform is the sum and the difference of an even and an odd part, and
//! close together: with the usual ±1, ±2 the rounding errors of f32 are two to four times as large, since powers of 2
//! differ more in size.

use pulp::Simd;

/// The side of a tile of the output.
pub const TILE: usize = 4;

/// The numbers that a vector register has at most: lengths are multiples of it, so that vectors fit without a rest.
pub const LANES: usize = 16;

/// A map of N vectors to M: a matrix of the algorithm.
///
/// It is a type and no function that is handed over as a value: such a function is called by a shim that is compiled
/// for any processor, and then each of its operations on vectors is a call through memory.
pub trait Map<const N: usize, const M: usize> {
    /// The M vectors that N become.
    fn of<S: Simd>(simd: S, x: [S::f32s; N]) -> [S::f32s; M];
}

/// The algorithm F(4, R): 4 outputs of a filter of R taps out of P = R + 3 inputs, with P multiplications.
pub trait Points<const P: usize, const R: usize>: Sync {
    /// Bᵀ d: a patch of the input.
    type Patch: Map<P, P>;
    /// Aᵀ m: a tile of the output.
    type Tile: Map<P, TILE>;
    /// A g: the gradient for a tile of the output, the transpose of the tile's.
    type Spread: Map<TILE, P>;
    /// G w: a kernel.
    type Kernel: Map<R, P>;
    /// Gᵀ u: the gradient for a kernel, the transpose of the kernel's.
    type Fold: Map<P, R>;
}

/// The map F of the rows of an N×N matrix of vectors, which `row` gives, and then of the columns, of which the M×M
/// result's are handed to `column`.
///
/// Loops over arrays: a closure that `map` calls is not always compiled for the instructions of its caller.
#[inline(always)]
pub fn twice<F: Map<N, M>, S: Simd, const N: usize, const M: usize>(
    simd: S,
    mut row: impl FnMut(usize) -> [S::f32s; N],
    mut column: impl FnMut(usize, [S::f32s; M]),
) {
    let zero = simd.splat_f32s(0.0);
    let mut across = [[zero; M]; N];
    for (i, to) in across.iter_mut().enumerate() {
        *to = F::of(simd, row(i));
    }
    for j in 0..M {
        let mut entries = [zero; N];
        for (to, row) in entries.iter_mut().zip(&across) {
            *to = row[j];
        }
        column(j, F::of(simd, entries));
    }
}

/// x·c.
#[inline(always)]
pub fn times<S: Simd>(simd: S, x: S::f32s, c: f32) -> S::f32s {
    simd.mul_f32s(x, simd.splat_f32s(c))
}

/// x·c + y.
#[inline(always)]
pub fn plus<S: Simd>(simd: S, x: S::f32s, c: f32, y: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(x, simd.splat_f32s(c), y)
}

/// x + y and x - y.
#[inline(always)]
pub fn both<S: Simd>(simd: S, x: S::f32s, y: S::f32s) -> [S::f32s; 2] {
    [simd.add_f32s(x, y), simd.sub_f32s(x, y)]
}
