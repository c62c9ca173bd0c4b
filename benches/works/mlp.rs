//! LSD on swish networks: the energy D-H-H-1, the critic D-H-H-D.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use ebm::{
    Result,
    kernels::{self, Activation::Swish},
};

use super::{Step, normal, optimiser};

/// Sizes of a work.
#[derive(Clone, Copy)]
pub struct Sizes {
    batch: usize,
    dim: usize,
    hidden: usize,
}

/// The paper's toys.
pub const TWO_D: Sizes = Sizes { batch: 100, dim: 2, hidden: 300 };

/// The paper's images.
pub const IMAGE: Sizes = Sizes { batch: 128, dim: 784, hidden: 1000 };

/// Three linear layers with swish between them.
pub struct Mlp {
    layers: Vec<(Tensor, Tensor)>,
    pub weights: BTreeMap<String, Var>,
}

impl Mlp {
    pub fn new(name: &str, sizes: [usize; 4]) -> Result<Self> {
        let (mut layers, mut weights) = (Vec::new(), BTreeMap::new());
        for (i, pair) in sizes.windows(2).enumerate() {
            let w = normal(&format!("{name}.{i}.w"), &[pair[1], pair[0]], 1.0 / (pair[0] as f64).sqrt())?;
            let (w, b) = (Var::from_tensor(&w)?, Var::from_tensor(&normal("b", &[pair[1]], 0.1)?)?);
            layers.push((w.as_tensor().clone(), b.as_tensor().clone()));
            weights.extend([(format!("{i}.w"), w), (format!("{i}.b"), b)]);
        }
        Ok(Mlp { layers, weights })
    }

    fn frozen(&self) -> Self {
        let layers = self.layers.iter().map(|(w, b)| (w.detach(), b.detach())).collect();
        Mlp { layers, weights: BTreeMap::new() }
    }

    /// The output, and what enters each swish.
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let (mut h, mut inner) = (x.clone(), Vec::new());
        for (i, (w, b)) in self.layers.iter().enumerate() {
            h = kernels::linear(&h, w, Some(b))?;
            if i + 1 < self.layers.len() {
                inner.push(h.clone());
                h = kernels::activate(Swish, &h)?;
            }
        }
        Ok((h, inner))
    }

    /// ∇ₓ of the summed output.
    fn gradient(&self, x: &Tensor) -> Result<Tensor> {
        let (y, inner) = self.forward(x)?;
        let mut g = y.ones_like()?;
        for (i, (w, _)) in self.layers.iter().enumerate().rev() {
            g = kernels::linear_pullback(&g, w)?;
            if i > 0 {
                g = kernels::activate_pullback(Swish, &inner[i - 1], &g)?;
            }
        }
        Ok(g)
    }

    /// [f(x); ∂f/∂x·ẋ] for [x; ẋ].
    fn jet(&self, xx: &Tensor) -> Result<Tensor> {
        let mut h = xx.clone();
        for (i, (w, b)) in self.layers.iter().enumerate() {
            h = kernels::linear_jet(&h, w, Some(b))?;
            if i + 1 < self.layers.len() {
                h = kernels::activate_jet(Swish, &h)?;
            }
        }
        Ok(h)
    }
}

struct Pair {
    x: Tensor,
    energy: Mlp,
    critic: Mlp,
}

fn pair(Sizes { batch, dim, hidden }: Sizes) -> Result<Pair> {
    Ok(Pair {
        x: normal("x", &[batch, dim], 1.0)?,
        energy: Mlp::new("energy", [dim, hidden, hidden, 1])?,
        critic: Mlp::new("critic", [dim, hidden, hidden, dim])?,
    })
}

/// max over φ: mean[s·f + εᵀ(∂f/∂x)ε - λ|f|²], with the score s = -∇ₓE computed anew, and Adam.
pub fn critic(sizes: Sizes) -> Result<Step> {
    let Pair { x, energy, critic } = pair(sizes)?;
    let (energy, mut optimiser) = (energy.frozen(), optimiser(&critic.weights)?);
    let probe = normal("probe", &[sizes.batch, sizes.dim], 1.0)?;
    Ok(Box::new(move || {
        let score = energy.gradient(&x)?.neg()?;
        let jet = critic.jet(&Tensor::cat(&[&x, &probe], 0)?)?;
        let stein = kernels::dot(&jet, &Tensor::cat(&[&score, &probe], 0)?)?.sum_all()?;
        let f = jet.narrow(0, 0, sizes.batch)?;
        let penalty = kernels::dot(&f, &f)?.sum_all()?;
        let loss = ((penalty * 10.0)? - stein)?.affine(1.0 / sizes.batch as f64, 0.0)?;
        optimiser.step(&loss.backward()?, 1.0).map(drop)
    }))
}

/// min over θ: mean[s·f] = -mean of E's derivative along f, and Adam.
pub fn model(sizes: Sizes) -> Result<Step> {
    let Pair { x, energy, critic } = pair(sizes)?;
    let (critic, mut optimiser) = (critic.frozen(), optimiser(&energy.weights)?);
    Ok(Box::new(move || {
        let f = critic.forward(&x)?.0;
        let jet = energy.jet(&Tensor::cat(&[&x, &f], 0)?)?;
        let loss = jet.narrow(0, sizes.batch, sizes.batch)?.mean_all()?.neg()?;
        optimiser.step(&loss.backward()?, 1.0).map(drop)
    }))
}

/// ∇ₓE with frozen weights.
pub fn gradient(sizes: Sizes) -> Result<Step> {
    let Pair { x, energy, .. } = pair(sizes)?;
    let energy = energy.frozen();
    Ok(Box::new(move || energy.gradient(&x).map(drop)))
}
