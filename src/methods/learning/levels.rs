//! Items at the noise levels of a model that knows them, and denoising there (Song & Ermon 2019).

use candle_core::{DType, Device, Tensor};
use rand::Rng as _;
use rand::distr::Distribution as _;
use rand::distr::weighted::WeightedIndex;

use super::trainable::model_at_rest;
use crate::config::Spec;
use crate::config::rule::Complaint;
use crate::density::{Counted, Energy, Model, ProbabilityFlow, Proposal, by_row};
use crate::methods::Standing;
use crate::metrics::{Number, Unit};
use crate::{Error, Result, ops, rng::Key};

/// The mean of [`Noisy::denoising`].
pub(in crate::methods) const DENOISING: Number =
    Number::new("dsm", Unit::Plain, "mean |σ∇E - ε|²/D over levels: 1 for a flat energy").lower().lead();

/// The mean energy of items at their levels: above that of samples, which are items of level 0.
pub(in crate::methods) const ENERGY: Number =
    Number::new("energy", Unit::Nats, "mean energy of the batch, each item under the noise of its level");

/// The number L of the model's noise levels.
///
/// # Errors
/// The model has none; the error names the method.
pub(in crate::methods) fn count(model: &Model, method: &str) -> Result<usize> {
    Ok(sigmas(model, method)?.dim(0)?)
}

/// The model's noise levels, `[L]`.
///
/// # Errors
/// As [`count`].
pub(in crate::methods) fn sigmas(model: &Model, method: &str) -> Result<Tensor> {
    model.levels()?.ok_or_else(|| without_levels(method))
}

/// The model's energy at the levels σ `[B]`.
///
/// # Errors
/// As [`count`].
pub(in crate::methods) fn at(model: &Model, sigma: &Tensor, method: &str) -> Result<Counted<Box<dyn Energy>>> {
    model.at_level(sigma).ok_or_else(|| without_levels(method))
}

/// The energies, gradients in x and slopes in ln σ of the model at the levels σ `[B]` of the items x.
///
/// # Errors
/// As [`count`].
pub(in crate::methods) fn slopes(model: &Model, sigma: &Tensor, x: &Tensor, method: &str) -> Result<[Tensor; 3]> {
    model.level_grad(sigma, x)?.ok_or_else(|| without_levels(method))
}

/// What `ebm init` writes for a method that denoises: pictures come down the levels with churn, and nothing moves
/// them at level 0.
pub(in crate::methods) const INIT: &[(&str, &str)] = &[
    ("model", "ladder"),
    ("pictures: sampler.init", "\"churned\""),
    ("pictures: sampler.level_steps", "1"),
    ("pictures: sampler.level_step_size", "0.85"),
    ("pictures: sampler.steps", "0"),
];

/// The probability flow of a run's model, as a proposal.
///
/// # Errors
/// A tensor is missing from the state or has another shape.
pub(in crate::methods) fn flow(method: &Spec, standing: &Standing) -> Result<Box<dyn Proposal>> {
    let model = model_at_rest(standing)?;
    Ok(Box::new(ProbabilityFlow::of(&model)?.ok_or_else(|| without_levels(method.name()))?))
}

fn without_levels(method: &str) -> Error {
    Error::config(format!("method `{method}` needs a model that knows noise levels"))
        .hint("--set model.name=ladder, which takes the place of `neural`")
}

/// `rows` by `n` levels of L = `count`, as indices row after row, `[rows · n]` u32. Those of one column are different:
/// neighbours from a random one upwards, or any.
///
/// # Errors
/// The device fails.
pub(in crate::methods) fn draw(
    key: Key,
    [rows, n]: [usize; 2],
    count: usize,
    neighbours: bool,
    device: &Device,
) -> Result<Tensor> {
    let mut rng = key.rng();
    let mut indices = vec![0u32; rows * n];
    for column in 0..n {
        let chosen: Vec<usize> = match neighbours {
            true => {
                let first = rng.random_range(0..=count.saturating_sub(rows));
                (first..first + rows).collect()
            }
            false => rand::seq::index::sample(&mut rng, count, rows.min(count)).into_vec(),
        };
        for (row, level) in chosen.into_iter().enumerate() {
            indices[row * n + column] = level as u32;
        }
    }
    Ok(Tensor::from_vec(indices, rows * n, device)?)
}

