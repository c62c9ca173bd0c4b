//! The learned Stein discrepancy as a test (Grathwohl et al. 2020, Algorithm 2).

use serde::{Deserialize, Serialize};

use super::{BuildTest, Evidence, Registered, Scored, Test, numbers, probe, size, too_few};
use crate::config::{Defaults, Entry, Schema, decode, rule};
use crate::math::{normal_cdf, stats};
use crate::methods::{Critic, Noise, Objective, Part as _, State};
use crate::nets::{self, Io, MlpConfig};
use crate::optim::{self, AdamConfig};
use crate::probes::probe::{ProbeRow, Schedule};
use crate::probes::support::example::example;
use crate::probes::support::scored::{FEWEST, copy, divide, not_finite};
use crate::{Result, rng::Key};

/// Which critic is taken, by its terms v = s·f + tr ∂f/∂x on the validation part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// The largest mean v / std v.
    Power,
    /// The largest mean v - std v (appendix A), for a score that models are ranked by.
    MuMinusSigma,
}

crate::config! {
    /// Keys of the learned test `gof_lsd`.
    pub struct LsdConfig {
        /// Items used, split 80 : 10 : 10 into training, validation and test part; 0 uses all (10,000 drawn ones where
        /// the data are generated).
        items: usize = 1000;
        /// Size of the test.
        alpha: f64 = 0.05, size;
        /// Updates of the critic, each on the whole training part.
        iterations: usize = 1000, rule::at_least(1);
        /// The critic is looked at every so many updates, and after the last.
        evaluate_every: usize = 100, rule::at_least(1);
        /// What the critic raises: power (eq. 12) or discrepancy (eq. 8).
        objective: Objective = Objective::Power;
        /// Which critic is tested with: that of most power on the validation part, or of the largest mu_minus_sigma.
        selection: Selection = Selection::Power;
        /// λ of the penalty λ E|f|², which the released code has and eq. 12 has not; 0 is the paper's formula.
        lambda: f64 = 0.5, rule::non_negative;
        /// Hutchinson's probe while training; the trace is exact in validation and test.
        noise: Noise = Noise::Gaussian;
    }
    parts {
        /// The critic f: item -> item.
        critic: "mlp" of critics;
        /// The critic's optimiser.
        critic_optim: "adam" of optimisers;
    }
}

/// The networks; `mlp` with the dropout that the released test has.
fn critics() -> Vec<(&'static str, Schema)> {
    replaced(nets::schemas(), "mlp", Schema::changed::<MlpConfig, Dropout>())
}

/// The optimisers; `adam` with the weight decay of the paper's test.
fn optimisers() -> Vec<(&'static str, Schema)> {
    replaced(optim::schemas(), "adam", Schema::changed::<AdamConfig, WeightDecay>())
}

fn replaced(rows: Vec<(&'static str, Schema)>, name: &str, by: Schema) -> Vec<(&'static str, Schema)> {
    rows.into_iter().map(|(row, schema)| (row, if row == name { by } else { schema })).collect()
}

struct Dropout;

impl Defaults for Dropout {
    fn table() -> toml::Table {
        toml::Table::from_iter([("dropout".to_owned(), toml::Value::Float(0.5))])
    }
}

struct WeightDecay;

impl Defaults for WeightDecay {
    fn table() -> toml::Table {
        toml::Table::from_iter([("weight_decay".to_owned(), toml::Value::Float(5e-4))])
    }
}

/// The probe.
pub(in crate::probes) const PROBE: ProbeRow = probe::<Lsd>(
    Schema::of::<(LsdConfig, Schedule)>(),
    numbers!("gof_lsd"),
    example!(plane, "name = \"gof_lsd\"\niterations = 10\nitems = 100\n"),
);

/// √n mean v / std v on the test part against N(0, 1), one-sided, v = s·f + tr ∂f/∂x with the selected critic.
pub struct Lsd(pub LsdConfig);

impl Registered for Lsd {
    const TEST: Entry<BuildTest> = Entry {
        name: "gof_lsd",
        about: "learned Stein discrepancy test: a critic trained for power on one part of the items, tested on another",
        cite: "Grathwohl et al. 2020, Algorithm 2 and eq. 12; arXiv 2002.05616",
        schema: Schema::of::<LsdConfig>(),
        build: |table| Ok(Box::new(Lsd(decode(table)?))),
    };
}

impl Test for Lsd {
    fn name(&self) -> &'static str {
        Self::TEST.name
    }

    fn level(&self) -> (usize, f64) {
        (self.0.items, self.0.alpha)
    }

    fn weigh(&self, sample: &Scored, key: Key) -> Result<Evidence> {
        if sample.len()? < FEWEST {
            return Err(too_few(Self::TEST.name, FEWEST, sample.len()?));
        }
        let [train, validation, test] = divide(sample.len()?, key.with("split"))?;
        let critic = self.train(&sample.rows(&train)?, &sample.rows(&validation)?, key)?;
        let v = sample.rows(&test)?.stein(&critic, true, key)?;
        if v.len() < 30 {
            tracing::warn!(
                "gof_lsd: its p-value takes the mean over {} test items for normal; with fewer than 30 it rejects too \
                 often. Give 300 items or more",
                v.len()
            );
        }
        let (mean, std_error) = (stats::mean(&v), stats::std_error(&v));
        let statistic = mean / std_error;
        Ok(Evidence { statistic, p_value: normal_cdf(-statistic), discrepancy: mean, std_error })
    }
}

impl Lsd {
    /// The critic of the best selection value among those looked at.
    fn train(&self, train: &Scored, validation: &Scored, key: Key) -> Result<Critic> {
        let LsdConfig { iterations, evaluate_every, objective, lambda, noise, ref critic, ref critic_optim, .. } =
            self.0;
        let (io, device) = (Io::field(&train.x.dims()[1..]), train.x.device());
        let mut critic = Critic::on(critic, critic_optim, lambda, noise, &io, key.with("critic"), device)?;
        let mut best: Option<(f64, State)> = None;
        for i in 1..=iterations {
            let step = critic.step_on(objective, key.with("step").at(i as u64), &train.x, &train.score, 1.0)?;
            if !step.discrepancy.is_finite() {
                return Err(not_finite(i));
            }
            if i.is_multiple_of(evaluate_every) || i == iterations {
                let worth = self.0.selection.worth(&validation.stein(&critic, true, key)?);
                if best.as_ref().is_none_or(|(most, _)| worth > *most) {
                    best = Some((worth, copy(&critic)?));
                }
            }
        }
        let (_, state) = best.ok_or_else(|| not_finite(iterations))?;
        critic.load(&state)?;
        Ok(critic)
    }
}

impl Selection {
    fn worth(self, v: &[f64]) -> f64 {
        match self {
            Selection::Power => Objective::Power.value(v),
            Selection::MuMinusSigma => stats::mean(v) - stats::std(v),
        }
    }
}
