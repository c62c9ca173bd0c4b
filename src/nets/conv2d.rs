//! The two-dimensional convolution as a layer.

use candle_core::Tensor;

use super::layer_list::number;
use super::{Absorbing, Builder, Curve, Gradients, Init, Jet, Layer, LayerList, Pass, Pullback, Scaling, Tape, Weight};
use crate::ops::{self, Activation, Conv};
use crate::{Error, Result};

/// The convolution y = w ⋆ x + b: cross-correlation with square K×K kernels, stride and zero padding.
///
/// # Shapes
/// x `[B, I, H, W]`, w `[O, I, K, K]`, b `[O]`, y `[B, O, H', W']` with H' = ⌊(H + 2·padding - K)/stride⌋ + 1.
#[derive(Clone)]
pub struct Conv2d {
    weight: Weight,
    bias: Tensor,
    conv: Conv,
}

impl Conv2d {
    /// A convolution with w and b uniform on ±1/√(I·K²), PyTorch's default. Spectral norm is that of the matrix
    /// `[O, I·K²]`.
    ///
    /// # Errors
    /// As [`Builder::weight`].
    pub fn new(
        builder: &Builder,
        (input, output): (usize, usize),
        kernel: usize,
        conv: Conv,
        scaling: Scaling,
    ) -> Result<Self> {
        let fan_in = (input * kernel * kernel).max(1);
        let init = Init::Uniform(1.0 / (fan_in as f64).sqrt());
        let weight = Weight::new(builder, &[output, input, kernel, kernel], init, scaling)?;
        Ok(Conv2d { weight, bias: builder.weight("bias", &[output], init)?, conv })
    }

    /// A convolution with w = 0 and b = 0: the last layer of a network that is 0 until it is trained.
    ///
    /// # Errors
    /// As [`Builder::weight`].
    pub fn zero(builder: &Builder, (input, output): (usize, usize), kernel: usize, conv: Conv) -> Result<Self> {
        let weight = Weight::new(builder, &[output, input, kernel, kernel], Init::Constant(0.0), Scaling::Free)?;
        Ok(Conv2d { weight, bias: builder.weight("bias", &[output], Init::Constant(0.0))?, conv })
    }

    /// The size (H', W') of the output for images of size (H, W).
    ///
    /// # Errors
    /// The kernel is empty or larger than the padded image, the stride is 0, or the padding is as large as the image,
    /// which leaves kernel entries that never meet a pixel. Candle would go on with wrong numbers.
    pub fn output_size((h, w): (usize, usize), kernel: usize, conv: Conv) -> Result<(usize, usize)> {
        let (padded_h, padded_w) = (h + 2 * conv.padding, w + 2 * conv.padding);
        let fits = kernel > 0 && kernel <= padded_h.min(padded_w) && conv.padding < h.min(w);
        if conv.stride == 0 || !fits {
            let Conv { stride, padding } = conv;
            return Err(Error::config(format!(
                "a {kernel}x{kernel} convolution with stride {stride} and padding {padding} does not fit on {h}x{w} \
                 pixels; use fewer layers, smaller kernels or smaller strides"
            )));
        }
        let count = |padded: usize| (padded - kernel) / conv.stride + 1;
        Ok((count(padded_h), count(padded_w)))
    }
}

impl Layer for Conv2d {
    fn forward(&self, x: &Tensor, _: Pass) -> Result<Tensor> {
        ops::conv2d(x, self.weight.given(&self.weight.get()?), Some(&self.bias), self.conv)
    }

