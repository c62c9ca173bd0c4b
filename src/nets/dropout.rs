//! Dropout.

use candle_core::Tensor;

use super::{Builder, Jet, Layer, Pass, Pullback};
use crate::Result;

/// Inverted dropout: y = m∘x/(1-p), m Bernoulli(1-p) for each number; the identity without a key in [`Pass`].
///
/// The mask is a function of the pass's key and of the layer's path, so value, pull-back and tangent of one pass, and the
/// passes of a network and of its frozen copy, all see the same mask.
pub struct Dropout {
    rate: f64,
    path: String,
}

impl Dropout {
    /// Drops with probability `rate` in [0, 1).
    pub fn new(builder: &Builder, rate: f64) -> Self {
        Dropout { rate, path: builder.path().to_owned() }
    }

    /// m/(1-p) for one pass on x, of x's shape; `None` switches dropout off.
    fn mask(&self, x: &Tensor, pass: Pass) -> Result<Option<Tensor>> {
        let Some(key) = pass.dropout.filter(|_| self.rate > 0.0) else { return Ok(None) };
        let uniform = key.with(&self.path).uniform(x.dims(), x.dtype(), x.device())?;
        Ok(Some(uniform.ge(self.rate)?.to_dtype(x.dtype())?.affine(1.0 / (1.0 - self.rate), 0.0)?))
    }
}

impl Layer for Dropout {
    fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        scale(x, self.mask(x, pass)?.as_ref())
    }

    fn vjp<'a>(&'a self, x: &Tensor, pass: Pass) -> Result<(Tensor, Pullback<'a>)> {
        let mask = self.mask(x, pass)?;
        Ok((scale(x, mask.as_ref())?, Box::new(move |g| scale(g, mask.as_ref()))))
    }

    fn jvp(&self, x: &Jet, pass: Pass) -> Result<Jet> {
        match self.mask(&x.value()?, pass)? {
            None => Ok(x.clone()),
            Some(mask) => x.linear(|xx| Ok((xx * Tensor::cat(&[&mask, &mask], 0)?)?)),
        }
    }
}

fn scale(x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    Ok(match mask {
        Some(mask) => (x * mask)?,
        None => x.clone(),
    })
}
