//! The products of matrices on the CPU. Operands may be transposed or cut out: `gemm` takes strides.

use candle_core::{CpuStorage, Result};

use super::{
    access::{Argument, Output, matrix, on_floats, output, slice},
    raw::{
        Matrix, Threads,
        dense::{self, Panels},
        product, product_by_columns, product_into, transposed,
    },
    real::Real,
};
use crate::ops::kept::{self, Place};

/// The product x wᵀ of x `[N, I]` and w `[O, I]`. What is made of the weights is kept in a place, if there is one.
///
/// # Errors
/// The arguments are no matrices of one type.
pub fn linear(x: Argument<'_>, w: Argument<'_>, place: Option<&Place>) -> Output {
    if let Some(y) = by_panels(x, (w, true), None, place)? {
        return Ok(y);
    }
    on_floats!(x.0, T => {
        let (x, w) = (matrix::<T>(x)?, matrix(w)?);
        if few_rows(&x, &w) { by_columns(x, w) } else { multiply(x, w.t()) }
    })
}

/// The product x wᵀ, with b `[O]` added to its first `rows` rows.
///
/// # Errors
/// As [`linear`].
pub fn biased(x: Argument<'_>, w: Argument<'_>, b: Argument<'_>, rows: usize, place: Option<&Place>) -> Output {
    if let Some(y) = by_panels(x, (w, true), Some((b, rows)), place)? {
        return Ok(y);
    }
    on_floats!(x.0, T => {
        let (x, w, b) = (matrix::<T>(x)?, matrix(w)?, slice::<T>(b)?);
        let ([all, _], [columns, _]) = (x.shape(), w.shape());
        if few_rows(&x, &w) {
            let (mut y, shape) = by_columns(x, w)?;
            if let Some(y) = T::entries_mut(&mut y) {
                let values = y.chunks_exact_mut(columns).take(rows);
                values.for_each(|row| row.iter_mut().zip(b).for_each(|(y, &b)| *y += b));
            }
            return Ok((y, shape));
        }
        let mut y = Vec::with_capacity(all * columns);
        (0..rows).for_each(|_| y.extend_from_slice(b));
        y.resize(all * columns, T::ZERO);
        product_into(&mut y, [columns, 1], true, x, w.t(), Threads::Pool)?;
        output(y, (all, columns))
    })
}

/// The product g w of g `[N, O]` and w `[O, I]`.
///
/// # Errors
/// As [`linear`].
pub fn pullback(g: Argument<'_>, w: Argument<'_>, place: Option<&Place>) -> Output {
    if let Some(x) = by_panels(g, (w, false), None, place)? {
        return Ok(x);
    }
    on_floats!(g.0, T => multiply(matrix::<T>(g)?, matrix(w)?))
}

/// The product gᵀ x of g `[N, O]` and x `[N, I]`.
///
/// # Errors
/// As [`linear`].
pub fn weight_gradient(g: Argument<'_>, x: Argument<'_>) -> Output {
    on_floats!(g.0, T => multiply(matrix::<T>(g)?.t(), matrix(x)?))
}

/// The product of x and the matrix w, or its transpose, plus a bias on so many rows, by weights that are packed once
/// and kept; `None` where there is no place for them, they are not f32, or too small.
fn by_panels(
    x: Argument<'_>,
    (w, transposed): (Argument<'_>, bool),
    bias: Option<(Argument<'_>, usize)>,
    place: Option<&Place>,
) -> Result<Option<(CpuStorage, candle_core::Shape)>> {
    let (CpuStorage::F32(_), Some(place)) = (x.0, place) else { return Ok(None) };
    let (x, w) = (matrix::<f32>(x)?, matrix::<f32>(w)?);
    let w = if transposed { w.t() } else { w };
    let [depth, columns] = w.shape();
    if depth < 16 || columns < 16 {
        return Ok(None);
    }
    let panels = kept::made(Some(place), !transposed, || Panels::of(w));
    let bias = bias.map(|(b, rows)| Ok::<_, candle_core::Error>((slice::<f32>(b)?, rows))).transpose()?;
    let rows = x.shape()[0];
    output(dense::multiply(x, &panels, bias)?, (rows, columns)).map(Some)
}

fn multiply<T: Real>(a: Matrix<'_, T>, b: Matrix<'_, T>) -> Output {
    let shape = (a.shape()[0], b.shape()[1]);
    output(product(a, b, Threads::Pool)?, shape)
}

/// Whether x wᵀ is better computed column by column. `gemm` then reads w as it lies, where it would otherwise copy and
/// transpose all of it first. The result has to be transposed instead, which is less work if it is smaller than w.
fn few_rows<T>(x: &Matrix<'_, T>, w: &Matrix<'_, T>) -> bool {
    let ([rows, inputs], [outputs, _]) = (x.shape(), w.shape());
    rows >= 16 && 2 * rows <= inputs && 2 * rows <= outputs
}

/// The product x wᵀ, computed as the transpose of what `gemm` writes column by column.
fn by_columns<T: Real>(x: Matrix<'_, T>, w: Matrix<'_, T>) -> Output {
    let ([rows, _], [outputs, _]) = (x.shape(), w.shape());
    let columns = product_by_columns(x, w.t(), Threads::Pool)?;
    output(transposed(&columns, outputs, rows), (rows, outputs))
}
