//! Skeleton of an operation: squared distances row by row. It is compiled in `src/ops/`; `docs/adding-an-operation.md`
//! says to which file there each of its four parts goes.

// 1. The operation with its shape check and its derivative: a file of its own in `src/ops/`.

use candle_core::{CpuStorage, CustomOp2, Layout, Tensor};

use super::backend::Backend;
use super::cpu::{Output, wanted};
use super::shapes;
use crate::Result;

/// Σ (x - y)² over all but the first dimension: `[N, ..]`, `[N, ..]` -> `[N]`.
///
/// # Errors
/// x and y differ in shape.
pub fn square_distance(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    shapes::same("square distance", x, y)?;
    Ok(match Backend::of(&[x, y]) {
        Backend::Kernels => x.contiguous()?.apply_op2(&y.contiguous()?, SquareDistance)?,
        Backend::Composed => composed::square_distance(x, y)?,
    })
}

/// (x `[N, ..]`, y `[N, ..]`) ↦ Σ (x - y)² over all but the first dimension, `[N]`.
struct SquareDistance;

impl CustomOp2 for SquareDistance {
    fn name(&self) -> &'static str {
        "square distance"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, y: &CpuStorage, ly: &Layout) -> Output {
        kernels::square_distance((x, lx), (y, ly))
    }

    /// ±2 g (x - y), only for arguments that are tracked.
    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let mut column = vec![1; x.rank()];
        column[0] = g.elem_count();
        let slope = || (x - y)?.broadcast_mul(&g.reshape(column.clone())?)?.affine(2.0, 0.0);
        Ok((wanted(x, slope)?, wanted(y, || slope()?.neg())?))
    }
}

// 2. The kernel of the CPU: to the file in `src/ops/cpu/` that has its like, here `reduce.rs`.

mod kernels {
    use crate::ops::cpu::access::{Argument, Output, on_floats, output, slice};
    use crate::ops::cpu::real::Real;

    /// Σ (x - y)² over all but the first dimension.
    pub fn square_distance(x: Argument<'_>, y: Argument<'_>) -> Output {
        let rows = x.1.dims().first().copied().unwrap_or(1);
        on_floats!(x.0, T => {
            let (x, y) = (slice::<T>(x)?, slice::<T>(y)?);
            let width = (x.len() / rows.max(1)).max(1);
            let pairs = x.chunks_exact(width).zip(y.chunks_exact(width));
            let mut sums: Vec<T> = pairs.map(|(x, y)| row(x, y)).collect();
            sums.resize(rows, T::ZERO);
            output(sums, rows)
        })
    }

    /// Added in the order of the entries: the sum does not depend on the number of threads.
    fn row<T: Real>(x: &[T], y: &[T]) -> T {
        x.iter().zip(y).fold(T::ZERO, |sum, (&x, &y)| sum + (x - y) * (x - y))
    }
}

// 3. The same of candle's operations, for other devices and types: to `src/ops/composed.rs`.

mod composed {
    use candle_core::{Result, Tensor};

    /// Σ (x - y)² over all but the first dimension.
    pub fn square_distance(x: &Tensor, y: &Tensor) -> Result<Tensor> {
        let rows = x.dim(0)?;
        (x - y)?.sqr()?.reshape((rows, x.elem_count() / rows.max(1)))?.sum(1)
    }
}

// 4. Its contract: a row of the table in `src/ops/tests.rs`.

#[cfg(test)]
mod tests {
    use super::super::contract::{check, normal};
    use super::*;

    /// On both back ends: value and gradients against candle's and against differences, untracked arguments, views,
    /// f32, a batch without items. Both arguments hold items of it.
    #[test]
    fn square_distances_keep_the_contract() {
        check(
            "square distance",
            &|t| square_distance(&t[0], &t[1]),
            &|t| Ok(composed::square_distance(&t[0], &t[1])?),
            &[normal("x", &[5, 3, 2]), normal("y", &[5, 3, 2])],
            2,
        );
    }

    #[test]
    fn square_distances_of_other_shapes_are_refused() {
        assert!(square_distance(&normal("x", &[5, 3]), &normal("y", &[5, 2])).is_err());
        assert_eq!(square_distance(&normal("x", &[0, 3]), &normal("y", &[0, 3])).unwrap().dims(), [0]);
    }
}
