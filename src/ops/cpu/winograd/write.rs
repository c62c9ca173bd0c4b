//! The way out of the transformed domain, to images.

use std::marker::PhantomData;

use pulp::{Simd, WithSimd};

use super::block::{Block, Layout};
use super::points::{Map, Points, TILE, twice};
use super::read::{Lines, phases};
use super::two::Unpatch;
use crate::ops::cpu::raw::planes::{load, store};
use crate::ops::cpu::scratch::Scratch;

/// The transform Aᵀ m A of P² matrices, to the tiles of the images y.
pub struct Tiles<'a, A, const P: usize, const R: usize> {
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
    /// The algorithm.
    pub points: PhantomData<A>,
}

impl<A: Points<P, R>, const P: usize, const R: usize> WithSimd for Tiles<'_, A, P, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Tiles { block, layout, from, bias, y, channels, size, lines: Lines([line, ..]), .. } = self;
        let (pixels, length) = (size.0 * size.1, block.pitch() * TILE);
        for channel in 0..channels {
            for tile in (0..block.pitch()).step_by(S::F32_LANES) {
                let place = (channel * layout.pitch + tile, layout.apart());
                let rows = pixels_of::<A::Tile, S, P, TILE>(simd, from, place);
                for (r, row) in rows.into_iter().enumerate() {
                    put(simd, line, r * length + tile * TILE, row);
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

/// The map F of P² numbers to M×M pixels, for some tiles: the numbers of matrix e begin at `at` + e·`apart`.
#[inline(always)]
fn pixels_of<F: Map<P, M>, S: Simd, const P: usize, const M: usize>(
    simd: S,
    from: &[f32],
    (at, apart): (usize, usize),
) -> [[S::f32s; M]; M] {
    let zero = simd.splat_f32s(0.0);
    let mut pixels = [[zero; M]; M];
    twice::<F, S, P, M>(
        simd,
        #[inline(always)]
        |i| load::<S, P>(simd, from, at + i * P * apart, apart).unwrap_or([zero; P]),
        #[inline(always)]
        |j, column| {
            for (row, pixel) in pixels.iter_mut().zip(column) {
                row[j] = pixel;
            }
        },
    );
    pixels
}

/// Writes four columns of a row of pixels of some tiles.
#[inline(always)]
fn put<S: Simd>(simd: S, line: &mut [f32], at: usize, columns: [S::f32s; TILE]) {
    store::<S, TILE>(line, at, S::F32_LANES, simd.interleave_shfl_f32s(columns));
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

/// The transform B m Bᵀ of 25 matrices with a row for each channel of each phase, to the images x that are read at
/// every second pixel with a border of one: the sum of what the patches, which overlap, have at a pixel. The block has
/// whole images.
pub struct Patches<'a> {
    /// The tiles.
    pub block: Block,
    /// The places in the matrices.
    pub layout: Layout,
    /// The matrices.
    pub from: &'a [f32],
    /// The images, `[N, channels, size]`.
    pub x: &'a mut [f32],
    /// The channels.
    pub channels: usize,
    /// The size (H, W).
    pub size: (usize, usize),
    /// Memory.
    pub lines: &'a mut Lines,
}

impl WithSimd for Patches<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Patches { block, layout, from, x, channels, size, lines: Lines(lines) } = self;
        let (pixels, length, zero) = (size.0 * size.1, block.pitch() * TILE, simd.splat_f32s(0.0));
        for (channel, down) in (0..channels).flat_map(|channel| [(channel, 0), (channel, 1)]) {
            let row_of = |across| phases(2).iter().position(|phase| *phase == [down, across]).unwrap_or_default();
            let rows = [0, 1].map(|across| row_of(across) * channels + channel);
            for tile in (0..block.pitch()).step_by(S::F32_LANES) {
                let mut halves = [[[zero; 5]; 5]; 2];
                for (half, row) in halves.iter_mut().zip(rows) {
                    *half = pixels_of::<Unpatch, S, 5, 5>(simd, from, (row * layout.pitch + tile, layout.apart()));
                }
                let [odd, even] = &halves;
                for (r, (odd, even)) in odd.iter().zip(even).enumerate() {
                    let at = r * length + tile * TILE;
                    put(simd, &mut lines[0], at, [odd[0], even[0], odd[1], even[1]]);
                    put(simd, &mut lines[1], at, [odd[2], even[2], odd[3], even[3]]);
                    put(simd, &mut lines[2], at, [odd[4], even[4], zero, zero]);
                }
            }
            for (image, x) in x.chunks_exact_mut(channels * pixels).enumerate() {
                let plane = x.chunks_exact_mut(pixels).nth(channel).unwrap_or_default();
                overlap(&block, lines, [image, down], plane, size.1);
            }
        }
    }
}

/// Writes the rows of one phase of an image out of the lines of its patches.
#[inline(always)]
fn overlap(block: &Block, lines: &[Scratch; 3], [image, down]: [usize; 2], plane: &mut [f32], width: usize) {
    let (line, length) = (block.line(), block.pitch() * TILE);
    // Number j of a phase is pixel 2j + p - 1.
    for (j, row) in (1 - down..).zip(plane.chunks_exact_mut(width).skip(1 - down).step_by(2)) {
        let (tile, r) = (j / TILE, j % TILE);
        let own = (tile < block.rows).then_some((r, tile));
        let above = (r == 0 && tile > 0 && tile <= block.rows).then(|| (TILE, tile - 1));
        row.fill(0.0);
        for (r, tile) in own.into_iter().chain(above) {
            let at = r * length + (image * block.rows + tile) * line;
            for (number, from) in lines.iter().enumerate() {
                add(row, TILE * number, from.get(at..at + line).unwrap_or_default());
            }
        }
    }
}

/// Adds four numbers for each tile to a row, from number `first` + 8·tile - 1 on, as far as it goes.
#[inline(always)]
fn add(row: &mut [f32], first: usize, numbers: &[f32]) {
    const STEP: usize = 2 * TILE;
    let numbers = numbers.as_chunks::<TILE>().0;
    let outside = usize::from(first == 0);
    let (before, numbers) = numbers.split_at(outside.min(numbers.len()));
    let begin = first + outside * STEP - 1;
    let inside = row.get_mut(begin..).unwrap_or_default().as_chunks_mut::<STEP>().0;
    let done = inside.len().min(numbers.len());
    for (to, from) in inside.iter_mut().zip(numbers) {
        for k in 0..TILE {
            to[k] += from[k];
        }
    }
    // The tiles at the borders, number by number.
    let behind = numbers.iter().enumerate().skip(done).map(|(tile, numbers)| (tile + outside, numbers));
    for (tile, numbers) in before.iter().enumerate().chain(behind) {
        for (k, number) in numbers.iter().enumerate() {
            if let Some(to) = (first + tile * STEP + k).checked_sub(1).and_then(|place| row.get_mut(place)) {
                *to += number;
            }
        }
    }
}
