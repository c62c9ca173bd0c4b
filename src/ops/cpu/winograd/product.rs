//! The products of transformed weights and transformed images.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::block::Layout;
use super::filters::Filters;
use crate::ops::cpu::raw::{panels, panels::PANEL, planes};

/// Writes the product of each of the filters' matrices and that of the inputs, with its columns. `alone`: nothing
/// else is computed meanwhile, so that the matrices are shared out to all threads.
pub fn multiply(filters: &Filters, inputs: &[f32], from: Layout, products: &mut [f32], to: Layout, alone: bool) {
    let matrices = inputs.chunks(from.apart()).zip(products.chunks_mut(to.apart())).enumerate();
    let one = |(entry, (inputs, products)): (usize, (&[f32], &mut [f32]))| {
        Arch::new().dispatch(Product { filters, entry, inputs, from, products, to });
    };
    if alone && rayon::current_num_threads() > 1 {
        matrices.collect::<Vec<_>>().into_par_iter().for_each(one);
    } else {
        matrices.for_each(one);
    }
}

/// The product of one of the filters' matrices and one with columns in panels.
struct Product<'a> {
    filters: &'a Filters,
    /// The number of the matrix.
    entry: usize,
    inputs: &'a [f32],
    from: Layout,
    products: &'a mut [f32],
    to: Layout,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Product { filters, entry, inputs, from, products, to } = self;
        let depth = filters.depth;
        for panel in 0..filters.rows.div_ceil(PANEL) {
            let weights = filters.panel(entry, panel);
            let mut column = 0;
            while column < from.pitch {
                let inputs = inputs.get(column..).unwrap_or_default();
                let products = products.get_mut(panel * PANEL * to.pitch + column..).unwrap_or_default();
                // As many sums as registers hold, and no vector left alone if there are several.
                let vectors = match (from.pitch - column) / S::F32_LANES {
                    4 => 2,
                    left => left.min(3),
                };
                let task = (weights, inputs, products, depth, from.pitch);
                match (S::REGISTER_COUNT >= 32, vectors) {
                    (true, 3) => rows_of::<S, PANEL, 3>(simd, task),
                    (true, 2) => rows_of::<S, PANEL, 2>(simd, task),
                    (true, _) => rows_of::<S, PANEL, 1>(simd, task),
                    (false, 3) => rows_of::<S, 4, 3>(simd, task),
                    (false, 2) => rows_of::<S, 4, 2>(simd, task),
                    (false, _) => rows_of::<S, 4, 1>(simd, task),
                }
                column += vectors.max(1) * S::F32_LANES;
            }
        }
    }
}

/// The weights of a panel, the inputs, the place of the products, the depth, and the distance from one row to the next.
type Task<'a> = (&'a [f32], &'a [f32], &'a mut [f32], usize, usize);

/// All rows of a panel, ROWS at a time, for VECTORS vectors of columns.
#[inline(always)]
fn rows_of<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    (weights, inputs, products, depth, pitch): Task<'_>,
) {
    for row in (0..PANEL).step_by(ROWS) {
        let weights = weights.get(row..).unwrap_or_default();
        let Some(sums) = panels::product::<S, ROWS, VECTORS>(simd, (weights, [1, PANEL]), (inputs, pitch), depth)
        else {
            return;
        };
        for (v, sums) in sums.into_iter().enumerate() {
            planes::store::<S, ROWS>(products, row * pitch + v * S::F32_LANES, pitch, sums);
        }
    }
}
