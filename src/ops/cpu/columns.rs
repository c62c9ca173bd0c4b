//! The rearrangement of images into columns of windows, and back, which turns a convolution into products of matrices.
//!
//! An image is first spread over its phases: padded, and for stride s split into s² images of every s-th row and
//! column. Then every row of the column matrix consists of contiguous runs, whatever the stride, and borders need no
//! care.

use candle_core::{Result, bail};

use super::real::Real;
use super::vector::vectorised;
use crate::ops::Conv;

/// The sizes of one convolution x `[N, C, H, W]` * w `[O, C, k, k]` -> y `[N, O, H', W']`.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// The channels C of the input.
    pub channels: usize,
    /// The channels O of the output.
    pub outputs: usize,
    /// The side k of the square kernel.
    pub kernel: usize,
    /// The size (H, W) of an input image.
    pub size: (usize, usize),
    /// The size (H', W') of an output image: the windows down and across.
    pub windows: (usize, usize),
    /// The stride and padding.
    pub conv: Conv,
}

impl Geometry {
    /// The geometry of an input image of `size` = (H, W) and weights with the dimensions `w` = [O, C, k, k].
    ///
    /// # Errors
    /// The windows do not fit: as [`Conv::windows`].
    pub fn new(size: (usize, usize), w: &[usize], conv: Conv) -> Result<Self> {
        let &[outputs, channels, kernel, _] = w else { bail!("convolution with weights of shape {w:?}") };
        let windows = |size: usize| conv.windows(size, kernel).map_err(|e| candle_core::Error::Msg(e.to_string()));
        Ok(Geometry { channels, outputs, kernel, size, windows: (windows(size.0)?, windows(size.1)?), conv })
    }

    /// The number of entries of one input image, C·H·W.
    pub fn image(&self) -> usize {
        self.channels * self.size.0 * self.size.1
    }

    /// The number of windows of one image, H'·W'.
    pub fn positions(&self) -> usize {
        self.windows.0 * self.windows.1
    }

    /// The number of entries of one window, C·k².
    pub fn window(&self) -> usize {
        self.channels * self.kernel * self.kernel
    }

    /// The size (rows, columns) of a phase image.
    fn phase(&self) -> (usize, usize) {
        let Conv { stride, padding } = self.conv;
        ((self.size.0 + 2 * padding).div_ceil(stride), (self.size.1 + 2 * padding).div_ceil(stride))
    }

    /// The number of entries of all phase images.
    pub fn phases(&self) -> usize {
        let (rows, columns) = self.phase();
        self.channels * self.conv.stride * self.conv.stride * rows * columns
    }

    /// The index among the phases of the pixel (row, column) of a channel, counted in the padded image.
    fn at(&self, channel: usize, row: usize, column: usize) -> usize {
        let (s, (rows, columns)) = (self.conv.stride, self.phase());
        (((channel * s + row % s) * s + column % s) * rows + row / s) * columns + column / s
    }

    /// The indices at which a channel's phases of each s-th column begin, for s columns from the first unpadded one.
    fn column_starts(&self) -> Vec<usize> {
        let Conv { stride, padding } = self.conv;
        (padding..padding + stride.min(self.size.1)).map(|column| self.at(0, 0, column)).collect()
    }

    /// Copies an image into its phases. Padding is not written: it must be zero, as in fresh memory.
    pub fn spread<T: Real>(&self, image: &[T], phases: &mut [T]) {
        let (s, width, starts) = (self.conv.stride, self.size.1, self.column_starts());
        vectorised!({
            for (row, base) in image.chunks_exact(width).zip(self.row_starts()) {
                for (phase, start) in starts.iter().enumerate() {
                    let (from, n) = (base + start, (width - phase).div_ceil(s));
                    let Some(target) = phases.get_mut(from..from + n) else { return };
                    match s {
                        1 => target.copy_from_slice(row),
                        2 => every_second(row.get(phase..).unwrap_or_default(), target),
                        _ => target.iter_mut().zip(row.iter().skip(phase).step_by(s)).for_each(|(t, &x)| *t = x),
                    }
                }
            }
        });
    }

    /// Copies the phases back into an image, without the padding.
    pub fn collect<T: Real>(&self, phases: &[T], image: &mut [T]) {
        let (s, width, starts) = (self.conv.stride, self.size.1, self.column_starts());
        vectorised!({
            for (row, base) in image.chunks_exact_mut(width).zip(self.row_starts()) {
                let phase = |start: &usize| phases.get(base + start..).unwrap_or_default();
                match (s, starts.as_slice()) {
                    (1, [only]) => row.iter_mut().zip(phase(only)).for_each(|(x, &t)| *x = t),
                    (2, [even, odd]) => alternate(phase(even), phase(odd), row),
                    _ => starts.iter().enumerate().for_each(|(first, start)| {
                        row.iter_mut().skip(first).step_by(s).zip(phase(start)).for_each(|(x, &t)| *x = t);
                    }),
                }
            }
        });
    }

    /// The index among the phases at which each unpadded row of each channel begins, without the part for the column.
    fn row_starts(&self) -> impl Iterator<Item = usize> {
        let channels = 0..self.channels;
        channels.flat_map(move |c| (0..self.size.0).map(move |y| self.at(c, y + self.conv.padding, 0)))
    }

