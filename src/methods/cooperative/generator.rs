//! The generators that start an energy's chains and learn from their ends.

use std::path::Path;

use candle_core::Tensor;

use super::super::learning::elbo::ElboConfig;
use super::super::learning::readings::{Readings, scalar};
use super::super::learning::trainable::Trainable;
use super::super::part::parts;
use super::super::{Part, StepContext};
use super::{CooperativeConfig, Draft};
use crate::data::Data;
use crate::density::{Stored, Vae};
use crate::nets::Builder;
use crate::{Error, Result, rng::Key};

/// A generator that learns from its own draws after a short chain of the energy has revised them (cooperative learning,
/// Xie, Lu, Gao & Wu 2018).
pub(super) trait TaughtGenerator: Part {
    /// One step on data before cooperative learning begins, with its numbers; `None` once it has begun.
    fn prepare(&mut self, _cx: &StepContext, _x: &Tensor) -> Result<Option<Readings>> {
        Ok(None)
    }

    /// The draws x̂, `[n, ..]`, and the ẑ that they are made of if the lesson needs it, given the conditions c
    /// `[n, C]`, if any.
    fn draw(&self, key: Key, n: usize, c: Option<&Tensor>) -> Result<(Tensor, Option<Tensor>)>;

    /// One step on revised draws, with its numbers.
    fn learn(&mut self, cx: &StepContext, draft: &Draft) -> Result<Readings>;
}

/// The loss of the generator on revised draws x̃.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lesson {
    /// The variational bound of x̃, where the encoder infers z anew.
    Bound,
    /// The regression -log p(x̃|ẑ) on the ẑ that the draw was made of.
    Regression,
}

/// The generator that is a VAE, or its decoder alone.
pub(super) struct Decoder {
    lesson: Lesson,
    elbo: ElboConfig,
    vae: Trainable<Vae>,
}

parts!(Decoder: vae);

/// The name of the generator in the state.
pub(super) const GENERATOR: &str = "generator";

impl Decoder {
    /// A new generator, or one that starts from the checkpoint `vae_ckpt`.
    pub fn new(
        config: &CooperativeConfig,
        elbo: ElboConfig,
        lesson: Lesson,
        (data, classes): (&Data, usize),
        key: Key,
    ) -> Result<Self> {
        let (device, shape) = (data.device(), &data.spec().shape);
        let build = |builder: &Builder| Vae::new(&config.vae, shape, classes, builder);
        let vae = Trainable::new(GENERATOR, &config.vae_optim, key, device, build)?;
        if !config.vae_ckpt.is_empty() {
            let path = Path::new(&config.vae_ckpt);
            let remedy = "give [method.vae] the keys of the run's own [model]";
            Stored::load(path, device)?.overwrite(vae.params(), &[""], path, remedy)?;
        }
        Ok(Decoder { lesson, elbo, vae })
    }
}

impl TaughtGenerator for Decoder {
    fn draw(&self, key: Key, n: usize, c: Option<&Tensor>) -> Result<(Tensor, Option<Tensor>)> {
        let z = self.vae.still.prior(key.with("z"), n)?;
        Ok((self.vae.still.mean(&z, c)?.detach(), Some(z)))
    }

    fn learn(&mut self, cx: &StepContext, draft: &Draft) -> Result<Readings> {
        let (loss, mut found) = match (self.lesson, &draft.z) {
            (Lesson::Bound, _) => {
                let key = cx.key.with("posterior");
                self.elbo.loss(&self.vae.live, key, cx.step, &draft.revised, draft.c.as_ref())?
            }
            (Lesson::Regression, Some(z)) => {
                let log_p = self.vae.live.log_likelihood(&draft.revised, z, draft.c.as_ref())?;
                let loss = log_p.mean_all()?.neg()?;
                let value = scalar(&loss)?;
                (loss, Readings::new().with("reconstruction", value))
            }
            (Lesson::Regression, None) => return Err(Error::Other("a draw without its latent variable".into())),
        };
        found.set("generator_grad_norm", self.vae.descend(&loss, cx.lr_scale)?);
        Ok(found)
    }
}
