//! Items at the noise levels of a model that knows them, and denoising there (Song & Ermon 2019).

use candle_core::{Device, Tensor};
use rand::Rng as _;

use super::trainable::model_at_rest;
use crate::config::Spec;
use crate::density::{Counted, Energy, Model, ProbabilityFlow, Proposal, by_row};
use crate::methods::Standing;
use crate::metrics::{Number, Unit};
use crate::{Error, Result, ops, rng::Key};

/// The mean of [`Noisy::denoising`].
pub(in crate::methods) const DENOISING: Number =
    Number::new("dsm", Unit::Plain, "mean |σ∇E - ε|²/D over levels: 1 for a flat energy").lower().lead();

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