    /// Calls f(a, b) for every window entry and every row of windows in `rows`, where a run of W' numbers begins at
    /// index a of the column matrix and at index b among the phases. The matrix has `pitch` columns, and those of this
    /// image begin at column `offset`.
    #[inline(always)]
    fn runs(&self, rows: std::ops::Range<usize>, pitch: usize, offset: usize, mut f: impl FnMut(usize, usize)) {
        let (k, width, pitch_in) = (self.kernel, self.windows.1, self.phase().1);
        // Divisions by the stride are slower than the copies, so they are done once, not for every channel.
        let starts: Vec<usize> = (0..k * k).map(|e| self.at(0, e / k, e % k) + rows.start * pitch_in).collect();
        let channel_size = self.phases() / self.channels;
        for channel in 0..self.channels {
            for (entry, start) in starts.iter().enumerate() {
                let from = channel * channel_size + start;
                let to = (channel * k * k + entry) * pitch + offset;
                for i in 0..rows.len() {
                    f(to + i * width, from + i * pitch_in);
                }
            }
        }
    }

    /// Writes the windows of the output rows `rows` as columns: entry (c, a, b) of window j goes to row (c k + a) k +
    /// b, with c the channel and (a, b) the place in the kernel. `columns` has `pitch` columns; those written begin at
    /// `at`.
    pub fn gather<T: Real>(
        &self,
        phases: &[T],
        rows: std::ops::Range<usize>,
        columns: &mut [T],
        pitch: usize,
        at: usize,
    ) {
        self.by_width(&mut Gather { phases, columns }, rows, pitch, at);
    }

    /// Adds columns onto the phases: the transpose of [`Geometry::gather`].
    pub fn scatter<T: Real>(
        &self,
        columns: &[T],
        rows: std::ops::Range<usize>,
        phases: &mut [T],
        pitch: usize,
        at: usize,
    ) {
        self.by_width(&mut Scatter { phases, columns }, rows, pitch, at);
    }

    /// Calls `job` for every run. Short runs are copied as arrays of known length: a call for four numbers would cost
    /// more than the numbers.
    fn by_width(&self, job: &mut impl Runs, rows: std::ops::Range<usize>, pitch: usize, at: usize) {
        let width = self.windows.1;
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || match width {
                4 => self.runs(
                    rows,
                    pitch,
                    at,
                    #[inline(always)]
                    |to, from| job.fixed::<4>(to, from),
                ),
                8 => self.runs(
                    rows,
                    pitch,
                    at,
                    #[inline(always)]
                    |to, from| job.fixed::<8>(to, from),
                ),
                16 => self.runs(
                    rows,
                    pitch,
                    at,
                    #[inline(always)]
                    |to, from| job.fixed::<16>(to, from),
                ),
                32 => self.runs(
                    rows,
                    pitch,
                    at,
                    #[inline(always)]
                    |to, from| job.fixed::<32>(to, from),
                ),
                _ => self.runs(
                    rows,
                    pitch,
                    at,
                    #[inline(always)]
                    |to, from| job.any(to, from, width),
                ),
            },
        );
    }
}

/// Writes the first, third, … entry of `source` to `target`.
#[inline(always)]
fn every_second<T: Real>(source: &[T], target: &mut [T]) {
    let pairs = source.chunks_exact(2);
    if let (Some(last), Some(&x)) = (target.last_mut(), pairs.remainder().first()) {
        *last = x;
    }
    target.iter_mut().zip(pairs).for_each(|(t, pair)| *t = pair[0]);
}

/// Writes the entries of `even` and `odd` in turn to `target`, as many as it takes.
#[inline(always)]
fn alternate<T: Real>(even: &[T], odd: &[T], target: &mut [T]) {
    let n = target.len() / 2;
    let mut pairs = target.chunks_exact_mut(2);
    for (pair, (&e, &o)) in pairs.by_ref().zip(even.iter().zip(odd)) {
        [pair[0], pair[1]] = [e, o];
    }
    if let (Some(last), Some(&x)) = (pairs.into_remainder().first_mut(), even.get(n)) {
        *last = x;
    }
}

trait Runs {
    fn fixed<const N: usize>(&mut self, column: usize, phase: usize);
    fn any(&mut self, column: usize, phase: usize, n: usize);
}

struct Gather<'a, T> {
    phases: &'a [T],
    columns: &'a mut [T],
}

impl<T: Real> Runs for Gather<'_, T> {
    #[inline(always)]
    fn fixed<const N: usize>(&mut self, column: usize, phase: usize) {
        let target = self.columns.get_mut(column..).and_then(|c| c.first_chunk_mut::<N>());
        let source = self.phases.get(phase..).and_then(|p| p.first_chunk::<N>());
        if let (Some(target), Some(source)) = (target, source) {
            *target = *source;
        }
    }

    #[inline(always)]
    fn any(&mut self, column: usize, phase: usize, n: usize) {
        let (target, source) = (self.columns.get_mut(column..column + n), self.phases.get(phase..phase + n));
        if let (Some(target), Some(source)) = (target, source) {
            target.copy_from_slice(source);
        }
    }
}

struct Scatter<'a, T> {
    phases: &'a mut [T],
    columns: &'a [T],
}

impl<T: Real> Runs for Scatter<'_, T> {
    #[inline(always)]
    fn fixed<const N: usize>(&mut self, column: usize, phase: usize) {
        let target = self.phases.get_mut(phase..).and_then(|p| p.first_chunk_mut::<N>());
        let source = self.columns.get(column..).and_then(|c| c.first_chunk::<N>());
        if let (Some(target), Some(source)) = (target, source) {
            // Both are read before anything is written, so that the compiler need not fear an overlap.
            let (mut sum, source) = (*target, *source);
            sum.iter_mut().zip(source).for_each(|(s, x)| *s += x);
            *target = sum;
        }
    }

    #[inline(always)]
    fn any(&mut self, column: usize, phase: usize, n: usize) {
        let (target, source) = (self.phases.get_mut(phase..phase + n), self.columns.get(column..column + n));
        if let (Some(target), Some(source)) = (target, source) {
            target.iter_mut().zip(source).for_each(|(t, &s)| *t += s);
        }
    }
}
