//! The 3×3 convolution of stride 1 and padding 1 by Winograd's minimal filtering F(4×4, 3×3) (Lavin & Gray 2015): a
//! quarter of the multiplications, and no matrix of windows.
//!
//! The output is cut into tiles of 4×4 pixels, each of which depends on 6×6 pixels d of the input. With the matrices A,
//! B and G of the algorithm, the tile is Aᵀ[Σ_c (G w_c Gᵀ)∘(Bᵀ d_c B)]A. Entry (i, j) of all tiles is one product of
//! matrices, `[O, C]·[C, tiles]`, so 36 products do the work; all transforms run over many tiles at once. The gradient
//! for w is the transposed map, Gᵀ[Σ (A g Aᵀ)∘(Bᵀ d B)]G, summed over tiles.

mod block;
mod filters;
mod tiles;

use candle_core::{Result, bail};
use pulp::Arch;
use rayon::prelude::*;

use super::raw::{Matrix, Threads, product_into};
use block::{Block, Part, Read, Scratch, Write};
pub use filters::Filters;
use tiles::{ENTRIES, LANES, TILE};

/// The numbers that the transformed inputs and outputs of a block aim at: they stay in the second-level cache.
const CACHED: usize = 1 << 18;

/// The division of a batch, which depends on sizes alone: whole images, or bands of one image.
#[derive(Clone, Copy)]
struct Plan {
    size: (usize, usize),
    images: usize,
    rows: usize,
}

impl Plan {
    /// The plan for images of a size with so many channels of input and output together.
    fn of(size: (usize, usize), channels: usize) -> Self {
        let (down, across) = (size.0.div_ceil(TILE), size.1.div_ceil(TILE));
        let tiles = (CACHED / (ENTRIES * channels)).clamp(4 * LANES, 12 * LANES);
        Plan { size, images: (tiles / (down * across)).max(1), rows: (tiles / across).clamp(1, down) }
    }

    fn largest(&self) -> Block {
        Block { size: self.size, images: self.images, from: 0, rows: self.rows }
    }

    /// The blocks of some images, no more than the plan has.
    fn blocks(self, images: usize) -> impl Iterator<Item = Block> {
        let (down, step) = (self.size.0.div_ceil(TILE), self.rows);
        let froms = (0..down).step_by(step);
        froms.map(move |from| Block { size: self.size, images, from, rows: step.min(down - from) })
    }
}

/// The memory that a thread reuses from block to block.
struct Memory {
    /// The transformed inputs, 36 matrices `[C, tiles]`.
    inputs: Vec<f32>,
    /// The transformed outputs, 36 matrices `[O, tiles]`.
    outputs: Vec<f32>,
    scratch: Scratch,
}

impl Memory {
    fn new(plan: Plan, channels: usize, outputs: usize) -> Self {
        let largest = plan.largest();
        let matrices = |rows: usize| vec![0.0; ENTRIES * largest.apart(rows)];
        Memory { inputs: matrices(channels), outputs: matrices(outputs), scratch: Scratch::new(&largest) }
    }
}

/// The convolution of x `[N, C, H, W]` with the filters, `[N, O, H, W]`, with (H, W) = `size`, plus the bias `[O]` on
/// so many images.
///
/// # Errors
/// The length of x does not fit.
pub fn convolve(x: &[f32], filters: &Filters, bias: Option<(&[f32], usize)>, size: (usize, usize)) -> Result<Vec<f32>> {
    let Filters { channels, outputs, .. } = *filters;
    let (input, output) = (channels * size.0 * size.1, outputs * size.0 * size.1);
    if input == 0 || output == 0 || !x.len().is_multiple_of(input) {
        bail!("convolution of {} entries with {channels} channels of {size:?}", x.len());
    }
    let plan = Plan::of(size, channels + outputs);
    let mut y = vec![0.0; x.len() / input * output];
    let groups = y.par_chunks_mut(plan.images * output).zip(x.par_chunks(plan.images * input));
    groups.enumerate().try_for_each_init(
        || Memory::new(plan, channels, outputs),
        |memory, (group, (y, x))| -> Result<()> {
            let bias = bias.map(|(b, images)| (b, images.saturating_sub(group * plan.images)));
            let Memory { inputs, outputs: products, scratch } = memory;
            for block in plan.blocks(x.len() / input) {
                Arch::new().dispatch(Read { block, part: Part::Patches, channels, x, to: inputs, scratch });
                multiply(filters, inputs, products, &block)?;
                Arch::new().dispatch(Write { block, outputs, from: products, bias, y, scratch });
            }
            Ok(())
        },
    )?;
    Ok(y)
}

