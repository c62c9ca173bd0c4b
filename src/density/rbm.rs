//! Gaussian-Bernoulli restricted Boltzmann machines (Grathwohl et al. 2020, Fig. 5, 6 and 14), everything in closed
//! form.

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{ANY_ITEMS, BlockGibbs, Capabilities, Context, Density, Energy, ModelRow, laplacian_along_axes};
use crate::config::{Schema, decode, rule};
use crate::data::RbmTruth;
use crate::math::logsumexp;
use crate::nets::{Builder, Init, Jet};
use crate::ops::{Activation, activate, activate_jet, linear, linear_jet, linear_pullback};
use crate::{Error, Result, rng::Key};

/// The choice of the initial parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RbmInit {
    /// Random parameters, for training: B ~ N(0, 1)/H, c ~ N(0, 1), b the data's mean (released LSD code).
    #[default]
    Random,
    /// The true parameters of the data set `rbm`, perturbed: B entries ±1, b and c ~ N(0, 1).
    Paper,
}

crate::config! {
    /// Keys of the model `rbm`.
    pub struct RbmConfig {
        /// Hidden units.
        hidden: usize = 100, rule::at_least(1);
        /// Where the parameters start: random (small weights, b at the data's mean: to be trained) or paper (the truth
        /// of the data set `rbm` with the same hidden and matrix_seed, then perturbed: to be tested).
        init: RbmInit = RbmInit::Random;
        /// init = "paper": seed of B, b and c.
        matrix_seed: u64 = 0;
        /// init = "paper": standard deviation of normal noise added to every entry of B.
        perturb: f64 = 0.0, rule::non_negative;
        /// init = "paper": seed of that noise; left out, it follows from the run's seed.
        perturb_seed: Option<u64> = None;
    }
}

pub(super) const ENTRY: ModelRow = ModelRow {
    name: "rbm",
    about: "Gaussian-Bernoulli RBM: score and curvature in closed form, block Gibbs; normaliser known up to 16 hidden \
            units",
    cite: "Grathwohl et al. 2020, section 5.1; Liu, Lee & Jordan 2016",
    schema: Schema::of::<RbmConfig>(),
    init: &[],
    example: "",
    items: ANY_ITEMS,
    build: |table, context, builder| Ok(Box::new(Rbm::new(&decode(table)?, context, builder)?)),
};

/// The restricted Boltzmann machine p(x, h) ∝ exp(½ xᵀBh + bᵀx + cᵀh - ½|x|²) over x ∈ ℝᴰ and h ∈ {-1, +1}ᴴ, so that
/// E(x) = ½|x|² - bᵀx - Σⱼ log 2cosh(aⱼ), with the field a = ½ Bᵀx + c (Grathwohl et al. 2020, section 5.1; Liu, Lee &
/// Jordan 2016).
///
/// # Shapes
/// B `[D, H]`, b `[D]`, c `[H]`; items of any shape with D numbers.
pub struct Rbm {
    weights: Tensor,
    visible_bias: Tensor,
    hidden_bias: Tensor,
    shape: Vec<usize>,
}

/// The most hidden units with which the RBM counts as a density with a known normaliser.
const DENSITY_HIDDEN: usize = 16;

/// The most hidden units with which [`Rbm::log_z_exact`] sums over all states.
const EXACT_HIDDEN: usize = 20;

/// The states of h that are summed at a time, which bounds the memory.
const STATES: usize = 1 << 14;

impl Rbm {
    /// An RBM over items of the context's shape.
    ///
    /// # Errors
    /// The parameters are new, `init = "random"`, and the context has no moments.
    pub fn new(config: &RbmConfig, context: &Context, builder: &Builder) -> Result<Self> {
        let (visible, hidden) = (context.shape.iter().product(), config.hidden);
        let [weights, visible_bias, hidden_bias] = match (config.init, builder.is_new()) {
            (RbmInit::Paper, true) => Self::of_truth(config, visible, builder)?,
            _ => [
                builder.weight("weights", &[visible, hidden], Init::Normal(1.0 / hidden as f64))?,
                builder.weight_at("visible_bias", &mean(context, visible, builder)?)?,
                builder.weight("hidden_bias", &[hidden], Init::Normal(1.0))?,
            ],
        };
        Ok(Rbm { weights, visible_bias, hidden_bias, shape: context.shape.clone() })
    }

