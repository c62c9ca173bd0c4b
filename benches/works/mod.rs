//! The works that are timed: each is one step of what training and sampling repeat millions of times.

mod image;
mod mlp;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use ebm::{
    Result,
    config::{Spec, find},
    optim::{self, OPTIMISERS, Optimiser},
    rng::Key,
};

/// One repetition of a work.
pub type Step = Box<dyn FnMut() -> Result<()>>;

/// Name and constructor of every work.
pub const WORKS: &[(&str, fn() -> Result<Step>)] = &[
    ("critic-2d", || mlp::critic(mlp::TWO_D)),
    ("model-2d", || mlp::model(mlp::TWO_D)),
    ("grad-2d", || mlp::gradient(mlp::TWO_D)),
    ("critic-image", || mlp::critic(mlp::IMAGE)),
    ("model-image", || mlp::model(mlp::IMAGE)),
    ("grad-image", || mlp::gradient(mlp::IMAGE)),
    ("langevin-60", image::langevin),
    ("conv-train", image::train),
    ("adam", adam),
];

/// Normal numbers times `std`.
fn normal(name: &str, shape: &[usize], std: f64) -> Result<Tensor> {
    Ok((Key::new(1).with(name).normal(shape, DType::F32, &Device::Cpu)? * std)?)
}

/// Adam at its defaults on these weights.
fn optimiser(weights: &BTreeMap<String, Var>) -> Result<Box<dyn Optimiser>> {
    let mut table = find(OPTIMISERS, "adam").map(|row| (row.schema.defaults)()).unwrap_or_default();
    table.insert("name".into(), "adam".into());
    optim::build(&Spec(table), weights)
}

/// Adam on the 2.6 million weights of a 784-1000-1000-784 network.
fn adam() -> Result<Step> {
    let weights = mlp::Mlp::new("critic", [784, 1000, 1000, 784])?.weights;
    let mut loss = Tensor::zeros((), DType::F32, &Device::Cpu)?;
    for weight in weights.values() {
        loss = (loss + weight.sqr()?.sum_all()?)?;
    }
    let (grads, mut optimiser) = (loss.backward()?, optimiser(&weights)?);
    Ok(Box::new(move || optimiser.step(&grads, 1.0).map(drop)))
}
