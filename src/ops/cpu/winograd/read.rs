//! The way of images into the transformed domain.

use std::marker::PhantomData;

use pulp::{Simd, WithSimd};

use super::block::{Block, Layout};
use super::points::{Map, Points, TILE, twice};
use crate::ops::cpu::raw::planes::{load, store};
use crate::ops::cpu::scratch::Scratch;

/// The phases of images that are read at every second pixel, (rows, columns).
const PHASES: [[usize; 2]; 4] = [[0, 0], [0, 1], [1, 0], [1, 1]];

/// The phases of images that are read at every `stride`-th pixel, 1 or 2.
pub fn phases(stride: usize) -> &'static [[usize; 2]] {
    if stride == 1 { &PHASES[..1] } else { &PHASES }
}

/// Images as they are read: along both directions, number j of phase p is pixel stride·j + p - border, or 0 outside of
/// the image.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The images, `[N, channels, size]`.
    pub x: &'a [f32],
    /// The channels.
    pub channels: usize,
    /// The size (H, W).
    pub size: (usize, usize),
    /// The pixels from one number of a phase to the next.
    pub stride: usize,
    /// The pixels of the border, less than 2.
    pub border: usize,
}

/// The memory in which one channel of a block is rearranged: for each row of pixels in a tile or in its patch, the
/// pixels of all tiles, four a tile. The second and the third line have the four columns behind those of the line
/// before.
pub struct Lines(pub [Scratch; 3]);

impl Lines {
    /// The memory for patches of `side` rows, and blocks of no more tiles than this one.
    pub fn new(largest: &Block, side: usize) -> Self {
        let scratch = || Scratch::of(side * largest.pitch() * TILE);
        Lines([scratch(), scratch(), scratch()])
    }
}

/// What is read of images.
#[derive(Clone, Copy, PartialEq)]
pub enum Part {
    /// Each patch, Bᵀ d B: for the input of a convolution.
    Patches,
    /// The tiles alone, A g Aᵀ: for the gradient for its output.
    Tiles,
}

/// The transform of the images, to P² matrices with a row for each channel of each phase.
pub struct Read<'a, A, const P: usize, const R: usize> {
    /// The tiles.
    pub block: Block,
    /// The places in the matrices.
    pub layout: Layout,
    /// What is read.
    pub part: Part,
    /// The images.
    pub source: Source<'a>,
    /// The matrices.
    pub to: &'a mut [f32],
    /// Memory.
    pub lines: &'a mut Lines,
    /// The algorithm.
    pub points: PhantomData<A>,
}

impl<A: Points<P, R>, const P: usize, const R: usize> WithSimd for Read<'_, A, P, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Read { block, layout, part, source, to, lines, .. } = self;
        match part {
            Part::Patches => each::<A::Patch, S, P, P>(simd, block, layout, source, to, lines),
            Part::Tiles => each::<A::Spread, S, TILE, P>(simd, block, layout, source, to, lines),
        }
    }
}

/// The map F of N×N pixels for every tile.
#[inline(always)]
fn each<F: Map<N, P>, S: Simd, const N: usize, const P: usize>(
    simd: S,
    block: Block,
    layout: Layout,
    source: Source<'_>,
    to: &mut [f32],
    Lines(lines): &mut Lines,
) {
    let (length, apart) = (block.pitch() * TILE, layout.apart());
    let (image, pixels) = (source.channels * source.size.0 * source.size.1, source.size.0 * source.size.1);
    // What lies behind the last tile must add nothing to a sum over tiles.
    for line in &mut *lines {
        let rows = line.chunks_exact_mut(length.max(1)).take(N);
        rows.for_each(|row| row.get_mut(block.tiles() * TILE..).unwrap_or_default().fill(0.0));
    }
    for (channel, down) in (0..source.channels).flat_map(|channel| (0..source.stride).map(move |down| (channel, down)))
    {
        for (i, x) in source.x.chunks_exact(image).enumerate().take(block.images) {
            let plane = x.chunks_exact(pixels).nth(channel).unwrap_or_default();
            source.gather::<N>(&block, plane, down, i * block.rows, lines);
        }
        let here = |(_, phase): &(usize, &[usize; 2])| phase[0] == down;
        for (p, phase) in phases(source.stride).iter().enumerate().filter(here) {
            let row = p * source.channels + channel;
            for from in (0..block.pitch()).step_by(S::F32_LANES) {
                let at = row * layout.pitch + from;
                twice::<F, S, N, P>(
                    simd,
                    #[inline(always)]
                    |r| columns::<S, N>(simd, lines, r * length + from * TILE, source.stride, phase[1]),
                    #[inline(always)]
                    |j, column| {
                        store::<S, P>(to, at + j * apart, P * apart, column);
                    },
                );
            }
        }
    }
}

/// The N columns of a phase, in a row of pixels of some tiles. The tiles are in an order of pulp's choice, in which
/// [`super::write`] puts them back.
#[inline(always)]
fn columns<S: Simd, const N: usize>(
    simd: S,
    [first, second, third]: &[Scratch; 3],
    at: usize,
    stride: usize,
    phase: usize,
) -> [S::f32s; N] {
    let zero = simd.splat_f32s(0.0);
    let (a, b) = (four(simd, first, at), if N > TILE { four(simd, second, at) } else { [zero; TILE] });
    let six = if stride == 1 {
        [a[0], a[1], a[2], a[3], b[0], b[1]]
    } else {
        let c = four(simd, third, at);
        if phase == 0 { [a[0], a[2], b[0], b[2], c[0], zero] } else { [a[1], a[3], b[1], b[3], c[1], zero] }
    };
    let mut columns = [zero; N];
    for (to, column) in columns.iter_mut().zip(six) {
        *to = column;
    }
    columns
}

