//! Convolutions with kernels of 3×3 at stride 1 by Winograd's minimal filtering F(4×4, 3×3) (Lavin & Gray 2015): a
//! quarter of the multiplications, and no matrix of windows.
//!
//! The output is cut into tiles of 4×4 pixels, each of which depends on 6×6 pixels d of the input. With the matrices A,
//! B and G of the algorithm, the tile is Aᵀ[Σ_c (G w_c Gᵀ)∘(Bᵀ d_c B)]A. Entry (i, j) of all tiles is one product of
//! matrices, `[O, C]·[C, tiles]`, so 36 products do the work; all transforms run over many tiles at once. The pull-back
//! is the same with turned weights, and the gradient for w is the transposed map Gᵀ[Σ (A g Aᵀ)∘(Bᵀ d B)]G, summed over
//! tiles.

mod block;
mod filters;
mod points;
mod product;
mod read;
mod write;

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
use filters::Fold;
use points::{LANES, SIDE};
use product::multiply;
use read::{Lines, Part, Read, Source};
use write::Tiles;

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
    /// The memory for 36 matrices of so many rows of inputs and outputs.
    fn new(plan: Plan, [inputs, outputs]: [usize; 2]) -> Self {
        let pitch = plan.largest().pitch();
        let [from, to] = [inputs, outputs].map(|rows| Layout { rows, pitch });
        let scratch = |layout: Layout| Scratch::of(SIDE * SIDE * layout.apart());
        Memory { from, to, inputs: scratch(from), outputs: scratch(to), lines: Lines::new(&plan.largest()) }
    }
}

/// The places of a block's numbers, in memory for blocks that may be larger.
fn places(layouts: [Layout; 2], block: &Block) -> [Layout; 2] {
    let pitch = block.pitch();
    layouts.map(|layout| Layout { pitch, ..layout })
}

