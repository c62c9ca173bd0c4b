//! What the MODEL gives to each mode of a known mixture: on a grid in the plane, by importance sampling elsewhere.
//! Where chains stand says nothing about it: chains that never cross keep the weights they were started with, whatever
//! the energy.

use candle_core::{Device, Tensor};
use rand::Rng as _;
use rand_distr::StandardNormal;

use crate::config::{Schema, decode, rule};
use crate::data::{Data, Modes, Split};
use crate::density::{Energy, Proposal};
use crate::math::{LogWeights, logsumexp, stats};
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::likelihood::nll;
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::items::present;
use crate::probes::support::rows::{host, host_rows};
use crate::{Error, Result, rng::Key};

crate::config! {
    /// Keys of the probe `mode_weights`.
    pub struct ModeWeightsConfig {
        /// Grid points along each axis, in the plane.
        points: usize = 300, rule::at_least(16);
        /// Draws elsewhere: as many around each mean, with the mixture's standard deviation times `widen`; where these
        /// say nothing, of the method's proposal, and 2,000 at most of a probability flow.
        draws: usize = 40_000, rule::at_least(100);
        /// How much wider they are than the mixture: more than 1, so that weights stay bounded.
        widen: f64 = 1.12, rule::positive;
        /// Test items of the divergence.
        items: usize = 10_000, rule::at_least(2);
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "mode_weights",
    about: "weight of each mode under the model (grid, or importance sampling with its effective share), total \
            variation to the truth",
    cite: "Grenioux, Durmus, Moulines, Gabrié 2023; arXiv 2306.00684",
    schema: Schema::of::<(ModeWeightsConfig, Schedule)>(),
    numbers: &[
        Number::new(
            "mode_verdict",
            Unit::Count,
            "1 where enough of the weights count, 0 where nothing is said of the modes",
        )
        .higher(),
        Number::new("mode_ess_share", Unit::Share, "effective share of the importance weights")
            .higher()
            .when("data outside the plane"),
        Number::new("mode_by_proposal", Unit::Count, "1 where the method's proposal drew the points")
            .when("data outside the plane"),
        Number::new(
            "mode_tv",
            Unit::Share,
            "total variation between weights of the modes under the model and under the truth",
        )
        .lower()
        .lead()
        .when("mode_verdict is 1"),
        Number::new("mode_weight_{mode}", Unit::Share, "weight of a mode under the model, of the first sixteen")
            .when("mode_verdict is 1"),
        Number::new("mode_log_z", Unit::Nats, "log of the normaliser").when("mode_verdict is 1"),
        Number::new("mode_kl_data", Unit::Nats, "divergence KL(data, model) on test items")
            .lower()
            .when("mode_verdict is 1, and the data's density is known"),
        Number::new("mode_kl_data_se", Unit::Nats, "standard error of mode_kl_data")
            .when("mode_verdict is 1, and the data's density is known"),
    ],
    example: example!(plane, "name = \"mode_weights\"\npoints = 32\nitems = 50\n"),
    build: |table, _| Ok(Box::new(ModeWeights(decode(table)?))),
};

struct ModeWeights(ModeWeightsConfig);

/// Below this effective share of the weights there is no verdict.
const LEAST_SHARE: f64 = 0.01;

/// Where the model's mass lies.
#[derive(Debug)]
pub struct Masses {
    /// Of the region nearest to each mean; they sum to 1.
    pub weights: Vec<f64>,
    /// log Z.
    pub log_z: f64,
    /// Effective share of the draws; `None` on a grid.
    pub ess_share: Option<f64>,
    /// Whether the draws are those of the method's proposal.
    pub by_proposal: bool,
}

impl Probe for ModeWeights {
    fn fits(&self, subject: &Subject) -> Result<()> {
        subject.data.modes().ok_or_else(|| no_modes(subject.data))?;
        present(ENTRY.name, subject, Split::Test)
    }

    /// `mode_tv`, ½ Σ |model - truth| over the modes; `mode_weight_K` of the first sixteen; `mode_kl_data`, the mean
    /// over test items of log p(x) - log p_model(x), where the truth is known. Of draws also `mode_ess_share`; below 1
    /// % of it nothing else is said but `mode_verdict` = 0, with a warning, unless draws of the method's proposal do
    /// better, which `mode_by_proposal` = 1 then says.
    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        let data = subject.data;
        let modes = data.modes().ok_or_else(|| no_modes(data))?;
        let masses = match data.bounds_2d() {
            Some(window) => on_grid(subject.model, &modes, window, self.0.points, data.device())?,
            None => {
                let key = subject.key.with("draws");
                let found = by_draws(subject.model, &modes, &self.0, key, data.device())?;
                match found.says_enough() {
                    true => found,
                    // Where the mixture is too far from the model, a flow that follows the model may be near.
                    false => {
                        by_proposal(subject, &modes, self.0.draws, key)?.filter(Masses::says_enough).unwrap_or(found)
                    }
                }
            }
        };
        let mut metrics = masses.found(&modes);
        if metrics.get("mode_verdict") == Some(1.0) {
            metrics.extend(divergence(subject.model, data, masses.log_z, self.0.items)?);
        }
        Ok(Finding::of(metrics))
    }
}

