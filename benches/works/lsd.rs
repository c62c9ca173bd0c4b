//! LSD on swish networks: the energy D-H-H-1 without a base density, the critic D-H-H-D.

use candle_core::Tensor;
use ebm::density::Energy as _;
use ebm::{
    Result,
    config::decode,
    methods::{Lsd, Method as _, Setup, StepContext},
    rng::Key,
};

use super::{Step, experiment, normal};

/// Sizes of a work.
#[derive(Clone, Copy)]
pub struct Sizes {
    batch: usize,
    dim: usize,
    hidden: usize,
}

/// The paper's toys.
pub const TWO_D: Sizes = Sizes { batch: 100, dim: 2, hidden: 300 };

/// A goodness-of-fit test in 50 dimensions.
pub const WIDE_BATCH: Sizes = Sizes { batch: 800, dim: 50, hidden: 300 };

/// The paper's images.
pub const IMAGE: Sizes = Sizes { batch: 128, dim: 784, hidden: 1000 };

/// The method with its model, and a batch.
fn method(Sizes { batch, dim, hidden }: Sizes) -> Result<(Lsd, Tensor)> {
    let hidden = format!("hidden = [{hidden}, {hidden}]");
    let sections = format!("model = {{ base = \"none\", net = {{ {hidden} }} }}\nmethod.critic = {{ {hidden} }}");
    let experiment = experiment(dim, &sections, "lsd")?;
    let data = experiment.data()?;
    let optim = experiment.resolved.spec("optim");
    let setup = Setup { model: experiment.model(&data)?, optim: &optim, data: &data, key: experiment.key() };
    Ok((Lsd::new(decode(&experiment.resolved.section("method"))?, setup)?, normal(&[batch, dim])?))
}

/// Contexts of one step after the other.
fn contexts() -> impl FnMut() -> StepContext {
    let mut step = 0;
    move || {
        step += 1;
        StepContext { step, key: Key::new(2).at(step), lr_scale: 1.0 }
    }
}

/// One critic update, the model's score computed anew.
pub fn critic(sizes: Sizes) -> Result<Step> {
    let ((mut lsd, x), mut next) = (method(sizes)?, contexts());
    Ok(Box::new(move || lsd.update_critic(&next(), 0, &x).map(drop)))
}

/// One model update.
pub fn model(sizes: Sizes) -> Result<Step> {
    let ((mut lsd, x), mut next) = (method(sizes)?, contexts());
    Ok(Box::new(move || lsd.update_model(&next(), &x).map(drop)))
}

/// ∇ₓE with frozen weights.
pub fn gradient(sizes: Sizes) -> Result<Step> {
    let (lsd, x) = method(sizes)?;
    let energy = lsd.model().frozen()?;
    Ok(Box::new(move || energy.grad(&x).map(drop)))
}
