//! The Laplacian of an energy from its curvatures along the axes.

use candle_core::Tensor;

use super::Energy;
use crate::Result;

/// Rows of one pass: enough to keep the processor busy, few enough to bound the memory of an evaluation.
const ROWS: usize = 1024;

/// [`Energy::laplacian`] by `⌈D / ⌊ROWS/B⌋⌉` second-order passes.
pub(super) fn by_directions<E: Energy + ?Sized>(energy: &E, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
    let (batch, size) = (x.dim(0)?, x.elem_count() / x.dim(0)?.max(1));
    let at_once = (ROWS / batch.max(1)).clamp(1, size.max(1));
    let (mut values, mut slopes, mut bends) = (Vec::new(), Vec::new(), Vec::new());
    let axes = Tensor::eye(size, x.dtype(), x.device())?;
    for from in (0..size).step_by(at_once) {
        let n = at_once.min(size - from);
        let copies = Tensor::cat(&vec![x; n], 0)?;
        let units = axes.narrow(0, from, n)?.unsqueeze(1)?.broadcast_as((n, batch, size))?;
        let [e, slope, bend] = energy.curvature(&copies, &units.reshape(copies.dims())?)?;
        values.push(e.narrow(0, 0, batch)?);
        slopes.push(slope.reshape((n, batch))?);
        bends.push(bend.reshape((n, batch))?);
    }
    let grad = Tensor::cat(&slopes, 0)?.t()?.reshape(x.dims())?;
    Ok((Tensor::cat(&values, 0)?.narrow(0, 0, batch)?, grad, Tensor::cat(&bends, 0)?.sum(0)?))
}