    /// The parameters B + perturb · N(0, 1), b and c, with B, b and c those of the data set `rbm`.
    fn of_truth(config: &RbmConfig, visible: usize, builder: &Builder) -> Result<[Tensor; 3]> {
        let (hidden, device) = (config.hidden, builder.device());
        let RbmTruth { weights, visible_bias, hidden_bias } = RbmTruth::new(visible, hidden, config.matrix_seed);
        let key = config.perturb_seed.map_or(builder.key("rbm"), Key::new).with("perturb");
        let noise = key.normal((visible, hidden), DType::F64, device)?;
        let weights = (Tensor::from_vec(weights, (visible, hidden), device)? + (noise * config.perturb)?)?;
        Ok([
            builder.weight_at("weights", &weights)?,
            builder.weight_at("visible_bias", &Tensor::from_vec(visible_bias, visible, device)?)?,
            builder.weight_at("hidden_bias", &Tensor::from_vec(hidden_bias, hidden, device)?)?,
        ])
    }

    fn hidden(&self) -> usize {
        self.hidden_bias.elem_count()
    }

    /// The transpose Bᵀ, `[H, D]`, as linear maps take it.
    fn transposed(&self) -> Result<Tensor> {
        Ok(self.weights.t()?)
    }

    /// The field a = ½ Bᵀx + c, `[N, H]`, of x `[N, D]`.
    fn field(&self, x: &Tensor) -> Result<Tensor> {
        linear(&(x * 0.5)?, &self.transposed()?, Some(&self.hidden_bias))
    }

    /// The mean b + ½ Bh of x given h `[N, H]`, `[N, D]`.
    fn mean_given(&self, h: &Tensor) -> Result<Tensor> {
        Ok(linear_pullback(&(h * 0.5)?, &self.transposed()?)?.broadcast_add(&self.visible_bias)?)
    }

    /// The energy ½|x|² - bᵀx of x alone, `[N]`.
    fn visible_energy(&self, x: &Tensor) -> Result<Tensor> {
        Ok((x * (x * 0.5)?.broadcast_sub(&self.visible_bias)?)?.sum(1)?)
    }

    /// The energy E, `[N]`, of x and its field a; log 2cosh(a) = softplus(2a) - a is stable on both sides.
    fn energy_at(&self, x: &Tensor, a: &Tensor) -> Result<Tensor> {
        let log_2cosh = (activate(Activation::Softplus, &(a * 2.0)?)? - a)?;
        Ok((self.visible_energy(x)? - log_2cosh.sum(1)?)?)
    }

    /// The slope vᵀ(x - b) of [`Rbm::visible_energy`] along v, `[N]`.
    fn visible_slope(&self, x: &Tensor, v: &Tensor) -> Result<Tensor> {
        Ok((v * x.broadcast_sub(&self.visible_bias)?)?.sum(1)?)
    }

    /// The field and its slope along v, [a; ½ Bᵀv], `[2N, H]`.
    fn field_jet(&self, x: &Tensor, v: &Tensor) -> Result<Tensor> {
        let both = Jet::new(x, v)?;
        linear_jet(&(both.stacked() * 0.5)?, &self.transposed()?, Some(&self.hidden_bias))
    }

    /// The log-normaliser log Z = log ∫ exp(-E), a differentiable scalar in f64: the Gaussian integral over x given h,
    /// summed over all 2ᴴ states, log Z = (D/2) log 2π + ½|b|² + log Σ_h exp(hᵀ(c + ½ Bᵀb) + ⅛|Bh|²).
    ///
    /// # Errors
    /// There are more than 20 hidden units.
    pub fn log_z_exact(&self) -> Result<Tensor> {
        let parts: Vec<Tensor> = self.log_weights()?.iter().map(differentiable_logsumexp).collect::<Result<_>>()?;
        let sum = differentiable_logsumexp(&Tensor::stack(&parts, 0)?)?;
        let b = self.visible_bias.to_dtype(DType::F64)?;
        let gaussian = 0.5 * b.elem_count() as f64 * std::f64::consts::TAU.ln();
        Ok((sum + b.sqr()?.sum_all()?.affine(0.5, gaussian)?)?)
    }

