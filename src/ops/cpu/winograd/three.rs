//! The algorithm F(4, 3): 4 outputs of a filter of 3 taps with 6 multiplications.

use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

use pulp::Simd;

use super::points::{Map, Points, TILE, both, plus, times};

/// F(4, 3) at the points ±1/√2, ±√2, 0 and ∞.
pub struct Three;

impl Points<6, 3> for Three {
    type Patch = Patch;
    type Tile = Tile;
    type Spread = Spread;
    type Kernel = Kernel;
    type Fold = Fold;
}

/// The map Bᵀ of [`Three`].
pub struct Patch;

/// The map Aᵀ of [`Three`].
pub struct Tile;

/// The map A of [`Three`].
pub struct Spread;

/// The map G of [`Three`].
pub struct Kernel;

/// The map Gᵀ of [`Three`].
pub struct Fold;

impl Map<6, 6> for Patch {
    #[inline(always)]
    fn of<S: Simd>(simd: S, d: [S::f32s; 6]) -> [S::f32s; 6] {
        let near_odd = times(simd, plus(simd, d[1], -2.0, d[3]), FRAC_1_SQRT_2);
        let far_odd = times(simd, plus(simd, d[1], -0.5, d[3]), SQRT_2);
        let [near, minus_near] = both(simd, plus(simd, d[2], -2.0, d[4]), near_odd);
        let [far, minus_far] = both(simd, plus(simd, d[2], -0.5, d[4]), far_odd);
        let zero = plus(simd, d[2], -2.5, simd.add_f32s(d[0], d[4]));
        [zero, near, minus_near, far, minus_far, plus(simd, d[3], -2.5, simd.add_f32s(d[1], d[5]))]
    }
}

impl Map<6, TILE> for Tile {
    #[inline(always)]
    fn of<S: Simd>(simd: S, m: [S::f32s; 6]) -> [S::f32s; TILE] {
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

impl Map<TILE, 6> for Spread {
    #[inline(always)]
    fn of<S: Simd>(simd: S, g: [S::f32s; TILE]) -> [S::f32s; 6] {
        let near_odd = times(simd, plus(simd, g[3], 0.5, g[1]), FRAC_1_SQRT_2);
        let far_odd = times(simd, plus(simd, g[3], 2.0, g[1]), SQRT_2);
        let [near, minus_near] = both(simd, plus(simd, g[2], 0.5, g[0]), near_odd);
        let [far, minus_far] = both(simd, plus(simd, g[2], 2.0, g[0]), far_odd);
        [g[0], near, minus_near, far, minus_far, g[3]]
    }
}

impl Map<3, 6> for Kernel {
    #[inline(always)]
    fn of<S: Simd>(simd: S, w: [S::f32s; 3]) -> [S::f32s; 6] {
        let near = times(simd, plus(simd, w[2], 0.5, w[0]), -1.0 / 1.5);
        let far = times(simd, plus(simd, w[2], 2.0, w[0]), 1.0 / 6.0);
        let [near, minus_near] = both(simd, near, times(simd, w[1], -FRAC_1_SQRT_2 / 1.5));
        let [far, minus_far] = both(simd, far, times(simd, w[1], SQRT_2 / 6.0));
        [w[0], near, minus_near, far, minus_far, w[2]]
    }
}

impl Map<6, 3> for Fold {
    #[inline(always)]
    fn of<S: Simd>(simd: S, u: [S::f32s; 6]) -> [S::f32s; 3] {
        let ([near, near_odd], [far, far_odd]) = (both(simd, u[1], u[2]), both(simd, u[3], u[4]));
        let (near, far) = (times(simd, near, -1.0 / 1.5), times(simd, far, 1.0 / 6.0));
        [
            simd.add_f32s(u[0], simd.add_f32s(near, far)),
            plus(simd, near_odd, -FRAC_1_SQRT_2 / 1.5, times(simd, far_odd, SQRT_2 / 6.0)),
            plus(simd, near, 0.5, plus(simd, far, 2.0, u[5])),
        ]
    }
}