crate::config! {
    /// Keys of the methods that draw one level an item.
    pub struct LevelsConfig {
        /// Mean and standard deviation of ln σ, by whose normal density levels are drawn (Karras et al. 2022 take
        /// [-1.2, 1.2] for images); none: all levels alike.
        log_normal: Vec<f64> = Vec::new(), |v: &Vec<f64>| mean_and_std(v);
    }
}

fn mean_and_std(v: &[f64]) -> Complaint {
    match *v {
        [] => None,
        [_, std] if std > 0.0 => None,
        _ => Some("must be empty, or a mean and a positive standard deviation".into()),
    }
}

impl LevelsConfig {
    /// How the levels of a model are drawn.
    ///
    /// # Errors
    /// The model has none; the error names the method. All levels are so far from the mean that their density is 0.
    pub fn of(&self, model: &Model, method: &str) -> Result<Levels> {
        Levels::new(&sigmas(model, method)?, &self.log_normal)
    }
}

/// How one level an item is drawn.
pub(in crate::methods) struct Levels {
    count: usize,
    /// The levels' probabilities; all alike without.
    weights: Option<WeightedIndex<f64>>,
}

impl Levels {
    /// The levels σ `[L]`, drawn alike, or as the normal density of ln σ with the given mean and standard deviation.
    fn new(sigmas: &Tensor, log_normal: &[f64]) -> Result<Self> {
        let count = sigmas.dim(0)?;
        let &[mean, std] = log_normal else { return Ok(Levels { count, weights: None }) };
        let sigmas: Vec<f64> = sigmas.to_dtype(DType::F64)?.to_vec1()?;
        let densities = sigmas.iter().map(|sigma| (-0.5 * ((sigma.ln() - mean) / std).powi(2)).exp());
        let weights = WeightedIndex::new(densities).map_err(|_| {
            Error::config(format!("no level of the model is near ln σ = {mean}"))
                .at("log_normal")
                .hint("a mean between ln σ_min and ln σ_max of the model")
        })?;
        Ok(Levels { count, weights: Some(weights) })
    }

    /// `n` levels as indices, `[n]` u32.
    ///
    /// # Errors
    /// The device fails.
    pub fn draw(&self, key: Key, n: usize, device: &Device) -> Result<Tensor> {
        let Some(weights) = &self.weights else { return draw(key, [1, n], self.count, true, device) };
        let mut rng = key.rng();
        let indices: Vec<u32> = (0..n).map(|_| weights.sample(&mut rng) as u32).collect();
        Ok(Tensor::from_vec(indices, n, device)?)
    }
}

/// Clean items with noise of one level each.
pub(in crate::methods) struct Noisy {
    /// The noisy items x + σε, `[N, ..]`.
    pub x: Tensor,
    /// ε, of the same shape.
    noise: Tensor,
    /// σ, `[N]`.
    pub sigma: Tensor,
    /// √(s² + σ²), the standard deviation of all the noise on the clean items, `[N]`.
    width: Tensor,
}

impl Noisy {
    /// The items `clean` `[N, ..]` under fresh noise of the levels σ `[N]` on top of that of their data set, of
    /// standard deviation s ([`crate::data::Batch::beneath`]): both come in one draw, which is known whole.
    ///
    /// # Errors
    /// The device fails.
    pub fn new(key: Key, clean: &Tensor, own: f64, sigma: &Tensor) -> Result<Self> {
        let noise = key.normal(clean.shape(), clean.dtype(), clean.device())?;
        let width = if own > 0.0 { sigma.sqr()?.affine(1.0, own * own)?.sqrt()? } else { sigma.clone() };
        let x = (clean + by_row(&noise, &width)?)?;
        Ok(Noisy { x, noise, sigma: sigma.clone(), width })
    }