impl Masses {
    /// Of points at which the model's density over that of their draw is exp(log_w).
    fn weighted(modes: &Modes, at: &[Vec<f64>], log_w: Vec<f64>, by_proposal: bool) -> Self {
        let weights = shares(modes, at, &log_w);
        let log_w = LogWeights(log_w);
        let share = log_w.effective() / at.len().max(1) as f64;
        let ess_share = Some(if share.is_nan() { 0.0 } else { share });
        Masses { weights, log_z: log_w.log_mean(), ess_share, by_proposal }
    }

    fn says_enough(&self) -> bool {
        self.ess_share.is_none_or(|share| share >= LEAST_SHARE)
    }

    fn found(&self, modes: &Modes) -> Metrics {
        let verdict = self.says_enough();
        let mut metrics = Metrics::new().with("mode_verdict", f64::from(u8::from(verdict)));
        if let Some(share) = self.ess_share {
            metrics.set("mode_ess_share", share);
            metrics.set("mode_by_proposal", f64::from(u8::from(self.by_proposal)));
        }
        if !verdict {
            tracing::warn!(
                "mode_weights: the effective share of the weights is under {LEAST_SHARE}, so that nothing is said of \
                 the modes; the model is far from the mixture, or `draws` and `widen` are too small"
            );
            return metrics;
        }
        metrics.set("mode_tv", stats::total_variation(&self.weights, &modes.weights));
        for (k, weight) in self.weights.iter().enumerate().take(16) {
            metrics.set(format!("mode_weight_{k}"), *weight);
        }
        metrics.set("mode_log_z", self.log_z);
        metrics
    }
}

/// By quadrature in the plane.
///
/// # Errors
/// An energy that is not finite on the grid.
pub fn on_grid(
    energy: &dyn Energy,
    modes: &Modes,
    window: [[f64; 2]; 2],
    points: usize,
    device: &Device,
) -> Result<Masses> {
    let found = nll::normalise(energy, window, points, device)?;
    let at = host_rows(&found.grid.points([0.5, 0.5], device)?)?;
    Ok(Masses {
        weights: shares(modes, &at, &found.log_density),
        log_z: found.log_z,
        ess_share: None,
        by_proposal: false,
    })
}

