//! The skip connection.

use candle_core::Tensor;

use super::{Curve, Jet, Layer, LayerList, Pass, Pullback};
use crate::Result;

/// y = [x, f(x)], joined along the channels (or the coordinates of a vector), as in DenseNet (Huang et al. 2017) and
/// U-Net (Ronneberger et al. 2015).
///
/// # Shapes
/// x `[B, C, ..]`, f(x) `[B, D, ..]`, y `[B, C + D, ..]`.
pub struct Skip {
    body: Box<dyn Layer>,
}

/// The dimension of channels in a batch.
const CHANNELS: usize = 1;

impl Skip {
    /// The connection around `body`, the layer f.
    pub fn new(body: impl Layer + 'static) -> Self {
        Skip { body: Box::new(body) }
    }
}

impl Layer for Skip {
    fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        Ok(Tensor::cat(&[x, &self.body.forward(x, pass)?], CHANNELS)?)
    }

    fn vjp<'a>(&'a self, x: &Tensor, pass: Pass) -> Result<(Tensor, Pullback<'a>)> {
        let (y, pull) = self.body.vjp(x, pass)?;
        let (own, made) = (x.dim(CHANNELS)?, y.dim(CHANNELS)?);
        let back = move |g: &Tensor| {
            let through = pull(&g.narrow(CHANNELS, own, made)?.contiguous()?)?;
            Ok((g.narrow(CHANNELS, 0, own)? + through)?)
        };
        Ok((Tensor::cat(&[x, &y], CHANNELS)?, Box::new(back)))
    }

    fn jvp(&self, x: &Jet, pass: Pass) -> Result<Jet> {
        let y = self.body.jvp(x, pass)?;
        Ok(Jet::from_stacked(Tensor::cat(&[x.stacked(), y.stacked()], CHANNELS)?))
    }

    fn curve(&self, x: &Curve, pass: Pass) -> Result<Curve> {
        x.beside(&self.body.curve(x, pass)?, CHANNELS)
    }

    fn power_iterate(&self) -> Result<()> {
        self.body.power_iterate()
    }

    fn has_weight_norm(&self) -> bool {
        self.body.has_weight_norm()
    }

    fn drops(&self) -> bool {
        self.body.drops()
    }

    fn reads_level(&self) -> bool {
        self.body.reads_level()
    }

    fn calibrate(&self, x: &Tensor) -> Result<Tensor> {
        Ok(Tensor::cat(&[x, &self.body.calibrate(x)?], CHANNELS)?)
    }

    fn list(&self) -> Result<LayerList> {
        Ok(LayerList::block("skip", vec![("layers", self.body.list()?)]))
    }
}
