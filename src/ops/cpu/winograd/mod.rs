//! Convolutions by Winograd's minimal filtering (Lavin & Gray 2015): F(4×4, 3×3) for kernels of 3×3 at stride 1, a
//! quarter of the multiplications; and F(4×4, 2×2) on the four phases of images, every second row and column, for
//! kernels of 4×4 at stride 2, two fifths of them. There is no matrix of windows.
//!
//! The output is cut into tiles of 4×4 pixels, each of which depends on P×P pixels d of the input, or of each of its
//! phases. With the matrices A, B and G of the algorithm, the tile is Aᵀ[Σ_c (G w_c Gᵀ)∘(Bᵀ d_c B)]A. Entry (i, j) of
//! all tiles is one product of matrices, `[O, C]·[C, tiles]`, so P² products do the work; all transforms run over many
//! tiles at once. The pull-back at stride 2 and the gradient for w are the transposed maps, B[Σ_o (G w_o Gᵀ)∘(A g_o
//! Aᵀ)]Bᵀ and Gᵀ[Σ (A g Aᵀ)∘(Bᵀ d B)]G, summed over tiles.

mod block;
mod filters;
mod points;
mod product;
mod read;
mod three;
mod two;
mod write;

use std::marker::PhantomData;

use candle_core::{Result, bail};
use pulp::Arch;
use rayon::prelude::*;

use super::activation;
use super::columns::Geometry;
use super::raw::{Matrix, Threads, by_parts, panels::PANEL, product_into};
use super::scratch::Scratch;
use crate::ops::Activation;
use block::{Block, Layout, Plan};
pub use filters::Filters;
use filters::{Use, folded};
use points::{LANES, Points};
use product::multiply;
use read::{Lines, Part, Read, Source, phases};
use three::Three;
use two::Two;
use write::{Patches, Tiles};

/// The numbers that the transformed inputs and outputs of a block aim at: they stay in the second-level cache.
const CACHED: usize = 1 << 18;

/// The memory that a thread reuses from block to block.
struct Memory {
    /// The places in the transformed inputs.
    from: Layout,
    /// The places in the transformed outputs.
    to: Layout,
    inputs: Scratch,
    outputs: Scratch,
    lines: Lines,
}

impl Memory {
    /// The memory for P² matrices of so many rows of inputs and outputs.
    fn new(plan: Plan, side: usize, [inputs, outputs]: [usize; 2]) -> Self {
        let pitch = plan.largest().pitch();
        let [from, to] = [inputs, outputs].map(|rows| Layout { rows, pitch });
        let scratch = |layout: Layout| Scratch::of(side * side * layout.apart());
        Memory { from, to, inputs: scratch(from), outputs: scratch(to), lines: Lines::new(&plan.largest(), side) }
    }
}

/// The places of a block's numbers, in memory for blocks that may be larger.
fn places(layouts: [Layout; 2], block: &Block) -> [Layout; 2] {
    let pitch = block.pitch();
    layouts.map(|layout| Layout { pitch, ..layout })
}

/// The tiles of a block, for so many rows of transformed inputs and outputs.
fn aim(side: usize, rows: [usize; 2], least: usize) -> usize {
    (CACHED / (side * side * (rows[0] + rows[1]))).clamp(least * LANES, 12 * LANES)
}

/// The filters of the convolution of a geometry with the weights w `[O, C, k, k]`.
pub fn filters(w: &[f32], geometry: &Geometry) -> Filters {
    match geometry.conv.stride {
        1 => Filters::of::<Three, 6, 3>(w, geometry, Use::Forward),
        _ => Filters::of::<Two, 5, 2>(w, geometry, Use::Forward),
    }
}

/// The filters of its pull-back.
pub fn filters_back(w: &[f32], geometry: &Geometry) -> Filters {
    match geometry.conv.stride {
        1 => Filters::of::<Three, 6, 3>(w, geometry, Use::Turned),
        _ => Filters::of::<Two, 5, 2>(w, geometry, Use::Transposed),
    }
}

fn check(len: usize, image: usize) -> Result<()> {
    if image == 0 || !len.is_multiple_of(image) {
        bail!("convolution of {len} entries with images of {image}");
    }
    Ok(())
}

/// What is done beside a convolution, to each group of images while it is in the cache.
#[derive(Clone, Copy, Default)]
pub struct Beside<'a> {
    /// The function of the pixels that the convolution is applied to.
    pub before: Option<Activation>,
    /// What is added to each channel of so many images.
    pub bias: Option<(&'a [f32], usize)>,
    /// The result is multiplied by σ'(u).
    pub through: Option<(Activation, &'a [f32])>,
}

impl Beside<'_> {
    /// The pixels that are read of x.
    fn read<'a>(&self, x: &'a [f32], scratch: &'a mut Vec<f32>) -> &'a [f32] {
        let Some(act) = self.before else { return x };
        scratch.resize(x.len(), 0.0);
        activation::apply(act, x, scratch);
        scratch
    }

    /// What becomes of the images y, which begin at number `from` of all.
    fn finish(&self, from: usize, y: &mut [f32]) {
        if let Some((act, u)) = self.through {
            activation::times_slope(act, u.get(from..).unwrap_or_default(), y);
        }
    }
}