    /// ε, `[N, ..]`.
    pub fn noise(&self) -> &Tensor {
        &self.noise
    }

    /// √(s² + σ²), `[N]`.
    pub fn width(&self) -> &Tensor {
        &self.width
    }

    /// The energies and the denoising losses |τ∇E(x, σ) - ε|²/D of the items, `[N]` each, τ = √(s² + σ²): Vincent's
    /// |∇E - ε/τ|² times τ²/D, so that no level drowns the others. `energy` is that of the items' levels.
    ///
    /// # Errors
    /// The items have another shape than the model's.
    pub fn denoising(&self, energy: &dyn Energy) -> Result<(Tensor, Tensor)> {
        let (value, grad) = energy.grad(&self.x)?;
        Ok((value, self.missed_noise(&grad)?))
    }

    /// The denoising losses `[N]` of [`Noisy::denoising`], from the gradients ∇E(x, σ).
    ///
    /// # Errors
    /// The gradients have another shape than the items.
    pub fn missed_noise(&self, grad: &Tensor) -> Result<Tensor> {
        let left = (by_row(grad, &self.width)? - &self.noise)?;
        Ok(ops::dot(&left, &left)?.affine(1.0 / self.dim()?, 0.0)?)
    }

    /// (τ² + s²)/s², `[N]`, by which the denoising losses become those of a target of variance 1 at every level, s² the
    /// variance of the data (Karras et al. 2022, arXiv 2206.00364, table 1 and eq. 7-8).
    ///
    /// # Errors
    /// The device fails.
    pub fn unit_target(&self, variance: f64) -> Result<Tensor> {
        Ok(self.width.sqr()?.affine(1.0 / variance, 1.0)?)
    }

    /// The losses (∂E/∂ln σ + r(|ε|² - D))²/2D `[N]` of the slopes ∂E(x, σ)/∂ln σ `[N]`, r = σ²/τ²: ∂ log p_σ(x)/∂ln σ
    /// is the mean of r(|ε|² - D) over the noise of the items that are seen as x. The variance of |ε|² is 2D.
    ///
    /// # Errors
    /// Slopes of another number than the items.
    pub fn missed_slope(&self, slope: &Tensor) -> Result<Tensor> {
        let dim = self.dim()?;
        let share = (&self.sigma / &self.width)?.sqr()?;
        let target = (ops::dot(&self.noise, &self.noise)?.affine(1.0, -dim)? * share)?;
        Ok((slope + target)?.sqr()?.affine(0.5 / dim, 0.0)?)
    }

