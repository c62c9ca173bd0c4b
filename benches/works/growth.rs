//! Langevin steps of a dense energy at any size: how time and memory grow.

use ebm::{
    Result,
    density::Energy as _,
    rng::Key,
    samplers::{Kernel as _, Langevin, Target},
};

use super::{Step, experiment, method, normal};

/// `steps` Langevin steps of `chains` chains on an energy D-H-H-1 with `dim` coordinates.
pub fn langevin(chains: usize, dim: usize, hidden: usize, steps: usize) -> Result<Step> {
    let experiment = experiment(dim, &method::energy(hidden), "none")?;
    let data = experiment.data()?;
    let energy = experiment.model(&data)?.frozen()?;
    energy.grad(&normal(&[1, dim])?)?;
    let kernel = Langevin { step_size: 1e-2 };
    let start = kernel.init(&Target::of(&energy), &normal(&[chains, dim])?)?;
    Ok(Box::new(move || {
        let mut chain = start.clone();
        for step in 0..steps as u64 {
            chain = kernel.step(Key::new(2).at(step), &Target::of(&energy), &chain)?.0;
        }
        Ok(())
    }))
}
