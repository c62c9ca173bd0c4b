//! The weights of a convolution in the transformed domain, and the way back for their gradient.

use std::marker::PhantomData;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::points::{LANES, Points, twice};
use super::read::phases;
use crate::ops::cpu::columns::Geometry;
use crate::ops::cpu::raw::{panels::PANEL, planes};
use crate::ops::cpu::scratch::Scratch;

/// The use of a convolution's weights.
#[derive(Clone, Copy, PartialEq)]
pub enum Use {
    /// Forwards: a row for each output, a column for each channel of each phase.
    Forward,
    /// For the pull-back at stride 1, which is the convolution with the weights turned by 180°: a row for each channel,
    /// a column for each output.
    Turned,
    /// For the pull-back as the transposed map: a row for each channel of each phase, a column for each output.
    Transposed,
}

/// The transformed weights G w Gᵀ: P² matrices, packed as [`crate::ops::cpu::raw::panels`] reads them, panel by panel.
pub struct Filters {
    packed: Scratch,
    /// The rows of a matrix.
    pub rows: usize,
    /// The columns of a matrix.
    pub depth: usize,
    /// P².
    entries: usize,
}

impl Filters {
    /// The filters of the convolution with the weights w `[O, C, k, k]`.
    pub fn of<A: Points<P, R>, const P: usize, const R: usize>(w: &[f32], geometry: &Geometry, of: Use) -> Self {
        let inputs = geometry.channels * phases(geometry.conv.stride).len();
        let (rows, depth) = match of {
            Use::Forward => (geometry.outputs, inputs),
            Use::Turned | Use::Transposed => (inputs, geometry.outputs),
        };
        let (entries, apart) = (P * P, apart(depth));
        let mut packed = Scratch::of(rows.div_ceil(PANEL) * entries * apart);
        packed.par_chunks_mut((entries * apart).max(1)).enumerate().for_each(|(panel, to)| {
            let points = PhantomData::<A>;
            Arch::new().dispatch(Pack { w, geometry, of, rows, depth, panel, to, points });
        });
        Filters { packed, rows, depth, entries }
    }

    /// The numbers of a panel of rows of matrix number `entry`.
    pub fn panel(&self, entry: usize, panel: usize) -> &[f32] {
        let from = (panel * self.entries + entry) * apart(self.depth);
        self.packed.get(from..from + PANEL * self.depth).unwrap_or_default()
    }
}

/// The distance from a matrix to the next within a panel. They are set apart, as in [`super::block::Layout`].
fn apart(depth: usize) -> usize {
    (PANEL * depth).next_multiple_of(LANES) + LANES
}

/// The place of tap (a, b) of one of the R×R kernels among the weights of an output and a channel; `None` where the
/// kernel has no such tap.
#[inline(always)]
fn tap(geometry: &Geometry, phase: [usize; 2], [a, b]: [usize; 2], turned: bool) -> Option<usize> {
    let (k, stride) = (geometry.kernel, geometry.conv.stride);
    let (y, x) = (phase[0] + stride * a, phase[1] + stride * b);
    let inside = y < k && x < k;
    inside.then_some(if turned { (k - 1 - y) * k + (k - 1 - x) } else { y * k + x })
}

/// The transform G w Gᵀ of the weights of a panel.
struct Pack<'a, A, const P: usize, const R: usize> {
    w: &'a [f32],
    geometry: &'a Geometry,
    of: Use,
    rows: usize,
    depth: usize,
    panel: usize,
    to: &'a mut [f32],
    points: PhantomData<A>,
}

impl<A: Points<P, R>, const P: usize, const R: usize> Pack<'_, A, P, R> {
    /// The taps of phase `phase`, output o and channel c, for one lane.
    #[inline(always)]
    fn gather(&self, [row, column]: [usize; 2], lane: usize, taps: &mut [[[f32; LANES]; R]; R]) {
        let &Geometry { channels, kernel, conv, .. } = self.geometry;
        let (output, input) = if self.of == Use::Forward { (row, column) } else { (column, row) };
        let (phase, channel) = (input / channels, input % channels);
        let start = (output * channels + channel) * kernel * kernel;
        let kernel = self.w.get(start..start + kernel * kernel).unwrap_or_default();
        let phase = phases(conv.stride).get(phase).copied().unwrap_or_default();
        for (a, taps) in taps.iter_mut().enumerate() {
            for (b, taps) in taps.iter_mut().enumerate() {
                let place = tap(self.geometry, phase, [a, b], self.of == Use::Turned);
                taps[lane % LANES] = place.and_then(|place| kernel.get(place)).copied().unwrap_or_default();
            }
        }
    }
}