/// By importance sampling from q(x) = 1/K Σ N(x; c_k, widen² diag(s²)), drawn as often around each mean.
///
/// # Errors
/// A tensor operation that failed.
pub fn by_draws(
    energy: &dyn Energy,
    modes: &Modes,
    config: &ModeWeightsConfig,
    key: Key,
    device: &Device,
) -> Result<Masses> {
    /// Items evaluated at a time: bounds the memory, changes no result.
    const CHUNK: usize = 5000;
    let mut rng = key.rng();
    let stds: Vec<f64> = modes.stds().map(|std| std * config.widen).collect();
    // Rounded to what the energy sees, so that both densities are taken at the same point.
    let mut draw = |i: usize| -> Vec<f64> {
        let centre = modes.centres.get(i % modes.centres.len().max(1)).into_iter().flatten();
        let one = |(c, std): (&f64, &f64)| f64::from((c + std * rng.sample::<f64, _>(StandardNormal)) as f32);
        centre.zip(&stds).map(one).collect()
    };
    let at: Vec<Vec<f64>> = (0..config.draws).map(&mut draw).collect();
    let mut log_w = Vec::with_capacity(at.len());
    for rows in at.chunks(CHUNK) {
        let flat: Vec<f32> = rows.iter().flatten().map(|v| *v as f32).collect();
        let x = Tensor::from_vec(flat, (rows.len(), ()), device)?;
        let e = host(&energy.energy(&x)?)?;
        let weight =
            |(e, x): (f64, &Vec<f64>)| if e.is_finite() { -e - log_q(modes, &stds, x) } else { f64::NEG_INFINITY };
        log_w.extend(e.into_iter().zip(rows).map(weight));
    }
    Ok(Masses::weighted(modes, &at, log_w, false))
}

/// By importance sampling from what the method keeps beside its energy, if its draws have a density.
fn by_proposal(subject: &Subject, modes: &Modes, draws: usize, key: Key) -> Result<Option<Masses>> {
    const CHUNK: usize = 2000;
    let dear = subject.proposal.is_some_and(Proposal::is_dear);
    let draws = if dear { draws.min(CHUNK) } else { draws };
    let Some(proposal) = subject.proposal.and_then(Proposal::density) else { return Ok(None) };
    let (mut at, mut log_w) = (Vec::new(), Vec::new());
    for from in (0..draws).step_by(CHUNK) {
        let x = proposal.sample(key.with("proposal").at(from as u64), CHUNK.min(draws - from))?;
        let log_q = proposal.log_prob(&x)?;
        let weight = |(e, q): (f64, f64)| if (e + q).is_finite() { -e - q } else { f64::NEG_INFINITY };
        log_w.extend(host(&subject.model.energy(&x)?)?.into_iter().zip(host(&log_q)?).map(weight));
        at.extend(host_rows(&x.flatten_from(1)?)?);
    }
    Ok(Some(Masses::weighted(modes, &at, log_w, true)))
}

fn log_q(modes: &Modes, stds: &[f64], x: &[f64]) -> f64 {
    let square = |c: &Vec<f64>| x.iter().zip(c).zip(stds).map(|((x, c), std)| ((x - c) / std).powi(2)).sum::<f64>();
    let exponents: Vec<f64> = modes.centres.iter().map(|c| -0.5 * square(c)).collect();
    let norm: f64 = stds.iter().map(|std| 0.5 * (std::f64::consts::TAU * std * std).ln()).sum();
    logsumexp(&exponents) - norm - (modes.centres.len() as f64).ln()
}

/// The share of exp(log_w) in the region nearest to each mean.
fn shares(modes: &Modes, at: &[Vec<f64>], log_w: &[f64]) -> Vec<f64> {
    let total = logsumexp(log_w);
    modes.shares(at, &log_w.iter().map(|w| (w - total).exp()).collect::<Vec<_>>())
}

/// KL of the truth to the model by test items, with its standard error.
fn divergence(energy: &dyn Energy, data: &Data, log_z: f64, items: usize) -> Result<Metrics> {
    let x = data.all(Split::Test, items)?.x;
    let Some(truth) = data.log_density(&x)? else { return Ok(Metrics::new()) };
    let e = host(&energy.energy(&x)?)?;
    let gaps: Vec<f64> = truth.to_vec1::<f64>()?.iter().zip(e).map(|(t, e)| t + e + log_z).collect();
    Ok(Metrics::new().with("mode_kl_data", stats::mean(&gaps)).with("mode_kl_data_se", stats::std_error(&gaps)))
}

