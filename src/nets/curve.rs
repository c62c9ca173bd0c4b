//! A point on a curve, carried through a network with the curve's first two derivatives.

use candle_core::Tensor;

use crate::Result;

/// x, x' and x'' of a curve x(t) at t = 0, stacked along the batch, so that a linear map reads its weights once: rows
/// `0..B` are x, `B..2B` are x', `2B..3B` are x''. A straight line, x'' = 0, has no third block: what is linear in the
/// first layers of a network then costs two thirds.
#[derive(Clone, Debug)]
pub struct Curve {
    stacked: Tensor,
    straight: bool,
}

impl Curve {
    /// The line x + t·v, both `[B, ..]`.
    pub fn line(x: &Tensor, v: &Tensor) -> Result<Self> {
        Ok(Curve { stacked: Tensor::cat(&[x, v], 0)?, straight: true })
    }

    /// The curve with these derivatives, all `[B, ..]`.
    pub fn new(x: &Tensor, first: &Tensor, second: &Tensor) -> Result<Self> {
        Ok(Curve::bent(Tensor::cat(&[x, first, second], 0)?))
    }

    /// Takes a tensor `[3B, ..]` that is stacked already.
    pub fn bent(stacked: Tensor) -> Self {
        Curve { stacked, straight: false }
    }

    /// `[3B, ..]`, or `[2B, ..]` for a straight line.
    pub fn stacked(&self) -> &Tensor {
        &self.stacked
    }

    /// 3, or 2 for a straight line.
    pub fn blocks(&self) -> usize {
        if self.straight { 2 } else { 3 }
    }

    /// B.
    pub fn batch(&self) -> Result<usize> {
        Ok(self.stacked.dim(0)? / self.blocks())
    }

    /// x, `[B, ..]`.
    pub fn value(&self) -> Result<Tensor> {
        self.block(0)
    }

    /// x', `[B, ..]`.
    pub fn first(&self) -> Result<Tensor> {
        self.block(1)
    }

    /// x'', `[B, ..]`.
    pub fn second(&self) -> Result<Tensor> {
        if self.straight { Ok(self.block(0)?.zeros_like()?) } else { self.block(2) }
    }

    fn block(&self, i: usize) -> Result<Tensor> {
        Ok(self.stacked.narrow(0, i * self.batch()?, self.batch()?)?)
    }

    /// The same linear map on every block.
    pub fn linear(&self, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Self> {
        Ok(Curve { stacked: f(&self.stacked)?, straight: self.straight })
    }

    /// x(t) + y(t).
    pub fn plus(&self, y: &Curve) -> Result<Self> {
        match (self.straight, y.straight) {
            (true, false) => Ok(Curve::bent((self.three_blocks()? + &y.stacked)?)),
            (false, true) => y.plus(self),
            (_, straight) => Ok(Curve { stacked: (&self.stacked + &y.stacked)?, straight }),
        }
    }

    /// x(t) and y(t) side by side, joined along a dimension other than the batch.
    pub fn beside(&self, y: &Curve, dim: usize) -> Result<Self> {
        let straight = self.straight && y.straight;
        let of = |c: &Curve| if straight { Ok(c.stacked.clone()) } else { c.three_blocks() };
        Ok(Curve { stacked: Tensor::cat(&[of(self)?, of(y)?], dim)?, straight })
    }

    /// x(t)∘y(t), by Leibniz: [xy; x'y + xy'; x''y + 2x'y' + xy''].
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
        Ok(if self.straight { Tensor::cat(&[&self.stacked, &self.second()?], 0)? } else { self.stacked.clone() })
    }
}
