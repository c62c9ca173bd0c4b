//! Score matching (Hyvärinen 2005): the objective that its three estimators share.
//!
//! With the data's density p, the model's density q and s = ∇ log q = -∇E, E_p ½|s - ∇ log p|² = J(q) + const with J =
//! E_p[½|s|² + tr ∇s] = E_p[½|∇E|² - ΔE] (theorem 1). J needs no normaliser and no samples, but second derivatives. The
//! methods differ in how they estimate ½|∇E|² and ΔE.

use candle_core::{DType, Tensor};

use super::readings::{ENERGY, GRAD_NORM, Readings, mean};
use super::trainable::Trainable;
use crate::data::Batch;
use crate::density::{Energy, Model};
use crate::methods::method::only;
use crate::methods::part::parts;
use crate::methods::{Method, Noise, Setup, StepContext};
use crate::metrics::{Metrics, Number, Unit, numbers};
use crate::samplers::{coordinate, digit};
use crate::{Error, Result, ops, rng::Key};

/// The terms of the objective J = mean[½|∇E|² - ΔE] at each item, `[B]`, differentiable in the parameters.
pub struct Terms {
    /// The energy E.
    pub energy: Tensor,
    /// The half squared norm ½|∇E|², or an estimate.
    pub half_norm: Tensor,
    /// The Laplacian ΔE = tr ∇²E, or an estimate.
    pub curvature: Tensor,
}

impl Terms {
    /// The objective ½|∇E|² - ΔE of each item, `[B]`.
    pub fn objective(&self) -> Result<Tensor> {
        Ok((&self.half_norm - &self.curvature)?)
    }
}

/// The random directions v by which the trace is estimated.
#[derive(Clone, Copy, Debug)]
pub struct Slices {
    /// The distribution of v, with E vvᵀ = I.
    pub noise: Noise,
    /// The number of directions for each item.
    pub count: usize,
    /// Whether ½|∇E|² itself is taken instead of its estimate ½(v·∇E)².
    pub variance_reduced: bool,
}

/// The terms of J with the exact Laplacian (Hyvärinen 2005, theorem 1): D directions an item.
///
/// # Errors
/// The items have another shape than the model's.
pub fn exact(energy: &dyn Energy, x: &Tensor) -> Result<Terms> {
    let (value, grad, curvature) = energy.laplacian(x)?;
    Ok(Terms { energy: value, half_norm: half_square(&grad)?, curvature })
}

/// The terms of J along random directions v (Song et al. 2019): the mean over v of ½(v·∇E)² - vᵀ∇²E v (SSM), or of
/// ½|∇E|² - vᵀ∇²E v (SSM-VR, the variance-reduced form). All directions go through the network in one pass.
///
/// ∇E is taken by the pull-back, differentiable in the parameters, which with its backward pass costs 6 products with
/// the weights. The directional derivative along a ∇E held constant has the same gradient, and costs 2 for ∇E and 6 for
/// itself.
///
/// # Errors
/// The items have another shape than the model's.
pub fn sliced(energy: &dyn Energy, key: Key, x: &Tensor, slices: Slices) -> Result<Terms> {
    let (batch, count) = (x.dim(0)?, slices.count);
    let copies = if count == 1 { x.clone() } else { Tensor::cat(&vec![x; count], 0)? };
    let v = slices.noise.draw(key, &copies)?;
    let [value, slope, bend] = energy.curvature(&copies, &v)?;
    let mean = |t: Tensor| -> Result<Tensor> { Ok(t.reshape((count, batch))?.mean(0)?) };
    let half_norm = match slices.variance_reduced {
        true => half_square(&energy.grad(x)?.1)?,
        false => mean(slope.sqr()?.affine(0.5, 0.0)?)?,
    };
    Ok(Terms { energy: value.narrow(0, 0, batch)?, half_norm, curvature: mean(bend)? })
}

/// The terms of J for the data blurred by N(0, σ²I), from first derivatives alone (Vincent 2011, J_DSM).
///
/// With x̃ = x + σε and ∇ log p(x̃|x) = -ε/σ, Vincent's ½|s(x̃) - ∇ log p(x̃|x)|² is ½|∇E(x̃) - ε/σ|² = ½|∇E|² -
/// ε·∇E/σ + |ε|²/2σ². The last term does not depend on the model and is left out: for small σ its noise would hide the
/// other two. These estimate the blurred J, since E[ε·∇E(x̃)/σ] = E ΔE(x̃) (Stein's identity), so their values compare
/// with those of the other estimators.
///
/// # Errors
/// The items have another shape than the model's.
pub fn denoising(energy: &dyn Energy, key: Key, x: &Tensor, sigma: f64) -> Result<Terms> {
    let noise = key.normal(x.shape(), x.dtype(), x.device())?;
    let blurred = (x + (&noise * sigma)?)?;
    let (value, grad) = energy.grad(&blurred)?;
    let curvature = ops::dot(&grad, &noise)?.affine(1.0 / sigma, 0.0)?;
    Ok(Terms { energy: value, half_norm: half_square(&grad)?, curvature })
}

