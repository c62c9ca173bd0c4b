//! The fully connected layer.

use candle_core::Tensor;

use super::layer_list::number;
use super::{Builder, Curve, Gradients, Init, Jet, Layer, LayerList, Pass, Pullback, Scaling, Tape, Weight};
use crate::{Result, ops};

/// The layer y = x Wᵀ + b.
///
/// # Shapes
/// x `[B, I]`, W `[O, I]`, b `[O]`, y `[B, O]`.
#[derive(Clone)]
pub struct Linear {
    weight: Weight,
    bias: Tensor,
}

impl Linear {
    /// A layer with W and b uniform on ±1/√I, PyTorch's default, which the experiments of LSD use.
    ///
    /// # Errors
    /// As [`Builder::weight`].
    pub fn new(builder: &Builder, input: usize, output: usize, scaling: Scaling) -> Result<Self> {
        let init = Init::Uniform(1.0 / (input.max(1) as f64).sqrt());
        let weight = Weight::new(builder, &[output, input], init, scaling)?;
        Ok(Linear { weight, bias: builder.weight("bias", &[output], init)? })
    }

    /// A layer with W = 0 and b = 0: the last layer of a network that is 0 until it is trained.
    ///
    /// # Errors
    /// As [`Builder::weight`].
    pub fn zero(builder: &Builder, input: usize, output: usize) -> Result<Self> {
        let weight = Weight::new(builder, &[output, input], Init::Constant(0.0), Scaling::Free)?;
        Ok(Linear { weight, bias: builder.weight("bias", &[output], Init::Constant(0.0))? })
    }

    /// How W is scaled.
    pub fn scaling(&self) -> Scaling {
        self.weight.scaling()
    }

    /// Its tensors by name, W first.
    pub fn tensors(&self) -> Vec<(&'static str, &Tensor)> {
        [self.weight.tensors(), vec![("bias", &self.bias)]].concat()
    }

    /// The matrix that is applied, `[O, I]`: W, or under spectral or weight norm the scaled W.
    pub fn matrix(&self) -> Result<Tensor> {
        self.weight.get()
    }
}

impl Layer for Linear {
    fn forward(&self, x: &Tensor, _: Pass) -> Result<Tensor> {
        ops::linear(x, self.weight.given(&self.weight.get()?), Some(&self.bias))
    }

    fn vjp<'a>(&'a self, x: &Tensor, _: Pass) -> Result<(Tensor, Pullback<'a>)> {
        let w = self.weight.get()?;
        let y = ops::linear(x, self.weight.given(&w), Some(&self.bias))?;
        Ok((y, Box::new(move |g| ops::linear_pullback(g, self.weight.given(&w)))))
    }

    fn record(&self, x: &Tensor, _: Pass, tape: &mut Tape) -> Result<Tensor> {
        let w = self.weight.get()?;
        let y = ops::linear(x, &w.detach(), Some(&self.bias.detach()))?;
        tape.push(x.clone());
        tape.push(w);
        Ok(y)
    }

    fn reverse(&self, g: &Tensor, tape: &mut Tape, grads: &mut Gradients, wanted: bool) -> Result<Option<Tensor>> {
        let (w, x) = (tape.pop()?, tape.pop()?);
        self.weight.collect(&w, &ops::linear_weight_gradient(g, &x)?, grads)?;
        grads.add(&self.bias, ops::column_sum(g)?)?;
        wanted.then(|| ops::linear_pullback(g, &w.detach())).transpose()
    }

    fn jvp(&self, x: &Jet, _: Pass) -> Result<Jet> {
        let w = self.weight.get()?;
        x.linear(|xx| ops::linear_jet(xx, self.weight.given(&w), Some(&self.bias)))
    }

    fn curve(&self, x: &Curve, _: Pass) -> Result<Curve> {
        let w = self.weight.get()?;
        x.linear(|xx| ops::linear_stacked(xx, self.weight.given(&w), Some(&self.bias), x.blocks()))
    }

    fn features(&self, x: &Tensor, _: Pass) -> Result<Option<Tensor>> {
        Ok(Some(x.clone()))
    }

    fn power_iterate(&self) -> Result<()> {
        self.weight.power_iterate()
    }

    fn has_weight_norm(&self) -> bool {
        self.weight.has_norm()
    }

    fn calibrate(&self, x: &Tensor) -> Result<Tensor> {
        self.weight.calibrate(&self.bias, || self.forward(x, Pass::EVAL))
    }

    fn list(&self) -> Result<LayerList> {
        let mut keys = vec![("units", number(self.bias.elem_count()))];
        keys.extend(self.scaling().key().map(|key| (key, true.into())));
        Ok(LayerList::of("linear", &keys, &self.tensors()))
    }
}
