//! The energies of a noise ladder, level by level, against the exact marginals of data that are known in closed form.

use candle_core::{DType, Tensor};
use image::RgbImage;

use super::ode::{FlowConfig, log_likelihoods, without_levels};
use crate::config::{Schema, decode, rule};
use crate::data::{Data, Split};
use crate::density::Energy;
use crate::draw::{Curves, Series, tile};
use crate::math::{LogWeights, logsumexp, stats};
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::items::{blank, not_finite, present};
use crate::probes::support::rows::{CHUNK, host, host_rows, in_chunks};
use crate::{Error, Result};

crate::config! {
    /// Keys of the probe `levels`, besides those of the flow.
    pub struct LevelsConfig {
        /// Exact draws at each level.
        items: usize = 1_000, rule::at_least(2);
        /// Of them, those whose level is guessed among all levels.
        classified: usize = 100, rule::at_least(1);
        /// Exact draws of level 0 at which the density of the probability flow is found; 0 for none.
        flow_items: usize = 500;
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "levels",
    about: "a model `ladder` at every noise level against the exact marginals of mixtures and Gaussians: scores, \
            importance weights, normalisers, classification of levels; what its flow draws against exp(-E)",
    cite: "classification of levels as a measure: OuYang, Grenioux, Hernández-Lobato 2026; arXiv 2601.21025",
    schema: Schema::of::<(LevelsConfig, FlowConfig, Schedule)>(),
    numbers: &[
        Number::new("levels/fisher_{level}", Unit::Plain, "Fisher divergence to the exact score, times σ²/D").lower(),
        Number::new("levels/ess_share_{level}", Unit::Share, "effective share of exp(-E)/p over exact draws of p")
            .higher(),
        Number::new("levels/log_z_{level}", Unit::Nats, "log of the normaliser, by the same weights"),
        Number::new("levels/f_{level}", Unit::Nats, "log-normaliser that the method learned, less that of the top")
            .when("a method that learns them, diffclf"),
        Number::new("levels/worst_fisher", Unit::Plain, "largest of the Fisher divergences").lower().lead(),
        Number::new("levels/worst_ess_share", Unit::Share, "least of the effective shares").higher().lead(),
        Number::new("levels/worst_log_z", Unit::Nats, "largest |log Z|: 0 for energies that are normalised").lower(),
        Number::new("levels/worst_f", Unit::Nats, "largest difference of f_{level} to log Z less that of the top")
            .lower()
            .when("a method that learns them, diffclf"),
        Number::new(
            "levels/classification",
            Unit::Nats,
            "mean -log of the share that a draw's own level is given among all, energies normalised by their log Z",
        )
        .lower()
        .lead(),
        Number::new("levels/classification_exact", Unit::Nats, "the same by the exact densities: the least possible"),
        Number::new(
            "levels/flow_gap",
            Unit::Nats,
            "mean log-likelihood of exact draws of level 0 under the probability flow minus that under exp(-E)/Z",
        )
        .when("`flow_items` is above 0"),
        Number::new(
            "levels/flow_kl",
            Unit::Nats,
            "divergence of the probability flow from the exact density of level 0",
        )
        .lower()
        .when("`flow_items` is above 0"),
        Number::new(
            "levels/flow_tv",
            Unit::Share,
            "total variation of the flow's weights of the modes to the true ones",
        )
        .lower()
        .when("`flow_items` is above 0, and data from a known mixture"),
        Number::new("levels/energy_tv", Unit::Share, "the same of the weights under exp(-E), at the same draws")
            .lower()
            .when("`flow_items` is above 0, and data from a known mixture"),
    ],
    example: example!(levels, "name = \"levels\"\nitems = 20\nclassified = 4\nflow_items = 10\nsteps = 4\n"),
    build: |table, _| Ok(Box::new(Levels { config: decode(table)?, flow: decode(table)? })),
};

struct Levels {
    config: LevelsConfig,
    flow: FlowConfig,
}

/// What is found at one level.
struct Level {
    sigma: f64,
    /// Exact draws, `[n, ..]`.
    x: Tensor,
    fisher: f64,
    /// exp(-E)/p at the draws.
    weights: LogWeights,
}

impl Probe for Levels {
    fn fits(&self, subject: &Subject) -> Result<()> {
        subject.model.levels()?.ok_or_else(|| without_levels(ENTRY.name))?;
        log_p(subject.data, &blank(subject.data)?, 0.0)?;
        present(ENTRY.name, subject, Split::Test)
    }

    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        let sigmas = subject.model.levels()?.ok_or_else(|| without_levels(ENTRY.name))?;
        let x = subject.data.all(Split::Test, self.config.items)?.x;
        let level = |(i, sigma): (usize, f64)| Level::new(subject, &x, i as u64, sigma);
        let levels: Vec<Level> = host(&sigmas)?.into_iter().enumerate().map(level).collect::<Result<_>>()?;
        let mut metrics = found(&levels, subject.model.level_log_z());
        metrics.extend(self.classification(subject, &levels)?);
        if let Some(lowest) = levels.first().filter(|_| self.config.flow_items > 0) {
            metrics.extend(self.gap(subject, lowest)?);
        }
        Ok(Finding { metrics: metrics.prefixed("levels"), pictures: vec![("levels".to_owned(), picture(&levels)?)] })
    }
}