/// Four columns of a row of pixels.
#[inline(always)]
fn four<S: Simd>(simd: S, line: &[f32], at: usize) -> [S::f32s; TILE] {
    let pixels = load::<S, TILE>(simd, line, at, S::F32_LANES).unwrap_or([simd.splat_f32s(0.0); TILE]);
    simd.deinterleave_shfl_f32s(pixels)
}

impl Source<'_> {
    /// Copies the rows of one phase of an image to the lines of its tiles, which begin at row `segment` of tiles.
    #[inline(always)]
    fn gather<const N: usize>(
        &self,
        block: &Block,
        plane: &[f32],
        down: usize,
        segment: usize,
        lines: &mut [Scratch; 3],
    ) {
        // Lines of a length that the compiler knows: a call for eight numbers would cost more than the numbers.
        match (self.stride, if block.line() == self.size.1 { self.size.1 } else { 0 }) {
            (1, 8) => self.rows::<N, 8>(block, plane, down, segment, lines),
            (1, 16) => self.rows::<N, 16>(block, plane, down, segment, lines),
            (1, 32) => self.rows::<N, 32>(block, plane, down, segment, lines),
            _ => self.rows::<N, 0>(block, plane, down, segment, lines),
        }
    }

    #[inline(always)]
    fn rows<const N: usize, const LINE: usize>(
        &self,
        block: &Block,
        plane: &[f32],
        down: usize,
        segment: usize,
        lines: &mut [Scratch; 3],
    ) {
        let (line, length) = (if LINE > 0 { LINE } else { block.line() }, block.pitch() * TILE);
        let (height, width) = self.size;
        let used = if N == TILE { 1 } else { self.stride + 1 };
        for row in 0..block.rows {
            for r in 0..N {
                let y = (self.stride * (TILE * (block.from + row) + r) + down).checked_sub(self.border);
                let pixels = y.filter(|y| *y < height).and_then(|y| plane.get(y * width..(y + 1) * width));
                let place = r * length + (segment + row) * line;
                for number in 0..used {
                    let Some(to) = lines[number % 3].get_mut(place..place + line) else { return };
                    self.row::<LINE>(pixels, number, to);
                }
            }
        }
    }

    /// Writes a row of pixels, or zeros where there is none, to a line.
    #[inline(always)]
    fn row<const LINE: usize>(&self, pixels: Option<&[f32]>, line: usize, to: &mut [f32]) {
        let Some(pixels) = pixels else { return to.fill(0.0) };
        match (pixels.first_chunk::<LINE>(), to.first_chunk_mut::<LINE>()) {
            (Some(pixels), Some(to)) if LINE > 0 => match (line, self.border) {
                (0, 0) => *to = *pixels,
                (0, _) => shifted(pixels, 1, 0, to),
                _ => shifted(pixels, 0, TILE - 1, to),
            },
            _ => self.tiles(pixels, line, to),
        }
    }

    /// Writes four pixels of a row for each tile, those of a line.
    #[inline(always)]
    fn tiles(&self, pixels: &[f32], line: usize, to: &mut [f32]) {
        let (first, step, to) = (TILE * line, TILE * self.stride, to.as_chunks_mut::<TILE>().0);
        let outside = usize::from(first < self.border);
        let begin = first + outside * step - self.border;
        let (before, to) = to.split_at_mut(outside.min(to.len()));
        let inside = pixels.get(begin..).unwrap_or_default();
        let done = if self.stride == 1 { heads::<TILE>(inside, to) } else { heads::<{ 2 * TILE }>(inside, to) };
        // The tiles at the borders, pixel by pixel.
        let behind = to.iter_mut().enumerate().skip(done).map(|(tile, to)| (tile + outside, to));
        for (tile, to) in before.iter_mut().enumerate().chain(behind) {
            for (k, to) in to.iter_mut().enumerate() {
                let pixel = (first + tile * step + k).checked_sub(self.border).and_then(|from| pixels.get(from));
                *to = pixel.copied().unwrap_or_default();
            }
        }
    }
}

/// Copies the first four of every STEP numbers, and returns how often it did.
#[inline(always)]
fn heads<const STEP: usize>(from: &[f32], to: &mut [[f32; TILE]]) -> usize {
    let from = from.as_chunks::<STEP>().0;
    for (to, from) in to.iter_mut().zip(from) {
        *to = [from[0], from[1], from[2], from[3]];
    }
    from.len().min(to.len())
}

/// Writes so many zeros, then the numbers from `first` on, and zeros behind the last.
#[inline(always)]
fn shifted<const LINE: usize>(from: &[f32; LINE], zeros: usize, first: usize, to: &mut [f32; LINE]) {
    let (before, to) = to.split_at_mut(zeros);
    before.fill(0.0);
    let from = from.get(first..LINE - zeros).unwrap_or_default();
    let (inside, behind) = to.split_at_mut(from.len());
    inside.copy_from_slice(from);
    behind.fill(0.0);
}