/// The tiles of a block, for so many rows of transformed inputs and outputs.
fn aim(rows: [usize; 2], least: usize) -> usize {
    (CACHED / (SIDE * SIDE * (rows[0] + rows[1]))).clamp(least * LANES, 12 * LANES)
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

/// The convolution of the images x `[N, C, H, W]` of a size (H, W) with filters, `[N, O, H, W]`.
///
/// # Errors
/// The length of x does not fit.
pub fn convolve(x: &[f32], filters: &Filters, beside: Beside<'_>, size: (usize, usize)) -> Result<Vec<f32>> {
    let (pixels, channels) = (size.0 * size.1, filters.rows);
    let (input, output) = (filters.depth * pixels, channels * pixels);
    check(x.len(), input)?;
    let rows = [filters.depth, channels.next_multiple_of(PANEL)];
    let plan = Plan::of(size, aim(rows, 2));
    let (input_part, part) = (plan.images * input, plan.images * output);
    let len = x.len() / input * output;
    by_parts(
        len,
        part,
        || (Memory::new(plan, rows), Vec::new()),
        |(memory, pixels), group, y| {
            let bias = beside.bias.map(|(b, images)| (b, images.saturating_sub(group * plan.images)));
            let x = beside.read(x.chunks(input_part).nth(group).unwrap_or_default(), pixels);
            let source = Source { x, channels: filters.depth, size, border: 1 };
            for block in plan.blocks(x.len() / input) {
                let [from, to] = places([memory.from, memory.to], &block);
                let Memory { inputs, outputs, lines, .. } = &mut *memory;
                Arch::new().dispatch(Read { block, layout: from, part: Part::Patches, source, to: inputs, lines });
                multiply(filters, inputs, from, outputs, to, len <= y.len());
                let (from, y) = (&**outputs, &mut *y);
                Arch::new().dispatch(Tiles { block, layout: to, from, bias, y, channels, size, lines });
            }
            beside.finish(group * part, y);
            Ok(())
        },
    )
}

/// The most sums that run side by side, and the tiles that make another one worth its memory. Both are fixed, so that
/// the order of additions is.
const SUMS: usize = 8;
const SHARE: usize = 8 * LANES;

/// The gradient for w `[O, C, 3, 3]` of x `[N, C, H, W]`, or of σ(x), and the gradients g `[N, O, H, W]`.
///
/// # Errors
/// The lengths of x and g do not fit.
pub fn weight_gradient(act: Option<Activation>, x: &[f32], g: &[f32], geometry: &Geometry) -> Result<Vec<f32>> {
    let &Geometry { channels, outputs, kernel, size, .. } = geometry;
    let (input, output) = (geometry.image(), outputs * geometry.positions());
    if input == 0 || output == 0 || x.len() / input * output != g.len() {
        bail!("weight gradient of {} and {} entries with {geometry:?}", x.len(), g.len());
    }
    let plan = Plan::of(size, aim([channels, outputs], 4));
    let images = x.len() / input;
    let sums = (plan.tiles(images) / SHARE).clamp(1, SUMS);
    let share = images.div_ceil(plan.images).div_ceil(sums).max(1) * plan.images;
    let shares = x.par_chunks(share * input).zip(g.par_chunks(share * output));
    let gradients: Vec<Vec<f32>> = shares.map(|(x, g)| share_of(act, x, g, plan, geometry)).collect::<Result<_>>()?;
    let mut gradients = gradients.into_iter();
    let mut total = gradients.next().unwrap_or_else(|| vec![0.0; kernel * kernel * outputs * channels]);
    gradients.for_each(|gradient| total.iter_mut().zip(gradient).for_each(|(sum, term)| *sum += term));
    Ok(total)
}

/// The weight gradient of some images, summed block after block.
fn share_of(act: Option<Activation>, x: &[f32], g: &[f32], plan: Plan, geometry: &Geometry) -> Result<Vec<f32>> {
    let &Geometry { channels, outputs, size, .. } = geometry;
    let (input, output) = (geometry.image(), outputs * geometry.positions());
    let apart = channels * outputs + LANES;
    let mut sum = Scratch::of(SIDE * SIDE * apart);
    sum.fill(0.0);
    let Memory { from, to, inputs: mut v, outputs: mut s, mut lines } = Memory::new(plan, [channels, outputs]);
    let (beside, mut pixels) = (Beside { before: act, ..Beside::default() }, Vec::new());
    for (x, g) in x.chunks(plan.images * input).zip(g.chunks(plan.images * output)) {
        let (images, x) = (x.len() / input, beside.read(x, &mut pixels));
        for block in plan.blocks(images) {
            let [from, other] = places([from, to], &block);
            let (part, lines) = (Part::Patches, &mut lines);
            let source = Source { x, channels, size, border: 1 };
            Arch::new().dispatch(Read { block, layout: from, part, source, to: &mut v, lines });
            let part = Part::Tiles;
            let source = Source { x: g, channels: outputs, size, border: 0 };
            Arch::new().dispatch(Read { block, layout: other, part, source, to: &mut s, lines });
            add_products(&mut sum, apart, [&v, &s], [from, other])?;
        }
    }
    Ok(Arch::new().dispatch(Fold { matrices: &sum, apart, channels, outputs }))
}

/// Adds the products of slopes and inputs, summed over tiles, to 36 matrices with a row for each channel and a column
/// for each output. In this order `gemm` reads the inputs as they lie.
fn add_products(sum: &mut [f32], apart: usize, [inputs, slopes]: [&[f32]; 2], [from, to]: [Layout; 2]) -> Result<()> {
    let (inputs, slopes) = (inputs.chunks(from.apart()), slopes.chunks(to.apart()));
    for ((sum, v), g) in sum.chunks_exact_mut(apart).zip(inputs).zip(slopes) {
        let (v, g) = (Matrix::rows(v, from.rows, from.pitch)?, Matrix::rows(g, to.rows, to.pitch)?);
        product_into(sum, [1, to.rows], true, g, v.t(), Threads::One)?;
    }
    Ok(())
}
