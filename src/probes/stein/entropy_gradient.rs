//! How biased an estimate of a generator's entropy gradient is, on a generator whose entropy is known (Grathwohl 2021,
//! §5.1).
//!
//! A linear Gaussian generator x = Wz + b + σε has the density N(b, C), C = WWᵀ + σ²I, so that -∇ₓ log q(x) = C⁻¹(x -
//! b) and ∂H/∂W = C⁻¹W exactly.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use nalgebra::{DMatrix, DVector};

use crate::config::{Schema, Spec, decode, rule};
use crate::data::{Data, Split};
use crate::density::{Generator, GeneratorConfig, Squash};
use crate::math::{linalg, stats};
use crate::methods::vera::entropy::{Entropy, EntropyConfig};
use crate::metrics::{Metrics, Number, Unit};
use crate::nets::{Builder, MlpConfig};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::rows::{CHUNK, in_chunks};
use crate::{Error, Result, rng::Key};

crate::config! {
    /// Keys of the probe `entropy_gradient`.
    pub struct EntropyGradientConfig {
        /// L, latent coordinates of the linear generator, which is fitted to the training data in closed form
        /// (probabilistic principal components).
        latent: usize = 4, rule::at_least(1);
        /// σ of the generator; 0 takes its maximum-likelihood value.
        sigma: f64 = 0.0, rule::non_negative;
        /// Samples x that the gradient is estimated from.
        items: usize = 4000, rule::at_least(2);
        /// Estimates of each sample's gradient. From 2 on their error is told apart into bias and variance (the paper
        /// takes 200 of each of 200 samples).
        repeats: usize = 1, rule::at_least(1);
        /// Batches that the estimator's own scale (η, or HMC's step size) is fitted on beforehand.
        fit: usize = 500;
        /// Items of these batches.
        fit_batch: usize = 200, rule::at_least(1);
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "entropy_gradient",
    about: "VERA's estimate of the entropy gradient against the exact one of a linear Gaussian generator: 1 is \
            unbiased",
    cite: "Grathwohl et al. 2021, section 5.1; probabilistic PCA: Tipping & Bishop 1999",
    schema: Schema::of::<(EntropyGradientConfig, EntropyConfig, Schedule)>(),
    numbers: &[
        Number::new(
            "entropy_projection",
            Unit::Plain,
            "the estimate projected on the exact gradient of the entropy: 1 is unbiased",
        )
        .lead(),
        Number::new("entropy_projection_se", Unit::Plain, "standard error of entropy_projection"),
        Number::new(
            "entropy_error",
            Unit::Plain,
            "root mean squared error over the root mean square of the exact score",
        )
        .lower()
        .lead(),
        Number::new(
            "entropy_bias",
            Unit::Plain,
            "the part of entropy_error that the mean of ever more estimates keeps",
        )
        .lower()
        .when("`repeats` is 2 or more"),
        Number::new(
            "entropy_spread",
            Unit::Plain,
            "the part that it loses: an estimate's standard deviation over the exact score's root mean square",
        )
        .lower()
        .when("`repeats` is 2 or more"),
        Number::new("generator_sigma", Unit::Plain, "standard deviation σ of the generator's noise"),
        Number::new(
            "entropy/posterior_ess",
            Unit::Count,
            "effective number of the importance samples, mean of the batch",
        )
        .higher()
        .when("`estimator = \"importance\"`"),
        Number::new("entropy/posterior_acceptance", Unit::Share, "acceptance of the chains")
            .when("an `estimator` of chains"),
        Number::new("entropy/posterior_step", Unit::Plain, "their step size").when("an `estimator` of chains"),
    ],
    example: example!(plane, "name = \"entropy_gradient\"\nlatent = 1\nitems = 50\nfit = 5\n"),
    build: |table, _| Ok(Box::new(EntropyGradient { config: decode(table)?, estimator: decode(table)? })),
};

struct EntropyGradient {
    config: EntropyGradientConfig,
    estimator: EntropyConfig,
}

impl Probe for EntropyGradient {
    fn fits(&self, subject: &Subject) -> Result<()> {
        Linear::of(subject.data, self.config.latent, self.config.sigma).map(drop)
    }

    fn run(&self, subject: &Subject) -> Result<Finding> {
        let linear = Linear::of(subject.data, self.config.latent, self.config.sigma)?;
        let device = subject.data.device();
        let generator = linear.generator(device)?;
        let mut entropy = Entropy::new(self.estimator.clone(), self.config.latent, device)?;
        for i in 0..self.config.fit {
            let key = subject.key.with("fit").at(i as u64);
            let (x, z) = draw(&generator, key, self.config.fit_batch)?;
            entropy.estimate(key.with("estimate"), &generator, &x, &z, 1.0)?;
        }
        let (x, z) = draw(&generator, subject.key.with("items"), self.config.items)?;
        let (mut terms, mut metrics) = (Vec::with_capacity(self.config.items), Metrics::new());
        // In batches: importance sampling holds `samples` copies of what it works on.
        in_chunks(&x, CHUNK, |at, x| {
            let z = z.narrow(0, at, x.dim(0)?)?;
            let key = subject.key.with("estimate").at((at / CHUNK) as u64);
            let estimates = (0..self.config.repeats).map(|repeat| {
                let key = if repeat == 0 { key } else { key.with("repeat").at(repeat as u64) };
                let (c, found) = entropy.estimate(key, &generator, x, &z, 0.0)?;
                metrics = found;
                linalg::to_host(&c)
            });
            terms.extend(linear.compare(estimates, x, &z)?);
            Ok(())
        })?;
        Ok(Finding::of(summary(&linear, &terms, metrics)))
    }
}

fn draw(generator: &Generator, key: Key, n: usize) -> Result<(Tensor, Tensor)> {
    let z = generator.prior(key.with("z"), n)?;
    let mean = generator.mean(&z)?;
    let noise = key.with("noise").normal(mean.shape(), mean.dtype(), mean.device())?;
    Ok((generator.render(&z, &noise)?.detach(), z))
}

/// x = Wz + b + σε.
struct Linear {
    /// W, `[D, L]`.
    w: DMatrix<f64>,
    b: DVector<f64>,
    sigma: f64,
    /// C⁻¹, `[D, D]`.
    precision: DMatrix<f64>,
    /// ∂H/∂W = C⁻¹W.
    exact: DMatrix<f64>,
}

/// One item's part in the estimate, means over its repeats.
struct Term {
    /// ⟨c zᵀ, ∂H/∂W⟩ / |∂H/∂W|².
    projection: f64,
    /// |c - C⁻¹(x - b)|².
    error: f64,
    /// The variance of c, summed over its coordinates; none of a single estimate.
    variance: Option<f64>,
    /// |C⁻¹(x - b)|².
    score: f64,
}

impl Linear {
    /// Maximum likelihood of W and b (and of σ for 0) on the training data: W = U(Λ - σ²I)^½ with the L largest
    /// eigenvalues Λ of the covariance; σ² is the mean of the others.
    ///
    /// # Errors
    /// As many latent coordinates as the data have, or a σ at or above the L-th eigenvalue's root.
    fn of(data: &Data, latent: usize, sigma: f64) -> Result<Self> {
        let x = linalg::to_host(&data.all(Split::Train, ITEMS)?.x.flatten_from(1)?)?;
        let (n, dim) = x.shape();
        if latent >= dim {
            return Err(refused(format!("`latent` must be below the {dim} coordinates of the data, got {latent}")));
        }
        let b = x.row_mean().transpose();
        let centred = DMatrix::from_fn(n, dim, |i, j| x[(i, j)] - b[j]);
        let eigen = (centred.transpose() * &centred / n as f64).symmetric_eigen();
        let mut order: Vec<usize> = (0..dim).collect();
        order.sort_by(|&i, &j| eigen.eigenvalues[j].total_cmp(&eigen.eigenvalues[i]));
        let rest: f64 = order[latent..].iter().map(|&i| eigen.eigenvalues[i]).sum();
        let sigma = if sigma > 0.0 { sigma } else { (rest / (dim - latent) as f64).sqrt() };
        let excess = |k: usize| eigen.eigenvalues[order[k]] - sigma * sigma;
        if excess(latent - 1) <= 0.0 || sigma <= 0.0 {
            return Err(refused(format!("`sigma` = {sigma} leaves nothing to {latent} latent coordinates")));
        }
        let w = DMatrix::from_fn(dim, latent, |i, k| eigen.eigenvectors[(i, order[k])] * excess(k).sqrt());
        let covariance = &w * w.transpose() + DMatrix::identity(dim, dim) * (sigma * sigma);
        let singular = || Error::Other("entropy_gradient: the generator's covariance is singular".into());
        let precision = covariance.cholesky().ok_or_else(singular)?.inverse();
        Ok(Linear { exact: &precision * &w, w, b, sigma, precision })
    }

    /// The same as a generator of the house, frozen.
    fn generator(&self, device: &Device) -> Result<Generator> {
        let vector = |v: Vec<f64>| Ok::<_, Error>(Tensor::new(v, device)?.to_dtype(DType::F32)?);
        let weights = BTreeMap::from([
            ("net.0.weight".to_owned(), linalg::to_tensor(&self.w, DType::F32, device)?),
            ("net.0.bias".to_owned(), vector(self.b.iter().copied().collect())?),
            (Generator::LOG_SIGMA.to_owned(), vector(vec![self.sigma.ln()])?),
        ]);
        let sigma = self.sigma;
        let config = GeneratorConfig { latent: self.w.ncols(), squash: Squash::None, sigma, sigma_range: [sigma; 2] };
        let net = Spec::of("mlp", &MlpConfig { hidden: Vec::new(), ..MlpConfig::default() });
        Generator::new(&config, &net, &[self.w.nrows()], &Builder::bound(weights, DType::F32, device))
    }

    /// Each item's part, given one matrix of estimates c for each repeat.
    fn compare(
        &self,
        estimates: impl IntoIterator<Item = Result<DMatrix<f64>>>,
        x: &Tensor,
        z: &Tensor,
    ) -> Result<Vec<Term>> {
        let (x, z) = (linalg::to_host(x)?, linalg::to_host(z)?);
        let score = |i: usize| &self.precision * (x.row(i).transpose() - &self.b);
        let scores: Vec<DVector<f64>> = (0..x.nrows()).map(score).collect();
        let (mut n, mut sum, mut errors) = (0.0, DMatrix::zeros(x.nrows(), x.ncols()), vec![0.0; x.nrows()]);
        for c in estimates {
            let c = c?;
            n += 1.0;
            for (i, (error, score)) in errors.iter_mut().zip(&scores).enumerate() {
                *error += (c.row(i).transpose() - score).norm_squared();
            }
            sum += c;
        }
        let square = self.exact.norm_squared();
        let term = |i: usize| {
            let (mean, score) = (sum.row(i).transpose() / n, &scores[i]);
            // Σ|c - c̄|² = Σ|c - s|² - n|c̄ - s|²
            let apart = (errors[i] - n * (&mean - score).norm_squared()).max(0.0);
            Term {
                projection: mean.dot(&(&self.exact * z.row(i).transpose())) / square,
                error: errors[i] / n,
                variance: (n > 1.0).then(|| apart / (n - 1.0)),
                score: score.norm_squared(),
            }
        };
        Ok((0..x.nrows()).map(term).collect())
    }
}

/// Training items that the generator is fitted to.
const ITEMS: usize = 10_000;

fn refused(what: String) -> Error {
    Error::config(format!("probe `entropy_gradient`: {what}"))
}

/// `entropy_projection` (1 is unbiased) with its standard error; `entropy_error`, the root mean square error of c over
/// that of the exact score, whose square is the sum of the squares of `entropy_bias` and `entropy_spread`; and what the
/// estimator says of itself.
fn summary(linear: &Linear, terms: &[Term], found: Metrics) -> Metrics {
    let of = |pick: fn(&Term) -> f64| terms.iter().map(pick).collect::<Vec<_>>();
    let projections = of(|t| t.projection);
    let (error, score) = (stats::mean(&of(|t| t.error)), stats::mean(&of(|t| t.score)));
    let mut metrics = Metrics::new()
        .with("entropy_projection", stats::mean(&projections))
        .with("entropy_projection_se", stats::std_error(&projections))
        .with("entropy_error", (error / score).sqrt())
        .with("generator_sigma", linear.sigma);
    // A single estimate's squared error is bias² + variance.
    if let Some(variances) = terms.iter().map(|t| t.variance).collect::<Option<Vec<_>>>() {
        let variance = stats::mean(&variances);
        metrics.set("entropy_bias", ((error - variance).max(0.0) / score).sqrt());
        metrics.set("entropy_spread", (variance / score).sqrt());
    }
    metrics.extend(found.prefixed("entropy"));
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two items of two coordinates with scores (1, 0) and (0, 2), each estimated twice: the score + (δ, ±e).
    #[test]
    fn the_error_of_repeated_estimates_is_told_apart_into_bias_and_spread() -> Result<()> {
        let (identity, w) = (DMatrix::identity(2, 2), DMatrix::from_column_slice(2, 1, &[1.0, 0.0]));
        let linear = Linear { exact: w.clone(), w, b: DVector::zeros(2), sigma: 1.0, precision: identity };
        let x = Tensor::new(&[[1.0, 0.0], [0.0, 2.0]], &Device::Cpu)?;
        let z = Tensor::new(&[[1.0], [0.5]], &Device::Cpu)?;
        let (delta, e) = (0.5, 0.3);
        let estimate = |sign: f64| DMatrix::from_row_slice(2, 2, &[1.0 + delta, sign * e, delta, 2.0 + sign * e]);
        let found = summary(&linear, &linear.compare([Ok(estimate(1.0)), Ok(estimate(-1.0))], &x, &z)?, Metrics::new());
        let near = |name: &str, value: f64| {
            let is = found.get(name).unwrap_or(f64::NAN);
            assert!((is - value).abs() < 1e-12, "{name} is {is}, not {value}");
        };
        // Scores have a mean square of (1 + 4) / 2; the sample variance of ±e is 2e², the mean squared error δ² + e².
        near("entropy_spread", (2.0 * e * e / 2.5).sqrt());
        near("entropy_bias", ((delta * delta - e * e) / 2.5).sqrt());
        near("entropy_error", ((delta * delta + e * e) / 2.5).sqrt());
        near("entropy_projection", f64::midpoint(1.0 + delta, 0.5 * delta));
        let once = summary(&linear, &linear.compare([Ok(estimate(1.0))], &x, &z)?, Metrics::new());
        assert_eq!(once.get("entropy_spread"), None);
        Ok(())
    }
}
