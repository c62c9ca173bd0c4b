//! Arithmetic on values with their derivatives along a line or a curve, by which a formula that is written once has all
//! its forward passes.

use candle_core::{D, Tensor};

use crate::Result;
use crate::ops::{Activation, activate};

/// A function's value and derivatives f, f' and f'': one, two or three tensors. The operands of one operation have
/// equally many. Sizes broadcast, so that a first derivative may have several directions in a dimension in front.
#[derive(Clone)]
pub(super) struct Series(pub Vec<Tensor>);

impl Series {
    /// The value f.
    pub fn value(&self) -> Result<&Tensor> {
        self.at(0)
    }

    /// The i-th derivative, f itself for 0; an error if the series does not have it.
    pub fn at(&self, i: usize) -> Result<&Tensor> {
        self.0.get(i).ok_or_else(|| crate::Error::Other(format!("a series of {} terms has no term {i}", self.0.len())))
    }

    /// The image of every term under the same linear map.
    pub fn linear(&self, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        Ok(Series(self.0.iter().map(f).collect::<Result<_>>()?))
    }

    /// The product with a constant.
    pub fn scale(&self, by: f64) -> Result<Self> {
        self.linear(|t| Ok(t.affine(by, 0.0)?))
    }

    /// The sum f + c with a constant c.
    pub fn shift(&self, c: f64) -> Result<Self> {
        let mut terms = self.0.clone();
        if let Some(value) = terms.first_mut() {
            *value = value.affine(1.0, c)?;
        }
        Ok(Series(terms))
    }

    /// The sum of two series.
    pub fn plus(&self, other: &Series) -> Result<Self> {
        Ok(Series(self.0.iter().zip(&other.0).map(|(a, b)| a.broadcast_add(b)).collect::<std::result::Result<_, _>>()?))
    }

    /// The difference of two series.
    pub fn minus(&self, other: &Series) -> Result<Self> {
        self.plus(&other.scale(-1.0)?)
    }

    /// The product, with the derivatives by Leibniz.
    pub fn times(&self, other: &Series) -> Result<Self> {
        let product = |i: usize, j: usize| -> Result<Tensor> { Ok(self.at(i)?.broadcast_mul(other.at(j)?)?) };
        let mut terms = vec![product(0, 0)?];
        if self.0.len() > 1 {
            terms.push(product(1, 0)?.broadcast_add(&product(0, 1)?)?);
        }
        if self.0.len() > 2 {
            let middle = product(1, 1)?.affine(2.0, 0.0)?;
            terms.push(product(2, 0)?.broadcast_add(&middle)?.broadcast_add(&product(0, 2)?)?);
        }
        Ok(Series(terms))
    }

    /// The composition g(f), given g, g' and g'' at f: g'f' and g'f'' + g''f'² are its derivatives.
    fn through(&self, g: [Tensor; 3]) -> Result<Self> {
        let [value, slope, bend] = g;
        let mut terms = vec![value];
        if let Some(first) = self.0.get(1) {
            terms.push(first.broadcast_mul(&slope)?);
        }
        if let (Some(first), Some(second)) = (self.0.get(1), self.0.get(2)) {
            terms.push((second.broadcast_mul(&slope)? + first.sqr()?.broadcast_mul(&bend)?)?);
        }
        Ok(Series(terms))
    }

    /// The reciprocal 1/f.
    pub fn recip(&self) -> Result<Self> {
        let r = self.value()?.recip()?;
        let square = r.sqr()?;
        self.through([r.clone(), square.neg()?, (square * r)?.affine(2.0, 0.0)?])
    }

    /// The logarithm log f.
    pub fn ln(&self) -> Result<Self> {
        let r = self.value()?.recip()?;
        self.through([self.value()?.log()?, r.clone(), r.sqr()?.neg()?])
    }

    /// The softplus log(1 + exp f).
    pub fn softplus(&self) -> Result<Self> {
        let v = self.value()?;
        let slope = sigmoid(v)?;
        let bend = (&slope - slope.sqr()?)?;
        self.through([activate(Activation::Softplus, v)?, slope, bend])
    }

    /// The softmax over the last dimension.
    pub fn softmax(&self) -> Result<Self> {
        let top = self.value()?.detach().max_keepdim(D::Minus1)?;
        let e = self.value()?.broadcast_sub(&top)?.exp()?;
        let e = self.through([e.clone(), e.clone(), e])?;
        e.times(&e.linear(|t| Ok(t.sum_keepdim(D::Minus1)?))?.recip()?)
    }
}

/// The sigmoid 1/(1 + e⁻ᵛ) as ½(1 + tanh(v/2)), which neither overflows nor underflows.
pub(super) fn sigmoid(v: &Tensor) -> Result<Tensor> {
    Ok(activate(Activation::Tanh, &v.affine(0.5, 0.0)?)?.affine(0.5, 0.5)?)
}