/// The convolution of x `[N, C, H, W]`, `[N, O, H', W']`.
///
/// # Errors
/// The length of x does not fit.
pub fn convolve(x: &[f32], filters: &Filters, beside: Beside<'_>, geometry: &Geometry) -> Result<Vec<f32>> {
    let &Geometry { channels, size, windows, conv, .. } = geometry;
    let source = Source { x, channels, size, stride: conv.stride, border: 1 };
    match conv.stride {
        1 => forward::<Three, 6, 3>(source, filters, beside, windows),
        _ => forward::<Two, 5, 2>(source, filters, beside, windows),
    }
}

/// The pull-back of the gradients g `[N, O, H', W']`, `[N, C, H, W]`.
///
/// # Errors
/// The length of g does not fit.
pub fn pull_back(g: &[f32], filters: &Filters, beside: Beside<'_>, geometry: &Geometry) -> Result<Vec<f32>> {
    let source = Source { x: g, channels: geometry.outputs, size: geometry.windows, stride: 1, border: 1 };
    match geometry.conv.stride {
        1 => forward::<Three, 6, 3>(source, filters, beside, geometry.size),
        _ => transposed(source, filters, beside, geometry),
    }
}

fn forward<A: Points<P, R>, const P: usize, const R: usize>(
    source: Source<'_>,
    filters: &Filters,
    beside: Beside<'_>,
    size: (usize, usize),
) -> Result<Vec<f32>> {
    let (input, channels) = (source.channels * source.size.0 * source.size.1, filters.rows);
    let output = channels * size.0 * size.1;
    check(source.x.len(), input)?;
    let rows = [filters.depth, channels.next_multiple_of(PANEL)];
    let plan = Plan::of(size, aim(P, rows, 2));
    let (input_part, part) = (plan.images * input, plan.images * output);
    let len = source.x.len() / input * output;
    by_parts(
        len,
        part,
        || (Memory::new(plan, P, rows), Vec::new()),
        |(memory, pixels), group, y| {
            let bias = beside.bias.map(|(b, images)| (b, images.saturating_sub(group * plan.images)));
            let x = source.x.chunks(input_part).nth(group).unwrap_or_default();
            let x = beside.read(x, pixels);
            for block in plan.blocks(x.len() / input) {
                let [from, to] = places([memory.from, memory.to], &block);
                let Memory { inputs, outputs, lines, .. } = &mut *memory;
                let (part, source, points) = (Part::Patches, Source { x, ..source }, PhantomData::<A>);
                Arch::new().dispatch(Read { block, layout: from, part, source, to: inputs, lines, points });
                multiply(filters, inputs, from, outputs, to, len <= y.len());
                let (from, y) = (&**outputs, &mut *y);
                Arch::new().dispatch(Tiles { block, layout: to, from, bias, y, channels, size, lines, points });
            }
            beside.finish(group * part, y);
            Ok(())
        },
    )
}

/// The pull-back at stride 2 as the transposed map.
fn transposed(source: Source<'_>, filters: &Filters, beside: Beside<'_>, geometry: &Geometry) -> Result<Vec<f32>> {
    let (input, output) = (source.channels * source.size.0 * source.size.1, geometry.image());
    check(source.x.len(), input)?;
    let rows = [filters.depth, filters.rows.next_multiple_of(PANEL)];
    let plan = Plan::of(source.size, aim(5, rows, 2)).whole();
    let (input_part, part) = (plan.images * input, plan.images * output);
    let len = source.x.len() / input * output;
    by_parts(
        len,
        part,
        || Memory::new(plan, 5, rows),
        |memory, group, x| {
            let g = source.x.chunks(input_part).nth(group).unwrap_or_default();
            for block in plan.blocks(g.len() / input) {
                let [from, to] = places([memory.from, memory.to], &block);
                let Memory { inputs, outputs, lines, .. } = &mut *memory;
                let (part, points) = (Part::Tiles, PhantomData::<Two>);
                let source = Source { x: g, border: 0, ..source };
                let read = Read { block, layout: from, part, source, to: inputs, lines, points };
                Arch::new().dispatch(read);
                multiply(filters, inputs, from, outputs, to, len <= x.len());
                let (channels, size, from, x) = (geometry.channels, geometry.size, &**outputs, &mut *x);
                Arch::new().dispatch(Patches { block, layout: to, from, x, channels, size, lines });
            }
            beside.finish(group * part, x);
            Ok(())
        },
    )
}

/// The most sums that run side by side, and the tiles that make another one worth its memory. Both are fixed, so that
/// the order of additions is.
const SUMS: usize = 8;
const SHARE: usize = 8 * LANES;