fn half_square(grad: &Tensor) -> Result<Tensor> {
    Ok(ops::dot(grad, grad)?.affine(0.5, 0.0)?)
}

/// The numbers of [`ScoreDescent`].
pub(in crate::methods) const NUMBERS: &[Number] = numbers![
    [
        Number::new("train_sm", Unit::Plain, "estimate of J = E[½|∇E|² - ΔE] on the batch, without a lower bound")
            .lower()
            .lead(),
        Number::new("curvature", Unit::Plain, "estimate of the mean of ΔE, the trace of the energy's Hessian"),
    ],
    [ENERGY, GRAD_NORM]
];

/// What `ebm init` writes for them: the curvature of a flow's walls follows its widths fast, and J has no lower bound.
pub(in crate::methods) const INIT: &[(&str, &str)] = &[("flow: optim.lr", "1e-5")];

/// The estimator of J on a batch, from energy, key and items.
pub(in crate::methods) type Estimate = Box<dyn Fn(&dyn Energy, Key, &Tensor) -> Result<Terms>>;

/// The methods that descend the mean of an estimate of J.
pub(in crate::methods) struct ScoreDescent {
    estimate: Estimate,
    advice: &'static [&'static str],
    blur: f64,
    trained: Trainable<Model>,
}

impl ScoreDescent {
    /// The method of the estimator `estimate`, with its advice for a run that diverges; `blur` is the standard
    /// deviation of the noise that the estimator itself adds to the items.
    pub(in crate::methods) fn new(
        estimate: Estimate,
        advice: &'static [&'static str],
        blur: f64,
        setup: Setup,
    ) -> Result<Self> {
        Ok(ScoreDescent { estimate, advice, blur, trained: Trainable::model(setup.model, setup.optim)? })
    }

    /// Refuses a model whose energy is so steep where the items lie, before the first step, that J is too large to
    /// descend: its gradient in a width of the model is of the size of |∇E|².
    ///
    /// # Errors
    /// The refusal ([`Error::Config`]), with the coordinate in which the energy is steepest and the noise that mends
    /// it.
    fn check_slopes(&self, x: &Tensor, half_norm: &Tensor) -> Result<()> {
        /// The largest mean |∇E|², well below the gradients at which the guard stops a run.
        const STEEP: f64 = 3e5;
        let square = 2.0 * mean(half_norm)?.to_scalar::<f64>()?;
        if square <= STEEP {
            return Ok(());
        }
        let slopes = self.trained.still.grad(x)?.1.detach().sqr()?.mean(0)?.flatten_all()?.to_dtype(DType::F64)?;
        let slopes: Vec<f64> = slopes.to_vec1()?;
        let Some(worst) = (0..slopes.len()).max_by(|&a, &b| slopes[a].total_cmp(&slopes[b])) else { return Ok(()) };
        let what = format!(
            "the energy is too steep for its score to be matched: before the first step |∇E|² is {square:.1e} in the \
             mean over a batch, and steepest in coordinate {:?} of the items, where it rises as that of a Gaussian of \
             width {:.1e} does",
            coordinate(worst, x.dims().get(1..).unwrap_or_default()),
            slopes[worst].sqrt().recip()
        );
        let noise = digit((slopes.len() as f64 / STEEP).sqrt().max(self.blur), f64::ceil);
        let hint = format!("--set dataset.noise={noise}, so that no coordinate is so narrow; or another model");
        Err(Error::config(what).hint(hint))
    }
}

/// The advice against a J that falls without bound. J has no lower bound where a model can put ever sharper wells onto
/// data that fill no volume: there ΔE → ∞.
pub(in crate::methods) const SHARP: &str = "data that fill a volume: score matching is unbounded below on discrete or \
                                noiseless data (--set dataset.noise=…, or --set method.name=denoising_score_matching)";

parts!(ScoreDescent: trained);

impl Method for ScoreDescent {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let batch = only(batches)?;
        let terms = (self.estimate)(&self.trained.live, cx.key.with("score"), &batch.x)?;
        if cx.step == 0 {
            self.check_slopes(&batch.x, &terms.half_norm)?;
        }
        let loss = terms.objective()?.mean_all()?;
        let grad_norm = self.trained.descend(&loss, cx.lr_scale)?;
        let (half_norm, curvature) = (mean(&terms.half_norm)?, mean(&terms.curvature)?);
        Readings::new()
            .with("train_sm", (half_norm - &curvature)?)
            .with("curvature", curvature)
            .with("energy", mean(&terms.energy)?)
            .with("grad_norm", grad_norm)
            .read()
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }

    fn advice(&self) -> Vec<String> {
        self.advice.iter().map(|&line| line.to_owned()).collect()
    }
}
