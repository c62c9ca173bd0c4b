//! The gradient of a generator's entropy, whose density is unknown (Grathwohl et al. 2021, §3.1 and appendix).
//!
//! With x = g(z) + σε, ∇ₓ log q(x) = E[(g(z) - x)/σ² | x] under the posterior q(z|x). An estimate c of -∇ₓ log q(x),
//! held constant, gives the gradient of the entropy as that of mean c·x. The value of mean c·x is not an entropy.

use candle_core::{D, DType, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::posterior::{Force, Posterior};
use crate::config::rule;
use crate::density::{Generator, by_parts_of};
use crate::methods::Part;
use crate::methods::learning::trainable::descend;
use crate::methods::part::Named;
use crate::metrics::{Metrics, Number, Unit};
use crate::ops;
use crate::optim::{self, Optimiser};
use crate::samplers::{Hmc, Info, Kernel as _, Target};
use crate::store::State;
use crate::{Result, math::stats, rng::Key};

/// The estimator of the average over q(z|x).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Estimator {
    /// Self-normalised importance sampling around the z₀ that made x (the paper's).
    #[default]
    Importance,
    /// Hamiltonian Monte Carlo from z₀. Its only bias is that of the chains' finite length, which is small, since z₀ is
    /// itself a draw of q(z|x).
    Hmc,
    /// Draws of the prior, the same for all items of a batch, weighted by their likelihoods: exact as their number
    /// grows, for generators of a few latent coordinates.
    Prior,
    /// Hamiltonian Monte Carlo with a force that leaves out the likelihood, as in the released code: valid, but it
    /// hardly moves.
    HmcReleased,
}

crate::config! {
    /// Keys of the estimate of the entropy's gradient.
    pub struct EntropyConfig {
        /// Average over q(z|x) by "importance" (the paper's), "hmc", "hmc_released" (its force lacks the likelihood),
        /// or "prior" (thousands of draws in two dimensions: exact but for their number).
        estimator: Estimator = Estimator::Importance;
        /// S: importance samples, or draws of the prior; or HMC steps, of which the second half is averaged.
        samples: usize = 20, rule::at_least(1);
        /// η where it starts: the standard deviation of the proposal around z₀, one number a latent coordinate, fitted
        /// by its ELBO.
        posterior_std: f64 = 0.1, rule::positive;
        /// Learning rate of η (CLI default of the released code; its JEM runs: 3e-5).
        posterior_lr: f64 = 0.02, rule::positive;
        /// HMC's time step is drawn from ε(1 ± this). Without it (released code: 0) trajectories of a nearly Gaussian
        /// posterior may come back to z₀, and an average that remembers z₀ biases the gradient.
        hmc_jitter: f64 = 0.4, rule::rate;
    }
}

/// The numbers of [`Entropy::estimate`].
pub(in crate::methods) const NUMBERS: [Number; 3] = [
    Number::new(
        "posterior_ess",
        Unit::Count,
        "effective number of the importance samples of q(z|x), mean of the batch",
    )
    .higher()
    .when("entropy_weight > 0 and estimator = \"importance\" or \"prior\""),
    Number::new("posterior_acceptance", Unit::Share, "share of the HMC moves on q(z|x) that were accepted")
        .chain()
        .when("entropy_weight > 0 and an estimator by HMC"),
    Number::new("posterior_step", Unit::Plain, "step size of HMC on q(z|x)")
        .chain()
        .when("entropy_weight > 0 and an estimator by HMC"),
];

/// The number of leapfrog steps, and the acceptance that the step size is steered to (released code).
const LEAPFROG: usize = 5;
const TARGET_ACCEPTANCE: f64 = 0.67;

/// An estimator of the entropy's gradient, with the scale that it learns.
pub struct Entropy {
    config: EntropyConfig,
    /// The scale: log η `[L]` of importance sampling, or the log of HMC's step size `[1]`.
    log_scale: Named<Var>,
    optim: Named<Box<dyn Optimiser>>,
}

impl Entropy {
    /// An estimator for generators with `latent` coordinates.
    ///
    /// # Errors
    /// The device fails.
    pub fn new(config: EntropyConfig, latent: usize, device: &candle_core::Device) -> Result<Self> {
        let width = if config.estimator == Estimator::Importance { latent } else { 1 };
        let start = Tensor::full(config.posterior_std.ln() as f32, width, device)?;
        let log_scale = Var::from_tensor(&start)?;
        let adam = optim::adam(config.posterior_lr, &[("log_scale".to_owned(), log_scale.clone())].into())?;
        Ok(Entropy { config, log_scale: Named::new(SCALE, log_scale), optim: Named::new(ENTROPY, adam) })
    }