    /// The exponents hᵀ(c + ½ Bᵀb) + ⅛|Bh|² of all states in their order, in f64, in pieces of at most [`STATES`].
    fn log_weights(&self) -> Result<Vec<Tensor>> {
        let hidden = self.hidden();
        if hidden > EXACT_HIDDEN {
            return Err(Error::config(format!("the exact normaliser of an RBM sums over 2^{hidden} states"))
                .at_path("model.hidden")
                .hint(format!(
                    "it is computed up to {EXACT_HIDDEN} hidden units (`model.hidden`); estimate it by annealed \
                     importance sampling above"
                )));
        }
        let [weights, b, c] = [&self.weights, &self.visible_bias, &self.hidden_bias].map(|t| t.to_dtype(DType::F64));
        let (weights, b, c) = (weights?, b?.unsqueeze(1)?, c?.unsqueeze(1)?);
        let transposed = weights.t()?.contiguous()?;
        let (tilt, gram) = ((c + (transposed.matmul(&b)? * 0.5)?)?, transposed.matmul(&weights)?);
        let piece = |from: usize| {
            let to = (from + STATES).min(1 << hidden);
            let h: Vec<f64> = (from..to).flat_map(|state| signs(state, hidden)).collect();
            let h = Tensor::from_vec(h, (to - from, hidden), weights.device())?;
            let square = (h.matmul(&gram)? * &h)?.sum(1)?;
            Ok((h.matmul(&tilt)?.squeeze(1)? + (square * 0.125)?)?)
        };
        (0..1usize << hidden).step_by(STATES).map(piece).collect()
    }
}

/// The entries hⱼ = ±1 of the state with this number, whose bit j is 1 where hⱼ = +1.
fn signs(state: usize, hidden: usize) -> impl Iterator<Item = f64> {
    (0..hidden).map(move |j| if state >> j & 1 == 1 { 1.0 } else { -1.0 })
}

/// The sum log Σ exp of a vector; the largest term is taken out as a constant, so that gradients flow through the sum
/// alone.
fn differentiable_logsumexp(x: &Tensor) -> Result<Tensor> {
    let top = x.detach().max(0)?;
    Ok((x.broadcast_sub(&top)?.exp()?.sum_all()?.log()? + top)?)
}

/// The data's mean, `[D]`, for new parameters; a placeholder of that shape for those that exist already.
fn mean(context: &Context, visible: usize, builder: &Builder) -> Result<Tensor> {
    match (context.moments, builder.is_new()) {
        (Some(moments), true) => Ok(moments()?.mean.flatten_all()?),
        (None, true) => Err(Error::Other("a new RBM needs the data's mean to start at".into())),
        (_, false) => Ok(Tensor::zeros(visible, builder.dtype(), builder.device())?),
    }
}

/// The items as rows, `[N, D]`.
fn rows(x: &Tensor) -> Result<Tensor> {
    Ok(x.flatten_from(1)?)
}

