//! Composition.

use candle_core::Tensor;

use super::{Curve, Jet, Layer, Pass, Pullback};
use crate::Result;

/// f = f_n ∘ … ∘ f_1. The pull-back runs through the layers in reverse.
#[derive(Default)]
pub struct Sequence(Vec<Box<dyn Layer>>);

impl Sequence {
    /// The identity.
    pub fn new() -> Self {
        Sequence::default()
    }

    /// Applies `layer` after what is there.
    pub fn push(&mut self, layer: impl Layer + 'static) {
        self.0.push(Box::new(layer));
    }

    /// [`Sequence::push`], chained.
    pub fn then(mut self, layer: impl Layer + 'static) -> Self {
        self.push(layer);
        self
    }
}

impl Layer for Sequence {
    fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        self.0.iter().try_fold(x.clone(), |x, layer| layer.forward(&x, pass))
    }

    fn vjp<'a>(&'a self, x: &Tensor, pass: Pass) -> Result<(Tensor, Pullback<'a>)> {
        let mut pulls = Vec::with_capacity(self.0.len());
        let mut y = x.clone();
        for layer in &self.0 {
            let (next, pull) = layer.vjp(&y, pass)?;
            y = next;
            pulls.push(pull);
        }
        Ok((y, Box::new(move |g| pulls.iter().rev().try_fold(g.clone(), |g, pull| pull(&g)))))
    }

    fn jvp(&self, x: &Jet, pass: Pass) -> Result<Jet> {
        self.0.iter().try_fold(x.clone(), |x, layer| layer.jvp(&x, pass))
    }

    fn curve(&self, x: &Curve, pass: Pass) -> Result<Curve> {
        self.0.iter().try_fold(x.clone(), |x, layer| layer.curve(&x, pass))
    }

    fn power_iterate(&self) -> Result<()> {
        self.0.iter().try_for_each(|layer| layer.power_iterate())
    }
}
