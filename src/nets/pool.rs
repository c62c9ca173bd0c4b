//! Pooling over pixels.

use candle_core::Tensor;

use super::layer_list::number;
use super::{Curve, Gradients, Jet, Layer, LayerList, Pass, Pullback, Tape};
use crate::ops::{self, Order};
use crate::{Error, Result};

/// The means over disjoint K×K windows: `[B, C, H, W]` -> `[B, C, H/K, W/K]`.
pub struct AvgPool {
    window: usize,
}

impl AvgPool {
    /// Pooling over windows of K = `window` pixels a side.
    pub fn new(window: usize) -> Self {
        AvgPool { window }
    }

    /// The size (H/K, W/K) of the output for images of size (H, W).
    ///
    /// # Errors
    /// K does not divide H and W: the last pixels would be dropped, and candle's gradient of that is wrong.
    pub fn output_size(&self, (h, w): (usize, usize)) -> Result<(usize, usize)> {
        let k = self.window;
        if k == 0 || h < k || w < k || !h.is_multiple_of(k) || !w.is_multiple_of(k) {
            return Err(Error::config(format!(
                "{h}x{w} pixels cannot be pooled in {k}x{k} windows; use fewer stages, or pad or crop the images"
            )));
        }
        Ok((h / k, w / k))
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        self.output_size((h, w))?;
        Ok(x.avg_pool2d(self.window)?)
    }

    /// The pull-back of pooling: ȳ/K² at every pixel of its window.
    fn spread(&self, g: &Tensor) -> Result<Tensor> {
        let (b, c, h, w) = g.dims4()?;
        let k = self.window;
        let g = g.affine(1.0 / (k * k) as f64, 0.0)?.reshape((b, c, h, 1, w, 1))?;
        Ok(g.broadcast_as((b, c, h, k, w, k))?.reshape((b, c, h * k, w * k))?)
    }
}

impl Layer for AvgPool {
    fn forward(&self, x: &Tensor, _: Pass) -> Result<Tensor> {
        self.apply(x)
    }

    fn vjp<'a>(&'a self, x: &Tensor, _: Pass) -> Result<(Tensor, Pullback<'a>)> {
        Ok((self.apply(x)?, Box::new(move |g| self.spread(g))))
    }

    fn record(&self, x: &Tensor, _: Pass, _: &mut Tape) -> Result<Tensor> {
        self.apply(x)
    }

    fn reverse(&self, g: &Tensor, _: &mut Tape, _: &mut Gradients, _: bool) -> Result<Option<Tensor>> {
        self.spread(g).map(Some)
    }

    fn jvp(&self, x: &Jet, _: Pass) -> Result<Jet> {
        x.linear(|xx| self.apply(xx))
    }

    fn curve(&self, x: &Curve, _: Pass) -> Result<Curve> {
        x.linear(|xx| self.apply(xx))
    }

    fn list(&self) -> Result<LayerList> {
        Ok(LayerList::of("pool", &[("window", number(self.window))], &[]))
    }
}

/// The sum or the mean over all pixels: `[B, C, H, W]` -> `[B, C]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobalPool {
    /// The sum over pixels, for energies that grow with the image.
    Sum,
    /// The mean over pixels, 1/(HW) Σ.
    Mean,
}

impl GlobalPool {
    /// The weight of each pixel: 1 for a sum, 1/`pixels` for a mean.
    fn share(self, pixels: usize) -> f64 {
        match self {
            GlobalPool::Sum => 1.0,
            GlobalPool::Mean => 1.0 / pixels.max(1) as f64,
        }
    }

    fn apply(self, x: &Tensor) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        Ok(ops::pixel_sum(x)?.affine(self.share(h * w), 0.0)?)
    }

    /// The pull-back: ȳ, or its share, at every pixel of an image of size (H, W), in an order.
    fn spread(self, g: &Tensor, (h, w): (usize, usize), order: Order) -> Result<Tensor> {
        ops::at_every_pixel(&g.affine(self.share(h * w), 0.0)?, (h, w), order)
    }
}

impl Layer for GlobalPool {
    fn forward(&self, x: &Tensor, _: Pass) -> Result<Tensor> {
        self.apply(x)
    }

    fn vjp<'a>(&'a self, x: &Tensor, _: Pass) -> Result<(Tensor, Pullback<'a>)> {
        let (size, order) = ((x.dim(2)?, x.dim(3)?), Order::of(&[x]));
        Ok((self.apply(x)?, Box::new(move |g| self.spread(g, size, order))))
    }

    fn record(&self, x: &Tensor, _: Pass, tape: &mut Tape) -> Result<Tensor> {
        tape.push(x.clone());
        self.apply(x)
    }

    fn reverse(&self, g: &Tensor, tape: &mut Tape, _: &mut Gradients, _: bool) -> Result<Option<Tensor>> {
        let x = tape.pop()?;
        self.spread(g, (x.dim(2)?, x.dim(3)?), Order::of(&[&x])).map(Some)
    }

    fn jvp(&self, x: &Jet, _: Pass) -> Result<Jet> {
        x.linear(|xx| self.apply(xx))
    }

    fn curve(&self, x: &Curve, _: Pass) -> Result<Curve> {
        x.linear(|xx| self.apply(xx))
    }

    fn list(&self) -> Result<LayerList> {
        let of = if *self == GlobalPool::Sum { "sum" } else { "mean" };
        Ok(LayerList::of("global_pool", &[("of", of.into())], &[]))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::rng::Key;

    #[test]
    fn pixels_go_through_as_they_lie() {
        let images = |name: &str| Key::new(1).with(name).normal((2, 3, 4, 5), DType::F64, &Device::Cpu).unwrap();
        let (x, v) = (images("x"), images("v"));
        let laid = Order::Last.images(&Order::Last.lay(&x).unwrap()).unwrap();
        let entries = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let pixels = |t: &Tensor| Order::of(&[t]) == Order::Last;
        for pool in [GlobalPool::Sum, GlobalPool::Mean] {
            let ((have, back), (want, straight)) =
                (pool.vjp(&laid, Pass::EVAL).unwrap(), pool.vjp(&x, Pass::EVAL).unwrap());
            entries(&have).iter().zip(entries(&want)).for_each(|(a, b)| assert!((a - b).abs() < 1e-14));
            let (have, want) = (back(&want).unwrap(), straight(&want).unwrap());
            assert!(pixels(&have) && !pixels(&want) && entries(&have) == entries(&want));
        }
        let jet = Jet::new(&laid, &v).unwrap();
        assert!(pixels(jet.stacked()) && pixels(&jet.tangent().unwrap()));
        assert!(entries(jet.stacked()) == entries(Jet::new(&x, &v).unwrap().stacked()));
        let (line, bent) = (Curve::line(&laid, &v).unwrap(), Curve::new(&laid, &v, &x).unwrap());
        let [sum, same] = [bent.plus(&line).unwrap(), line.plus(&bent).unwrap()];
        assert!(pixels(sum.stacked()) && entries(sum.stacked()) == entries(same.stacked()));
    }
}
