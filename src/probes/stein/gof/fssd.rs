//! The finite-set Stein discrepancy: features at a few locations, chosen where the test has most power.

use candle_core::{Device, Tensor};
use nalgebra::DMatrix;
use rand::Rng as _;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::features::{Features, Moments};
use super::kernel::{self, spread};
use super::{BuildTest, Evidence, PointSet, Radial, Registered, Scored, SteinKernel, Test, numbers, probe, size};
use crate::config::{Entry, Schema, decode, rule};
use crate::math::{minimise, stats};
use crate::probes::probe::{ProbeRow, Schedule};
use crate::probes::support::example::example;
use crate::{Result, ops, rng::Key};

/// Where the features are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Locations {
    /// Optimised together with the bandwidth for power.
    Optimised,
    /// Drawn from a Gaussian fit; the bandwidth is the median distance.
    Random,
}

/// How the statistic is distributed under the null.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Null {
    /// As for n → ∞, with the features' covariance of the items.
    Asymptotic,
    /// As under random signs of the items' features.
    Bootstrap,
}

crate::config! {
    /// Keys of the test `gof_fssd`.
    pub struct FssdConfig {
        /// Items used; 0 uses all (10,000 drawn ones where the data are generated).
        items: usize = 1000;
        /// Size of the test.
        alpha: f64 = 0.05, size;
        /// rbf: exp(-r²/2σ²); imq: (1 + r²/σ²)^beta.
        kernel: Radial = Radial::Rbf;
        /// Exponent of imq.
        beta: f64 = -0.5, kernel::beta;
        /// Number of locations J.
        features: usize = 5, rule::at_least(1);
        /// optimised, or random.
        locations: Locations = Locations::Optimised;
        /// Share of the items that locations and bandwidth are chosen on; the test leaves them out.
        learn: f64 = 0.2, size;
        /// Steps of the optimiser at most.
        iterations: usize = 40, rule::at_least(1);
        /// The null distribution: bootstrap, or the paper's asymptotic, whose p-values are not uniform where optimised
        /// locations lie in a tail and few items count.
        null: Null = Null::Bootstrap;
        /// Draws of the null distribution.
        replicates: usize = 2000, rule::at_least(1);
    }
}

/// The probe.
pub(in crate::probes) const PROBE: ProbeRow = probe::<Fssd>(
    Schema::of::<(FssdConfig, Schedule)>(),
    numbers!("gof_fssd"),
    example!(plane, "name = \"gof_fssd\"\nitems = 100\n"),
);

/// n FSSD² against Σ ωᵢ(zᵢ² - 1), ω the eigenvalues of the features' covariance, z standard normal (proposition 2), or
/// against (|Σ εᵢτᵢ|² - Σ |τᵢ|²)/(n - 1), ε random signs: the wild bootstrap of a degenerate U-statistic (Chwialkowski
/// et al. 2014).
pub struct Fssd(pub FssdConfig);

impl Registered for Fssd {
    const TEST: Entry<BuildTest> = Entry {
        name: "gof_fssd",
        about: "finite-set Stein discrepancy test, optimised locations, linear time",
        cite: "Jitkrittum, Xu, Szabo, Fukumizu & Gretton 2017, arXiv 1705.07673",
        schema: Schema::of::<FssdConfig>(),
        build: |table| Ok(Box::new(Fssd(decode(table)?))),
    };
}

impl Test for Fssd {
    fn name(&self) -> &'static str {
        Self::TEST.name
    }

    fn level(&self) -> (usize, f64) {
        (self.0.items, self.0.alpha)
    }

    fn weigh(&self, sample: &Scored, key: Key) -> Result<Evidence> {
        let points = PointSet::new(Self::TEST.name, sample, 20)?;
        let [learn, test] = points.divide(self.0.learn, key.with("learn"))?;
        let features = self.features(&learn, key.with("locations"))?;
        let n = test.len() as f64;
        let tau = features.at(&test);
        let moments = Moments::of(&tau, test.len());
        let statistic = n * moments.fssd;
        let (count, key) = (self.0.replicates, key.with("null"));
        let null = match self.0.null {
            Null::Asymptotic => null_draws(&tau, &moments.mean, test.len(), count, key)?,
            Null::Bootstrap => bootstrap(&tau, moments.mean.len(), test.len(), count, key),
        };
        let above = null.iter().filter(|v| **v >= statistic).count();
        let p_value = (above + 1) as f64 / (null.len() + 1) as f64;
        Ok(Evidence { statistic, p_value, discrepancy: moments.fssd, std_error: (moments.variance / n).sqrt() })
    }
}

impl Fssd {
    /// Locations and bandwidth, from items that the test leaves out.
    fn features(&self, learn: &PointSet, key: Key) -> Result<Features> {
        let FssdConfig { kernel: radial, beta, features, iterations, .. } = self.0;
        let median = spread(learn)?;
        let locations = gaussian_fit(learn, features, key);
        let start = |scale: f64| Features { kernel: SteinKernel { radial, beta, scale }, locations: locations.clone() };
        if self.0.locations == Locations::Random {
            return Ok(start(median * median));
        }
        let grid = [-3.0, -1.5, 0.0, 1.5, 3.0].map(|e| start(median * median * 2f64.powf(e)));
        let scored = grid.into_iter().map(|f| (f.criterion(learn), f));
        let best =
            scored.reduce(|a, b| if b.0 > a.0 { b } else { a }).map_or_else(|| start(median * median), |(_, f)| f);
        Ok(optimise(best, learn, median, iterations))
    }
}