impl Energy for Rbm {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        let x = rows(x)?;
        self.energy_at(&x, &self.field(&x)?)
    }

    /// The gradient ∇E = x - b - ½ B tanh(a).
    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let flat = rows(x)?;
        let a = self.field(&flat)?;
        let mean = self.mean_given(&activate(Activation::Tanh, &a)?)?;
        Ok((self.energy_at(&flat, &a)?, (flat - mean)?.reshape(x.shape())?))
    }

    /// The slope v·∇E = vᵀ(x - b) - Σⱼ tanh(aⱼ) ȧⱼ with ȧ = ½ Bᵀv.
    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let (x, v) = (rows(x)?, rows(v)?);
        let a = self.field_jet(&x, &v)?;
        let log_2cosh = Jet::from_stacked((activate_jet(Activation::Softplus, &(&a * 2.0)?)? - a)?.sum(1)?);
        let energy = (self.visible_energy(&x)? - log_2cosh.value()?)?;
        Ok((energy, (self.visible_slope(&x, &v)? - log_2cosh.tangent()?)?))
    }

    /// The curvature vᵀ∇²E v = |v|² - Σⱼ (1 - tanh²(aⱼ)) ȧⱼ² with ȧ = ½ Bᵀv.
    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let (energy, slope) = self.directional(x, v)?;
        let (x, v) = (rows(x)?, rows(v)?);
        let a = Jet::from_stacked(self.field_jet(&x, &v)?);
        let bend = activate(Activation::Tanh, &a.value()?)?.sqr()?.affine(-1.0, 1.0)?;
        Ok([energy, slope, (v.sqr()?.sum(1)? - (bend * a.tangent()?.sqr()?)?.sum(1)?)?])
    }

    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        laplacian_along_axes(self, x)
    }
}

impl Capabilities for Rbm {
    fn gibbs(&self) -> Option<&dyn BlockGibbs> {
        Some(self)
    }

    fn has_closed_laplacian(&self) -> bool {
        true
    }

    fn density(&self) -> Option<&dyn Density> {
        (self.hidden() <= DENSITY_HIDDEN).then_some(self)
    }
}

impl BlockGibbs for Rbm {
    /// One sweep: h with P(hⱼ = +1 | x) = sigmoid(2aⱼ), then x | h ~ N(b + ½ Bh, I).
    fn sweep(&self, key: Key, x: &Tensor) -> Result<Tensor> {
        let a = self.field(&rows(x)?)?;
        let on = activate(Activation::Sigmoid, &(&a * 2.0)?)?;
        let uniform = key.with("hidden").uniform(a.shape(), a.dtype(), a.device())?;
        let h = uniform.lt(&on)?.to_dtype(a.dtype())?.affine(2.0, -1.0)?;
        let mean = self.mean_given(&h)?;
        let noise = key.with("visible").normal(mean.shape(), a.dtype(), a.device())?;
        Ok((mean + noise)?.reshape(x.shape())?.detach())
    }
}

impl Density for Rbm {
    fn log_prob(&self, x: &Tensor) -> Result<Tensor> {
        let energy = self.energy(x)?;
        Ok(energy.broadcast_add(&self.log_z_exact()?.to_dtype(energy.dtype())?)?.neg()?)
    }

    /// Exact draws from the mixture of 2ᴴ normals: h by its weight, then x given h.
    fn sample(&self, key: Key, n: usize) -> Result<Tensor> {
        let h = self.sample_hidden(key.with("state"), n)?;
        let mean = self.mean_given(&h)?;
        let noise = key.with("visible").normal(mean.shape(), h.dtype(), h.device())?;
        Ok((mean + noise)?.reshape([&[n], self.shape.as_slice()].concat())?.detach())
    }
}

impl Rbm {
    /// Exact draws of h from its marginal, `[n, H]`.
    fn sample_hidden(&self, key: Key, n: usize) -> Result<Tensor> {
        let log_weights: Vec<f64> = Tensor::cat(&self.log_weights()?, 0)?.to_vec1()?;
        let total = logsumexp(&log_weights);
        let below = |sum: &mut f64, w: &f64| {
            *sum += (w - total).exp();
            Some(*sum)
        };
        let cumulated: Vec<f64> = log_weights.iter().scan(0.0, below).collect();
        let uniform: Vec<f64> = key.uniform(n, DType::F64, &Device::Cpu)?.to_vec1()?;
        let chosen = uniform.iter().map(|u| cumulated.partition_point(|c| c <= u).min(log_weights.len() - 1));
        let signs: Vec<f64> = chosen.flat_map(|state| signs(state, self.hidden())).collect();
        Ok(Tensor::from_vec(signs, (n, self.hidden()), self.weights.device())?.to_dtype(self.weights.dtype())?)
    }
}
