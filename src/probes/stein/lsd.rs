//! Evaluation by a learned Stein discrepancy (Grathwohl 2020, Algorithm 1 with the model selection of appendix A).
//!
//! The energy is fixed, so its scores are computed once. A critic is trained on one part of the data, chosen on a
//! second, and what it finds on a third is the score: zero for a perfect model, larger for a worse one. At λ = ½ the
//! best critic's score is the Fisher divergence E|∇ log q - ∇ log p|².

use candle_core::Tensor;
use rand::seq::SliceRandom as _;
use serde::{Deserialize, Serialize};

use crate::config::{Schema, decode, rule};
use crate::data::Split;
use crate::density::Energy;
use crate::draw::{Curves, Series};
use crate::math::stats;
use crate::methods::{Critic, Noise, Part as _, State};
use crate::metrics::{Metrics, Number, Unit};
use crate::nets::Io;
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::items::{items, present};
use crate::probes::support::scored::{self, Scored, copy, not_finite};
use crate::{Error, Result, rng::Key};

/// The σ of the rule μ - σ by which a critic is selected on the validation part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// Of an item, as in the paper.
    #[default]
    Item,
    /// Of the mean over the part, σ/√n.
    Mean,
}

impl Spread {
    /// μ - σ of some items' values.
    fn rule(self, values: &[f64]) -> f64 {
        let sigma = match self {
            Spread::Item => stats::std(values),
            Spread::Mean => stats::std_error(values),
        };
        stats::mean(values) - sigma
    }
}

crate::config! {
    /// Keys of the LSD evaluation: the probe `lsd` and `ebm eval-lsd --set`.
    pub struct LsdConfig {
        /// Passes over the critic's training part.
        epochs: usize = 30, rule::at_least(1);
        /// Batch size of the critic's training.
        batch_size: usize = 128, rule::at_least(1);
        /// λ of the penalty λ E|f|²; at 0.5 the best critic's score is the Fisher divergence.
        lambda: f64 = 0.5, rule::positive;
        /// Hutchinson's probe while training.
        noise: Noise = Noise::Gaussian;
        /// Items used, split 80 : 10 : 10 into training, validation and test part; 0 uses all (10,000 drawn ones
        /// where the data are generated).
        items: usize = 0;
        /// The critic sees only so many items of the training part, to study overfitting (Fig. 10 of the paper: 100); 0
        /// for all.
        train_items: usize = 0;
        /// The σ of the rule μ - σ that selects a critic: `item`, the spread of single items (the paper), which prefers
        /// a critic near 0 where the discrepancy is below it; or `mean`, the standard error σ/√n.
        sigma: Spread = Spread::Item;
        /// Take the exact trace for validation and test when an item has at most this many dimensions, else one
        /// Hutchinson probe an item.
        exact_trace_dim: usize = 1024;
    }
    parts {
        /// The critic f: item -> item.
        critic: "mlp" of crate::nets::schemas;
        /// The critic's optimiser.
        critic_optim: "adam" of crate::optim::schemas;
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "lsd",
    about: "learned Stein discrepancy of the energy on test data: a critic trained, selected by μ - σ, scored",
    cite: "Grathwohl et al. 2020, Algorithm 1 and appendix A; arXiv 2002.05616",
    schema: Schema::of::<(LsdConfig, Schedule)>(),
    numbers: &[
        Number::new("eval_lsd", Unit::Nats, "learned Stein discrepancy on the test part: 0 for a perfect model")
            .lower()
            .lead(),
        Number::new("eval_lsd_se", Unit::Nats, "standard error of eval_lsd"),
    ],
    example: example!(plane, "name = \"lsd\"\nepochs = 2\nitems = 100\n"),
    build: |table, _| Ok(Box::new(LsdProbe(decode(table)?))),
};

struct LsdProbe(LsdConfig);

impl Probe for LsdProbe {
    fn fits(&self, subject: &Subject) -> Result<()> {
        present(ENTRY.name, subject, Split::Test)
    }

    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        let x = items(subject.data, Split::Test, self.0.items)?;
        let outcome = evaluate(&self.0, subject.model, &x, subject.key, |_| Ok(()))?;
        let Score { mean, std_error, .. } = outcome.score;
        outcome.score.too_short(&self.0).iter().for_each(|what| tracing::warn!("probe `{}`: {what}", ENTRY.name));
        Ok(Finding::of(Metrics::new().with("eval_lsd", mean).with("eval_lsd_se", std_error)))
    }
}

/// What the selected critic finds on the test part.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Score {
    /// Mean of s·f + tr ∂f/∂x, nats.
    pub mean: f64,
    /// Its standard error, σ/√n.
    pub std_error: f64,
    /// Standard deviation over items.
    pub std: f64,
    /// Items in the test part.
    pub items: usize,
    /// Epoch whose critic was selected, from 1.
    pub epoch: usize,
    /// μ - σ of that critic on the validation part, by the key `sigma`.
    pub selection: f64,
}

/// One epoch of the critic's training.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Epoch {
    /// From 1.
    pub epoch: usize,
    /// Mean discrepancy over the epoch's training batches, dropout on, Hutchinson trace.
    pub train: f64,
    /// Mean on the validation part.
    pub validation: f64,
    /// Standard deviation over items of the validation part.
    pub validation_std: f64,
    /// μ - σ on the validation part, by the key `sigma`.
    pub selection: f64,
    /// Mean on the test part; shown in curves, never used for selection.
    pub test: f64,
}

