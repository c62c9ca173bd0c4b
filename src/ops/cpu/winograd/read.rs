//! The way of images into the transformed domain.

use pulp::{Simd, WithSimd};

use super::block::{Block, Layout};
use super::points::{Map, Patch, SIDE, Spread, TILE, twice};
use crate::ops::cpu::raw::planes::{load, store};
use crate::ops::cpu::scratch::Scratch;

/// Images as they are read: along both directions, number j is pixel j - border, or 0 outside of the image.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The images, `[N, channels, size]`.
    pub x: &'a [f32],
    /// The channels.
    pub channels: usize,
    /// The size (H, W).
    pub size: (usize, usize),
    /// The pixels of the border, less than 2.
    pub border: usize,
}

/// The memory in which one channel of a block is rearranged: for each row of pixels in a tile or in its patch, the
/// pixels of all tiles, four a tile. The second line has the four columns behind those of the first.
pub struct Lines(pub [Scratch; 2]);

impl Lines {
    /// The memory for blocks of no more tiles than this one.
    pub fn new(largest: &Block) -> Self {
        let scratch = || Scratch::of(SIDE * largest.pitch() * TILE);
        Lines([scratch(), scratch()])
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

/// The transform of the images, to 36 matrices with a row for each channel.
pub struct Read<'a> {
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
}

impl WithSimd for Read<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.part {
            Part::Patches => self.each(simd, Patch),
            Part::Tiles => self.each(simd, Spread),
        }
    }
}

impl Read<'_> {
    /// The transform f of N×N pixels for every tile.
    #[inline(always)]
    fn each<S: Simd, const N: usize>(self, simd: S, f: impl Map<N, SIDE>) {
        let Read { block, layout, source, to, lines: Lines(lines), .. } = self;
        let (length, apart) = (block.pitch() * TILE, layout.apart());
        let pixels = source.size.0 * source.size.1;
        // What lies behind the last tile must add nothing to a sum over tiles.
        for line in &mut *lines {
            let rows = line.chunks_exact_mut(length.max(1)).take(N);
            rows.for_each(|row| row.get_mut(block.tiles() * TILE..).unwrap_or_default().fill(0.0));
        }
        for channel in 0..source.channels {
            for (i, x) in source.x.chunks_exact(source.channels * pixels).enumerate().take(block.images) {
                let plane = x.chunks_exact(pixels).nth(channel).unwrap_or_default();
                source.gather::<N>(&block, plane, i * block.rows, lines);
            }
            for from in (0..block.pitch()).step_by(S::F32_LANES) {
                let at = channel * layout.pitch + from;
                twice(
                    simd,
                    f,
                    #[inline(always)]
                    |r| columns::<S, N>(simd, lines, r * length + from * TILE),
                    #[inline(always)]
                    |j, column| {
                        store::<S, SIDE>(to, at + j * apart, SIDE * apart, column);
                    },
                );
            }
        }
    }
}

/// N columns of pixels, 4 or 6, in a row of pixels of some tiles. The tiles are in an order of pulp's choice, in which
/// [`super::write`] puts them back.
#[inline(always)]
fn columns<S: Simd, const N: usize>(simd: S, [first, second]: &[Scratch; 2], at: usize) -> [S::f32s; N] {
    let zero = simd.splat_f32s(0.0);
    let (a, b) = (four(simd, first, at), if N > TILE { four(simd, second, at) } else { [zero; TILE] });
    let mut columns = [zero; N];
    for (to, column) in columns.iter_mut().zip([a[0], a[1], a[2], a[3], b[0], b[1]]) {
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
    /// Copies the rows of an image to the lines of its tiles, which begin at row `segment` of tiles.
    #[inline(always)]
    fn gather<const N: usize>(&self, block: &Block, plane: &[f32], segment: usize, lines: &mut [Scratch; 2]) {
        // Lines of a length that the compiler knows: a call for eight numbers would cost more than the numbers.
        match if block.line() == self.size.1 { self.size.1 } else { 0 } {
            8 => self.rows::<N, 8>(block, plane, segment, lines),
            16 => self.rows::<N, 16>(block, plane, segment, lines),
            32 => self.rows::<N, 32>(block, plane, segment, lines),
            _ => self.rows::<N, 0>(block, plane, segment, lines),
        }
    }

    #[inline(always)]
    fn rows<const N: usize, const LINE: usize>(
        &self,
        block: &Block,
        plane: &[f32],
        segment: usize,
        lines: &mut [Scratch; 2],
    ) {
        let (line, length) = (if LINE > 0 { LINE } else { block.line() }, block.pitch() * TILE);
        let (height, width) = self.size;
        let used = if N == TILE { 1 } else { 2 };
        for row in 0..block.rows {
            for r in 0..N {
                let y = (TILE * (block.from + row) + r).checked_sub(self.border);
                let pixels = y.filter(|y| *y < height).and_then(|y| plane.get(y * width..(y + 1) * width));
                let place = r * length + (segment + row) * line;
                for (number, to) in lines.iter_mut().enumerate().take(used) {
                    let Some(to) = to.get_mut(place..place + line) else { return };
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
        let (first, to) = (TILE * line, to.as_chunks_mut::<TILE>().0);
        let outside = usize::from(first < self.border);
        let begin = first + outside * TILE - self.border;
        let (before, to) = to.split_at_mut(outside.min(to.len()));
        let inside = pixels.get(begin..).unwrap_or_default().as_chunks::<TILE>().0;
        let done = inside.len().min(to.len());
        for (to, from) in to.iter_mut().zip(inside) {
            *to = *from;
        }
        // The tiles at the borders, pixel by pixel.
        let behind = to.iter_mut().enumerate().skip(done).map(|(tile, to)| (tile + outside, to));
        for (tile, to) in before.iter_mut().enumerate().chain(behind) {
            for (k, to) in to.iter_mut().enumerate() {
                let pixel = (first + tile * TILE + k).checked_sub(self.border).and_then(|from| pixels.get(from));
                *to = pixel.copied().unwrap_or_default();
            }
        }
    }
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
