//! Flattening and its opposite.

use candle_core::Tensor;

use super::{Curve, Jet, Layer, Pass, Pullback};
use crate::Result;

/// Gives each item of a batch another shape: `[B, ..]` -> `[B, item..]`; the order in memory stays.
pub struct Reshape {
    item: Vec<usize>,
}

impl Reshape {
    /// To items of shape `item`; empty means one number per item, `[B]`.
    pub fn to(item: &[usize]) -> Self {
        Reshape { item: item.to_vec() }
    }

    /// To vectors `[B, D]`, from items of the given shape.
    pub fn flatten(item: &[usize]) -> Self {
        Reshape { item: vec![item.iter().fold(1, |n: usize, &d| n.saturating_mul(d))] }
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let shape: Vec<usize> = std::iter::once(x.dim(0)?).chain(self.item.iter().copied()).collect();
        Ok(x.reshape(shape)?)
    }
}

impl Layer for Reshape {
    fn forward(&self, x: &Tensor, _: Pass) -> Result<Tensor> {
        self.apply(x)
    }

    fn vjp<'a>(&'a self, x: &Tensor, _: Pass) -> Result<(Tensor, Pullback<'a>)> {
        let shape = x.dims().to_vec();
        Ok((self.apply(x)?, Box::new(move |g| Ok(g.reshape(shape.as_slice())?))))
    }

    fn jvp(&self, x: &Jet, _: Pass) -> Result<Jet> {
        x.linear(|xx| self.apply(xx))
    }

    fn curve(&self, x: &Curve, _: Pass) -> Result<Curve> {
        x.linear(|xx| self.apply(xx))
    }
}
