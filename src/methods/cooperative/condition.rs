//! The conditions of the draws of cooperative training: nothing, a class, or the known pixels of an image.

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::CooperativeConfig;
use crate::data::Batch;
use crate::density::{Counted, Energy, Freedom, Model, Proposal, Vae};
use crate::{Error, Result, rng::Key};

/// The condition of the draws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// No condition.
    #[default]
    None,
    /// The class: p(x|y) ∝ exp(f(x)[y]) of a model `classifier` with logits f.
    Class,
    /// The pixels outside `hole`: p(free | known) of any energy on images, the known pixels held at every step.
    Inpaint,
}

/// The condition of the generator's draws, on the data at hand.
pub(super) enum Given {
    Nothing,
    /// The class, one of K.
    Class(usize),
    /// The known coordinates, those that are not free.
    Known(Freedom),
}

impl Given {
    /// The condition that the configuration chooses, on items of the shape `item` of so many classes.
    ///
    /// # Errors
    /// The condition is a class and the data have no labels, or it is a part of an image and the items are no images.
    pub fn new(config: &CooperativeConfig, item: &[usize], classes: Option<usize>, device: &Device) -> Result<Self> {
        match (config.condition, classes, item) {
            (Condition::None, ..) => Ok(Given::Nothing),
            (Condition::Class, Some(k), _) if k > 1 => Ok(Given::Class(k)),
            (Condition::Class, ..) => Err(Error::config("`method.condition = \"class\"` needs data with labels")
                .at("condition")
                .hint("--set method.condition=none")),
            (Condition::Inpaint, _, &[c, h, w]) => {
                Ok(Given::Known(Freedom::new(item, &config.hole.mask([c, h, w]), device)?))
            }
            (Condition::Inpaint, ..) => Err(Error::config(format!(
                "`method.condition = \"inpaint\"` needs images, and an item has the shape {item:?}"
            ))
            .at("condition")
            .hint("--set dataset.flatten=false, or --set method.condition=none")),
        }
    }

    /// The number C of numbers that condition a VAE.
    pub fn width(&self) -> usize {
        match self {
            Given::Nothing => 0,
            Given::Class(k) => *k,
            Given::Known(freedom) => freedom.size(),
        }
    }

    /// The condition c `[B, C]` of the items of a batch: the class as an indicator, or the item with zeros in the place
    /// of its free coordinates; `None` without condition.
    pub fn of(&self, batch: &Batch) -> Result<Option<Tensor>> {
        match self {
            Given::Nothing => Ok(None),
            Given::Class(k) => {
                let y = batch.y.as_ref().ok_or_else(|| Error::Other("a batch without labels".into()))?;
                indicators(y, *k).map(Some)
            }
            Given::Known(freedom) => freedom.known(&batch.x).map(Some),
        }
    }

    /// The energy within the classes of the batch, if the condition is the class.
    pub fn class(&self, model: &Model, batch: &Batch) -> Option<Counted<Box<dyn Energy>>> {
        match (self, &batch.y) {
            (Given::Class(_), Some(y)) => model.given(y),
            _ => None,
        }
    }
}

/// The labels `[B]` as indicator rows, `[B, K]` in f32.
fn indicators(y: &Tensor, classes: usize) -> Result<Tensor> {
    let all = Tensor::arange(0u32, classes as u32, y.device())?.unsqueeze(0)?;
    Ok(y.unsqueeze(1)?.broadcast_eq(&all)?.to_dtype(DType::F32)?)
}

/// A generator that draws for classes, all equally likely, or for known pixels.
pub(super) struct Conditional {
    /// The conditional VAE.
    pub generator: Vae,
    /// The condition of its draws.
    pub given: Given,
}

impl Proposal for Conditional {
    fn draw(&self, key: Key, n: usize) -> Result<Tensor> {
        self.draw_labelled(key, n)?.map(|(x, _)| x).ok_or_else(|| {
            Error::config("the generator draws for known pixels, not by itself: it serves the probe `inpainting`")
                .at_path("sampler.init")
                .hint("--set sampler.init=normal")
        })
    }

    /// The draws, with class i mod K in row i.
    fn draw_labelled(&self, key: Key, n: usize) -> Result<Option<(Tensor, Tensor)>> {
        let Given::Class(classes) = self.given else { return Ok(None) };
        let z = self.generator.prior(key, n)?;
        let labels: Vec<u32> = (0..n).map(|i| (i % classes) as u32).collect();
        let y = Tensor::new(labels, z.device())?;
        let x = self.generator.mean(&z, Some(&indicators(&y, classes)?))?.detach();
        Ok(Some((x, y)))
    }

    fn complete(&self, key: Key, known: &Tensor) -> Result<Option<Tensor>> {
        let Given::Known(freedom) = &self.given else { return Ok(None) };
        let z = self.generator.prior(key, known.dim(0)?)?;
        Ok(Some(self.generator.mean(&z, Some(&freedom.known(known)?))?.detach()))
    }
}
