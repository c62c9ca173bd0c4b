//! The `unsafe` code of the CPU's kernels: products by the `gemm` crate, maps into memory that is not zeroed first, and
//! vectors out of many planes of numbers.
//!
//! Why it is here: `gemm` takes raw pointers with strides, and that is what lets a transposed or sliced matrix be
//! multiplied without a copy; filling fresh memory with zeros before overwriting it costs as much as the cheaper
//! kernels themselves; and a check of every vector costs more than its arithmetic. Everything below checks its slices
//! and strides first, so that the functions are safe to call.

#![allow(unsafe_code)]

pub mod dense;
pub mod panels;
pub mod planes;
#[cfg(test)]
mod tests;

use candle_core::{Error, Result};
use rayon::prelude::*;

use super::real::Real;

/// The view of a matrix in a slice: entry (i, j) is `data[i * rows_apart + j * columns_apart]`.
#[derive(Clone, Copy)]
pub struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    strides: [usize; 2],
}

impl<'a, T> Matrix<'a, T> {
    /// The view of `data` as a matrix `rows` × `columns`, with `strides` between (rows, columns).
    ///
    /// # Errors
    /// An entry would lie outside of the slice.
    pub fn new(data: &'a [T], [rows, columns]: [usize; 2], strides: [usize; 2]) -> Result<Self> {
        inside(data.len(), [rows, columns], strides)?;
        Ok(Matrix { data, rows, columns, strides })
    }

    /// The view of a row-major matrix that begins where `data` begins; an error if `data` is too short.
    pub fn rows(data: &'a [T], rows: usize, columns: usize) -> Result<Self> {
        Matrix::new(data, [rows, columns], [columns, 1])
    }

    /// The view of the transpose; no number moves.
    pub fn t(self) -> Self {
        let [rows, columns] = self.strides;
        Matrix { data: self.data, rows: self.columns, columns: self.rows, strides: [columns, rows] }
    }

    /// The shape, [rows, columns].
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }
}

fn inside(len: usize, [rows, columns]: [usize; 2], strides: [usize; 2]) -> Result<()> {
    if rows == 0 || columns == 0 {
        return Ok(());
    }
    let last = (rows - 1).checked_mul(strides[0]).zip((columns - 1).checked_mul(strides[1]));
    match last.and_then(|(r, c)| r.checked_add(c)) {
        Some(last) if last < len && last <= isize::MAX as usize => Ok(()),
        _ => Err(Error::Msg(format!("matrix {rows}x{columns} with strides {strides:?} leaves a slice of {len}"))),
    }
}

/// The threads that a product may use. The result does not depend on them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threads {
    /// The calling thread alone.
    One,
    /// The threads of the current rayon pool, where the product is large enough to gain.
    Pool,
}

impl Threads {
    /// The number of multiply-adds below which a second thread costs more than it saves.
    const WORTH: usize = 1 << 22;

    fn for_product(self, m: usize, n: usize, k: usize) -> gemm::Parallelism {
        let work = m.saturating_mul(n).saturating_mul(k);
        match self {
            Threads::Pool if work >= Self::WORTH && rayon::current_num_threads() > 1 => {
                gemm::Parallelism::Rayon(rayon::current_num_threads())
            }
            _ => gemm::Parallelism::None,
        }
    }
}

/// The product a b, row-major, in new memory.
///
/// # Errors
/// The inner dimensions differ.
pub fn product<T: Real>(a: Matrix<'_, T>, b: Matrix<'_, T>, threads: Threads) -> Result<Vec<T>> {
    let [m, n] = conformable(&a, &b)?;
    let len = m * n;
    let mut out: Vec<T> = Vec::with_capacity(len);
    // SAFETY: `out` has room for m·n entries, addressed below with strides (n, 1); `gemm` writes every one of them
    // without reading (read = false), also when the inner dimension is 0; then all `len` entries are initialised.
    unsafe {
        call(out.as_mut_ptr(), [n, 1], false, a, b, threads);
        out.set_len(len);
    }
    Ok(out)
}