/// `count` draws of N(x̄, cov x): x̄ + Σ zᵢ (xᵢ - x̄)/√(n - 1) with normal z has that law, and needs no factorisation.
fn gaussian_fit(points: &PointSet, count: usize, key: Key) -> Vec<f64> {
    let (n, mut rng) = (points.len() as f64, key.rng());
    let mut mean = vec![0.0; points.dim()];
    points.items().for_each(|x| mean.iter_mut().zip(x).for_each(|(m, x)| *m += x / n));
    let mut all = Vec::with_capacity(count * mean.len());
    for _ in 0..count {
        let mut draw = mean.clone();
        for x in points.items() {
            let z = rng.sample::<f64, _>(StandardNormal) / (n - 1.0).max(1.0).sqrt();
            draw.iter_mut().zip(x.iter().zip(&mean)).for_each(|(v, (x, m))| *v += z * (x - m));
        }
        all.extend(draw);
    }
    all
}

/// Maximises the criterion over (log σ, locations), in units of the median distance. The box is that of kgof for the
/// locations: the items' range and ten standard deviations beyond; σ stays within a factor 100 of the median distance
/// (kgof: σ² in [0.1, 10⁴], which depends on the data's scale and binds at 50 dimensions).
fn optimise(start: Features, learn: &PointSet, median: f64, iterations: usize) -> Features {
    let d = learn.dim();
    let count = start.locations.len() / d.max(1);
    let [low, high] = box_of(learn, median);
    let bounds = |first: f64, one: &[f64]| -> Vec<f64> { std::iter::once(first).chain(one.repeat(count)).collect() };
    let (low, high) = (bounds(-(100f64.ln()), &low), bounds(100f64.ln(), &high));
    let features = |theta: &[f64]| Features {
        kernel: SteinKernel { scale: (median * theta[0].exp()).powi(2), ..start.kernel },
        locations: theta[1..].iter().map(|v| v * median).collect(),
    };
    let loss = |theta: &[f64]| {
        let (value, [scale, locations]) = features(theta).criterion_and_slopes(learn);
        let slopes = scale.iter().map(|g| -g).chain(locations.iter().map(|g| -g * median)).collect();
        (-value, slopes)
    };
    let locations = start.locations.iter().map(|v| v / median);
    let theta: Vec<f64> = std::iter::once(start.kernel.scale.sqrt().ln() - median.ln()).chain(locations).collect();
    features(&minimise(loss, &theta, [&low, &high], iterations, 1e-4).0)
}

/// For each coordinate the items' range widened by ten standard deviations, in units of `unit`.
fn box_of(points: &PointSet, unit: f64) -> [Vec<f64>; 2] {
    let side = |c: usize| {
        let column: Vec<f64> = points.items().filter_map(|x| x.get(c).copied()).collect();
        let widen = 10.0 * stats::std(&column);
        let low = column.iter().copied().fold(f64::INFINITY, f64::min) - widen;
        let high = column.iter().copied().fold(f64::NEG_INFINITY, f64::max) + widen;
        [low / unit, high / unit]
    };
    let sides: Vec<[f64; 2]> = (0..points.dim()).map(side).collect();
    [0, 1].map(|end| sides.iter().map(|s| s[end]).collect())
}

/// Draws of Σ ωᵢ(zᵢ² - 1), ω the eigenvalues of the covariance of τ `[n, m]`.
fn null_draws(tau: &[f64], mean: &[f64], n: usize, count: usize, key: Key) -> Result<Vec<f64>> {
    let eigenvalues = spectrum(tau, mean, n)?;
    let mut rng = key.rng();
    let mut draw = || eigenvalues.iter().map(|w| w * (rng.sample::<f64, _>(StandardNormal).powi(2) - 1.0)).sum();
    Ok((0..count).map(|_| draw()).collect())
}

/// n FSSD² under random signs of the rows of τ `[n, m]`.
fn bootstrap(tau: &[f64], m: usize, n: usize, count: usize, key: Key) -> Vec<f64> {
    let squares: f64 = tau.iter().map(|t| t * t).sum();
    let mut rng = key.rng();
    let mut draw = || {
        let mut sum = vec![0.0; m];
        for row in tau.chunks_exact(m.max(1)) {
            let sign = if rng.random::<bool>() { 1.0 } else { -1.0 };
            sum.iter_mut().zip(row).for_each(|(s, t)| *s += sign * t);
        }
        (sum.iter().map(|s| s * s).sum::<f64>() - squares) / (n as f64 - 1.0)
    };
    (0..count).map(|_| draw()).collect()
}

/// The eigenvalues of the covariance (1/n), from it or from the Gram matrix of the centred rows, whichever is smaller:
/// they share all that are not 0.
fn spectrum(tau: &[f64], mean: &[f64], n: usize) -> Result<Vec<f64>> {
    let m = mean.len();
    let root = (n as f64).sqrt();
    let centred: Vec<f64> =
        tau.chunks_exact(m.max(1)).flat_map(|row| row.iter().zip(mean).map(|(t, m)| (t - m) / root)).collect();
    let rows = Tensor::from_vec(centred, (n, m), &Device::Cpu)?;
    let side = if n < m { rows } else { rows.t()?.contiguous()? };
    let gram = ops::linear(&side, &side, None)?;
    let gram = DMatrix::from_row_slice(side.dim(0)?, side.dim(0)?, &gram.flatten_all()?.to_vec1::<f64>()?);
    Ok(gram.symmetric_eigenvalues().iter().map(|w| w.max(0.0)).collect())
}
