//! The points of curves, carried through a network with the first two derivatives along the curve.

use candle_core::Tensor;

use crate::{Result, ops};

/// A curve x(t) near t = 0: x = x(0), x' = dx/dt and x'' = d²x/dt² of each item, stacked along the batch, so that a
/// linear map reads its weights once: rows `0..B` are x, `B..2B` are x', `2B..3B` are x''. A straight line, x'' = 0,
/// has no third block, so that linear layers on it cost two thirds.
#[derive(Clone, Debug)]
pub struct Curve {
    stacked: Tensor,
    straight: bool,
}

impl Curve {
    /// The line x + t·v, from x and v, both `[B, ..]`.
    pub fn line(x: &Tensor, v: &Tensor) -> Result<Self> {
        Ok(Curve { stacked: ops::stacked(&[x, v])?, straight: true })
    }

    /// The curve with value x and derivatives x' = `first` and x'' = `second`, all `[B, ..]`.
    pub fn new(x: &Tensor, first: &Tensor, second: &Tensor) -> Result<Self> {
        Ok(Curve::bent(ops::stacked(&[x, first, second])?))
    }

    /// The curve whose blocks x, x' and x'' are already stacked, as a tensor `[3B, ..]`.
    pub fn bent(stacked: Tensor) -> Self {
        Curve { stacked, straight: false }
    }

    /// The stacked blocks, `[3B, ..]`, or `[2B, ..]` for a straight line.
    pub fn stacked(&self) -> &Tensor {
        &self.stacked
    }

    /// The number of blocks: 3, or 2 for a straight line.
    pub fn blocks(&self) -> usize {
        if self.straight { 2 } else { 3 }
    }

    /// The number of items, B.
    pub fn batch(&self) -> Result<usize> {
        Ok(self.stacked.dim(0)? / self.blocks())
    }

    /// The values x, `[B, ..]`.
    pub fn value(&self) -> Result<Tensor> {
        self.block(0)
    }

    /// The first derivatives x', `[B, ..]`.
    pub fn first(&self) -> Result<Tensor> {
        self.block(1)
    }

    /// The second derivatives x'', `[B, ..]`; zeros for a straight line.
    pub fn second(&self) -> Result<Tensor> {
        if self.straight { Ok(self.block(0)?.zeros_like()?) } else { self.block(2) }
    }

    fn block(&self, i: usize) -> Result<Tensor> {
        Ok(self.stacked.narrow(0, i * self.batch()?, self.batch()?)?)
    }

    /// The image of the curve under a linear map `f`, which is applied to the stacked blocks.
    pub fn linear(&self, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Self> {
        Ok(Curve { stacked: f(&self.stacked)?, straight: self.straight })
    }

    /// The sum x(t) + y(t) of two curves of one shape.
    pub fn plus(&self, y: &Curve) -> Result<Self> {
        match (self.straight, y.straight) {
            (true, false) => Ok(Curve::bent(ops::add(&self.three_blocks()?, &y.stacked)?)),
            (false, true) => y.plus(self),
            (_, straight) => Ok(Curve { stacked: ops::add(&self.stacked, &y.stacked)?, straight }),
        }
    }

    /// The curves x(t) and y(t) side by side, joined along a dimension `dim` other than the batch.
    pub fn beside(&self, y: &Curve, dim: usize) -> Result<Self> {
        let straight = self.straight && y.straight;
        let of = |c: &Curve| if straight { Ok(c.stacked.clone()) } else { c.three_blocks() };
        Ok(Curve { stacked: Tensor::cat(&[of(self)?, of(y)?], dim)?, straight })
    }

    /// The entry-wise product x(t)∘y(t) of two curves of one shape, with the derivatives x'y + xy' and x''y + 2x'y' +
    /// xy'' (Leibniz).
    pub fn times(&self, y: &Curve) -> Result<Self> {
        let ([x0, x1, x2], [y0, y1, y2]) = (self.blocks_of()?, y.blocks_of()?);
        let middle = ((&x1 * &y1)? * 2.0)?;
        let second = (((&x2 * &y0)? + middle)? + (&x0 * &y2)?)?;
        Curve::new(&(&x0 * &y0)?, &((&x1 * &y0)? + (&x0 * &y1)?)?, &second)
    }

    fn blocks_of(&self) -> Result<[Tensor; 3]> {
        Ok([self.value()?, self.first()?, self.second()?])
    }

    fn three_blocks(&self) -> Result<Tensor> {
        Ok(if self.straight { ops::stacked(&[&self.stacked, &self.second()?])? } else { self.stacked.clone() })
    }
}