fn no_modes(data: &Data) -> Error {
    Error::config(format!("probe `mode_weights`: `{}` is no mixture of Gaussians", data.spec().name))
        .hint("--set dataset.name=mixture, or the probe `modes`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::of_text;

    fn open(text: &str) -> Data {
        of_text(&format!("name = \"mixture\"\n{text}"))
    }

    /// E = 5 - log p of a data set.
    struct Truth(Data);

    impl Energy for Truth {
        fn energy(&self, x: &Tensor) -> Result<Tensor> {
            let log_p = self.0.log_density(x)?.ok_or_else(|| Error::Other("no density".into()))?;
            Ok((log_p.neg()? + 5.0)?)
        }

        fn grad(&self, _: &Tensor) -> Result<(Tensor, Tensor)> {
            Err(Error::Other("values only".into()))
        }

        fn directional(&self, _: &Tensor, _: &Tensor) -> Result<(Tensor, Tensor)> {
            Err(Error::Other("values only".into()))
        }

        fn curvature(&self, _: &Tensor, _: &Tensor) -> Result<[Tensor; 3]> {
            Err(Error::Other("values only".into()))
        }

        fn laplacian(&self, _: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
            Err(Error::Other("values only".into()))
        }
    }

    const EQUAL: &str = "weights = [0.25, 0.25, 0.25, 0.25]\n";

    #[test]
    fn on_a_grid_the_weights_are_those_of_the_model() {
        let (truth, other) = (open(""), Truth(open(EQUAL)));
        let (modes, window) = (truth.modes().unwrap(), truth.bounds_2d().unwrap());
        let found = on_grid(&other, &modes, window, 100, &Device::Cpu).unwrap();
        assert!((found.log_z + 5.0).abs() < 1e-6, "{found:?}");
        let metrics = found.found(&modes);
        assert!((metrics.get("mode_tv").unwrap() - 0.2).abs() < 1e-3, "{metrics:?}");
        // Σ p log(p/¼).
        let kl: f64 = [0.1f64, 0.2, 0.3, 0.4].iter().map(|p| p * (4.0 * p).ln()).sum();
        let gap = divergence(&other, &truth, found.log_z, 4000).unwrap();
        let z = (gap.get("mode_kl_data").unwrap() - kl) / gap.get("mode_kl_data_se").unwrap();
        assert!(z.abs() < 4.0, "z = {z}");
    }

    #[test]
    fn by_draws_the_weights_are_those_of_the_model() {
        let keys = "dim = 16\noffset = 1.4\nstd = 1.0\n";
        let (truth, other) = (open(keys), Truth(open(&format!("{keys}{EQUAL}"))));
        let modes = truth.modes().unwrap();
        let config = ModeWeightsConfig { draws: 20_000, ..ModeWeightsConfig::default() };
        let found = by_draws(&other, &modes, &config, Key::new(3), &Device::Cpu).unwrap();
        let share = found.ess_share.unwrap();
        // ESS/n = 1/E w² = (2a - 1)^{D/2}/a^D with a = widen².
        let a: f64 = 1.12 * 1.12;
        let want = ((2.0 * a - 1.0) / (a * a)).powi(8);
        assert!((share / want - 1.0).abs() < 0.1, "{share}, {want}");
        let error = (1.0 / (20_000.0 * share)).sqrt();
        assert!((found.log_z + 5.0).abs() < 4.0 * error, "{found:?}");
        assert!((found.found(&modes).get("mode_tv").unwrap() - 0.2).abs() < 4.0 * error, "{found:?}");
    }

    #[test]
    fn where_few_draws_count_there_is_no_verdict() {
        let (truth, narrow) = (open("dim = 32\nstd = 1.0\n"), Truth(open("dim = 32\nstd = 0.3\n")));
        let modes = truth.modes().unwrap();
        let config = ModeWeightsConfig { draws: 2000, ..ModeWeightsConfig::default() };
        let found = by_draws(&narrow, &modes, &config, Key::new(3), &Device::Cpu).unwrap().found(&modes);
        assert_eq!((found.get("mode_verdict"), found.get("mode_tv")), (Some(0.0), None));
    }
}
