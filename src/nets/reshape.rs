//! Reshaping of items.

use candle_core::Tensor;

use super::layer_list::number;
use super::{Curve, Gradients, Jet, Layer, LayerList, Pass, Pullback, Tape};
use crate::Result;

/// The layer that gives each item of a batch another shape, `[B, ..]` -> `[B, item..]`; the order in memory stays.
pub struct Reshape {
    item: Vec<usize>,
}

impl Reshape {
    /// Reshaping to items of shape `item`; an empty shape means one number per item, `[B]`.
    pub fn to(item: &[usize]) -> Self {
        Reshape { item: item.to_vec() }
    }

    /// Flattening of items of shape `item` to vectors `[B, D]`.
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

    fn is_view(&self) -> bool {
        true
    }

    fn record(&self, x: &Tensor, _: Pass, tape: &mut Tape) -> Result<Tensor> {
        tape.push(x.clone());
        self.apply(x)
    }

    fn reverse(&self, g: &Tensor, tape: &mut Tape, _: &mut Gradients, _: bool) -> Result<Option<Tensor>> {
        Ok(Some(g.reshape(tape.pop()?.dims())?))
    }

    fn jvp(&self, x: &Jet, _: Pass) -> Result<Jet> {
        x.linear(|xx| self.apply(xx))
    }

    fn curve(&self, x: &Curve, _: Pass) -> Result<Curve> {
        x.linear(|xx| self.apply(xx))
    }

    fn list(&self) -> Result<LayerList> {
        Ok(match self.item.as_slice() {
            [_] => LayerList::of("flatten", &[], &[]),
            item => {
                let shape = toml::Value::Array(item.iter().copied().map(number).collect());
                LayerList::of("reshape", &[("shape", shape)], &[])
            }
        })
    }
}