fn multiply(filters: &Filters, inputs: &[f32], products: &mut [f32], block: &Block) -> Result<()> {
    let (channels, outputs, pitch) = (filters.channels, filters.outputs, block.pitch());
    let matrices = filters.matrices.chunks_exact(outputs * channels);
    let inputs = inputs.chunks_exact(block.apart(channels));
    for ((w, v), m) in matrices.zip(inputs).zip(products.chunks_exact_mut(block.apart(outputs))) {
        let (w, v) = (Matrix::rows(w, outputs, channels)?, Matrix::rows(v, channels, pitch)?);
        product_into(m, [pitch, 1], false, w, v, Threads::One)?;
    }
    Ok(())
}

/// The number of sums that run side by side; it is fixed, so that the order of additions is.
const SUMS: usize = 8;

/// The gradient for w `[O, C, 3, 3]` of x `[N, C, H, W]` and the gradients g `[N, O, H, W]`, with (H, W) = `size`.
///
/// # Errors
/// The lengths of x and g do not fit.
pub fn weight_gradient(
    x: &[f32],
    g: &[f32],
    [outputs, channels]: [usize; 2],
    size: (usize, usize),
) -> Result<Vec<f32>> {
    let (input, output) = (channels * size.0 * size.1, outputs * size.0 * size.1);
    if input == 0 || output == 0 || x.len() / input * output != g.len() {
        bail!("weight gradient of {} and {} entries with {channels}, {outputs} channels of {size:?}", x.len(), g.len());
    }
    let plan = Plan::of(size, channels + outputs);
    let share = (x.len() / input).div_ceil(plan.images).div_ceil(SUMS).max(1) * plan.images;
    let shares = x.par_chunks(share * input).zip(g.par_chunks(share * output));
    let gradients: Vec<Vec<f32>> = shares
        .map(|(x, g)| {
            let mut sum = vec![0.0; ENTRIES * outputs * channels + LANES];
            let Memory { mut inputs, outputs: mut slopes, mut scratch } = Memory::new(plan, channels, outputs);
            for (x, g) in x.chunks(plan.images * input).zip(g.chunks(plan.images * output)) {
                for block in plan.blocks(x.len() / input) {
                    let scratch = &mut scratch;
                    let (part, to) = (Part::Patches, &mut inputs);
                    Arch::new().dispatch(Read { block, part, channels, x, to, scratch });
                    let (part, to) = (Part::Tiles, &mut slopes);
                    Arch::new().dispatch(Read { block, part, channels: outputs, x: g, to, scratch });
                    add_products(&mut sum, &inputs, &slopes, [outputs, channels], &block)?;
                }
            }
            Ok(filters::gradient(&sum, outputs, channels))
        })
        .collect::<Result<_>>()?;
    let mut gradients = gradients.into_iter();
    let mut total = gradients.next().unwrap_or_else(|| vec![0.0; 9 * outputs * channels]);
    gradients.for_each(|gradient| total.iter_mut().zip(gradient).for_each(|(sum, term)| *sum += term));
    Ok(total)
}

/// Adds the products of slopes and inputs, summed over tiles, to 36 matrices `[C, O]`. In this order `gemm` reads the
/// inputs as they lie.
fn add_products(
    sum: &mut [f32],
    inputs: &[f32],
    slopes: &[f32],
    [outputs, channels]: [usize; 2],
    block: &Block,
) -> Result<()> {
    let (inputs, slopes) = (inputs.chunks_exact(block.apart(channels)), slopes.chunks_exact(block.apart(outputs)));
    for ((sum, v), g) in sum.chunks_exact_mut(outputs * channels).zip(inputs).zip(slopes) {
        let (v, g) = (Matrix::rows(v, channels, block.pitch())?, Matrix::rows(g, outputs, block.pitch())?);
        product_into(sum, [1, outputs], true, g, v.t(), Threads::One)?;
    }
    Ok(())
}
