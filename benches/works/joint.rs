//! A step of JEM and one of VERA on the same network: WRN-10-2 on 8×8 digits, batch 32, a generator of about a third of
//! its multiplications.

use ebm::{
    Result,
    config::decode,
    data::Split,
    density::{Energy as _, Generator, GeneratorConfig},
    methods::StepContext,
    nets::Builder,
    rng::Key,
    run::Experiment,
};

use super::Step;

const BATCH: usize = 32;

/// K = 20 steps of SGLD, ∇ₓE by the pull-back alone.
pub const JEM: &str = "name = \"jem\"\nbuffer = 1000\nsampler = { name = \"sgld\", steps = 20, init = \"uniform\" }";

/// S = 20 importance samples, gradient penalty, labels.
pub const VERA: &str = "name = \"vera\"\nclassify = 1.0\ngradient_penalty = 0.1\nentropy_weight = 1e-4\n\
                        squash = \"tanh\"\n\
    samples = 20\ngenerator = { name = \"resnet_generator\", widths = [32] }";

/// The plain classifier.
pub const CLASSIFIER: &str = "name = \"classifier\"";

fn experiment(method: &str) -> Result<Experiment> {
    let text = format!(
        "[dataset]\nname = \"digits\"\n[model]\nname = \"classifier\"\n\
         net = {{ name = \"wide_resnet\", depth = 10, width = 2 }}\n[method]\n{method}\n[train]\nsteps = 1\n"
    );
    Experiment::parse("benchmark", &text, &[])
}

/// One step of a method.
pub fn step(method: &str) -> Result<Step> {
    let experiment = experiment(method)?;
    let data = experiment.data()?;
    let mut method = experiment.method(&data)?;
    let batches = [data.batch(Split::Train, 0, BATCH)?];
    let mut step = 0;
    Ok(Box::new(move || {
        step += 1;
        method.step(&StepContext { step, key: Key::new(2).at(step), lr_scale: 1e-3 }, &batches).map(drop)
    }))
}

/// ∇ₓE of a batch: what JEM does K times a step.
pub fn gradient() -> Result<Step> {
    let experiment = experiment(JEM)?;
    let data = experiment.data()?;
    let model = experiment.model(&data)?.frozen()?;
    let x = data.batch(Split::Train, 0, BATCH)?.x;
    Ok(Box::new(move || model.grad(&x).map(drop)))
}

/// g(z) of a batch: what VERA does S times a step, and five times more.
pub fn generator() -> Result<Step> {
    let experiment = experiment(VERA)?;
    let data = experiment.data()?;
    let section = experiment.resolved.section("method");
    let net: ebm::config::Spec = ebm::config::Spec::new(section["generator"].as_table().cloned().unwrap_or_default());
    let config: GeneratorConfig = decode(&section)?;
    let builder = Builder::new(Key::new(0), candle_core::DType::F32, data.device());
    Generator::new(&config, &net, &data.spec().shape, &builder)?;
    let frozen = Builder::bound(builder.finish().tensors(), candle_core::DType::F32, data.device());
    let generator = Generator::new(&config, &net, &data.spec().shape, &frozen)?;
    let z = generator.prior(Key::new(1), BATCH)?;
    Ok(Box::new(move || generator.mean(&z).map(drop)))
}
