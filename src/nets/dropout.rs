//! Dropout as a layer.

use candle_core::Tensor;

use super::{Builder, Curve, Gradients, Jet, Layer, LayerList, Pass, Pullback, Tape};
use crate::Result;

/// Inverted dropout (Srivastava et al. 2014): y = m∘x/(1-p) with m ~ Bernoulli(1-p) for each number, or the identity
/// where [`Pass`] has no key.
///
/// The mask is a function of the pass's key and of the layer's path, so value, pull-back and tangent of one pass, and
/// the passes of a network and of its frozen copy, all see the same mask.
pub struct Dropout {
    rate: f64,
    path: String,
}

impl Dropout {
    /// A layer that drops each number with probability p = `rate`, in [0, 1).
    pub fn new(builder: &Builder, rate: f64) -> Self {
        Dropout { rate, path: builder.path().to_owned() }
    }

    /// The factor m/(1-p) of one pass on x, of x's shape; `None` where dropout is off.
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

    fn record(&self, x: &Tensor, pass: Pass, tape: &mut Tape) -> Result<Tensor> {
        let mask = self.mask(x, pass)?;
        tape.push(mask.clone());
        scale(x, mask.as_ref())
    }

    fn reverse(&self, g: &Tensor, tape: &mut Tape, _: &mut Gradients, _: bool) -> Result<Option<Tensor>> {
        scale(g, tape.pop_any().as_ref()).map(Some)
    }

    fn jvp(&self, x: &Jet, pass: Pass) -> Result<Jet> {
        match self.mask(&x.value()?, pass)? {
            None => Ok(x.clone()),
            Some(mask) => x.linear(|xx| Ok((xx * Tensor::cat(&[&mask, &mask], 0)?)?)),
        }
    }

    fn curve(&self, x: &Curve, pass: Pass) -> Result<Curve> {
        match self.mask(&x.value()?, pass)? {
            None => Ok(x.clone()),
            Some(mask) => x.linear(|xx| Ok((xx * Tensor::cat(&vec![&mask; x.blocks()], 0)?)?)),
        }
    }

    fn drops(&self) -> bool {
        self.rate > 0.0
    }

    /// A layer that drops nothing is left out.
    fn list(&self) -> Result<LayerList> {
        let drops = self.rate > 0.0;
        Ok(if drops { LayerList::of("dropout", &[("rate", self.rate.into())], &[]) } else { LayerList::default() })
    }
}

fn scale(x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    Ok(match mask {
        Some(mask) => (x * mask)?,
        None => x.clone(),
    })
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::rng::Key;

    const N: usize = 40_000;

    fn ones() -> Tensor {
        Tensor::ones((N / 100, 100), DType::F64, &Device::Cpu).unwrap()
    }

    fn dropped(rate: f64, path: &str, key: Key) -> Vec<f64> {
        let layer = Dropout::new(&Builder::new(Key::new(0), DType::F64, &Device::Cpu).sub(path), rate);
        layer.forward(&ones(), Pass::train(key)).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn the_mask_is_a_function_of_key_and_path() {
        let here = dropped(0.5, "a", Key::new(1));
        assert_eq!(here, dropped(0.5, "a", Key::new(1)));
        assert_ne!(here, dropped(0.5, "a", Key::new(2)));
        assert_ne!(here, dropped(0.5, "b", Key::new(1)));
    }

    #[test]
    fn it_keeps_the_share_it_says_and_the_mean() {
        for rate in [0.1, 0.5, 0.9] {
            let y = dropped(rate, "a", Key::new(3));
            let kept = y.iter().filter(|v| **v != 0.0).count() as f64;
            let z = (kept - N as f64 * (1.0 - rate)) / (N as f64 * rate * (1.0 - rate)).sqrt();
            assert!(z.abs() < 4.0, "rate {rate}: z = {z}");
            assert!(y.iter().all(|v| *v == 0.0 || (v * (1.0 - rate) - 1.0).abs() < 1e-12));
        }
    }

    #[test]
    fn it_is_the_identity_in_evaluation_and_masks_value_pull_back_and_tangent_alike() {
        let layer = Dropout::new(&Builder::new(Key::new(0), DType::F64, &Device::Cpu), 0.5);
        let sum = |t: &Tensor| t.sum_all().unwrap().to_scalar::<f64>().unwrap();
        assert_eq!(sum(&layer.forward(&ones(), Pass::EVAL).unwrap()), N as f64);
        let pass = Pass::train(Key::new(4));
        let (y, pull) = layer.vjp(&ones(), pass).unwrap();
        let jet = layer.jvp(&Jet::new(&ones(), &ones()).unwrap(), pass).unwrap();
        for other in [pull(&ones()).unwrap(), jet.value().unwrap(), jet.tangent().unwrap()] {
            assert_eq!(sum(&(&y - other).unwrap().abs().unwrap()), 0.0);
        }
    }
}