    fn vjp<'a>(&'a self, x: &Tensor, _: Pass) -> Result<(Tensor, Pullback<'a>)> {
        let w = self.weight.get()?;
        let y = ops::conv2d(x, self.weight.given(&w), Some(&self.bias), self.conv)?;
        let size = (x.dim(2)?, x.dim(3)?);
        Ok((y, Box::new(move |g| ops::conv2d_pullback(g, self.weight.given(&w), self.conv, size))))
    }

    fn absorbing(&self) -> Option<&dyn Absorbing> {
        Some(self)
    }

    fn record(&self, x: &Tensor, _: Pass, tape: &mut Tape) -> Result<Tensor> {
        let w = self.weight.get()?;
        let y = ops::conv2d(x, &w.detach(), Some(&self.bias.detach()), self.conv)?;
        tape.push(x.clone());
        tape.push(w);
        Ok(y)
    }

    fn reverse(&self, g: &Tensor, tape: &mut Tape, grads: &mut Gradients, wanted: bool) -> Result<Option<Tensor>> {
        let (w, x) = (tape.pop()?, tape.pop()?);
        self.weight.collect(&w, &ops::conv2d_weight_gradient(&x, g, self.conv, w.dim(2)?)?, grads)?;
        grads.add(&self.bias, ops::channel_sum(g)?)?;
        let size = (x.dim(2)?, x.dim(3)?);
        wanted.then(|| ops::conv2d_pullback(g, &w.detach(), self.conv, size)).transpose()
    }

    fn jvp(&self, x: &Jet, _: Pass) -> Result<Jet> {
        let w = self.weight.get()?;
        x.linear(|xx| ops::conv2d_jet(xx, &w, Some(&self.bias), self.conv))
    }

    fn curve(&self, x: &Curve, _: Pass) -> Result<Curve> {
        let w = self.weight.get()?;
        x.linear(|xx| ops::conv2d_stacked(xx, &w, Some(&self.bias), self.conv, x.blocks()))
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
        let (tensors, Conv { stride, padding }) = (self.weight.tensors(), self.conv);
        let kernel = tensors.first().and_then(|(_, weight)| weight.dims().last().copied()).unwrap_or(1);
        if padding != kernel.saturating_sub(1) / 2 {
            let what =
                format!("a {kernel}x{kernel} convolution with padding {padding} has no place in a list of layers");
            return Err(Error::Other(what));
        }
        let mut keys = vec![("channels", number(self.bias.elem_count()))];
        keys.extend([("kernel", number(kernel)), ("stride", number(stride))]);
        keys.extend(self.weight.scaling().key().map(|key| (key, true.into())));
        Ok(LayerList::of("conv", &keys, &[tensors, vec![("bias", &self.bias)]].concat()))
    }
}

impl Absorbing for Conv2d {
    fn forward_of(&self, act: Activation, u: &Tensor) -> Result<Tensor> {
        ops::conv2d_activated(act, u, self.weight.given(&self.weight.get()?), &self.bias, self.conv)
    }

    fn vjp_of<'a>(&'a self, act: Activation, u: &Tensor) -> Result<(Tensor, Pullback<'a>)> {
        let (w, u) = (self.weight.get()?, u.clone());
        let y = ops::conv2d_activated(act, &u, self.weight.given(&w), &self.bias, self.conv)?;
        Ok((y, Box::new(move |g| ops::conv2d_activated_pullback(act, &u, g, self.weight.given(&w), self.conv))))
    }

    fn record_of(&self, act: Activation, u: &Tensor, tape: &mut Tape) -> Result<Tensor> {
        let w = self.weight.get()?;
        let y = ops::conv2d_activated(act, u, &w.detach(), &self.bias.detach(), self.conv)?;
        tape.push(u.clone());
        tape.push(w);
        Ok(y)
    }

    fn reverse_of(
        &self,
        act: Activation,
        g: &Tensor,
        tape: &mut Tape,
        grads: &mut Gradients,
        wanted: bool,
    ) -> Result<Option<Tensor>> {
        let (w, u) = (tape.pop()?, tape.pop()?);
        let gw = ops::conv2d_activated_weight_gradient(act, &u, g, self.conv, w.dim(2)?)?;
        self.weight.collect(&w, &gw, grads)?;
        grads.add(&self.bias, ops::channel_sum(g)?)?;
        wanted.then(|| ops::conv2d_activated_pullback(act, &u, g, &w.detach(), self.conv)).transpose()
    }
}
