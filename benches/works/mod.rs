//! The works that are timed: each is one step of what training and sampling repeat millions of times, set up from a
//! configuration and run by the code that `ebm train` and `ebm sample` run.

mod growth;
mod image;
mod joint;
mod lsd;
mod method;
mod moves;
mod wide;

pub use growth::langevin as grown;

use candle_core::{DType, Device, Tensor};
use ebm::{
    Result,
    config::decode,
    methods::CriticConfig,
    nets::{Builder, Gradients, GroupNorm, Io, Layer as _, Network, Pass, Tape},
    ops::{self, Activation},
    optim,
    rng::Key,
    run::Experiment,
};

/// One repetition of a work.
pub type Step = Box<dyn FnMut() -> Result<()>>;

/// Sets a work up.
pub type Make = fn() -> Result<Step>;

/// Name and constructor of every work.
pub const WORKS: &[(&str, Make)] = &[
    ("critic-2d", || lsd::critic(lsd::TWO_D)),
    ("model-2d", || lsd::model(lsd::TWO_D)),
    ("grad-2d", || lsd::gradient(lsd::TWO_D)),
    ("ssm-2d", || method::step(100, 2, &method::energy(300), "sliced_score_matching")),
    ("nce-2d", || method::step(100, 2, &method::energy(300), "nce")),
    ("flow-mcmc-2d", method::flow_mcmc),
    ("critic-50d", || lsd::critic(lsd::WIDE_BATCH)),
    ("critic-image", || lsd::critic(lsd::IMAGE)),
    ("model-image", || lsd::model(lsd::IMAGE)),
    ("grad-image", || lsd::gradient(lsd::IMAGE)),
    ("ssm-image", || method::step(128, 784, &method::energy(1000), "sliced_score_matching")),
    ("vera-image", method::vera),
    ("vaebm-image", method::vaebm),
    ("langevin-60", image::langevin),
    ("conv-train", image::train),
    ("jem-step", || joint::step(joint::JEM)),
    ("vera-step", || joint::step(joint::VERA)),
    ("classifier-step", || joint::step(joint::CLASSIFIER)),
    ("jem-gradient", joint::gradient),
    ("vera-generator", joint::generator),
    ("wrn10-train", || wide::step(wide::WRN_10_2, wide::CLASSIFIER)),
    ("wrn10-grad", || wide::gradient(wide::WRN_10_2)),
    ("wrn10-jem", || wide::step(wide::WRN_10_2, joint::JEM)),
    ("wrn28-train", || wide::step(wide::WRN_28_10, wide::CLASSIFIER)),
    ("wrn28-grad", || wide::gradient(wide::WRN_28_10)),
    ("adam", adam),
    ("gemm", gemm),
    ("swish", swish),
    ("norm", norm),
    ("moves-streamed", || moves::streamed(moves::PICTURES)),
    ("moves", || moves::counted(moves::PICTURES)),
    ("moves-2d-streamed", || moves::streamed(moves::POINTS)),
    ("moves-2d", || moves::counted(moves::POINTS)),
];

/// An experiment with these sections and this method; the data are normal points with `dim` coordinates.
fn experiment(dim: usize, sections: &str, method: &str) -> Result<Experiment> {
    let data = format!("dataset = {{ name = \"gaussian\", dim = {dim} }}");
    let frame = format!("{data}\ntrain.steps = 1\nmethod.name = \"{method}\"\n");
    Experiment::parse("benchmark", &format!("{frame}{sections}"), &[])
}

/// Standard normal numbers.
fn normal(shape: &[usize]) -> Result<Tensor> {
    Key::new(1).normal(shape, DType::F32, &Device::Cpu)
}

/// Adam on the 2.6 million weights of a 784-1000-1000-784 network.
fn adam() -> Result<Step> {
    let experiment = experiment(784, "method.critic.hidden = [1000, 1000]", "lsd")?;
    let method: CriticConfig = decode(&experiment.resolved.section("method"))?;
    let net = Network::new(&method.critic, &Io::field(&[784]), &Builder::new(Key::new(0), DType::F32, &Device::Cpu))?;
    let mut loss = Tensor::zeros((), DType::F32, &Device::Cpu)?;
    for weight in net.params().weights.values() {
        loss = (loss + weight.sqr()?.sum_all()?)?;
    }
    let grads = loss.backward()?;
    let mut optimiser = optim::build(&experiment.resolved.spec("optim"), &net.params().weights)?;
    Ok(Box::new(move || optimiser.step(&grads, 1.0).map(drop)))
}

/// A product of matrices 1024×1024 by the machine's own library: what a step can hope for.
fn gemm() -> Result<Step> {
    let (a, b) = (normal(&[1024, 1024])?, normal(&[1024, 1024])?);
    Ok(Box::new(move || Ok(a.matmul(&b).map(drop)?)))
}

/// Swish of a million numbers, and its pull-back: arithmetic, if it is vector code.
fn swish() -> Result<Step> {
    let (u, v) = (normal(&[1 << 20])?, normal(&[1 << 20])?);
    Ok(Box::new(move || {
        ops::activate(Activation::Swish, &u)?;
        ops::activate_pullback(Activation::Swish, &u, &v).map(drop)
    }))
}

/// Group norm of 32 images of 64 channels in 8 groups, and its gradients for images and parameters.
fn norm() -> Result<Step> {
    let (x, g) = (normal(&[32, 64, 32, 32])?, normal(&[32, 64, 32, 32])?);
    let layer = GroupNorm::new(&Builder::new(Key::new(0), DType::F32, &Device::Cpu), 64, 8)?;
    Ok(Box::new(move || {
        let (mut tape, mut grads) = (Tape::default(), Gradients::default());
        layer.record(&x, Pass::EVAL, &mut tape)?;
        layer.reverse(&g, &mut tape, &mut grads, true).map(drop)
    }))
}
