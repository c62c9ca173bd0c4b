//! Langevin sampling and a training step of a 4-convolution energy on 32×32 images, batch 64.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use ebm::{
    Result,
    kernels::{self, Activation::Swish, Conv},
    rng::Key,
};

use super::{Step, normal, optimiser};

const BATCH: usize = 64;

/// (inputs, outputs, kernel, geometry).
const LAYERS: [(usize, usize, usize, Conv); 4] = [
    (3, 32, 3, Conv { stride: 1, padding: 1 }),
    (32, 64, 4, Conv { stride: 2, padding: 1 }),
    (64, 128, 4, Conv { stride: 2, padding: 1 }),
    (128, 256, 4, Conv { stride: 2, padding: 1 }),
];

struct Energy {
    layers: Vec<(Tensor, Tensor, Conv)>,
    last: Tensor,
    weights: BTreeMap<String, Var>,
}

impl Energy {
    fn new() -> Result<Self> {
        let (mut layers, mut weights) = (Vec::new(), BTreeMap::new());
        for (i, (inputs, outputs, kernel, conv)) in LAYERS.into_iter().enumerate() {
            let std = 1.0 / ((inputs * kernel * kernel) as f64).sqrt();
            let w = Var::from_tensor(&normal(&format!("{i}.w"), &[outputs, inputs, kernel, kernel], std)?)?;
            let b = Var::from_tensor(&normal(&format!("{i}.b"), &[outputs], 0.1)?)?;
            layers.push((w.as_tensor().clone(), b.as_tensor().clone(), conv));
            weights.extend([(format!("{i}.w"), w), (format!("{i}.b"), b)]);
        }
        let last = Var::from_tensor(&normal("last", &[1, 4096], 1.0 / 64.0)?)?;
        weights.insert("last".into(), last.clone());
        Ok(Energy { layers, last: last.as_tensor().clone(), weights })
    }

    fn frozen(&self) -> Self {
        let layers = self.layers.iter().map(|(w, b, conv)| (w.detach(), b.detach(), *conv)).collect();
        Energy { layers, last: self.last.detach(), weights: BTreeMap::new() }
    }

    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let (mut h, mut inner) = (x.clone(), Vec::new());
        for (w, b, conv) in &self.layers {
            let u = kernels::channel_bias(&kernels::conv2d(&h, w, *conv)?, b)?;
            h = kernels::activate(Swish, &u)?;
            inner.push(u);
        }
        Ok((kernels::linear(&h.flatten_from(1)?, &self.last, None)?, inner))
    }

    fn gradient(&self, x: &Tensor) -> Result<Tensor> {
        let (y, mut inner) = self.forward(x)?;
        let mut g = kernels::linear_pullback(&y.ones_like()?, &self.last)?;
        for (w, _, conv) in self.layers.iter().rev() {
            let Some(u) = inner.pop() else { break };
            g = kernels::activate_pullback(Swish, &u, &g.reshape(u.shape())?)?;
            let (_, _, height, width) = inner.last().unwrap_or(x).dims4()?;
            g = kernels::conv2d_pullback(&g, w, *conv, (height, width))?;
        }
        Ok(g)
    }
}

/// 60 steps of x ← x - ½ε²∇E + εξ.
pub fn langevin() -> Result<Step> {
    let energy = Energy::new()?.frozen();
    let start = normal("x", &[BATCH, 3, 32, 32], 1.0)?;
    Ok(Box::new(move || {
        let mut x = start.clone();
        for step in 0..60 {
            let noise = Key::new(2).at(step).normal(x.shape(), DType::F32, &Device::Cpu)?;
            x = kernels::langevin_update(&x, &energy.gradient(&x)?, &noise, 5e-5, 1e-2)?;
        }
        Ok(())
    }))
}

/// One contrastive step: E(data) - E(samples), first-order, and Adam.
pub fn train() -> Result<Step> {
    let energy = Energy::new()?;
    let mut optimiser = optimiser(&energy.weights)?;
    let x = normal("x", &[BATCH, 3, 32, 32], 1.0)?;
    Ok(Box::new(move || {
        let y = energy.forward(&x)?.0;
        let half = BATCH / 2;
        let loss = (y.narrow(0, 0, half)?.mean_all()? - y.narrow(0, half, half)?.mean_all()?)?;
        optimiser.step(&loss.backward()?, 1.0).map(drop)
    }))
}
