//! The sums, and what their backward passes need, on the CPU.

use candle_core::bail;

use super::{
    access::{Argument, Output, on_floats, output, slice},
    raw::map,
    real::Real,
    vector::vectorised,
};

/// The sums down the columns of a matrix, added in order of the rows.
///
/// # Errors
/// The argument is no matrix.
pub fn column_sum(x: Argument<'_>) -> Output {
    let &[_, columns] = x.1.dims() else { bail!("column sum of shape {:?}", x.1.dims()) };
    on_floats!(x.0, T => output(add_rows(slice::<T>(x)?, columns), columns))
}

/// The sums down the columns of a matrix with so many, added in order of the rows.
pub(super) fn add_rows<T: Real>(x: &[T], columns: usize) -> Vec<T> {
    let mut sum = vec![T::ZERO; columns];
    let total = sum.as_mut_slice();
    vectorised!({
        for row in x.chunks_exact(columns.max(1)) {
            for (s, &x) in total.iter_mut().zip(row) {
                *s += x;
            }
        }
    });
    sum
}

/// The sum x + y.
///
/// # Errors
/// The arguments are not contiguous, or differ in length.
pub fn add(x: Argument<'_>, y: Argument<'_>) -> Output {
    let shape = x.1.shape();
    on_floats!(x.0, T => {
        output(map([slice::<T>(x)?, slice(y)?], #[inline(always)] move |[x, y]: [T; 2]| [x + y])?, shape)
    })
}

/// The sums of x·y over all but the first dimension.
///
/// # Errors
/// The arguments are not contiguous.
pub fn dot(x: Argument<'_>, y: Argument<'_>) -> Output {
    let rows = x.1.dims().first().copied().unwrap_or(1);
    on_floats!(x.0, T => {
        let (x, y) = (slice::<T>(x)?, slice::<T>(y)?);
        let width = (x.len() / rows.max(1)).max(1);
        let dots = x.chunks_exact(width).zip(y.chunks_exact(width)).map(|(x, y)| scalar_product(x, y));
        let mut out: Vec<T> = dots.collect();
        out.resize(rows, T::ZERO);
        output(out, rows)
    })
}

/// The scalar product of two slices, by 16 running sums that are added in a fixed order: vector code without a compiler
/// that reorders anything.
fn scalar_product<T: Real>(x: &[T], y: &[T]) -> T {
    vectorised!({
        let mut lanes = [T::ZERO; 16];
        let (xs, ys) = (x.chunks_exact(16), y.chunks_exact(16));
        let rest = xs.remainder().iter().zip(ys.remainder()).fold(T::ZERO, |s, (&x, &y)| s + x * y);
        for (x, y) in xs.zip(ys) {
            for ((s, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
                *s += x * y;
            }
        }
        lanes.iter().fold(rest, |s, &lane| s + lane)
    })
}

/// The products gₙ yₙ of g `[N]` and y `[N, ..]`.
///
/// # Errors
/// The arguments are not contiguous.
pub fn scale_rows(g: Argument<'_>, y: Argument<'_>) -> Output {
    let shape = y.1.shape();
    on_floats!(g.0, T => {
        let (g, y) = (slice::<T>(g)?, slice::<T>(y)?);
        let width = (y.len() / g.len().max(1)).max(1);
        let mut out = Vec::with_capacity(y.len());
        for (&g, row) in g.iter().zip(y.chunks_exact(width)) {
            out.extend(row.iter().map(|&y| g * y));
        }
        output(out, shape)
    })
}
