//! Starts from the top of a noise ladder: annealed Langevin dynamics, predictor and corrector, and Heun with churn.

use candle_core::{DType, Tensor};

use crate::density::{Energy, Model};
use crate::ops::{self, LangevinMove};
use crate::{Error, Result, rng::Key};

/// The way down the noise levels of a model that knows them, from its normal density at the top to level 0. What
/// arrives follows the gradients of the levels, not exp(-E): a start of chains, which know its density nowhere.
#[derive(Clone, Copy, Debug)]
pub struct Descent {
    /// Langevin steps at each level; on the other ways, the steps into which each gap between two levels is divided.
    pub steps: usize,
    /// r, the standard deviation of a Langevin step's noise, or of what churn adds before a step: in units of the
    /// level's σ, or with a predictor, of the ratio of the noise's norm to that of the gradient.
    pub step_size: f64,
}

/// The levels and the place of a walk.
struct Walk<'a> {
    model: &'a Model,
    /// σ_0 < … < σ_{L-1}.
    levels: Vec<f64>,
    x: Tensor,
    key: Key,
    drawn: u64,
}

impl Descent {
    /// Annealed Langevin dynamics (Song & Ermon 2019, algorithm 1): at every level from the top down `steps` steps
    /// x ← x - ½ε²∇E(x, σ) + ε ξ with ε = r σ. Draws `[n, ..]`.
    ///
    /// # Errors
    /// The model has no levels.
    pub fn annealed(&self, key: Key, model: &Model, n: usize) -> Result<Tensor> {
        let mut walk = Walk::new(key, model, n)?;
        for sigma in walk.levels.clone().into_iter().rev() {
            let step = self.step_size * sigma;
            for _ in 0..self.steps {
                let grad = walk.grad(sigma)?;
                walk.step(&grad, 0.5 * step * step, step)?;
            }
        }
        Ok(walk.x)
    }

    /// Predictor and corrector (Song et al. 2021, algorithms 2 and 4): from σ' to the next lower σ, geometric between
    /// the levels, x ← x - (σ'² - σ²)∇E(x, σ') + √(σ'² - σ²) ξ, then a Langevin step at σ whose noise is r|ξ|/|∇E|
    /// wide, the norms being means over the chains. Draws `[n, ..]`.
    ///
    /// # Errors
    /// The model has no levels.
    pub fn corrected(&self, key: Key, model: &Model, n: usize) -> Result<Tensor> {
        let mut walk = Walk::new(key, model, n)?;
        let finer = walk.finer(self.steps);
        for pair in finer.windows(2) {
            let &[high, low] = pair else { continue };
            let (grad, gap) = (walk.grad(high)?, high * high - low * low);
            walk.step(&grad, gap, gap.sqrt())?;
            let grad = walk.grad(low)?;
            let slope = grad.flatten_from(1)?.sqr()?.sum(1)?.sqrt()?.mean_all()?.to_dtype(DType::F64)?;
            let noise = ((grad.elem_count() / n.max(1)) as f64).sqrt();
            // A flat place has no direction to correct; noise wider than the level leaves it.
            let step = (self.step_size * noise / slope.to_scalar::<f64>()?).min(low);
            walk.step(&grad, 0.5 * step * step, step)?;
        }
        Ok(walk.x)
    }

    /// Heun's method on the probability flow with churn (Karras et al. 2022, algorithm 2, S_noise = 1): from σ' to the
    /// next lower σ, geometric between the levels, first noise that makes the level σ̂ = σ'√(1 + r²), at most that of
    /// the top, then one step of dx/dσ = σ∇E from σ̂ to σ. The fresh noise lets the walk forget errors of the flow.
    /// Their γ is √(1 + r²) - 1. Draws `[n, ..]`.
    ///
    /// # Errors
    /// The model has no levels.
    pub fn churned(&self, key: Key, model: &Model, n: usize) -> Result<Tensor> {
        let mut walk = Walk::new(key, model, n)?;
        let finer = walk.finer(self.steps);
        let top = finer.first().copied().unwrap_or(f64::INFINITY);
        for pair in finer.windows(2) {
            let &[high, low] = pair else { continue };
            let raised = (high * self.step_size.hypot(1.0)).min(top);
            let still = walk.x.clone();
            walk.step(&still, 0.0, (raised * raised - high * high).max(0.0).sqrt())?;
            let (from, slope) = (walk.x.clone(), (walk.grad(raised)? * raised)?);
            walk.x = (&from - (&slope * (raised - low))?)?;
            let slope = (slope + (walk.grad(low)? * low)?)?;
            walk.x = (from - (slope * (0.5 * (raised - low)))?)?;
        }
        Ok(walk.x)
    }
}

impl<'a> Walk<'a> {
    fn new(key: Key, model: &'a Model, n: usize) -> Result<Self> {
        let (Some(levels), Some(top)) = (model.levels()?, model.top()?) else { return Err(without_levels()) };
        let levels = levels.to_dtype(DType::F64)?.to_vec1()?;
        let x = top.sample(key.with("top"), n)?;
        Ok(Walk { model, levels, x, key: key.with("steps"), drawn: 0 })
    }

    /// The levels from the top down with n steps, geometric, from each to the next.
    fn finer(&self, n: usize) -> Vec<f64> {
        let n = n.max(1);
        let between = |pair: &[f64]| -> Vec<f64> {
            let &[low, high] = pair else { return Vec::new() };
            (0..n).map(|i| high * (low / high).powf(i as f64 / n as f64)).collect()
        };
        let mut all: Vec<f64> = self.levels.windows(2).rev().flat_map(between).collect();
        all.extend(self.levels.first());
        all
    }