/// The product a b, column-major, in new memory.
///
/// # Errors
/// The inner dimensions differ.
pub fn product_by_columns<T: Real>(a: Matrix<'_, T>, b: Matrix<'_, T>, threads: Threads) -> Result<Vec<T>> {
    let [m, n] = conformable(&a, &b)?;
    let len = m * n;
    let mut out: Vec<T> = Vec::with_capacity(len);
    // SAFETY: as in `product`, with strides (1, m).
    unsafe {
        call(out.as_mut_ptr(), [1, m], false, a, b, threads);
        out.set_len(len);
    }
    Ok(out)
}

/// Adds a b to dst, or overwrites dst with it if `keep` is false; dst has `strides` between (rows, columns).
///
/// # Errors
/// The inner dimensions differ, or dst does not fit into its slice.
pub fn product_into<T: Real>(
    dst: &mut [T],
    strides: [usize; 2],
    keep: bool,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    threads: Threads,
) -> Result<()> {
    let shape = conformable(&a, &b)?;
    inside(dst.len(), shape, strides)?;
    let overlaps = strides[0] < shape[1].saturating_mul(strides[1]) && strides[1] < shape[0].saturating_mul(strides[0]);
    if overlaps && shape.iter().all(|&d| d > 1) {
        return Err(Error::Msg(format!("product into overlapping entries: strides {strides:?}, shape {shape:?}")));
    }
    // SAFETY: every entry of dst lies inside the slice (checked above), which is borrowed mutably and initialised, and
    // no two entries share an address, so that threads write to disjoint places.
    unsafe { call(dst.as_mut_ptr(), strides, keep, a, b, threads) };
    Ok(())
}

/// The transpose of a row-major matrix, made in blocks that fit the cache.
pub fn transposed<T: Real>(x: &[T], rows: usize, columns: usize) -> Vec<T> {
    const BLOCK: usize = 16;
    let mut out = vec![T::ZERO; rows * columns];
    for from in (0..rows).step_by(BLOCK) {
        for (column, out) in out.chunks_exact_mut(rows.max(1)).enumerate() {
            let source = x.get(from * columns + column..).unwrap_or_default().iter().step_by(columns);
            out.iter_mut().skip(from).take(BLOCK).zip(source).for_each(|(o, &x)| *o = x);
        }
    }
    out
}

fn conformable<T>(a: &Matrix<'_, T>, b: &Matrix<'_, T>) -> Result<[usize; 2]> {
    if a.columns != b.rows {
        return Err(Error::Msg(format!("cannot multiply {:?} by {:?}", a.shape(), b.shape())));
    }
    Ok([a.rows, b.columns])
}

/// SAFETY: dst must be valid for writes (and reads, if `keep`) at all i·strides.0 + j·strides.1 for (i, j) in the
/// product's shape, at distinct addresses; `a` and `b` were checked when they were made.
unsafe fn call<T: Real>(
    dst: *mut T,
    strides: [usize; 2],
    keep: bool,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    threads: Threads,
) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    // `gemm` computes dst := alpha·dst + beta·a·b: alpha scales what is there, not the product.
    let (alpha, beta) = (if keep { T::ONE } else { T::ZERO }, T::ONE);
    let [(dr, dc), (ar, ac), (br, bc)] = [strides, a.strides, b.strides].map(|[r, c]| (r as isize, c as isize));
    let (lhs, rhs) = (a.data.as_ptr(), b.data.as_ptr());
    let threads = threads.for_product(m, n, k);
    // SAFETY: the caller's promise for dst; for a and b `Matrix::new`; T is f32 or f64 (`Real` is sealed).
    unsafe {
        gemm::gemm(m, n, k, dst, dc, dr, keep, lhs, ac, ar, rhs, bc, br, alpha, beta, false, false, false, threads);
    }
}

