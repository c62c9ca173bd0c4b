//! The composition of layers.

use candle_core::Tensor;

use super::{Absorbing, Curve, Gradients, Jet, Layer, LayerList, Pass, Pullback, Tape};
use crate::Result;
use crate::ops::Activation;

/// The composition f = f_n ∘ … ∘ f_1. The pull-back runs through the layers in reverse. A non-linearity and the layer
/// behind it are one where that layer can apply it on the way.
#[derive(Default)]
pub struct Sequence(Vec<Box<dyn Layer>>);

impl Sequence {
    /// The empty composition: the identity.
    pub fn new() -> Self {
        Sequence::default()
    }

    /// Appends `layer`, to be applied after the layers that are there.
    pub fn push(&mut self, layer: impl Layer + 'static) {
        self.0.push(Box::new(layer));
    }

    /// Appends a layer that is boxed already.
    pub fn push_boxed(&mut self, layer: Box<dyn Layer>) {
        self.0.push(layer);
    }

    /// The composition with `layer` appended: [`Sequence::push`], chained.
    pub fn then(mut self, layer: impl Layer + 'static) -> Self {
        self.push(layer);
        self
    }
}

/// A layer, or two that are one.
enum Step<'a> {
    One(&'a dyn Layer),
    Two(Activation, &'a dyn Absorbing),
}

impl Sequence {
    /// The number of layers at the start that only change the shape.
    fn views(&self) -> usize {
        self.0.iter().take_while(|layer| layer.is_view()).count()
    }

    /// The steps behind the first `skipped` layers.
    fn steps(&self, skipped: usize) -> Vec<Step<'_>> {
        let (mut steps, mut layers) = (Vec::with_capacity(self.0.len()), self.0.iter().skip(skipped).peekable());
        while let Some(layer) = layers.next() {
            let behind = layers.peek().and_then(|next| next.absorbing());
            steps.push(match layer.activation().zip(behind) {
                Some((act, behind)) => {
                    layers.next();
                    Step::Two(act, behind)
                }
                None => Step::One(layer.as_ref()),
            });
        }
        steps
    }
}