    fn grad(&self, sigma: f64) -> Result<Tensor> {
        let level = Tensor::full(sigma, self.x.dim(0)?, self.x.device())?.to_dtype(self.x.dtype())?;
        let energy = self.model.at_level(&level).ok_or_else(without_levels)?;
        Ok(energy.grad(&self.x)?.1.detach())
    }

    /// x ← x - drift ∇ + noise ξ.
    fn step(&mut self, grad: &Tensor, drift: f64, noise: f64) -> Result<()> {
        let fresh = self.key.at(self.drawn).counter();
        self.drawn += 1;
        self.x = ops::langevin_move(&self.x, grad, &LangevinMove::free(drift, noise), fresh)?;
        Ok(())
    }
}

/// The error of a model that knows no noise levels.
pub(super) fn without_levels() -> Error {
    Error::config(
        "`sampler.init` = annealed, corrected and churned go down the noise levels of a model that knows them",
    )
    .at("init")
    .hint("--set sampler.init=normal, or a model `ladder`")
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::config::Spec;
    use crate::data::Moments;
    use crate::density::{self, Context};
    use crate::math::stats;

    /// A ladder whose network is zero: the exact energies of N(0.5, 2²) at every level.
    fn normal() -> Model {
        let keys = "levels = 12\nsigma_min = 0.1\nnet = { name = \"mlp\", hidden = [4] }";
        let spec = Spec::of_text(density::schemas, "ladder", keys).unwrap();
        let of = |value: f32| Tensor::full(value, 3, &Device::Cpu).unwrap();
        let moments = Moments { mean: of(0.5), std: of(2.0), overall_mean: 0.5, overall_std: 2.0 };
        let context = Context { shape: vec![3], classes: None, moments: Some(&|| Ok(moments.clone())) };
        let model = Model::new(&spec, &context, Key::new(0), DType::F32, &Device::Cpu).unwrap();
        let weights = model.params().weights.values();
        weights.for_each(|weight| crate::ops::assign(weight, &weight.zeros_like().unwrap()).unwrap());
        model.frozen().unwrap()
    }

    #[test]
    fn both_ways_end_at_the_density_of_level_0() {
        let (model, n) = (normal(), 1000);
        let check = |x: Result<Tensor>, within: [f64; 2]| {
            let x = x.unwrap().flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
            let (mean, width) = (stats::mean(&x), stats::std(&x) / 4.01f64.sqrt());
            assert!((mean - 0.5).abs() < 0.2 && width > within[0] && width < within[1], "{mean}, {width}");
        };
        // Steps of annealed Langevin shrink with σ, so that the width stays as it was where they became too short:
        // by the recursion of the variance 1.02 times the exact one, and 1.31 times with few short steps.
        check(Descent { steps: 100, step_size: 0.45 }.annealed(Key::new(1), &model, n), [0.99, 1.12]);
        check(Descent { steps: 20, step_size: 0.3 }.annealed(Key::new(1), &model, n), [1.15, 3.0]);
        check(Descent { steps: 20, step_size: 0.3 }.corrected(Key::new(1), &model, n), [0.95, 1.05]);
    }

    /// Of a normal density all three are linear in x, so that the variance of what comes down is known.
    #[test]
    fn churn_ends_at_the_variance_of_its_recursion() {
        let (model, n) = (normal(), 4000);
        for (steps, r) in [(1, 0.8), (3, 0.8), (2, 0.0)] {
            let walk = Walk::new(Key::new(2), &model, 1).unwrap();
            let levels = walk.finer(steps);
            let rate = |sigma: f64| sigma / (4.0 + sigma * sigma);
            let want = levels.windows(2).fold(4.0 + levels[0] * levels[0], |variance, pair| {
                let raised = (pair[0] * f64::hypot(1.0, r)).min(levels[0]);
                let gap = raised - pair[1];
                let first = 1.0 - gap * rate(raised);
                let whole = 1.0 - 0.5 * gap * (rate(raised) + first * rate(pair[1]));
                (variance + raised * raised - pair[0] * pair[0]) * whole * whole
            });
            let x = Descent { steps, step_size: r }.churned(Key::new(1), &model, n).unwrap();
            let x = x.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
            let found = stats::std(&x).powi(2);
            assert!((found / want - 1.0).abs() < 4.0 * (2.0 / x.len() as f64).sqrt(), "{found} and {want}");
            assert!((want / 4.01 - 1.0).abs() < 0.1, "{want}");
        }
    }

    /// σ_T is 3 times the data's own width and their variances differ by 10: what stands still is seen at once.
    #[test]
    fn the_way_down_passes_the_levels_and_other_models_have_none() {
        let model = normal();
        let walk = Walk::new(Key::new(2), &model, 4).unwrap();
        let finer = walk.finer(3);
        assert_eq!(finer.len(), 3 * 11 + 1);
        assert!(finer.windows(2).all(|pair| pair[1] < pair[0]) && (finer[33] - 0.1).abs() < 1e-6);
        for (i, level) in walk.levels.iter().rev().enumerate() {
            assert!((finer[3 * i] / level - 1.0).abs() < 1e-12);
        }
        let top = 3.0 * 4.01f64.sqrt();
        assert!((finer[0] / top - 1.0).abs() < 1e-5);
        let text = "name = \"gaussian\"".parse().unwrap();
        let of = |value: f32| Tensor::full(value, 3, &Device::Cpu).unwrap();
        let moments = Moments { mean: of(0.0), std: of(1.0), overall_mean: 0.0, overall_std: 1.0 };
        let context = Context { shape: vec![3], classes: None, moments: Some(&|| Ok(moments.clone())) };
        let plain = Model::new(&Spec::new(text), &context, Key::new(0), DType::F32, &Device::Cpu).unwrap();
        assert!(Descent { steps: 100, step_size: 0.45 }.annealed(Key::new(1), &plain, 4).is_err());
    }
}
