//! The weights of a convolution in the transformed domain, and the way back for their gradient.

use std::marker::PhantomData;
use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

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

/// The transformed weights G w Gᵀ: P² matrices, packed as [`crate::ops::cpu::raw::panels`] reads them.
pub struct Filters {
    packed: Scratch,
    /// The rows of a matrix.
    pub rows: usize,
    /// The columns of a matrix.
    pub depth: usize,
    gaps: Gaps,
}

/// The entries that are 0 whatever the weights: a phase that meets a single tap of the kernel along a direction has no
/// part in the last of the P points there.
#[derive(Clone, Copy)]
struct Gaps {
    /// P.
    side: usize,
    /// The channels of a phase, or 0 where there are no such entries.
    channels: usize,
    /// Whether the phases are rows, not columns.
    of_rows: bool,
}

impl Gaps {
    /// The rows and columns of matrix number `entry` that are not 0.
    fn spans(self, entry: usize, rows: usize, depth: usize) -> [Range<usize>; 2] {
        let last = self.side - 1;
        let phases = match (entry / self.side == last, entry % self.side == last) {
            (false, false) => 0..4,
            (true, false) => 0..2,
            (false, true) => 1..3,
            (true, true) => 1..2,
        };
        let some = self.channels * phases.start..self.channels * phases.end;
        match (self.channels, self.of_rows) {
            (0, _) => [0..rows, 0..depth],
            (_, true) => [some, 0..depth],
            (_, false) => [0..rows, some],
        }
    }
}

impl Filters {
    /// The filters of the convolution with the weights w `[O, C, k, k]`.
    pub fn of<A: Points<P, R>, const P: usize, const R: usize>(w: &[f32], geometry: &Geometry, of: Use) -> Self {
        let &Geometry { channels, outputs, kernel, conv, .. } = geometry;
        let inputs = channels * phases(conv.stride).len();
        let (rows, depth) = match of {
            Use::Forward => (outputs, inputs),
            Use::Turned | Use::Transposed => (inputs, outputs),
        };
        let of_rows = of != Use::Forward;
        let whole = !of_rows || channels.is_multiple_of(PANEL);
        let single = conv.stride == 2 && kernel == 3 && whole;
        let gaps = Gaps { side: P, channels: if single { channels } else { 0 }, of_rows };
        let pack = Pack::<A, P, R> { w, geometry, of, rows, depth, points: PhantomData };
        Filters { packed: Arch::new().dispatch(pack), rows, depth, gaps }
    }

    /// The P² matrices: the weights, and the rows and columns that are not 0.
    pub fn matrices(&self) -> impl Iterator<Item = (&[f32], [Range<usize>; 2])> {
        let spans = |entry| self.gaps.spans(entry, self.rows, self.depth);
        self.packed.chunks(packed(self.rows, self.depth)).enumerate().map(move |(entry, matrix)| (matrix, spans(entry)))
    }
}

/// The numbers of a packed matrix, and those that set it apart from the next.
fn packed(rows: usize, depth: usize) -> usize {
    rows.next_multiple_of(PANEL) * depth + LANES
}

/// The columns of matrix number `entry` that are not 0 in the gradient for filters.
pub fn span(geometry: &Geometry, side: usize, entry: usize) -> Range<usize> {
    let &Geometry { channels, outputs, kernel, conv, .. } = geometry;
    let single = conv.stride == 2 && kernel == 3;
    let gaps = Gaps { side, channels: if single { channels } else { 0 }, of_rows: false };
    let [_, columns] = gaps.spans(entry, outputs, channels * phases(conv.stride).len());
    columns
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

/// The transform G w Gᵀ of all weights.
struct Pack<'a, A, const P: usize, const R: usize> {
    w: &'a [f32],
    geometry: &'a Geometry,
    of: Use,
    rows: usize,
    depth: usize,
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
    type Output = Scratch;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Scratch {
        let (rows, depth, plane) = (self.rows, self.depth, packed(self.rows, self.depth));
        let mut out = Scratch::of(P * P * plane);
        let zero = simd.splat_f32s(0.0);
        for from in (0..plane - LANES).step_by(S::F32_LANES) {
            let mut taps = [[[0.0; LANES]; R]; R];
            for lane in 0..S::F32_LANES {
                let number = from + lane;
                let (panel, within) = (number / (PANEL * depth), number % (PANEL * depth));
                let row = panel * PANEL + within % PANEL;
                if row < rows {
                    self.gather([row, within / PANEL], lane, &mut taps);
                }
            }
            twice(
                simd,
                #[inline(always)]
                |simd, w| A::kernel(simd, w),
                #[inline(always)]
                |a| planes::load::<S, R>(simd, taps[a].as_flattened(), 0, LANES).unwrap_or([zero; R]),
                #[inline(always)]
                |j, column| {
                    planes::store::<S, P>(&mut out, j * plane + from, P * plane, column);
                },
            );
        }
        out
    }
}

/// The transform Gᵀ u G of all gradients for filters: P² matrices with a row for each channel of each phase and a
/// column for each output, `apart` from each other, with `LANES` numbers behind the last.
pub struct Fold<'a, A, const P: usize, const R: usize> {
    /// The matrices.
    pub matrices: &'a [f32],
    /// The distance from one matrix to the next.
    pub apart: usize,
    /// The convolution.
    pub geometry: &'a Geometry,
    /// The algorithm.
    pub points: PhantomData<A>,
}

impl<A: Points<P, R>, const P: usize, const R: usize> WithSimd for Fold<'_, A, P, R> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let Fold { matrices, apart, geometry, .. } = self;
        let &Geometry { channels, outputs, kernel, conv, .. } = geometry;
        let (area, zero) = (kernel * kernel, simd.splat_f32s(0.0));
        let mut out = vec![0.0; outputs * channels * area];
        for ((p, phase), channel) in
            phases(conv.stride).iter().enumerate().flat_map(|p| (0..channels).map(move |c| (p, c)))
        {
            for output in (0..outputs).step_by(S::F32_LANES) {
                let mut taps = [[[0.0; LANES]; R]; R];
                let at = (p * channels + channel) * outputs + output;
                twice(
                    simd,
                    #[inline(always)]
                    |simd, u| A::fold(simd, u),
                    #[inline(always)]
                    |i| planes::load::<S, P>(simd, matrices, at + i * P * apart, apart).unwrap_or([zero; P]),
                    #[inline(always)]
                    |b, column| {
                        for (taps, tap) in taps.iter_mut().zip(column) {
                            planes::store::<S, 1>(&mut taps[b], 0, 0, [tap]);
                        }
                    },
                );
                let kernels = out.chunks_exact_mut(area).skip(output * channels + channel).step_by(channels);
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
        out
    }
}
