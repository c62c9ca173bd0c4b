//! The composition of bijections.

use candle_core::Tensor;

use super::{Bijection, BijectionPullback, InversePullback};
use crate::Result;
use crate::nets::{Curve, Jet};

/// The composition f = f_n ∘ … ∘ f_1; the log-determinants add up.
#[derive(Default)]
pub struct Composition(Vec<Box<dyn Bijection>>);

impl Composition {
    /// Appends `next`, to be applied after the maps that are there.
    pub fn push(&mut self, next: impl Bijection + 'static) {
        self.0.push(Box::new(next));
    }

    /// The maps in the order in which x goes through them.
    pub fn parts(&self) -> impl Iterator<Item = &dyn Bijection> {
        self.0.iter().map(|part| part.as_ref())
    }
}

/// The log-determinants of maps that keep volume: zeros, one for each item of x.
pub(super) fn no_change(x: &Tensor) -> Result<Tensor> {
    Ok(Tensor::zeros(x.dim(0)?, x.dtype(), x.device())?)
}

impl Bijection for Composition {
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        self.0.iter().try_fold((x.clone(), no_change(x)?), |(x, sum), part| {
            let (z, log_det) = part.forward(&x)?;
            Ok((z, (sum + log_det)?))
        })
    }

    fn inverse(&self, z: &Tensor) -> Result<Tensor> {
        self.0.iter().rev().try_fold(z.clone(), |z, part| part.inverse(&z))
    }

    fn inverse_vjp<'a>(&'a self, z: &Tensor) -> Result<(Tensor, InversePullback<'a>)> {
        let (mut x, mut pulls) = (z.clone(), Vec::with_capacity(self.0.len()));
        for part in self.0.iter().rev() {
            let (next, pull) = part.inverse_vjp(&x)?;
            x = next;
            pulls.push(pull);
        }
        Ok((x, Box::new(move |g| pulls.iter().rev().try_fold(g.clone(), |g, pull| pull(&g)))))
    }

    fn vjp<'a>(&'a self, x: &Tensor) -> Result<(Tensor, Tensor, BijectionPullback<'a>)> {
        let mut pulls = Vec::with_capacity(self.0.len());
        let (mut z, mut sum) = (x.clone(), no_change(x)?);
        for part in &self.0 {
            let (next, log_det, pull) = part.vjp(&z)?;
            (z, sum) = (next, (sum + log_det)?);
            pulls.push(pull);
        }
        Ok((z, sum, Box::new(move |g, l| pulls.iter().rev().try_fold(g.clone(), |g, pull| pull(&g, l)))))
    }

    fn jvp(&self, x: &Jet) -> Result<(Jet, Jet)> {
        let start = (x.clone(), x.linear(no_change)?);
        self.0.iter().try_fold(start, |(x, sum), part| {
            let (z, log_det) = part.jvp(&x)?;
            Ok((z, sum.linear(|sum| Ok((sum + log_det.stacked())?))?))
        })
    }

    fn curve(&self, x: &Curve) -> Result<(Curve, Curve)> {
        let start = (x.clone(), x.linear(no_change)?);
        self.0.iter().try_fold(start, |(x, sum), part| {
            let (z, log_det) = part.curve(&x)?;
            Ok((z, sum.plus(&log_det)?))
        })
    }

    fn after_update(&self) -> Result<()> {
        self.0.iter().try_for_each(|part| part.after_update())
    }
}
