//! The division of a batch of independent items over the threads, before the operations: in a small network no
//! operation is large enough to be shared. On a GPU there is nothing to divide.

use candle_core::Tensor;
use rayon::prelude::*;

use crate::Result;

/// The items of a part, from which on operations are nearly as fast for an item as they are in larger batches. The
/// division depends on the number of items alone, so that results do not depend on that of threads.
const PART: usize = 32;

/// The most parts, as a power of two: enough for sixteen threads.
const MOST: u32 = 4;

/// The function f of a batch `[N, ..]`, applied to parts of it side by side; two tensors `[N, ..]`.
///
/// # Errors
/// f fails.
pub fn by_parts(x: &Tensor, f: impl Fn(&Tensor) -> Result<(Tensor, Tensor)> + Sync) -> Result<(Tensor, Tensor)> {
    by_parts_of([x], |[x]| f(x))
}

/// The function f of several tensors `[N, ..]` with the same items, applied to parts of them side by side; two tensors
/// `[N, ..]`.
///
/// # Errors
/// f fails, or a tensor has fewer items than the first.
pub fn by_parts_of<const K: usize>(
    tensors: [&Tensor; K],
    f: impl Fn([&Tensor; K]) -> Result<(Tensor, Tensor)> + Sync,
) -> Result<(Tensor, Tensor)> {
    let Some(first) = tensors.first() else { return f(tensors) };
    let items = first.dim(0)?;
    if items < 2 * PART || !first.device().is_cpu() {
        return f(tensors);
    }
    // A power of two, or the last threads would wait for a part more of the first.
    let parts = (items / PART).ilog2();
    let size = items.div_ceil(1 << parts.min(MOST));
    let starts = (0..items).step_by(size).collect::<Vec<_>>();
    let part = |from: usize| {
        let here = tensors.iter().map(|t| t.narrow(0, from, size.min(items - from)));
        let here = here.collect::<candle_core::Result<Vec<_>>>()?;
        f(std::array::from_fn(|i| &here[i]))
    };
    let (first, second): (Vec<_>, Vec<_>) =
        starts.into_par_iter().map(part).collect::<Result<Vec<_>>>()?.into_iter().unzip();
    Ok((Tensor::cat(&first, 0)?, Tensor::cat(&second, 0)?))
}
