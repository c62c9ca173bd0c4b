//! The weights of a convolution in the transformed domain, and the way back for their gradient.

use pulp::{Arch, Simd, WithSimd};

use super::points::{Fold as Folded, Kernel, LANES, SIDE, TAPS, twice};
use crate::ops::cpu::columns::Geometry;
use crate::ops::cpu::raw::{panels::PANEL, planes};
use crate::ops::cpu::scratch::Scratch;

/// The numbers of a kernel.
const AREA: usize = TAPS * TAPS;

/// The transformed weights G w Gᵀ: 36 matrices, packed as [`crate::ops::cpu::raw::panels`] reads them.
pub struct Filters {
    packed: Scratch,
    /// The rows of a matrix.
    pub rows: usize,
    /// The columns of a matrix.
    pub depth: usize,
}

impl Filters {
    /// The filters of the convolution with the weights w `[O, C, 3, 3]`: a row for each output, a column for each
    /// channel.
    pub fn of(w: &[f32], geometry: &Geometry) -> Self {
        Self::new(w, geometry, false)
    }

    /// The filters of its pull-back, which is the convolution with the weights turned by 180°: a row for each channel,
    /// a column for each output.
    pub fn of_pullback(w: &[f32], geometry: &Geometry) -> Self {
        Self::new(w, geometry, true)
    }

    fn new(w: &[f32], &Geometry { channels, outputs, .. }: &Geometry, turned: bool) -> Self {
        let (rows, depth) = if turned { (channels, outputs) } else { (outputs, channels) };
        let packed = Arch::new().dispatch(Pack { w, turned, rows, depth });
        Filters { packed, rows, depth }
    }

    /// The 36 matrices.
    pub fn matrices(&self) -> impl Iterator<Item = &[f32]> {
        self.packed.chunks(packed(self.rows, self.depth))
    }
}

/// The numbers of a packed matrix, and those that set it apart from the next.
fn packed(rows: usize, depth: usize) -> usize {
    rows.next_multiple_of(PANEL) * depth + LANES
}

/// The transform G w Gᵀ of all weights.
struct Pack<'a> {
    w: &'a [f32],
    /// Whether kernels are turned and rows are channels.
    turned: bool,
    rows: usize,
    depth: usize,
}

impl Pack<'_> {
    /// The taps in a row and a column, for one lane.
    #[inline(always)]
    fn gather(&self, row: usize, column: usize, lane: usize, taps: &mut [[[f32; LANES]; TAPS]; TAPS]) {
        let number = if self.turned { column * self.rows + row } else { row * self.depth + column };
        let kernel = self.w.get(number * AREA..(number + 1) * AREA).unwrap_or_default();
        for (place, &weight) in kernel.iter().enumerate() {
            let place = if self.turned { AREA - 1 - place } else { place };
            taps[place / TAPS][place % TAPS][lane % LANES] = weight;
        }
    }
}

impl WithSimd for Pack<'_> {
    type Output = Scratch;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Scratch {
        let (rows, depth, plane) = (self.rows, self.depth, packed(self.rows, self.depth));
        let mut out = Scratch::of(SIDE * SIDE * plane);
        let zero = simd.splat_f32s(0.0);
        for from in (0..plane - LANES).step_by(S::F32_LANES) {
            let mut taps = [[[0.0; LANES]; TAPS]; TAPS];
            for lane in 0..S::F32_LANES {
                let number = from + lane;
                let (panel, within) = (number / (PANEL * depth), number % (PANEL * depth));
                let row = panel * PANEL + within % PANEL;
                if row < rows {
                    self.gather(row, within / PANEL, lane, &mut taps);
                }
            }
            twice(
                simd,
                Kernel,
                #[inline(always)]
                |a| planes::load::<S, TAPS>(simd, taps[a].as_flattened(), 0, LANES).unwrap_or([zero; TAPS]),
                #[inline(always)]
                |j, column| {
                    planes::store::<S, SIDE>(&mut out, j * plane + from, SIDE * plane, column);
                },
            );
        }
        out
    }
}

/// The transform Gᵀ u G of all gradients for filters: 36 matrices with a row for each channel and a column for each
/// output, `apart` from each other, with `LANES` numbers behind the last.
pub struct Fold<'a> {
    /// The matrices.
    pub matrices: &'a [f32],
    /// The distance from one matrix to the next.
    pub apart: usize,
    /// The channels.
    pub channels: usize,
    /// The outputs.
    pub outputs: usize,
}

impl WithSimd for Fold<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let Fold { matrices, apart, channels, outputs } = self;
        let zero = simd.splat_f32s(0.0);
        let mut out = vec![0.0; outputs * channels * AREA];
        for channel in 0..channels {
            for output in (0..outputs).step_by(S::F32_LANES) {
                let mut taps = [[[0.0; LANES]; TAPS]; TAPS];
                let at = channel * outputs + output;
                twice(
                    simd,
                    Folded,
                    #[inline(always)]
                    |i| planes::load::<S, SIDE>(simd, matrices, at + i * SIDE * apart, apart).unwrap_or([zero; SIDE]),
                    #[inline(always)]
                    |b, column| {
                        for (taps, tap) in taps.iter_mut().zip(column) {
                            planes::store::<S, 1>(&mut taps[b], 0, 0, [tap]);
                        }
                    },
                );
                let kernels = out.chunks_exact_mut(AREA).skip(output * channels + channel).step_by(channels);
                for (lane, kernel) in kernels.enumerate().take(S::F32_LANES) {
                    for (to, tap) in kernel.iter_mut().zip(taps.as_flattened()) {
                        *to = tap[lane % LANES];
                    }
                }
            }
        }
        out
    }
}