/// As many numbers in new memory, made in parts of `part` by f, which is given what `init` made for its thread, the
/// number of the part, and the part. A part is cleared when its turn comes, so that it is in the cache when f writes to
/// it; cleared all at once, it would have left that again.
pub fn by_parts<T: Real, I>(
    len: usize,
    part: usize,
    init: impl Fn() -> I + Sync + Send,
    f: impl Fn(&mut I, usize, &mut [T]) -> Result<()> + Sync + Send,
) -> Result<Vec<T>> {
    let mut out: Vec<T> = Vec::with_capacity(len);
    let parts = out.spare_capacity_mut().get_mut(..len).unwrap_or_default().par_chunks_mut(part.max(1));
    parts.enumerate().try_for_each_init(init, |own, (number, part)| {
        for entry in &mut *part {
            entry.write(T::ZERO);
        }
        // SAFETY: all entries of the part were written just now, so that they are numbers.
        f(own, number, unsafe { &mut *(std::ptr::from_mut(part) as *mut [T]) })
    })?;
    // SAFETY: the parts, which cover 0..len, were all written, or the error was returned above.
    unsafe { out.set_len(len) };
    Ok(out)
}

/// The entries that one task of [`map`] handles; fixed, so that the division does not depend on the number of threads.
pub const GRAIN: usize = 1 << 14;

/// The number of entries below which [`map`] stays on the calling thread.
pub const PARALLEL: usize = 1 << 16;

#[derive(Clone, Copy)]
struct Target<T>(*mut T);

// SAFETY: used by `map` alone, whose tasks write disjoint ranges.
unsafe impl<T: Send> Send for Target<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Target<T> {}

#[derive(Clone, Copy)]
struct Source<T>(*const T);

// SAFETY: points into a slice that `map` borrows while its tasks read it.
unsafe impl<T: Sync> Send for Source<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Source<T> {}

impl<T> Target<T> {
    #[inline(always)]
    fn at(self, offset: usize) -> *mut T {
        self.0.wrapping_add(offset)
    }
}

/// The M results of f applied entry by entry to K slices of one length n, as M·n numbers: one result after the other.
///
/// # Errors
/// The slices differ in length.
pub fn map<T: Real, const K: usize, const M: usize>(
    sources: [&[T]; K],
    f: impl Fn([T; K]) -> [T; M] + Copy + Sync,
) -> Result<Vec<T>> {
    let n = sources.first().map_or(0, |s| s.len());
    if sources.iter().any(|s| s.len() != n) {
        return Err(Error::Msg(format!("element-wise kernel on lengths {:?}", sources.map(<[T]>::len))));
    }
    let mut out: Vec<T> = Vec::with_capacity(n * M);
    let target = Target(out.as_mut_ptr());
    let pointers = sources.map(|s| Source(s.as_ptr()));
    // Everything the loop needs is a local copy: what it might reload through a reference would keep it from
    // becoming vector code.
    let run = |from: usize, to: usize| {
        let (sources, target, n, f) = (pointers, target, n, f);
        pulp::Arch::new().dispatch(
            #[inline(always)]
            move || {
                // Whole captures: the pointers inside of them could not be shared.
                let (sources, target) = (sources, target);
                // Plain loops: unoptimised, as the tests are, they are ten times as fast as `map` on arrays.
                let mut i = from;
                while i < to {
                    // SAFETY: i < n, the length of every source.
                    let mut values = [unsafe { *sources[0].0.add(i) }; K];
                    let mut k = 1;
                    while k < K {
                        // SAFETY: as above.
                        values[k] = unsafe { *sources[k].0.add(i) };
                        k += 1;
                    }
                    let results = f(values);
                    let mut m = 0;
                    while m < M {
                        // SAFETY: m·n + i < M·n, inside `out`'s capacity, and no other task has this i.
                        unsafe { target.at(m * n + i).write(results[m]) };
                        m += 1;
                    }
                    i += 1;
                }
            },
        );
    };
    if n < PARALLEL {
        run(0, n);
    } else {
        let tasks = n.div_ceil(GRAIN);
        (0..tasks).into_par_iter().for_each(|t| run(t * GRAIN, n.min((t + 1) * GRAIN)));
    }
    // SAFETY: the ranges above cover 0..n, and each i wrote one value in each of the M planes.
    unsafe { out.set_len(n * M) };
    Ok(out)
}