/// The score, how it came about, and the critic that was selected.
pub struct Outcome {
    /// On the test part.
    pub score: Score,
    /// What the selected critic finds at each item of the test part.
    pub found: Vec<f64>,
    /// Every epoch.
    pub history: Vec<Epoch>,
    /// The selected critic.
    pub critic: Critic,
}

impl Score {
    /// What to say where the training was too short for its critic: the last epoch's is the best of several.
    pub fn too_short(&self, config: &LsdConfig) -> Option<String> {
        let epochs = config.epochs;
        (epochs > 1 && self.epoch == epochs)
            .then(|| format!("the last epoch's critic is the best, more than epochs = {epochs} would find more"))
    }
}

/// Trains, selects and scores a critic of `energy` on the items x, `[N, ..]`; `watch` sees every epoch.
///
/// # Errors
/// Fewer than ten items; scores or discrepancies that are not finite.
pub fn evaluate(
    config: &LsdConfig,
    energy: &dyn Energy,
    x: &Tensor,
    key: Key,
    mut watch: impl FnMut(&Epoch) -> Result<()>,
) -> Result<Outcome> {
    let [train, validation, test] = split(energy, x, config.train_items, key.with("split"))?;
    let mut critic = Critic::on(
        &config.critic,
        &config.critic_optim,
        config.lambda,
        config.noise,
        &Io::field(&x.dims()[1..]),
        key.with("critic"),
        x.device(),
    )?;
    let exact = x.elem_count() / x.dim(0)? <= config.exact_trace_dim;
    let mut history = Vec::with_capacity(config.epochs);
    let mut best: Option<(Score, Vec<f64>, State)> = None;
    for epoch in 1..=config.epochs {
        let key = key.with("epoch").at(epoch as u64);
        let on_train = train_epoch(config, &mut critic, &train, key)?;
        let on_validation = validation.stein(&critic, exact, key.with("validation"))?;
        let on_test = test.stein(&critic, exact, key.with("test"))?;
        let (mean, std) = (stats::mean(&on_validation), stats::std(&on_validation));
        let (selection, on_average) = (config.sigma.rule(&on_validation), stats::mean(&on_test));
        let row = Epoch { epoch, train: on_train, validation: mean, validation_std: std, selection, test: on_average };
        if ![row.train, mean, std].iter().all(|v| v.is_finite()) {
            return Err(not_finite(epoch));
        }
        watch(&row)?;
        history.push(row);
        if best.as_ref().is_none_or(|(score, ..)| selection > score.selection) {
            let std = stats::std(&on_test);
            let std_error = std / (on_test.len() as f64).sqrt();
            let items = on_test.len();
            best = Some((Score { mean: on_average, std_error, std, items, epoch, selection }, on_test, copy(&critic)?));
        }
    }
    let (score, found, state) = best.ok_or_else(|| not_finite(0))?;
    critic.load(&state)?;
    Ok(Outcome { score, found, history, critic })
}

/// 80 : 10 : 10, in an order drawn from `key`; of the first part `limit` items, all for 0.
fn split(energy: &dyn Energy, x: &Tensor, limit: usize, key: Key) -> Result<[Scored; 3]> {
    let part = |rows: &[u32]| Scored::new(energy, x.index_select(&Tensor::new(rows, x.device())?, 0)?);
    let [mut train, validation, test] = scored::divide(x.dim(0)?, key)?;
    if limit > 0 {
        train.truncate(limit);
    }
    Ok([part(&train)?, part(&validation)?, part(&test)?])
}

/// One pass over the training part; the mean discrepancy over its batches.
fn train_epoch(config: &LsdConfig, critic: &mut Critic, part: &Scored, key: Key) -> Result<f64> {
    let n = part.len()?;
    let mut order: Vec<u32> = (0..n as u32).collect();
    order.shuffle(&mut key.with("order").rng());
    let mut seen = Vec::new();
    // A short last batch would weigh its items more: it is left to the next epoch's order.
    let size = config.batch_size.min(n);
    for (i, rows) in order.chunks_exact(size).enumerate() {
        let Scored { x, score } = part.rows(rows)?;
        seen.push(critic.step(key.at(i as u64), &x, &score, 1.0)?.discrepancy);
    }
    Ok(stats::mean(&seen))
}

/// The critic's training as curves: discrepancy on each part, and μ - σ on the validation part, which selects.
///
/// # Errors
/// Nothing to draw.
pub fn curves(history: &[Epoch]) -> Result<Curves> {
    let series = |name: &str, value: fn(&Epoch) -> f64| Series {
        name: name.to_owned(),
        points: history.iter().map(|row| (row.epoch as f64, value(row))).collect(),
    };
    if history.is_empty() {
        return Err(Error::Other("the critic was trained for no epoch: there are no curves".into()));
    }
    Ok(Curves {
        title: "learned Stein discrepancy".into(),
        x_label: "epoch".into(),
        y_label: "nats".into(),
        series: vec![
            series("training", |row| row.train),
            series("validation", |row| row.validation),
            series("test", |row| row.test),
            series("validation, mean - std", |row| row.selection),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_discrepancy_passes_the_rule_of_the_mean_and_not_that_of_items() {
        // 100 items of mean 0.5 and spread 1: five standard errors above 0, half a spread below its own.
        let values: Vec<f64> = (0..100).map(|i| if i % 2 == 0 { 1.5 } else { -0.5 }).collect();
        let [item, mean] = [Spread::Item, Spread::Mean].map(|spread| spread.rule(&values));
        let std = (100.0f64 / 99.0).sqrt();
        assert!((item - (0.5 - std)).abs() < 1e-12 && (mean - (0.5 - std / 10.0)).abs() < 1e-12, "{item} {mean}");
        assert!(item < 0.0 && mean > 0.0);
    }
}
