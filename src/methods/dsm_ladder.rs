//! Denoising score matching at all levels of a ladder (Song & Ermon 2019).

use candle_core::{DType, Tensor};

use super::example::example;
use super::learning::level_weight::{LevelWeight, LossWeight};
use super::learning::levels::{self, DENOISING, ENERGY, Levels, LevelsConfig, Noisy};
use super::learning::readings::{GRAD_NORM, Readings, mean};
use super::learning::trainable::Trainable;
use super::method::only;
use super::part::parts;
use super::{Method, MethodRow, Setup, StepContext};
use crate::config::{Schema, decode};
use crate::data::Batch;
use crate::density::Model;
use crate::metrics::{Metrics, Spent};
use crate::{Error, Result};

crate::config! {
    /// Keys of the method `dsm_ladder`; levels are the model's.
    pub struct DsmLadderConfig {
        /// Steps at the beginning in which -2f stands for the gradient of -⟨f, y⟩ (a ladder with form = "dot"), so that
        /// f learns to denoise in two fifths of the time (a U-Net on a CPU); then the gradient itself is trained on.
        field_steps: u64 = 0;
        /// Weight of the levels' losses: `noise`, mean |σ∇E - ε|²/D (Song & Ermon 2019); `edm`, (s² + σ²)/s² times
        /// that, s the data's standard deviation (Karras et al. 2022): the other leaves levels above s, at which images
        /// are laid out, almost without a say.
        weight: LossWeight = LossWeight::Noise;
    }
}

const NAME: &str = "dsm_ladder";

/// The method `dsm_ladder`: minimises mean |σ∇E(x + σε, σ) - ε|²/D over items and levels, one level an item and step
/// (Song & Ermon 2019, eq. 5-6, weight σ²). An energy -⟨f, y⟩ may begin as a denoiser f (`field_steps`; Thornton et al.
/// 2025, arXiv 2502.12786, begin at one that was trained before). It fixes ∇E at every level, and so E only up to one
/// constant for each mode that is far from the others: `diffclf` fixes these too.
pub(super) const ENTRY: MethodRow = MethodRow {
    name: NAME,
    about: "denoising score matching at all noise levels of one energy (model `ladder`)",
    cite: "Song & Ermon 2019, \"Generative Modeling by Estimating Gradients of the Data Distribution\", NeurIPS, eq. \
           5-6; arXiv 1907.05600",
    schema: Schema::of::<(DsmLadderConfig, LevelsConfig)>(),
    numbers: &[DENOISING, ENERGY, GRAD_NORM],
    cost: Spent { values: 0, gradients: 256 },
    proposal: Some(levels::flow),
    init: levels::INIT,
    example: example!(ladder, "dsm_ladder"),
    build: |table, setup| Ok(Box::new(DsmLadder::new(decode(table)?, setup)?)),
};

struct DsmLadder {
    config: DsmLadderConfig,
    levels: Levels,
    weight: LevelWeight,
    trained: Trainable<Model>,
}

impl DsmLadder {
    fn new((config, levels): (DsmLadderConfig, LevelsConfig), setup: Setup) -> Result<Self> {
        let levels = levels.of(&setup.model, NAME)?;
        if config.field_steps > 0 {
            let sigma = levels::sigmas(&setup.model, NAME)?.narrow(0, 0, 1)?;
            let item = [&[1], setup.model.shape()].concat();
            let x = Tensor::zeros(item, DType::F32, setup.data.device())?;
            setup.model.level_field(&sigma, &x)?.ok_or_else(without_field)?;
        }
        let weight = config.weight.on(setup.data, "weight")?;
        Ok(DsmLadder { config, levels, weight, trained: Trainable::model(setup.model, setup.optim)? })
    }
}

fn without_field() -> Error {
    Error::config("`method.field_steps` needs an energy -⟨f, y⟩ of a network f from items to items")
        .at("field_steps")
        .hint("--set model.form=dot, or --set method.field_steps=0")
}

parts!(DsmLadder: trained);

impl Method for DsmLadder {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let (x, own) = only(batches)?.beneath();
        let level = self.levels.draw(cx.key.with("levels"), x.dim(0)?, x.device())?;
        let (energy, missed, noisy) = self.trained.in_training(cx, |model| {
            let sigma = levels::sigmas(model, NAME)?.index_select(&level, 0)?;
            let noisy = Noisy::new(cx.key.with("noise"), x, own, &sigma)?;
            if cx.step >= self.config.field_steps {
                let (energy, missed) = noisy.denoising(&levels::at(model, &sigma, NAME)?)?;
                return Ok((energy, missed, noisy));
            }
            let [energy, field] = model.level_field(&sigma, &noisy.x)?.ok_or_else(without_field)?;
            let missed = noisy.missed_noise(&field)?;
            Ok((energy, missed, noisy))
        })?;
        let loss = self.weight.of(&missed, &noisy)?.mean_all()?;
        let grad_norm = self.trained.descend(&loss, cx.lr_scale)?;
        Readings::new().with("dsm", mean(&missed)?).with("energy", mean(&energy)?).with("grad_norm", grad_norm).read()
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }

    fn first_phase(&self) -> Option<(&'static str, u64)> {
        Some(("field_steps", self.config.field_steps))
    }

    fn advice(&self) -> Vec<String> {
        vec!["a higher level 0, since the gradient's noise grows as 1/σ (--set model.sigma_min=0.1)".to_owned()]
    }
}