    /// The estimate c ≈ -∇ₓ log q(x), of x's shape, for x made of z₀, and the numbers to report. It also takes one step
    /// of the scale that the estimator learns. The generator is constant.
    ///
    /// # Shapes
    /// x `[B, ..]`, z₀ `[B, L]`.
    pub fn estimate(
        &mut self,
        key: Key,
        generator: &Generator,
        x: &Tensor,
        z0: &Tensor,
        lr_scale: f64,
    ) -> Result<(Tensor, Metrics)> {
        match self.config.estimator {
            Estimator::Importance => {
                let found = self.importance(key.with("importance"), generator, x, z0)?;
                self.fit(key.with("elbo"), generator, x, z0, lr_scale)?;
                Ok(found)
            }
            Estimator::Prior => self.prior(key.with("prior"), generator, x),
            Estimator::Hmc => self.hmc(key, generator, x, z0, Force::Joint),
            Estimator::HmcReleased => self.hmc(key, generator, x, z0, Force::Prior),
        }
    }

    /// The estimate c = Σ w_s (x - g(z_s))/σ² with z_s = z₀ + ηξ_s, ξ_s ~ N(0, I), and log w_s = log N(x; g(z_s), σ²) +
    /// log N(z_s) - log N(z_s; z₀, η²), normalised over s.
    fn importance(&self, key: Key, generator: &Generator, x: &Tensor, z0: &Tensor) -> Result<(Tensor, Metrics)> {
        let (b, latent) = z0.dims2()?;
        let s = self.config.samples;
        let noise = key.normal((b * s, latent), z0.dtype(), z0.device())?.reshape((b, s * latent))?;
        let (eta, sigma2) = (self.eta()?, generator.sigma()?.powi(2));
        let (c, effective) =
            by_parts_of([x, z0, &noise], |[x, z0, noise]| weighted_residuals(generator, x, z0, noise, &eta, sigma2))?;
        Ok((c, readings(&effective)?))
    }

    /// The estimate c = Σ w_s (x - g(z_s))/σ² with z_s ~ N(0, I) for all items, and w_s ∝ N(x; g(z_s), σ²).
    fn prior(&self, key: Key, generator: &Generator, x: &Tensor) -> Result<(Tensor, Metrics)> {
        let z = generator.prior(key, self.config.samples)?;
        let (flat, means) = (x.flatten_from(1)?, generator.mean(&z)?.flatten_from(1)?);
        let sigma2 = generator.sigma()?.powi(2);
        let wide = |t: &Tensor| t.to_dtype(DType::F64);
        // |x - g|² up to |x|², which all s share.
        let cross = wide(&flat)?.matmul(&wide(&means)?.t()?)?;
        let half = wide(&means)?.sqr()?.sum(1)?.affine(0.5, 0.0)?;
        let (w, effective) = normalised(&cross.broadcast_sub(&half)?.affine(1.0 / sigma2, 0.0)?)?;
        let c = (&flat - w.to_dtype(x.dtype())?.matmul(&means)?)?.affine(1.0 / sigma2, 0.0)?.reshape(x.dims())?;
        Ok((c, readings(&effective)?))
    }

    /// Takes one step in η up mean[log N(x; g(z), σ²) + log N(z)] + Σ log η, with z = z₀ + ηξ.
    fn fit(&mut self, key: Key, generator: &Generator, x: &Tensor, z0: &Tensor, lr_scale: f64) -> Result<()> {
        let noise = key.normal(z0.shape(), z0.dtype(), z0.device())?;
        let z = (z0 + noise.broadcast_mul(&self.eta()?)?)?;
        let force = Posterior::new(generator, x, Force::Joint)?.force(&z)?.1;
        let eta = self.log_scale.value.as_tensor().exp()?;
        let pushed = (force * &noise)?.detach().mean(0)?;
        let loss = ((pushed * eta)?.sum_all()? + self.log_scale.value.as_tensor().sum_all()?)?.neg()?;
        descend(&mut self.optim, &loss, lr_scale)?;
        Ok(())
    }

