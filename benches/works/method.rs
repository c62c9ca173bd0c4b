//! One step of a method on dense networks, on normal points.

use ebm::{Result, data::Batch, methods::StepContext, rng::Key};

use super::{Step, experiment, normal};

/// One step of the method `name` on `batch` points with `dim` coordinates.
pub fn step(batch: usize, dim: usize, sections: &str, name: &str) -> Result<Step> {
    let experiment = experiment(dim, sections, name)?;
    let mut method = experiment.method(&experiment.data()?)?;
    let batches = [Batch { x: normal(&[batch, dim])?, y: None, clean: None }];
    let mut step = 0;
    Ok(Box::new(move || {
        step += 1;
        let cx = StepContext { step, key: Key::new(2).at(step), lr_scale: 1.0 };
        method.step(&cx, &batches).map(drop)
    }))
}

/// An energy D-H-H-1 without a base density.
pub fn energy(hidden: usize) -> String {
    format!("model = {{ base = \"none\", net = {{ hidden = [{hidden}, {hidden}] }} }}\n")
}

/// VERA: S = 20 importance samples, gradient penalty, a generator 128-500-500-784.
pub fn vera() -> Result<Step> {
    let keys = "method.generator = { name = \"mlp\", hidden = [500, 500] }\nmethod.gradient_penalty = 0.1\n\
                method.entropy_weight = 1e-4\nmethod.samples = 20\n";
    step(128, 784, &format!("{}{keys}", energy(1000)), "vera")
}

/// The second stage of VAEBM: ten Langevin steps in the noise space of a VAE, then a step of the tilt.
pub fn vaebm() -> Result<Step> {
    let keys = "model = { name = \"tilted\", net = { hidden = [512, 512] }, base = { name = \"vae\", latent = 32, \
                encoder = { name = \"mlp\", hidden = [512, 256] }, \
                decoder = { name = \"mlp\", hidden = [256, 512] } } }\n\
                method.vae_steps = 0\nmethod.energy_l2 = 0.001\n\
                method.sampler = { name = \"langevin\", steps = 10, step_size = 0.05 }\n";
    step(128, 784, keys, "vaebm")
}

/// flow-MCMC: 256 walkers, a global move by a RealNVP and five of MALA.
pub fn flow_mcmc() -> Result<Step> {
    let keys = "method.walkers = 256\nmethod.local_steps = 5\nmethod.local = { name = \"mala\", step_size = 0.2 }\n\
                method.flow = { name = \"real_nvp\", couplings = 6, hidden = [32, 32], activation = \"tanh\" }\n";
    step(128, 2, &format!("{}{keys}", energy(128)), "flow_mcmc")
}
