//! The algorithm F(4, 2): 4 outputs of a filter of 2 taps with 5 multiplications.

use pulp::Simd;

use super::points::{Map, Points, TILE, both, plus, times};

/// F(4, 2) at the points ±1/2, ±5/4 and ∞, all of whose squares are binary fractions.
pub struct Two;

impl Two {
    /// The points, and their squares.
    const NEAR: f32 = 0.5;
    const FAR: f32 = 1.25;
    const NEAR_2: f32 = 0.25;
    const FAR_2: f32 = 1.5625;
    /// 1/(2·NEAR·(NEAR² - FAR²)) and 1/(2·FAR·(FAR² - NEAR²)), the scales of the filters.
    const AT_NEAR: f32 = -1.0 / 1.3125;
    const AT_FAR: f32 = 1.0 / 3.28125;
}

impl Points<5, 2> for Two {
    type Patch = Patch;
    type Tile = Tile;
    type Spread = Spread;
    type Kernel = Kernel;
    type Fold = Fold;
}

/// The map Bᵀ of [`Two`].
pub struct Patch;

/// The map Aᵀ of [`Two`].
pub struct Tile;

/// The map A of [`Two`].
pub struct Spread;

/// The map G of [`Two`].
pub struct Kernel;

/// The map Gᵀ of [`Two`].
pub struct Fold;

/// The map B of [`Two`]: the gradient for a patch of the input, the transpose of [`Patch`].
pub struct Unpatch;

impl Map<5, 5> for Unpatch {
    #[inline(always)]
    fn of<S: Simd>(simd: S, m: [S::f32s; 5]) -> [S::f32s; 5] {
        let ([near, near_odd], [far, far_odd]) = (both(simd, m[0], m[1]), both(simd, m[2], m[3]));
        let (near_odd, far_odd) = (times(simd, near_odd, Two::NEAR), times(simd, far_odd, Two::FAR));
        let last = times(simd, m[4], Two::NEAR_2 * Two::FAR_2);
        [
            plus(simd, near_odd, -Two::FAR_2, plus(simd, far_odd, -Two::NEAR_2, last)),
            plus(simd, near, -Two::FAR_2, times(simd, far, -Two::NEAR_2)),
            plus(simd, m[4], -(Two::NEAR_2 + Two::FAR_2), simd.add_f32s(near_odd, far_odd)),
            simd.add_f32s(near, far),
            m[4],
        ]
    }
}

impl Map<5, 5> for Patch {
    #[inline(always)]
    fn of<S: Simd>(simd: S, d: [S::f32s; 5]) -> [S::f32s; 5] {
        let near_odd = times(simd, plus(simd, d[0], -Two::FAR_2, d[2]), Two::NEAR);
        let far_odd = times(simd, plus(simd, d[0], -Two::NEAR_2, d[2]), Two::FAR);
        let [near, minus_near] = both(simd, plus(simd, d[1], -Two::FAR_2, d[3]), near_odd);
        let [far, minus_far] = both(simd, plus(simd, d[1], -Two::NEAR_2, d[3]), far_odd);
        let last = plus(simd, d[2], -(Two::NEAR_2 + Two::FAR_2), d[4]);
        [near, minus_near, far, minus_far, plus(simd, d[0], Two::NEAR_2 * Two::FAR_2, last)]
    }
}

impl Map<5, TILE> for Tile {
    #[inline(always)]
    fn of<S: Simd>(simd: S, m: [S::f32s; 5]) -> [S::f32s; TILE] {
        let ([near, near_odd], [far, far_odd]) = (both(simd, m[0], m[1]), both(simd, m[2], m[3]));
        let (near_odd, far_odd) = (times(simd, near_odd, Two::NEAR), times(simd, far_odd, Two::FAR));
        [
            simd.add_f32s(near, far),
            simd.add_f32s(near_odd, far_odd),
            plus(simd, near, Two::NEAR_2, times(simd, far, Two::FAR_2)),
            plus(simd, near_odd, Two::NEAR_2, plus(simd, far_odd, Two::FAR_2, m[4])),
        ]
    }
}

impl Map<TILE, 5> for Spread {
    #[inline(always)]
    fn of<S: Simd>(simd: S, g: [S::f32s; TILE]) -> [S::f32s; 5] {
        let near_odd = times(simd, plus(simd, g[3], Two::NEAR_2, g[1]), Two::NEAR);
        let far_odd = times(simd, plus(simd, g[3], Two::FAR_2, g[1]), Two::FAR);
        let [near, minus_near] = both(simd, plus(simd, g[2], Two::NEAR_2, g[0]), near_odd);
        let [far, minus_far] = both(simd, plus(simd, g[2], Two::FAR_2, g[0]), far_odd);
        [near, minus_near, far, minus_far, g[3]]
    }
}

impl Map<2, 5> for Kernel {
    #[inline(always)]
    fn of<S: Simd>(simd: S, w: [S::f32s; 2]) -> [S::f32s; 5] {
        let near_odd = times(simd, w[1], Two::NEAR * Two::AT_NEAR);
        let far_odd = times(simd, w[1], Two::FAR * Two::AT_FAR);
        let [near, near_left] = both(simd, near_odd, times(simd, w[0], Two::AT_NEAR));
        let [far, far_left] = both(simd, far_odd, times(simd, w[0], Two::AT_FAR));
        [near, near_left, far, far_left, w[1]]
    }
}

impl Map<5, 2> for Fold {
    #[inline(always)]
    fn of<S: Simd>(simd: S, u: [S::f32s; 5]) -> [S::f32s; 2] {
        let ([near, near_odd], [far, far_odd]) = (both(simd, u[0], u[1]), both(simd, u[2], u[3]));
        [
            plus(simd, near_odd, Two::AT_NEAR, times(simd, far_odd, Two::AT_FAR)),
            plus(simd, near, Two::NEAR * Two::AT_NEAR, plus(simd, far, Two::FAR * Two::AT_FAR, u[4])),
        ]
    }
}