    /// The mean of (x - g(z))/σ² over the second half of `samples` HMC states that begin at z₀. The step size is moved
    /// towards the target acceptance.
    fn hmc(
        &mut self,
        key: Key,
        generator: &Generator,
        x: &Tensor,
        z0: &Tensor,
        force: Force,
    ) -> Result<(Tensor, Metrics)> {
        let target = Posterior::new(generator, x, force)?;
        let step_size = self.step_size()?;
        let kernel = Hmc { step_size, leapfrog: LEAPFROG, jitter: self.config.hmc_jitter, scale: None };
        let on = Target::new(&target);
        let mut chain = kernel.init(&on, z0)?;
        let (burn, steps) = (self.config.samples / 2, self.config.samples);
        let (mut sum, mut moves) = (x.zeros_like()?, Info::default());
        for i in 0..steps {
            let (next, info) = kernel.step(key.at(i as u64), &on, &chain)?;
            chain = next;
            moves.add(&info)?;
            if i >= burn {
                sum = (sum + (x - generator.mean(&chain.x)?)?)?;
            }
        }
        let acceptance = moves.read()?.accept.unwrap_or(1.0);
        let grown = step_size.ln() + ADAPTATION * (acceptance - TARGET_ACCEPTANCE);
        ops::assign(&self.log_scale.value, &Tensor::full(grown as f32, 1, x.device())?)?;
        let c = sum.affine(1.0 / (generator.sigma()?.powi(2) * (steps - burn) as f64), 0.0)?;
        let metrics = Metrics::new().with("posterior_acceptance", acceptance).with("posterior_step", step_size);
        Ok((c, metrics))
    }

    /// The standard deviations η, `[L]`.
    pub fn eta(&self) -> Result<Tensor> {
        Ok(self.log_scale.value.as_detached_tensor().exp()?)
    }

    fn step_size(&self) -> Result<f64> {
        Ok(self.log_scale.value.as_detached_tensor().to_dtype(DType::F64)?.squeeze(0)?.to_scalar::<f64>()?.exp())
    }
}

impl Part for Entropy {
    fn save(&self, state: &mut State) -> Result<()> {
        self.log_scale.save(state)?;
        self.optim.save(state)
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.log_scale.load(state)?;
        // The scale stands among the optimiser's tensors, which refuses what is not its own.
        let mut moments = state.clone();
        moments.remove(SCALE);
        self.optim.load(&moments)
    }
}

/// The estimate c of items x `[B, ..]` made of z₀ `[B, L]`, by importance samples with the noise ξ `[B, S·L]` and the
/// scale η `[L]`, and the effective number of the samples of each item, `[B]` in f64.
fn weighted_residuals(
    generator: &Generator,
    x: &Tensor,
    z0: &Tensor,
    noise: &Tensor,
    eta: &Tensor,
    sigma2: f64,
) -> Result<(Tensor, Tensor)> {
    let (b, latent) = z0.dims2()?;
    let s = noise.elem_count() / (b * latent).max(1);
    let noise = noise.reshape((b * s, latent))?;
    let z = (repeated(z0, s)? + noise.broadcast_mul(eta)?)?;
    let residual = (repeated(x, s)? - generator.mean(&z)?)?;
    let square = |t: &Tensor| -> Result<Tensor> { Ok(t.sqr()?.flatten_from(1)?.sum(1)?.to_dtype(DType::F64)?) };
    // log N(z_s; z₀, η²) is -½|ξ|² up to a number that all s share.
    let log_w = (square(&residual)?.affine(-0.5 / sigma2, 0.0)? + square(&z)?.affine(-0.5, 0.0)?)?;
    let log_w = (log_w + square(&noise)?.affine(0.5, 0.0)?)?.reshape((b, s))?;
    let (w, effective) = normalised(&log_w)?;
    let weighted = residual.flatten_from(1)?.reshape((b, s, ()))?;
    let w = w.to_dtype(x.dtype())?.unsqueeze(1)?;
    let c = w.matmul(&weighted)?.squeeze(1)?.affine(1.0 / sigma2, 0.0)?.reshape(x.dims())?;
    Ok((c, effective))
}

/// The weights of log-weights `[B, S]`, normalised for each item, and their effective number, `[B]`.
fn normalised(log_w: &Tensor) -> Result<(Tensor, Tensor)> {
    let w = candle_nn::ops::softmax(log_w, D::Minus1)?;
    let effective = w.sqr()?.sum(1)?.recip()?;
    Ok((w, effective))
}

/// What there is to report of the effective numbers of a batch, `[B]`.
fn readings(effective: &Tensor) -> Result<Metrics> {
    Ok(Metrics::new().with("posterior_ess", stats::mean(&effective.to_vec1::<f64>()?)))
}

/// The rows of x, s times, one after the other: `[B, ..]` -> `[sB, ..]`.
fn repeated(x: &Tensor, s: usize) -> Result<Tensor> {
    let (wide, long) = ([&[x.dim(0)?, s], &x.dims()[1..]].concat(), [&[x.dim(0)? * s], &x.dims()[1..]].concat());
    Ok(x.unsqueeze(1)?.broadcast_as(wide)?.reshape(long)?)
}

/// The rate at which the log of HMC's step size follows the acceptance.
const ADAPTATION: f64 = 0.1;

/// The name of the learned scale in the state.
const SCALE: &str = "entropy.log_scale:value";

/// The name of the optimiser in the state.
const ENTROPY: &str = "entropy";
