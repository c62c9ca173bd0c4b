//! The sums that candle takes entry by entry: down the columns, and of products along the rows.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Tensor};

use super::backend::Backend;
use super::cpu::reduce as kernels;
use super::cpu::{Output, wanted};
use super::order::Order;
use super::{composed, shapes};
use crate::Result;

/// The column sums Σₙ xₙ: `[N, M]` -> `[M]`.
///
/// # Errors
/// x is no matrix.
pub fn column_sum(x: &Tensor) -> Result<Tensor> {
    x.dims2()?;
    Ok(match Backend::of(&[x]) {
        Backend::Kernels => x.contiguous()?.apply_op1(ColumnSum)?,
        Backend::Composed => composed::column_sum(x)?,
    })
}

/// The sums of x·y over all but the first dimension: `[N, ..]`, `[N, ..]` -> `[N]`.
///
/// # Errors
/// x and y differ in shape.
pub fn dot(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    shapes::same("dot", x, y)?;
    Ok(match Backend::of(&[x, y]) {
        Backend::Kernels => x.contiguous()?.apply_op2(&y.contiguous()?, Dot)?,
        Backend::Composed => composed::dot(x, y)?,
    })
}

/// The sum x + y, entry by entry.
///
/// # Errors
/// x and y differ in shape.
pub fn add(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    shapes::same("sum", x, y)?;
    let order = Order::of(&[x, y]);
    Ok(match Backend::of(&[x, y]) {
        Backend::Kernels => order.images(&order.lay(x)?.apply_op2(&order.lay(y)?, Add)?)?,
        Backend::Composed if order == Order::First => (x + y)?,
        Backend::Composed => order.images(&(order.lay(x)? + order.lay(y)?)?)?,
    })
}

/// The sums over images and pixels, `[N, O, H, W]` -> `[O]`: from the gradient for the output of a convolution that for
/// its bias. They are not differentiated.
///
/// # Errors
/// There are fewer dimensions.
pub fn channel_sum(g: &Tensor) -> Result<Tensor> {
    Ok(bias_gradient(g)?)
}

/// What [`channel_sum`] gives.
pub(super) fn bias_gradient(g: &Tensor) -> candle_core::Result<Tensor> {
    let by_image = match Order::of(&[g]) {
        Order::First => g.contiguous()?.flatten_from(2)?.sum(2)?,
        Order::Last => Order::Last.lay(g)?.flatten_to(2)?,
    };
    match Backend::of(&[&by_image]) {
        Backend::Kernels => by_image.apply_op1_no_bwd(&ColumnSum),
        Backend::Composed => composed::column_sum(&by_image),
    }
}

/// The operation x `[N, M]` ↦ Σₙ xₙ, `[M]`, added in order of n.
#[derive(Clone, Copy)]
pub(super) struct ColumnSum;

impl CustomOp1 for ColumnSum {
    fn name(&self) -> &'static str {
        "column sum"
    }

    fn cpu_fwd(&self, x: &CpuStorage, l: &Layout) -> Output {
        kernels::column_sum((x, l))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, g: &Tensor) -> candle_core::Result<Option<Tensor>> {
        g.broadcast_as(x.shape())?.contiguous().map(Some)
    }
}

/// The operation (x, y) ↦ x + y.
#[derive(Clone, Copy)]
struct Add;

impl CustomOp2 for Add {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, y: &CpuStorage, ly: &Layout) -> Output {
        kernels::add((x, lx), (y, ly))
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((wanted(x, || Ok(g.clone()))?, wanted(y, || Ok(g.clone()))?))
    }
}

/// The operation (x `[N, ..]`, y `[N, ..]`) ↦ Σ x·y over all but the first dimension, `[N]`.
#[derive(Clone, Copy)]
struct Dot;

impl CustomOp2 for Dot {
    fn name(&self) -> &'static str {
        "row-wise dot product"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, y: &CpuStorage, ly: &Layout) -> Output {
        kernels::dot((x, lx), (y, ly))
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let g = &g.contiguous()?;
        Ok((wanted(x, || g.apply_op2_no_bwd(y, &ScaleRows))?, wanted(y, || g.apply_op2_no_bwd(x, &ScaleRows))?))
    }
}

/// The operation (g `[N]`, y `[N, ..]`) ↦ gₙ yₙ. It is used in backward passes only.
struct ScaleRows;

impl CustomOp2 for ScaleRows {
    fn name(&self) -> &'static str {
        "rows times numbers"
    }

    fn cpu_fwd(&self, g: &CpuStorage, lg: &Layout, y: &CpuStorage, ly: &Layout) -> Output {
        kernels::scale_rows((g, lg), (y, ly))
    }
}