impl Layer for Sequence {
    fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        self.steps(0).into_iter().try_fold(x.clone(), |x, step| match step {
            Step::One(layer) => layer.forward(&x, pass),
            Step::Two(act, layer) => layer.forward_of(act, &x),
        })
    }

    fn vjp<'a>(&'a self, x: &Tensor, pass: Pass) -> Result<(Tensor, Pullback<'a>)> {
        let (mut y, mut pulls) = (x.clone(), Vec::with_capacity(self.0.len()));
        for step in self.steps(0) {
            let (next, pull) = match step {
                Step::One(layer) => layer.vjp(&y, pass)?,
                Step::Two(act, layer) => layer.vjp_of(act, &y)?,
            };
            y = next;
            pulls.push(pull);
        }
        Ok((y, Box::new(move |g| pulls.iter().rev().try_fold(g.clone(), |g, pull| pull(&g)))))
    }

    fn record(&self, x: &Tensor, pass: Pass, tape: &mut Tape) -> Result<Tensor> {
        let views = self.views();
        tape.push((views > 0).then(|| x.clone()));
        let viewed = self.0.iter().take(views).try_fold(x.clone(), |x, layer| layer.forward(&x, pass))?;
        self.steps(views).into_iter().try_fold(viewed, |x, step| match step {
            Step::One(layer) => layer.record(&x, pass, tape),
            Step::Two(act, layer) => layer.record_of(act, &x, tape),
        })
    }

    /// The first layer that learns pulls back to its input only where the caller waits for x̄.
    fn reverse(&self, g: &Tensor, tape: &mut Tape, grads: &mut Gradients, wanted: bool) -> Result<Option<Tensor>> {
        let mut g = Some(g.clone());
        for (i, step) in self.steps(self.views()).into_iter().enumerate().rev() {
            let Some(here) = g else { break };
            let wanted = wanted || i > 0;
            g = match step {
                Step::One(layer) => layer.reverse(&here, tape, grads, wanted)?,
                Step::Two(act, layer) => layer.reverse_of(act, &here, tape, grads, wanted)?,
            };
        }
        match (g, tape.pop_any()) {
            (Some(g), Some(x)) => Ok(Some(g.reshape(x.dims())?)),
            (g, _) => Ok(g),
        }
    }

    fn jvp(&self, x: &Jet, pass: Pass) -> Result<Jet> {
        self.0.iter().try_fold(x.clone(), |x, layer| layer.jvp(&x, pass))
    }

    fn curve(&self, x: &Curve, pass: Pass) -> Result<Curve> {
        self.0.iter().try_fold(x.clone(), |x, layer| layer.curve(&x, pass))
    }

    /// The features of the last layer that has any.
    fn features(&self, x: &Tensor, pass: Pass) -> Result<Option<Tensor>> {
        let (mut x, mut found) = (x.clone(), None);
        for layer in &self.0 {
            found = layer.features(&x, pass)?.or(found);
            x = layer.forward(&x, pass)?;
        }
        Ok(found)
    }

    fn power_iterate(&self) -> Result<()> {
        self.0.iter().try_for_each(|layer| layer.power_iterate())
    }

    fn has_weight_norm(&self) -> bool {
        self.0.iter().any(|layer| layer.has_weight_norm())
    }

    fn drops(&self) -> bool {
        self.0.iter().any(|layer| layer.drops())
    }

    fn reads_level(&self) -> bool {
        self.0.iter().any(|layer| layer.reads_level())
    }

    fn calibrate(&self, x: &Tensor) -> Result<Tensor> {
        self.0.iter().try_fold(x.clone(), |x, layer| layer.calibrate(&x))
    }

    fn list(&self) -> Result<LayerList> {
        let mut list = LayerList::default();
        for layer in &self.0 {
            list.append(layer.list()?);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::nets::{Builder, Conv2d, Linear, Nonlinear, NonlinearName, Residual, Scaling};
    use crate::ops::Conv;
    use crate::rng::Key;

    #[test]
    fn features_are_what_the_last_linear_layer_reads() {
        let builder = Builder::new(Key::new(1), DType::F64, &Device::Cpu);
        let linear = |name: &str, from, to| Linear::new(&builder.sub(name), from, to, Scaling::Free).unwrap();
        let bend = || Nonlinear::new(&builder, NonlinearName::Tanh, 5, false).unwrap();
        let last = linear("last", 5, 2);
        let body = Sequence::new().then(linear("first", 3, 5)).then(bend());
        // A linear layer within a branch is not the last of the whole.
        let net = body
            .then(Residual::new(Sequence::new().then(linear("inner", 5, 5))))
            .then(last.clone())
            .then(Sequence::new());
        let x = Key::new(2).normal((4, 3), DType::F64, &Device::Cpu).unwrap();
        let features = net.features(&x, Pass::EVAL).unwrap().unwrap();
        assert_eq!(features.dims(), [4, 5]);
        let values = |t: Tensor| t.to_vec2::<f64>().unwrap();
        let (whole, by_features) = (net.forward(&x, Pass::EVAL).unwrap(), last.forward(&features, Pass::EVAL).unwrap());
        assert_eq!(values(whole), values(by_features));
        assert!(Sequence::new().then(bend()).features(&x, Pass::EVAL).unwrap().is_none());
    }

    #[test]
    fn a_non_linearity_and_the_convolution_behind_it_are_one_with_the_same_numbers() {
        let builder = Builder::new(Key::new(1), DType::F64, &Device::Cpu);
        let window = Conv { stride: 1, padding: 1 };
        let conv = |name: &str, sizes| Conv2d::new(&builder.sub(name), sizes, 3, window, Scaling::Free).unwrap();
        let bend = || Nonlinear::Fixed(Activation::Swish);
        // A non-linearity at the end and two in a row have no convolution behind them.
        let layers: Vec<Box<dyn Layer>> = vec![
            Box::new(conv("a", (2, 3))),
            Box::new(bend()),
            Box::new(bend()),
            Box::new(conv("b", (3, 2))),
            Box::new(bend()),
        ];
        let x = Key::new(2).normal((2, 2, 5, 4), DType::F64, &Device::Cpu).unwrap();
        let (mut y, mut pulls) = (x.clone(), Vec::new());
        for layer in &layers {
            let (next, pull) = layer.vjp(&y, Pass::EVAL).unwrap();
            y = next;
            pulls.push(pull);
        }
        let pulled = pulls.iter().rev().try_fold(y.clone(), |g, pull| pull(&g)).unwrap();
        drop(pulls);
        let net = Sequence(layers);
        let (value, pull) = net.vjp(&x, Pass::EVAL).unwrap();
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(values(&net.forward(&x, Pass::EVAL).unwrap()), values(&y));
        assert_eq!(values(&value), values(&y));
        values(&pull(&y).unwrap()).iter().zip(values(&pulled)).for_each(|(a, b)| assert!((a - b).abs() < 1e-14));
    }
}