/// The gradient for w `[O, C, k, k]` of x `[N, C, H, W]`, or of σ(x), and the gradients g `[N, O, H', W']`.
///
/// # Errors
/// The lengths of x and g do not fit.
pub fn weight_gradient(act: Option<Activation>, x: &[f32], g: &[f32], geometry: &Geometry) -> Result<Vec<f32>> {
    match geometry.conv.stride {
        1 => gradient::<Three, 6, 3>(act, x, g, geometry),
        _ => gradient::<Two, 5, 2>(act, x, g, geometry),
    }
}

fn gradient<A: Points<P, R>, const P: usize, const R: usize>(
    act: Option<Activation>,
    x: &[f32],
    g: &[f32],
    geometry: &Geometry,
) -> Result<Vec<f32>> {
    let &Geometry { channels, outputs, kernel, windows, .. } = geometry;
    let (input, output) = (geometry.image(), outputs * geometry.positions());
    if input == 0 || output == 0 || x.len() / input * output != g.len() {
        bail!("weight gradient of {} and {} entries with {geometry:?}", x.len(), g.len());
    }
    let plan = Plan::of(windows, aim(P, rows_of(geometry), 4));
    let images = x.len() / input;
    let sums = (plan.tiles(images) / SHARE).clamp(1, SUMS);
    let share = images.div_ceil(plan.images).div_ceil(sums).max(1) * plan.images;
    let shares = x.par_chunks(share * input).zip(g.par_chunks(share * output));
    let gradients: Vec<Vec<f32>> =
        shares.map(|(x, g)| share_of::<A, P, R>(act, x, g, plan, geometry)).collect::<Result<_>>()?;
    let mut gradients = gradients.into_iter();
    let mut total = gradients.next().unwrap_or_else(|| vec![0.0; kernel * kernel * outputs * channels]);
    gradients.for_each(|gradient| total.iter_mut().zip(gradient).for_each(|(sum, term)| *sum += term));
    Ok(total)
}

/// The rows of the transformed inputs and outputs.
fn rows_of(geometry: &Geometry) -> [usize; 2] {
    [geometry.channels * phases(geometry.conv.stride).len(), geometry.outputs]
}

/// The weight gradient of some images, summed block after block.
fn share_of<A: Points<P, R>, const P: usize, const R: usize>(
    act: Option<Activation>,
    x: &[f32],
    g: &[f32],
    plan: Plan,
    geometry: &Geometry,
) -> Result<Vec<f32>> {
    let &Geometry { channels, outputs, size, windows, conv, .. } = geometry;
    let (input, output, rows) = (geometry.image(), outputs * geometry.positions(), rows_of(geometry));
    let apart = rows[0] * rows[1] + LANES;
    let (mut sum, mut first) = (Scratch::of(P * P * apart), true);
    let Memory { from, to, inputs: mut v, outputs: mut s, mut lines } = Memory::new(plan, P, rows);
    let (beside, mut pixels, points) = (Beside { before: act, ..Beside::default() }, Vec::new(), PhantomData::<A>);
    for (x, g) in x.chunks(plan.images * input).zip(g.chunks(plan.images * output)) {
        let (images, x) = (x.len() / input, beside.read(x, &mut pixels));
        for block in plan.blocks(images) {
            let [from, other] = places([from, to], &block);
            let (part, lines) = (Part::Patches, &mut lines);
            let source = Source { x, channels, size, stride: conv.stride, border: 1 };
            Arch::new().dispatch(Read { block, layout: from, part, source, to: &mut v, lines, points });
            let part = Part::Tiles;
            let source = Source { x: g, channels: outputs, size: windows, stride: 1, border: 0 };
            Arch::new().dispatch(Read { block, layout: other, part, source, to: &mut s, lines, points });
            add_products(&mut sum, apart, !first, [&v, &s], [from, other])?;
            first = false;
        }
    }
    Ok(folded::<A, P, R>(&sum, apart, geometry))
}

/// Adds the products of slopes and inputs, summed over tiles, to P² matrices with a row for each channel of each phase
/// and a column for each output, on all threads that have nothing else to do; without `keep` it overwrites them. In
/// this order `gemm` reads the inputs as they lie.
fn add_products(
    sum: &mut [f32],
    apart: usize,
    keep: bool,
    [inputs, slopes]: [&[f32]; 2],
    [from, to]: [Layout; 2],
) -> Result<()> {
    let (inputs, slopes) = (inputs.par_chunks(from.apart()), slopes.par_chunks(to.apart()));
    sum.par_chunks_exact_mut(apart).zip(inputs).zip(slopes).try_for_each(|((sum, v), g)| {
        let (v, g) = (Matrix::rows(v, from.rows, from.pitch)?, Matrix::rows(g, to.rows, to.pitch)?);
        product_into(sum, [1, to.rows], keep, g, v.t(), Threads::One)
    })
}
