//! The product of matrices in f32 by a right operand that is packed once for many products. A row of the result depends
//! neither on the rows beside it nor on the number of threads.

use candle_core::{Result, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{Matrix, Threads, panels, planes};
use crate::ops::cpu::scratch::Scratch;

/// The columns of a panel: as many as three of the largest vectors have.
const WIDE: usize = 48;

/// The numbers of the largest vector.
const LANES: usize = 16;

/// A matrix `[k, n]` whose columns lie side by side in panels: entry (i, j) of a panel is number i·WIDE + j. Columns
/// behind the last are 0.
pub struct Panels {
    packed: Scratch,
    rows: usize,
    columns: usize,
}

impl Panels {
    /// The panels of a matrix.
    pub fn of(b: Matrix<'_, f32>) -> Self {
        const BLOCK: usize = 16;
        let ([rows, columns], [down, across]) = (b.shape(), b.strides);
        let mut packed = Scratch::of(columns.div_ceil(WIDE) * rows * WIDE);
        for (panel, to) in packed.chunks_exact_mut((rows * WIDE).max(1)).enumerate() {
            let (first, used) = (panel * WIDE, WIDE.min(columns - panel * WIDE));
            if used < WIDE {
                to.fill(0.0);
            }
            if across == 1 {
                for (row, to) in to.chunks_exact_mut(WIDE).enumerate() {
                    let from = row * down + first;
                    let source = b.data.get(from..from + used).unwrap_or_default();
                    to.iter_mut().zip(source).for_each(|(to, from)| *to = *from);
                }
                continue;
            }
            // In blocks that fit the cache.
            for (block, to) in to.chunks_mut(BLOCK * WIDE).enumerate() {
                for column in 0..used {
                    let from = (first + column) * across + block * BLOCK * down;
                    let source = b.data.get(from..).unwrap_or_default().iter().step_by(down.max(1));
                    to.iter_mut().skip(column).step_by(WIDE).zip(source).for_each(|(to, from)| *to = *from);
                }
            }
        }
        Panels { packed, rows, columns }
    }
}

/// The product a b, row-major, plus a bias `[n]` on so many first rows.
///
/// # Errors
/// The shapes do not fit.
pub fn multiply(a: Matrix<'_, f32>, b: &Panels, bias: Option<(&[f32], usize)>) -> Result<Vec<f32>> {
    let ([rows, depth], columns) = (a.shape(), b.columns);
    if depth != b.rows || bias.is_some_and(|(bias, _)| bias.len() != columns) {
        bail!("cannot multiply {:?} by {:?}", a.shape(), [b.rows, columns]);
    }
    let mut c = vec![0.0; rows * columns];
    let threads = rayon::current_num_threads();
    let size = match Threads::Pool.for_product(rows, columns, depth) {
        gemm::Parallelism::None => rows,
        _ => rows.div_ceil(threads).next_multiple_of(8),
    };
    let one = |(number, c): (usize, &mut [f32])| Arch::new().dispatch(Product { a, from: number * size, b, bias, c });
    if size < rows {
        c.par_chunks_mut(size * columns).enumerate().for_each(one);
    } else {
        one((0, &mut c));
    }
    Ok(c)
}

/// The rows of a product from number `from` on.
struct Product<'a> {
    a: Matrix<'a, f32>,
    from: usize,
    b: &'a Panels,
    bias: Option<(&'a [f32], usize)>,
    c: &'a mut [f32],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (columns, most) = (self.b.columns, if S::REGISTER_COUNT >= 32 { 8 } else { 4 });
        let rows = self.c.len() / columns.max(1);
        for first in (0..columns).step_by(WIDE) {
            let mut row = 0;
            while row < rows {
                let height = match rows - row {
                    left if left >= most => most,
                    4.. => 4,
                    _ => 1,
                };
                let (mut column, end) = (first, columns.min(first + WIDE));
                while column < end {
                    // As many sums as registers hold, and no vector left alone if there are several.
                    let vectors = match (end - column).div_ceil(S::F32_LANES) {
                        4 => 2,
                        left => left.min(3),
                    };
                    match (height, vectors) {
                        (8, 3) => self.tile::<S, 8, 3>(simd, [row, column]),
                        (8, 2) => self.tile::<S, 8, 2>(simd, [row, column]),
                        (8, _) => self.tile::<S, 8, 1>(simd, [row, column]),
                        (4, 3) => self.tile::<S, 4, 3>(simd, [row, column]),
                        (4, 2) => self.tile::<S, 4, 2>(simd, [row, column]),
                        (4, _) => self.tile::<S, 4, 1>(simd, [row, column]),
                        (_, 3) => self.tile::<S, 1, 3>(simd, [row, column]),
                        (_, 2) => self.tile::<S, 1, 2>(simd, [row, column]),
                        _ => self.tile::<S, 1, 1>(simd, [row, column]),
                    }
                    column += vectors * S::F32_LANES;
                }
                row += height;
            }
        }
    }
}

impl Product<'_> {
    /// The entries of H rows and V vectors of columns from a place on.
    #[inline(always)]
    fn tile<S: Simd, const H: usize, const V: usize>(&mut self, simd: S, [row, column]: [usize; 2]) {
        let &mut Product { a, from, b, bias, .. } = self;
        let rows = a.data.get((from + row) * a.strides[0]..).unwrap_or_default();
        let panel = column / WIDE * b.rows * WIDE + column % WIDE;
        let panel = b.packed.get(panel..).unwrap_or_default();
        let Some(sums) = panels::product::<S, H, V>(simd, (rows, a.strides), (panel, WIDE), b.rows) else { return };
        for (v, mut sums) in sums.into_iter().enumerate() {
            let at = column + v * S::F32_LANES;
            if let Some((bias, first)) = bias {
                let bias = start_of(simd, bias.get(at..).unwrap_or_default());
                for (h, sum) in sums.iter_mut().enumerate() {
                    if from + row + h < first {
                        *sum = simd.add_f32s(*sum, bias);
                    }
                }
            }
            if at + S::F32_LANES <= b.columns {
                planes::store::<S, H>(self.c, row * b.columns + at, b.columns, sums);
                continue;
            }
            for (c, sum) in self.c.chunks_exact_mut(b.columns).skip(row).zip(sums) {
                let mut numbers = [0.0; LANES];
                planes::store::<S, 1>(&mut numbers, 0, 0, [sum]);
                c.iter_mut().skip(at).zip(numbers).for_each(|(to, from)| *to = from);
            }
        }
    }
}

/// The vector of the first numbers, with zeros behind the last.
#[inline(always)]
fn start_of<S: Simd>(simd: S, numbers: &[f32]) -> S::f32s {
    if let Some([vector]) = planes::load::<S, 1>(simd, numbers, 0, 0) {
        return vector;
    }
    let mut copy = [0.0; LANES];
    copy.iter_mut().zip(numbers).for_each(|(to, from)| *to = *from);
    planes::load::<S, 1>(simd, &copy, 0, 0).map_or_else(|| simd.splat_f32s(0.0), |[vector]| vector)
}
