//! Denoising and the slope of the density in the noise level together: energies that are normalised at every level.

use super::example::example;
use super::learning::level_weight::{LevelWeight, LossWeight};
use super::learning::levels::{self, DENOISING, ENERGY, Levels, LevelsConfig, Noisy};
use super::learning::readings::{GRAD_NORM, Readings, mean};
use super::learning::trainable::Trainable;
use super::method::only;
use super::part::parts;
use super::{Method, MethodRow, Setup, StepContext};
use crate::Result;
use crate::config::{Schema, decode, rule};
use crate::data::Batch;
use crate::density::Model;
use crate::metrics::{Metrics, Number, Spent, Unit};

crate::config! {
    /// Keys of the method `time_score`.
    pub struct TimeScoreConfig {
        /// Weight of the slope in the level beside the denoising, which has 1.
        weight: f64 = 1.0, rule::non_negative;
        /// Weight of the levels' denoising losses: `noise`, or `edm` as `dsm_ladder` has it.
        level_weight: LossWeight = LossWeight::Noise;
    }
}

const NAME: &str = "time_score";

/// The method `time_score`: minimises mean |σ∇E - ε|²/D + w mean (∂E/∂ln σ + |ε|² - D)²/2D over items and levels, one
/// level an item and step. Its optimum is E(x, σ) = -log p_σ(x) with the normaliser, since that is known at the top.
pub(super) const ENTRY: MethodRow = MethodRow {
    name: NAME,
    about: "denoising score matching at all noise levels, and the slope of log p in the level, which carries weights \
            and normalisers down the ladder (model `ladder`)",
    cite: "the slope: Choi, Meng, Song, Ermon 2022, \"Density ratio estimation via infinitesimal classification\", \
           AISTATS; arXiv 2111.11010; with denoising, for energies: Guth, Kadkhodaie, Simoncelli 2025, \"Learning \
           normalized image densities via dual score matching\"; arXiv 2506.05310",
    schema: Schema::of::<(TimeScoreConfig, LevelsConfig)>(),
    numbers: &[
        DENOISING,
        Number::new(
            "time_score",
            Unit::Plain,
            "mean (∂E/∂ln σ + |ε|² - D)²/2D over levels: 1 for an energy that is the same at all of them",
        )
        .lower()
        .lead(),
        ENERGY,
        GRAD_NORM,
    ],
    cost: Spent { values: 0, gradients: 384 },
    proposal: Some(levels::flow),
    init: levels::INIT,
    example: example!(ladder, "time_score"),
    build: |table, setup| Ok(Box::new(TimeScore::new(decode(table)?, setup)?)),
};

struct TimeScore {
    config: TimeScoreConfig,
    levels: Levels,
    level_weight: LevelWeight,
    trained: Trainable<Model>,
}

impl TimeScore {
    fn new((config, levels): (TimeScoreConfig, LevelsConfig), setup: Setup) -> Result<Self> {
        let levels = levels.of(&setup.model, NAME)?;
        let level_weight = config.level_weight.on(setup.data, "level_weight")?;
        Ok(TimeScore { config, levels, level_weight, trained: Trainable::model(setup.model, setup.optim)? })
    }
}

parts!(TimeScore: trained);

impl Method for TimeScore {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let (x, own) = only(batches)?.beneath();
        let level = self.levels.draw(cx.key.with("levels"), x.dim(0)?, x.device())?;
        let [energy, dsm, weighed, time] = self.trained.in_training(cx, |model| {
            let sigma = levels::sigmas(model, NAME)?.index_select(&level, 0)?;
            let noisy = Noisy::new(cx.key.with("noise"), x, own, &sigma)?;
            let [energy, grad, slope] = levels::slopes(model, &sigma, &noisy.x, NAME)?;
            let missed = noisy.missed_noise(&grad)?;
            let weighed = self.level_weight.of(&missed, &noisy)?;
            Ok([energy, missed, weighed, noisy.missed_slope(&slope)?])
        })?;
        let loss = (weighed.mean_all()? + (time.mean_all()? * self.config.weight)?)?;
        let readings =
            Readings::new().with("dsm", mean(&dsm)?).with("time_score", mean(&time)?).with("energy", mean(&energy)?);
        let grad_norm = self.trained.descend(&loss, cx.lr_scale)?;
        readings.with("grad_norm", grad_norm).read()
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }

    fn advice(&self) -> Vec<String> {
        vec![
            "a higher level 0, since the gradient's noise grows as 1/σ (--set model.sigma_min=0.1)".to_owned(),
            "less weight of the slope, whose target has the variance 2D (--set method.weight=0.1)".to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use super::*;
    use crate::math::stats;
    use crate::rng::Key;

    /// Of N(0, vI), with noise of its own or not, at every level: ∂ log p_σ/∂ln σ = σ²/(v + σ²) (|x|²/(v + σ²) - D)
    /// leaves a rest of the target that has mean 0, alone and times any function of x, here |x|².
    #[test]
    fn the_targets_mean_is_the_slope_of_the_log_density_of_a_gaussian() {
        const N: usize = 6000;
        let (v, dim) = (1.7f64, 3);
        for (i, (sigma, own)) in [(0.3f64, 0.0), (1.0, 0.0), (4.0, 0.0), (0.5, 0.8)].into_iter().enumerate() {
            let key = Key::new(5).at(i as u64);
            let clean = (key.with("x").normal((N, dim), DType::F64, &Device::Cpu).unwrap() * v.sqrt()).unwrap();
            let level = Tensor::full(sigma, N, &Device::Cpu).unwrap();
            let noisy = Noisy::new(key.with("noise"), &clean, own, &level).unwrap();
            let (total, part) = (v + own * own + sigma * sigma, (sigma / sigma.hypot(own)).powi(2));
            let square = noisy.x.sqr().unwrap().sum(1).unwrap();
            let share = sigma * sigma / total;
            let of = |factor: f64| {
                let slope = square.affine(-share * factor / total, share * factor * dim as f64).unwrap();
                noisy.missed_slope(&slope).unwrap()
            };
            // (a s + t)² is a parabola in a: with its values at -1, 0, 1 its minimum is where s(t + a s) has mean 0.
            let [below, flat, exact] = [-1.0, 0.0, 1.0].map(|factor| of(factor).to_vec1::<f64>().unwrap());
            let bend: Vec<f64> = (0..N).map(|i| exact[i] + below[i] - 2.0 * flat[i]).collect();
            let rest: Vec<f64> = (0..N).map(|i| 0.5 * (exact[i] - below[i]) + bend[i]).collect();
            let (mean, error) = (stats::mean(&rest), stats::std_error(&rest));
            assert!(mean.abs() < 4.0 * error, "σ = {sigma}: {mean} ± {error}");
            // Without the slope the loss is the target's variance over 2D.
            let (mean, error) = (stats::mean(&flat), stats::std_error(&flat));
            assert!((mean - part * part).abs() < 4.0 * error, "σ = {sigma}: {mean} ± {error}");
            assert!(stats::mean(&exact) < mean && stats::mean(&below) > mean, "σ = {sigma}");
        }
    }
}