impl Level {
    /// The items x under noise of the level number `i`, and the energy there.
    fn new(subject: &Subject, x: &Tensor, i: u64, sigma: f64) -> Result<Self> {
        let noise = subject.key.with("noise").at(i).normal(x.shape(), x.dtype(), x.device())?;
        let x = (x + (noise * sigma)?)?;
        let energy = |rows: &Tensor| at_level(subject, rows, sigma)?.grad(rows);
        let parts = in_chunks(&x, CHUNK, |_, rows| {
            let (energy, grad) = energy(rows)?;
            let truth = subject.data.score_at(rows, sigma)?.ok_or_else(|| unknown(subject.data))?;
            let miss = (grad.detach().to_dtype(DType::F64)? + truth)?.sqr()?.flatten_from(1)?.mean(1)?;
            Ok((host(&energy)?, host(&(miss * (sigma * sigma))?)?))
        })?;
        let (energies, misses): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let (energies, fisher) = (energies.concat(), stats::mean(&misses.concat()));
        if !fisher.is_finite() || energies.iter().any(|e| e.is_nan()) {
            return Err(not_finite(&format!("the energy at the noise level {sigma} is not finite")));
        }
        let weights = LogWeights::of(&energies, &log_p(subject.data, &x, sigma)?);
        Ok(Level { sigma, x, fisher, weights })
    }

    fn share(&self) -> f64 {
        self.weights.effective() / self.weights.0.len() as f64
    }

    fn log_z(&self) -> f64 {
        self.weights.log_mean()
    }
}

impl Levels {
    /// The share of its own level at draws of every level, by the model and exactly.
    fn classification(&self, subject: &Subject, levels: &[Level]) -> Result<Metrics> {
        let (mut by_model, mut exact) = (Vec::new(), Vec::new());
        for (own, Level { x, .. }) in levels.iter().enumerate() {
            let x = x.narrow(0, 0, self.config.classified.min(x.dim(0)?))?;
            let (mut model, mut truth) = (Vec::new(), Vec::new());
            for level in levels {
                let energies =
                    in_chunks(&x, CHUNK, |_, rows| host(&at_level(subject, rows, level.sigma)?.energy(rows)?))?;
                model.push(energies.concat().into_iter().map(|e| -e - level.log_z()).collect::<Vec<_>>());
                truth.push(log_p(subject.data, &x, level.sigma)?);
            }
            by_model.extend(losses(&model, own));
            exact.extend(losses(&truth, own));
        }
        let mean = |losses: &[f64]| stats::mean(losses);
        Ok(Metrics::new().with("classification", mean(&by_model)).with("classification_exact", mean(&exact)))
    }

    /// The density of the probability flow beside exp(-E) at exact draws of level 0.
    fn gap(&self, subject: &Subject, lowest: &Level) -> Result<Metrics> {
        let n = self.config.flow_items.min(lowest.weights.0.len());
        let x = lowest.x.narrow(0, 0, n)?;
        let (log_q, _) = log_likelihoods(&self.flow.of(ENTRY.name, subject)?, &x)?;
        let log_p = log_p(subject.data, &x, lowest.sigma)?;
        let by_flow: Vec<f64> = log_q.iter().zip(&log_p).map(|(q, p)| q - p).collect();
        let by_energy: Vec<f64> = lowest.weights.0.iter().take(n).map(|w| w - lowest.log_z()).collect();
        let mut metrics = Metrics::new()
            .with("flow_gap", stats::mean(&by_flow) - stats::mean(&by_energy))
            .with("flow_kl", -stats::mean(&by_flow));
        if let Some(modes) = subject.data.modes() {
            // Shares of the very draws, weighted and not, so that their chance cancels.
            let rows = host_rows(&x.flatten_from(1)?)?;
            let equal = modes.shares(&rows, &vec![1.0 / n as f64; n]);
            let tv =
                |log_w: Vec<f64>| stats::total_variation(&equal, &modes.shares(&rows, &LogWeights(log_w).shares()));
            metrics.set("flow_tv", tv(by_flow));
            metrics.set("energy_tv", tv(by_energy));
        }
        Ok(metrics)
    }
}