    /// D.
    fn dim(&self) -> Result<f64> {
        Ok((self.noise.elem_count() / self.noise.dim(0)?.max(1)) as f64)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;
    use crate::density::known::Known;
    use crate::methods::learning::score;

    /// Karras et al. 2022, table 1: D = c_skip x + c_out F, whose F has the target (clean - c_skip x)/c_out. For any
    /// gradient, here x/2, the weighted loss is the squared error of F; the target of N(0, s²I) has variance 1 at every
    /// level.
    #[test]
    fn the_weighted_loss_is_that_of_a_target_of_variance_one() {
        let (n, dim, s2, own) = (4000, 3, 0.4f64, 0.2f64);
        for sigma in [0.1f64, 1.0, 6.0] {
            let clean = (Key::new(1).normal((n, dim), DType::F64, &Device::Cpu).unwrap() * s2.sqrt()).unwrap();
            let level = Tensor::full(sigma, n, &Device::Cpu).unwrap();
            let noisy = Noisy::new(Key::new(2), &clean, own, &level).unwrap();
            let t2 = own * own + sigma * sigma;
            let (skip, out) = (s2 / (s2 + t2), (t2 * s2 / (s2 + t2)).sqrt());
            let by_f = |x: &Tensor| ((x - (&noisy.x * skip).unwrap()).unwrap() / out).unwrap();
            let denoised = (&noisy.x * (1.0 - 0.5 * t2)).unwrap();
            let missed = (by_f(&denoised) - by_f(&clean)).unwrap().sqr().unwrap().mean(1).unwrap();
            let grad = (&noisy.x * 0.5).unwrap();
            let loss = (noisy.missed_noise(&grad).unwrap() * noisy.unit_target(s2).unwrap()).unwrap();
            let apart = (&loss - &missed).unwrap().abs().unwrap().max(0).unwrap().to_scalar::<f64>().unwrap();
            let largest = missed.max(0).unwrap().to_scalar::<f64>().unwrap();
            assert!(apart < 1e-12 * largest, "σ = {sigma}: {apart} of {largest}");
            let variance = by_f(&clean).sqr().unwrap().mean_all().unwrap().to_scalar::<f64>().unwrap();
            let error = (2.0 / (n * dim) as f64).sqrt();
            assert!((variance - 1.0).abs() < 4.0 * error, "σ = {sigma}: {variance} ± {error}");
        }
    }

    /// One level is denoising score matching (Vincent 2011) times 2σ²/D, but for the term |ε|²/D that the model has no
    /// part in.
    #[test]
    fn one_level_is_denoising_score_matching() {
        let known = Known::new(&[vec![-1.0, 0.5, 0.0], vec![1.0, 1.0, -2.0]], &[0.3, 0.7], 0.8);
        let (n, sigma) = (50, 0.3f64);
        let clean = known.draws(Key::new(1), n, 0.0);
        let level = Tensor::full(sigma, n, &Device::Cpu).unwrap();
        let noisy = Noisy::new(Key::new(2), &clean, 0.0, &level).unwrap();
        let (_, loss) = noisy.denoising(&known.at(&level)).unwrap();
        let plain = score::denoising(&known.at(&level), Key::new(2), &clean, sigma).unwrap().objective().unwrap();
        let square = ops::dot(noisy.noise(), noisy.noise()).unwrap();
        let want = (plain.affine(2.0 * sigma * sigma, 0.0).unwrap() + square).unwrap().affine(1.0 / 3.0, 0.0).unwrap();
        let apart = (loss - want).unwrap().abs().unwrap().max(0).unwrap().to_scalar::<f64>().unwrap();
        assert!(apart < 1e-9, "{apart}");
    }

    #[test]
    fn levels_are_drawn_by_the_normal_density_of_their_logarithms() {
        let sigmas = Tensor::new(&[0.1f64, 0.5, 2.0, 9.0], &Device::Cpu).unwrap();
        let n = 40_000;
        for (log_normal, by) in [(vec![-0.5, 1.1], true), (Vec::new(), false)] {
            let levels = Levels::new(&sigmas, &log_normal).unwrap();
            let drawn: Vec<u32> = levels.draw(Key::new(3), n, &Device::Cpu).unwrap().to_vec1().unwrap();
            let density = |sigma: f64| if by { (-((sigma.ln() + 0.5) / 1.1).powi(2) / 2.0).exp() } else { 1.0 };
            let densities = [0.1, 0.5, 2.0, 9.0].map(density);
            let total: f64 = densities.iter().sum();
            for (i, p) in densities.iter().map(|p| p / total).enumerate() {
                let share = drawn.iter().filter(|&&level| level as usize == i).count() as f64 / n as f64;
                let error = (p * (1.0 - p) / n as f64).sqrt();
                assert!((share - p).abs() < 4.0 * error, "level {i}: {share} for {p} ± {error}");
            }
        }
        let far = Levels::new(&sigmas, &[400.0, 0.1]).err().unwrap().to_string();
        assert!(far.contains("ln σ = 400"), "{far}");
    }
}
