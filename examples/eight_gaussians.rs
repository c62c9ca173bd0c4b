//! Trains an energy on eight Gaussians by persistent contrastive divergence, with a training loop of its own:
//!
//! ```text
//! cargo run --release --example eight_gaussians
//! ```
//!
//! The loss E(data) - E(chains) has the gradient of the negative log-likelihood if the chains are draws from
//! exp(-E)/Z. They go on where they stood while the energy changes under them (Tieleman 2008).

#![allow(clippy::print_stdout)] // An example prints what it found.

use ebm::data::Split;
use ebm::density::Energy;
use ebm::optim;
use ebm::probes::Subject;
use ebm::rng::Key;
use ebm::run::Experiment;
use ebm::samplers::{Chain, Kernel, Mala, Target};

/// The data, a perceptron that tilts a Gaussian, and the probe that measures the log-likelihood on a grid.
const CONFIG: &str = "
    [dataset]
    name = '8gaussians'
    [model]
    base = 'diagonal'
    net = { name = 'mlp', hidden = [64, 64], activation = 'swish' }
    [method]
    name = 'none'
    [train]
    steps = 1
    [[probe]]
    name = 'nll'
    every = 1
    points = 100
";

const STEPS: u64 = 500;
const BATCH: usize = 128;

fn main() -> ebm::Result<()> {
    let experiment = Experiment::parse("eight_gaussians.toml", CONFIG, &[])?;
    let data = experiment.data()?;
    let model = experiment.model(&data)?;
    // The same network on the same storage, through which no gradient of the weights is kept.
    let still = model.frozen()?;
    let mut optimiser = optim::adam(2e-3, &model.params().weights)?;
    let kernel = Mala { step_size: 0.3, scale: None };

    let key = Key::new(7);
    let mut x = data.uniform_init(key.with("start"), BATCH)?;
    for step in 0..STEPS {
        let here = key.with("step").at(step);
        let target = Target::of(&still);
        let mut chain = Chain::at(&x);
        let mut accepted = 0.0;
        for i in 0..10 {
            let (next, info) = kernel.step(here.at(i), &target, &chain)?;
            accepted += info.read()?.accept.unwrap_or(1.0) / 10.0;
            chain = next;
        }
        x = chain.x;

        let batch = data.batch(Split::Train, step, BATCH)?.x;
        let loss = (model.energy(&batch)?.mean_all()? - model.energy(&x)?.mean_all()?)?;
        optimiser.step(&loss.backward()?, 1.0 - step as f64 / STEPS as f64)?;
        if step % 100 == 0 {
            println!("step {step:4}  E(data) - E(chains) {:8.4}  accepted {accepted:.2}", loss.to_scalar::<f32>()?);
        }
    }

    let sampler = experiment.sampler()?;
    let subject = Subject { model: &still, proposal: None, data: &data, sampler: &sampler, key: key.with("probe") };
    for probe in experiment.probes()? {
        let found = probe.probe.run(&subject)?.metrics;
        let number = |name| found.get(name).unwrap_or(f64::NAN);
        println!("log-likelihood of test items {:.3} nats, of the truth {:.3}", number("test_ll"), number("true_ll"));
    }
    Ok(())
}
