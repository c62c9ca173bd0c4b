//! The enlarging of images.

use candle_core::Tensor;

use super::layer_list::number;
use super::{Curve, Gradients, Jet, Layer, LayerList, Pass, Pullback, Tape};
use crate::Result;

/// The layer that repeats each pixel as K×K pixels: `[B, C, H, W]` -> `[B, C, KH, KW]`.
///
/// Written as a broadcast: the gradient of candle's own nearest-neighbour upsampling overwrites what another use of the
/// same tensor, such as the residual branch of a block, has left there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upsample {
    factor: usize,
}

impl Upsample {
    /// Upsampling by K = `factor`.
    pub fn new(factor: usize) -> Self {
        Upsample { factor }
    }

    fn apply(self, x: &Tensor) -> Result<Tensor> {
        let ((b, c, h, w), k) = (x.dims4()?, self.factor);
        let spread = x.reshape((b, c, h, 1, w, 1))?.broadcast_as((b, c, h, k, w, k))?;
        Ok(spread.reshape((b, c, h * k, w * k))?)
    }

    /// The pull-back of upsampling: the sum of ȳ over each K×K window.
    fn gather(self, g: &Tensor) -> Result<Tensor> {
        let ((b, c, h, w), k) = (g.dims4()?, self.factor.max(1));
        Ok(g.reshape((b, c, h / k, k, w / k, k))?.sum((3, 5))?)
    }
}

impl Layer for Upsample {
    fn forward(&self, x: &Tensor, _: Pass) -> Result<Tensor> {
        self.apply(x)
    }

    fn vjp<'a>(&'a self, x: &Tensor, _: Pass) -> Result<(Tensor, Pullback<'a>)> {
        Ok((self.apply(x)?, Box::new(move |g| self.gather(g))))
    }

    fn record(&self, x: &Tensor, _: Pass, _: &mut Tape) -> Result<Tensor> {
        self.apply(x)
    }

    fn reverse(&self, g: &Tensor, _: &mut Tape, _: &mut Gradients, _: bool) -> Result<Option<Tensor>> {
        self.gather(g).map(Some)
    }

    fn jvp(&self, x: &Jet, _: Pass) -> Result<Jet> {
        x.linear(|xx| self.apply(xx))
    }

    fn curve(&self, x: &Curve, _: Pass) -> Result<Curve> {
        x.linear(|xx| self.apply(xx))
    }

    fn list(&self) -> Result<LayerList> {
        Ok(LayerList::of("upsample", &[("factor", number(self.factor))], &[]))
    }
}
