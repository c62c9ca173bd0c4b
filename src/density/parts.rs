//! The division of a batch of independent items over the threads, before the operations: in a small network no
//! operation is large enough to be shared. On a GPU there is nothing to divide, but among ranks.

use candle_core::Tensor;
use rayon::prelude::*;

use crate::ranks::{self, Division};
use crate::{Error, Result};

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

/// The function f of several tensors `[N, ..]` with the same items, applied to parts of them side by side, which ranks
/// share where there are several; two tensors `[N, ..]`.
///
/// # Errors
/// f fails, or a tensor has fewer items than the first.
pub fn by_parts_of<const K: usize>(
    tensors: [&Tensor; K],
    f: impl Fn([&Tensor; K]) -> Result<(Tensor, Tensor)> + Sync,
) -> Result<(Tensor, Tensor)> {
    if let Some(division) = tensors.first().map(|x| x.dim(0)).transpose()?.and_then(Division::of) {
        let both = division.map(&tensors, &[], |_, rows| {
            let rows = <[&Tensor; K]>::try_from(rows).map_err(|_| Error::Other("a part has lost a tensor".into()))?;
            side_by_side(rows, &f).map(|(a, b)| vec![a, b])
        })?;
        let [a, b] = <[Tensor; 2]>::try_from(both).map_err(|_| Error::Other("a part has lost a result".into()))?;
        return Ok((a, b));
    }
    side_by_side(tensors, &f)
}

/// [`by_parts_of`] in this process.
fn side_by_side<const K: usize>(
    tensors: [&Tensor; K],
    f: &(impl Fn([&Tensor; K]) -> Result<(Tensor, Tensor)> + Sync),
) -> Result<(Tensor, Tensor)> {
    let mut parts = of_parts(tensors, PART, f)?;
    match (parts.len(), parts.pop()) {
        (1, Some(whole)) => Ok(whole),
        (_, last) => {
            let (first, second): (Vec<_>, Vec<_>) = parts.into_iter().chain(last).unzip();
            Ok((Tensor::cat(&first, 0)?, Tensor::cat(&second, 0)?))
        }
    }
}

/// What f makes of each of the parts, of `least` items or more, of tensors `[N, ..]` with the same items, side by side.
/// Among ranks there is one part here, and the passes of networks inside are divided.
///
/// # Errors
/// f fails, or a tensor has fewer items than the first.
pub fn of_parts<const K: usize, R: Send>(
    tensors: [&Tensor; K],
    least: usize,
    f: impl Fn([&Tensor; K]) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let Some(first) = tensors.first() else { return Ok(vec![f(tensors)?]) };
    let (items, least) = (first.dim(0)?, least.max(1));
    if items / least < 2 || !first.device().is_cpu() || ranks::is_divided() {
        return Ok(vec![f(tensors)?]);
    }
    // A power of two, or the last threads would wait for a part more of the first.
    let parts = (items / least).ilog2();
    let size = items.div_ceil(1 << parts.min(MOST));
    let part = |from: usize| {
        let here = tensors.iter().map(|t| t.narrow(0, from, size.min(items - from)));
        let here = here.collect::<candle_core::Result<Vec<_>>>()?;
        f(std::array::from_fn(|i| &here[i]))
    };
    (0..items).step_by(size).collect::<Vec<_>>().into_par_iter().map(part).collect()
}
