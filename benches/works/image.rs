//! Langevin sampling and a training step of a 4-convolution energy on 32×32 images, batch 64.

use candle_core::{DType, Device};
use ebm::{
    Result,
    density::{Context, Energy as _, Model},
    optim,
    rng::Key,
    run::Experiment,
    samplers::{Kernel as _, Langevin, Target},
};

use super::{Step, experiment, normal};

const ITEM: [usize; 3] = [3, 32, 32];
const BATCH: [usize; 4] = [64, 3, 32, 32];

/// Convolutions of 3×3 and three times 4×4 with stride 2 and swish, a linear map of the 4096 features.
fn energy() -> Result<(Experiment, Model)> {
    let net = "model = { base = \"none\", net = { name = \"conv\", channels = [32, 64, 128, 256] } }";
    let experiment = experiment(2, net, "lsd")?;
    let context = Context { shape: ITEM.to_vec(), classes: None, moments: None };
    let model = Model::new(&experiment.resolved.spec("model"), &context, Key::new(0), DType::F32, &Device::Cpu)?;
    Ok((experiment, model))
}

/// 60 steps of a chain: 60 evaluations of energy and gradient.
pub fn langevin() -> Result<Step> {
    let energy = energy()?.1.frozen()?;
    let kernel = Langevin { step_size: 1e-2 };
    let start = kernel.init(&Target::of(&energy), &normal(&BATCH)?)?;
    Ok(Box::new(move || {
        let mut chain = start.clone();
        for step in 0..60 {
            chain = kernel.step(Key::new(2).at(step), &Target::of(&energy), &chain)?.0;
        }
        Ok(())
    }))
}

/// One contrastive step: E(data) - E(samples), first-order, and Adam.
pub fn train() -> Result<Step> {
    let (experiment, model) = energy()?;
    let mut optimiser = optim::build(&experiment.resolved.spec("optim"), &model.params().weights)?;
    let (x, half) = (normal(&BATCH)?, BATCH[0] / 2);
    Ok(Box::new(move || {
        let y = model.energy(&x)?;
        let loss = (y.narrow(0, 0, half)?.mean_all()? - y.narrow(0, half, half)?.mean_all()?)?;
        optimiser.step(&loss.backward()?, 1.0).map(drop)
    }))
}