/// The numbers of each level and their worst.
fn found(levels: &[Level], learned: Option<&[f64]>) -> Metrics {
    let mut metrics = Metrics::new();
    for (i, level) in levels.iter().enumerate() {
        metrics.set(format!("fisher_{i}"), level.fisher);
        metrics.set(format!("ess_share_{i}"), level.share());
        metrics.set(format!("log_z_{i}"), level.log_z());
    }
    let largest = |of: &dyn Fn(&Level) -> f64| levels.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
    metrics.set("worst_fisher", largest(&|level| level.fisher));
    metrics.set("worst_ess_share", -largest(&|level| -level.share()));
    metrics.set("worst_log_z", largest(&|level| level.log_z().abs()));
    if let (Some(learned), Some(top)) = (learned, levels.last()) {
        let last = learned.last().copied().unwrap_or(f64::NAN);
        let mut worst = 0f64;
        for (i, (level, f)) in levels.iter().zip(learned).enumerate() {
            metrics.set(format!("f_{i}"), f - last);
            worst = worst.max((f - last - (level.log_z() - top.log_z())).abs());
        }
        metrics.set("worst_f", worst);
    }
    metrics
}

/// -log of the softmax over the rows of `[L][n]` at the row `own`, draw by draw.
fn losses(logits: &[Vec<f64>], own: usize) -> Vec<f64> {
    let n = logits.first().map_or(0, Vec::len);
    let of = |draw: usize| {
        let all: Vec<f64> = logits.iter().filter_map(|row| row.get(draw).copied()).collect();
        logsumexp(&all) - all.get(own).copied().unwrap_or(f64::NAN)
    };
    (0..n).map(of).collect()
}

fn at_level(subject: &Subject, x: &Tensor, sigma: f64) -> Result<impl Energy> {
    let level = Tensor::full(sigma, x.dim(0)?, x.device())?.to_dtype(x.dtype())?;
    subject.model.at_level(&level).ok_or_else(|| without_levels(ENTRY.name))
}

/// The exact log p_σ at items.
fn log_p(data: &Data, x: &Tensor, sigma: f64) -> Result<Vec<f64>> {
    host(&data.log_density_at(x, sigma)?.ok_or_else(|| unknown(data))?)
}

fn unknown(data: &Data) -> Error {
    let name = &data.spec().name;
    Error::config(format!("probe `levels`: the density of `{name}` under noise is not known in closed form"))
        .hint("remove it, or --set dataset.name=mixture; known are mixtures of Gaussians and `gaussian`")
}

/// Fisher divergences, effective shares and normalisers over log10 σ.
fn picture(levels: &[Level]) -> Result<RgbImage> {
    let panel = |title: &str, y_label: &str, of: &dyn Fn(&Level) -> f64| {
        let points = levels.iter().map(|level| (level.sigma.log10(), of(level))).collect();
        let series = vec![Series { name: "model".to_owned(), points }];
        let (title, x_label, y_label) = (title.to_owned(), "log10 of the noise level".to_owned(), y_label.to_owned());
        Curves { title, x_label, y_label, series }.picture((480, 400))
    };
    let fisher = panel("Fisher divergence times σ²/D", "log10", &|level| level.fisher.max(1e-12).log10())?;
    let share = panel("effective share of exp(-E)/p", "share", &Level::share)?;
    let log_z = panel("normaliser", "log Z, nats", &Level::log_z)?;
    Ok(tile(&[fisher, share, log_z], 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(sigma: f64, log_w: Vec<f64>) -> Level {
        let x = Tensor::zeros((log_w.len(), 2), DType::F32, &candle_core::Device::Cpu).unwrap();
        Level { sigma, x, fisher: sigma, weights: LogWeights(log_w) }
    }

    #[test]
    fn learned_normalisers_are_compared_up_to_a_constant_and_the_worst_level_is_named() {
        let levels = [level(0.1, vec![2.0, 2.0]), level(1.0, vec![-1.0, -1.0]), level(9.0, vec![0.5, 0.5])];
        let found = found(&levels, Some(&[7.5, 4.6, 6.0]));
        let get = |name: &str| found.get(name).unwrap();
        assert_eq!((get("f_0"), get("f_2"), get("worst_fisher"), get("worst_log_z")), (1.5, 0.0, 9.0, 2.0));
        assert!((get("worst_f") - 0.1).abs() < 1e-12 && (get("worst_ess_share") - 1.0).abs() < 1e-12);
        assert_eq!(super::found(&levels, None).get("worst_f"), None);
    }

    #[test]
    fn levels_that_are_alike_are_guessed_by_chance() {
        let alike = vec![vec![-3.0, 1.0]; 4];
        assert!(losses(&alike, 2).iter().all(|loss| (loss - 4f64.ln()).abs() < 1e-12));
        assert!(losses(&[vec![0.0], vec![50.0]], 1)[0] < 1e-12 && losses(&[vec![0.0], vec![50.0]], 0)[0] > 49.0);
    }
}
