//! The weights of a convolution in the transformed domain, and the way back for their gradient.

use pulp::{Arch, Simd, WithSimd};

use super::tiles::{ENTRIES, LANES, PATCH, fold, kernel, twice};
use crate::ops::cpu::raw::planes::{load, store};

/// The entries of a 3×3 kernel.
const AREA: usize = 9;

/// The transformed weights G w Gᵀ: 36 matrices `[O, C]`.
pub struct Filters {
    /// The matrices, one after the other.
    pub matrices: Vec<f32>,
    /// The channels O of the output.
    pub outputs: usize,
    /// The channels C of the input.
    pub channels: usize,
}

impl Filters {
    /// The filters of the convolution with the weights w `[O, C, 3, 3]`.
    pub fn of(w: &[f32], outputs: usize, channels: usize) -> Self {
        let kernels = Kernels { rows: outputs, lanes: channels, steps: [AREA * channels, AREA], turned: false };
        Filters { matrices: Arch::new().dispatch(Forward { w, kernels }), outputs, channels }
    }

    /// The filters of the pull-back of that convolution, which is the convolution with the weights turned by 180° and
    /// inputs and outputs exchanged.
    pub fn of_pullback(w: &[f32], outputs: usize, channels: usize) -> Self {
        let kernels = Kernels { rows: channels, lanes: outputs, steps: [AREA, AREA * channels], turned: true };
        Filters { matrices: Arch::new().dispatch(Forward { w, kernels }), outputs: channels, channels: outputs }
    }
}

/// The gradient for w `[O, C, 3, 3]`, of that for the filters: 36 matrices `[C, O]` with `LANES` numbers behind them.
pub fn gradient(matrices: &[f32], outputs: usize, channels: usize) -> Vec<f32> {
    let kernels = Kernels { rows: channels, lanes: outputs, steps: [AREA, AREA * channels], turned: false };
    Arch::new().dispatch(Backward { matrices, kernels })
}

/// The places of kernels among weights: that of entry (row, lane) of the 36 matrices begins at row·steps₀ +
/// lane·steps₁.
struct Kernels {
    rows: usize,
    lanes: usize,
    steps: [usize; 2],
    /// Whether kernels are read from their end.
    turned: bool,
}

impl Kernels {
    /// The entries of one matrix.
    fn plane(&self) -> usize {
        self.rows * self.lanes
    }

    /// Calls f(row, lane, number of lanes) for all vectors of kernels.
    #[inline(always)]
    fn each(&self, lanes: usize, mut f: impl FnMut(usize, usize, usize)) {
        for row in 0..self.rows {
            for lane in (0..self.lanes).step_by(lanes) {
                f(row, lane, lanes.min(self.lanes - lane));
            }
        }
    }

    fn start(&self, row: usize, lane: usize) -> usize {
        row * self.steps[0] + lane * self.steps[1]
    }
}

/// The transform G w Gᵀ of all weights.
struct Forward<'a> {
    w: &'a [f32],
    kernels: Kernels,
}

impl WithSimd for Forward<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let Forward { w, kernels } = self;
        let plane = kernels.plane();
        let mut out = vec![0.0; ENTRIES * plane];
        kernels.each(
            S::F32_LANES,
            #[inline(always)]
            |row, lane, n| {
                let mut gathered = [[0.0; LANES]; AREA];
                for l in 0..n {
                    let start = kernels.start(row, lane + l);
                    let Some(entries) = w.get(start..).and_then(|w| w.first_chunk::<AREA>()) else { return };
                    for (to, k) in gathered.iter_mut().zip(0..) {
                        to[l % LANES] = entries[if kernels.turned { AREA - 1 - k } else { k }];
                    }
                }
                let zero = simd.splat_f32s(0.0);
                twice(
                    simd,
                    #[inline(always)]
                    |simd, w| kernel(simd, w),
                    #[inline(always)]
                    |i| load::<S, 3>(simd, gathered.as_flattened(), 3 * i * LANES, LANES).unwrap_or([zero; 3]),
                    #[inline(always)]
                    |j, column| {
                        let at = j * plane + row * kernels.lanes + lane;
                        if n == S::F32_LANES {
                            store::<S, PATCH>(&mut out, at, PATCH * plane, column);
                        } else {
                            for (i, entry) in column.into_iter().enumerate() {
                                let run = out.get_mut(at + i * PATCH * plane..).and_then(|out| out.get_mut(..n));
                                simd.partial_store_f32s(run.unwrap_or_default(), entry);
                            }
                        }
                    },
                );
            },
        );
        out
    }
}

/// The transform Gᵀ u G of all gradients for filters.
struct Backward<'a> {
    matrices: &'a [f32],
    kernels: Kernels,
}

impl WithSimd for Backward<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let Backward { matrices, kernels } = self;
        let plane = kernels.plane();
        let mut out = vec![0.0; AREA * plane];
        kernels.each(
            S::F32_LANES,
            #[inline(always)]
            |row, lane, n| {
                let zero = simd.splat_f32s(0.0);
                let mut entries = [[0.0; LANES]; AREA];
                twice(
                    simd,
                    #[inline(always)]
                    |simd, u| fold(simd, u),
                    #[inline(always)]
                    |i| {
                        let at = i * PATCH * plane + row * kernels.lanes + lane;
                        load::<S, PATCH>(simd, matrices, at, plane).unwrap_or([zero; PATCH])
                    },
                    #[inline(always)]
                    |j, column| {
                        store::<S, 3>(entries.as_flattened_mut(), j * LANES, 3 * LANES, column);
                    },
                );
                for l in 0..n {
                    let start = kernels.start(row, lane + l);
                    let to = out.get_mut(start..start + AREA).unwrap_or_default();
                    to.iter_mut().zip(&entries).for_each(|(to, entry)| *to = entry[l % LANES]);
                }
            },
        );
        out
    }
}
