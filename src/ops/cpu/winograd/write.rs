//! The way out of the transformed domain, to images.

use pulp::{Simd, WithSimd};

use super::block::{Block, Layout};
use super::points::{SIDE, TILE, Tile, twice};
use super::read::Lines;
use crate::ops::cpu::raw::planes::{load, store};

/// The transform Aᵀ m A of 36 matrices, to the tiles of the images y.
pub struct Tiles<'a> {
    /// The tiles.
    pub block: Block,
    /// The places in the matrices.
    pub layout: Layout,
    /// The matrices.
    pub from: &'a [f32],
    /// What is added to each channel of so many images.
    pub bias: Option<(&'a [f32], usize)>,
    /// The images, `[N, channels, size]`.
    pub y: &'a mut [f32],
    /// The channels.
    pub channels: usize,
    /// The size (H, W).
    pub size: (usize, usize),
    /// Memory.
    pub lines: &'a mut Lines,
}

impl WithSimd for Tiles<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Tiles { block, layout, from, bias, y, channels, size, lines: Lines([line, ..]) } = self;
        let (pixels, length) = (size.0 * size.1, block.pitch() * TILE);
        for channel in 0..channels {
            for tile in (0..block.pitch()).step_by(S::F32_LANES) {
                let rows = pixels_of(simd, from, (channel * layout.pitch + tile, layout.apart()));
                for (r, row) in rows.into_iter().enumerate() {
                    let (at, row) = (r * length + tile * TILE, simd.interleave_shfl_f32s(row));
                    store::<S, TILE>(line, at, S::F32_LANES, row);
                }
            }
            for (image, y) in y.chunks_exact_mut(channels * pixels).enumerate() {
                let plane = y.chunks_exact_mut(pixels).nth(channel).unwrap_or_default();
                let bias = bias.filter(|(_, images)| image < *images).and_then(|(b, _)| b.get(channel));
                place(&block, line, image, bias.copied().unwrap_or_default(), plane, size);
            }
        }
    }
}

/// The pixels of some tiles: the numbers of matrix e begin at `at` + e·`apart`.
#[inline(always)]
fn pixels_of<S: Simd>(simd: S, from: &[f32], (at, apart): (usize, usize)) -> [[S::f32s; TILE]; TILE] {
    let zero = simd.splat_f32s(0.0);
    let mut pixels = [[zero; TILE]; TILE];
    twice(
        simd,
        Tile,
        #[inline(always)]
        |i| load::<S, SIDE>(simd, from, at + i * SIDE * apart, apart).unwrap_or([zero; SIDE]),
        #[inline(always)]
        |j, column| {
            for (row, pixel) in pixels.iter_mut().zip(column) {
                row[j] = pixel;
            }
        },
    );
    pixels
}

/// Writes the tiles of one image to their places in a plane, plus a number.
#[inline(always)]
fn place(block: &Block, lines: &[f32], image: usize, plus: f32, plane: &mut [f32], size: (usize, usize)) {
    match if block.line() == size.1 { size.1 } else { 0 } {
        8 => placed::<8>(block, lines, image, plus, plane, size),
        16 => placed::<16>(block, lines, image, plus, plane, size),
        32 => placed::<32>(block, lines, image, plus, plane, size),
        _ => placed::<0>(block, lines, image, plus, plane, size),
    }
}

#[inline(always)]
fn placed<const LINE: usize>(
    block: &Block,
    lines: &[f32],
    image: usize,
    plus: f32,
    plane: &mut [f32],
    size: (usize, usize),
) {
    let (line, length) = (if LINE > 0 { LINE } else { block.line() }, block.pitch() * TILE);
    let width = if LINE > 0 { LINE } else { size.1 };
    for row in 0..block.rows {
        for r in 0..TILE {
            let (y, from) = ((block.from + row) * TILE + r, r * length + (image * block.rows + row) * line);
            let to = plane.get_mut(y * width..(y + 1) * width);
            let (Some(to), Some(from)) = (to, lines.get(from..from + line)) else { return };
            for (to, &pixel) in to.iter_mut().zip(from) {
                *to = pixel + plus;
            }
        }
    }
}
