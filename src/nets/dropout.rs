//! Dropout as a layer.

use candle_core::Tensor;

use super::{Builder, Curve, Gradients, Jet, Layer, LayerList, Pass, Pullback, Tape};
use crate::Result;
use crate::ops::{self, Dropping};
use crate::rng::Key;

/// Inverted dropout (Srivastava et al. 2014): y = m∘x/(1-p) with m ~ Bernoulli(1-p) for each number, or the identity
/// where [`Pass`] has no key.
///
/// The mask is made in the operation and kept nowhere. It is a function of the pass's key and of the layer's path, so
/// value, pull-back and tangent of one pass, and the passes of a network and of its frozen copy, all see the same mask.
pub struct Dropout {
    rate: f64,
    path: String,
}

impl Dropout {
    /// A layer that drops each number with probability p = `rate`, in [0, 1).
    pub fn new(builder: &Builder, rate: f64) -> Self {
        Dropout { rate, path: builder.path().to_owned() }
    }

    /// The tensor x of equal blocks of a batch, with one mask for all; itself where dropout is off.
    fn dropped(&self, x: &Tensor, blocks: usize, key: Option<Key>) -> Result<Tensor> {
        let Some(key) = key.filter(|_| self.rate > 0.0) else { return Ok(x.clone()) };
        ops::dropout(x, &Dropping { rate: self.rate, counter: key.with(&self.path).counter(), blocks })
    }
}

impl Layer for Dropout {
    fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        self.dropped(x, 1, pass.dropout)
    }

    fn vjp<'a>(&'a self, x: &Tensor, pass: Pass) -> Result<(Tensor, Pullback<'a>)> {
        let key = pass.dropout;
        Ok((self.dropped(x, 1, key)?, Box::new(move |g| self.dropped(g, 1, key))))
    }

    fn record(&self, x: &Tensor, pass: Pass, tape: &mut Tape) -> Result<Tensor> {
        tape.push_key(pass.dropout);
        self.dropped(x, 1, pass.dropout)
    }

    fn reverse(&self, g: &Tensor, tape: &mut Tape, _: &mut Gradients, _: bool) -> Result<Option<Tensor>> {
        self.dropped(g, 1, tape.pop_key()).map(Some)
    }

    fn jvp(&self, x: &Jet, pass: Pass) -> Result<Jet> {
        x.linear(|xx| self.dropped(xx, 2, pass.dropout))
    }

    fn curve(&self, x: &Curve, pass: Pass) -> Result<Curve> {
        x.linear(|xx| self.dropped(xx, x.blocks(), pass.dropout))
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

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

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
