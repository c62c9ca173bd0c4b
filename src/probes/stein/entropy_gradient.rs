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
        Number::new("generator_sigma", Unit::Plain, "standard deviation σ of the generator's noise"),
        Number::new("posterior_ess", Unit::Count, "effective number of the importance samples, mean of the batch")
            .higher()
            .when("`estimator = \"importance\"`"),
        Number::new("posterior_acceptance", Unit::Share, "acceptance of the chains").when("an `estimator` of chains"),
        Number::new("posterior_step", Unit::Plain, "their step size").when("an `estimator` of chains"),
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
            let (c, found) = entropy.estimate(key, &generator, x, &z, 0.0)?;
            terms.extend(linear.compare(&c, x, &z)?);
            metrics = found;
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

/// One item's part in the estimate.
struct Term {
    /// ⟨c zᵀ, ∂H/∂W⟩ / |∂H/∂W|².
    projection: f64,
    /// |c - C⁻¹(x - b)|².
    error: f64,
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

    /// Each item's part, given the estimates c.
    fn compare(&self, c: &Tensor, x: &Tensor, z: &Tensor) -> Result<Vec<Term>> {
        let (c, x, z) = (linalg::to_host(c)?, linalg::to_host(x)?, linalg::to_host(z)?);
        let square = self.exact.norm_squared();
        let term = |i: usize| {
            let (c, z) = (c.row(i).transpose(), z.row(i).transpose());
            let score = &self.precision * (x.row(i).transpose() - &self.b);
            let projection = c.dot(&(&self.exact * z)) / square;
            Term { projection, error: (&c - &score).norm_squared(), score: score.norm_squared() }
        };
        Ok((0..c.nrows()).map(term).collect())
    }
}

/// Training items that the generator is fitted to.
const ITEMS: usize = 10_000;

fn refused(what: String) -> Error {
    Error::config(format!("probe `entropy_gradient`: {what}"))
}

/// `entropy_projection` (1 is unbiased) with its standard error; `entropy_error`, the root mean square error of c over
/// the root mean square of the exact score; and what the estimator says of itself.
fn summary(linear: &Linear, terms: &[Term], found: Metrics) -> Metrics {
    let of = |pick: fn(&Term) -> f64| terms.iter().map(pick).collect::<Vec<_>>();
    let projections = of(|t| t.projection);
    let mut metrics = Metrics::new()
        .with("entropy_projection", stats::mean(&projections))
        .with("entropy_projection_se", stats::std_error(&projections))
        .with("entropy_error", (stats::mean(&of(|t| t.error)) / stats::mean(&of(|t| t.score))).sqrt())
        .with("generator_sigma", linear.sigma);
    metrics.extend(found);
    metrics
}