impl<A: Points<P, R>, const P: usize, const R: usize> WithSimd for Pack<'_, A, P, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (numbers, apart, zero) = (PANEL * self.depth, apart(self.depth), simd.splat_f32s(0.0));
        for from in (0..numbers).step_by(S::F32_LANES) {
            let mut taps = [[[0.0; LANES]; R]; R];
            for number in from..numbers.min(from + S::F32_LANES) {
                let row = self.panel * PANEL + number % PANEL;
                if row < self.rows {
                    self.gather([row, number / PANEL], number - from, &mut taps);
                }
            }
            twice::<A::Kernel, S, R, P>(
                simd,
                #[inline(always)]
                |a| planes::load::<S, R>(simd, taps[a].as_flattened(), 0, LANES).unwrap_or([zero; R]),
                #[inline(always)]
                |j, column| {
                    planes::store::<S, P>(self.to, j * apart + from, P * apart, column);
                },
            );
        }
    }
}

/// The gradient for the weights `[O, C, k, k]` out of that for the filters, Gᵀ u G: P² matrices with a row for each
/// channel of each phase and a column for each output, `apart` from each other, with `LANES` numbers behind the last.
pub fn folded<A: Points<P, R>, const P: usize, const R: usize>(
    matrices: &[f32],
    apart: usize,
    geometry: &Geometry,
) -> Vec<f32> {
    let &Geometry { channels, outputs, kernel, .. } = geometry;
    let mut out = vec![0.0; outputs * channels * kernel * kernel];
    out.par_chunks_mut((LANES * channels * kernel * kernel).max(1)).enumerate().for_each(|(block, to)| {
        let (from, points) = (block * LANES, PhantomData::<A>);
        Arch::new().dispatch(Fold { matrices, apart, geometry, from, to, points });
    });
    out
}

/// The gradient for the weights of `LANES` outputs at most, from number `from` on.
struct Fold<'a, A, const P: usize, const R: usize> {
    matrices: &'a [f32],
    apart: usize,
    geometry: &'a Geometry,
    from: usize,
    to: &'a mut [f32],
    points: PhantomData<A>,
}

impl<A: Points<P, R>, const P: usize, const R: usize> WithSimd for Fold<'_, A, P, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Fold { matrices, apart, geometry, from, to, .. } = self;
        let &Geometry { channels, outputs, kernel, conv, .. } = geometry;
        let (area, zero) = (kernel * kernel, simd.splat_f32s(0.0));
        for (p, phase) in phases(conv.stride).iter().enumerate() {
            for (channel, output) in (0..channels).flat_map(|c| (0..LANES).step_by(S::F32_LANES).map(move |o| (c, o))) {
                let mut taps = [[[0.0; LANES]; R]; R];
                let at = (p * channels + channel) * outputs + from + output;
                twice::<A::Fold, S, P, R>(
                    simd,
                    #[inline(always)]
                    |i| planes::load::<S, P>(simd, matrices, at + i * P * apart, apart).unwrap_or([zero; P]),
                    #[inline(always)]
                    |b, column| {
                        for (taps, tap) in taps.iter_mut().zip(column) {
                            planes::store::<S, 1>(&mut taps[b], 0, 0, [tap]);
                        }
                    },
                );
                let kernels = to.chunks_exact_mut(area).skip(output * channels + channel).step_by(channels);
                for (lane, kernel) in kernels.enumerate().take(S::F32_LANES) {
                    for (a, b) in (0..R).flat_map(|a| (0..R).map(move |b| (a, b))) {
                        let place = tap(geometry, *phase, [a, b], false);
                        if let Some(to) = place.and_then(|place| kernel.get_mut(place)) {
                            *to = taps[a][b][lane % LANES];
                        }
                    }
                }
            }
        }
    }
}
