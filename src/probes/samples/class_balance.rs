//! How often each class occurs among samples, by a classifier: whether a model gives unequal classes their weights.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::config::{Schema, decode, rule};
use crate::data::Split;
use crate::math::{largest, stats};
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::histogram::histogram;
use crate::probes::support::items::present;
use crate::probes::support::judge::Judge;
use crate::probes::support::labels::{labelled, log_softmax, unlabelled};
use crate::probes::support::rows::host_rows;
use crate::{Error, Result};

crate::config! {
    /// Keys of the probe `class_balance`.
    pub struct ClassBalanceConfig {
        /// Samples drawn by the run's sampler.
        n: usize = 2_000, rule::at_least(1);
        /// Classifier: a checkpoint of ebm or the folder of its run, or `digits`, the shipped one of the 8×8 digits;
        /// must be given.
        classifier: String = String::new();
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "class_balance",
    about: "share of each class among samples by a classifier, and its total variation to the training labels; how \
            sure it is, and how unlike each other samples of a class are",
    cite: "Carbone, Hua, Coste, Vanden-Eijnden 2023, \"Efficient training of energy-based models using Jarzynski \
           equality\", NeurIPS; arXiv 2305.19414",
    schema: Schema::of::<(ClassBalanceConfig, Schedule)>(),
    numbers: &[
        Number::new("class_tv", Unit::Share, "total variation between classes of samples and training labels")
            .lower()
            .against("class_tv_real")
            .lead(),
        Number::new("class_tv_real", Unit::Share, "the same of test items, as many as the samples"),
        Number::new("class_sure", Unit::Share, "share of samples whose class the classifier is surer of than 95 %")
            .higher()
            .against("class_sure_real")
            .lead(),
        Number::new("class_sure_real", Unit::Share, "the same of test items"),
        Number::new(
            "class_spread",
            Unit::Plain,
            "spread within classes of samples, over that of test items; 1 is as various",
        ),
        Number::new("class_share_{class}", Unit::Share, "share of a class among the samples"),
        Number::new("classifier_sha", Unit::Hash, "sha256 of the classifier's file"),
    ],
    example: example!(digits, "name = \"class_balance\"\nn = 60\nclassifier = \"{classifier}\"\n"),
    build: |table, device| {
        let config: ClassBalanceConfig = decode(table)?;
        let judge = Judge::named(&config.classifier, device)?;
        Ok(Box::new(ClassBalance { config, judge }))
    },
};

struct ClassBalance {
    config: ClassBalanceConfig,
    judge: Option<Judge>,
}

impl Probe for ClassBalance {
    fn draws(&self) -> bool {
        true
    }

    fn fits(&self, subject: &Subject) -> Result<()> {
        // The shipped configurations leave its path to the command line, and pass `ebm check` without.
        if let Some(judge) = &self.judge {
            judge.check(subject.data)?;
        }
        labelled(ENTRY.name, subject)?;
        present(ENTRY.name, subject, Split::Test)
    }

    /// Finds `class_tv`, ½ Σ |share among samples - share among training labels|, beside `class_tv_real` of as many
    /// test items, which the classifier's mistakes and their number leave; `class_sure`, the share of samples whose
    /// likeliest class has a probability above .95, beside `class_sure_real`; `class_spread`, the root mean square
    /// distance of samples from the mean of their class over that of test items, under 1 where samples of a class are
    /// more alike; `class_share_K` of every class that the labels have; and `classifier_sha`.
    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        let judge = self.judge.as_ref().ok_or_else(no_classifier)?;
        let labels = subject.data.labels(Split::Train).ok_or_else(|| unlabelled(ENTRY.name, subject))?;
        let x = subject.sample(subject.key.with("samples"), self.config.n)?;
        let real = subject.data.all(Split::Test, self.config.n)?.x;
        let (drawn, real) = (Read::of(judge, subject, &x)?, Read::of(judge, subject, &real)?);
        let mut metrics = found(&drawn.classes, &real.classes, labels.iter().map(|y| *y as usize));
        metrics.set("class_sure", drawn.sure);
        metrics.set("class_sure_real", real.sure);
        let spread = drawn.spread / real.spread;
        if spread.is_finite() {
            metrics.set("class_spread", spread);
        }
        judge.stamp("classifier_sha", &mut metrics);
        Ok(Finding::of(metrics))
    }
}

/// What a classifier reads in some items.
struct Read {
    classes: Vec<usize>,
    /// The share of items whose likeliest class has a probability above .95.
    sure: f64,
    /// [`spread`] of the items.
    spread: f64,
}

impl Read {
    fn of(judge: &Judge, subject: &Subject, x: &Tensor) -> Result<Self> {
        /// The probability from which a class counts as certain.
        const SURE: f64 = 0.95;
        let best: Vec<(usize, f64)> =
            log_softmax(&judge.logits(x, subject.data)?)?.iter().map(|row| largest(row)).collect();
        let sure = best.iter().filter(|(_, log_p)| log_p.exp() > SURE).count() as f64 / best.len().max(1) as f64;
        let classes: Vec<usize> = best.into_iter().map(|(class, _)| class).collect();
        let spread = spread(&host_rows(&x.flatten_from(1)?)?, &classes);
        Ok(Read { classes, sure, spread })
    }
}

/// The root mean square distance of items from the mean of their class, unbiased; classes of one item are left out.
fn spread(items: &[Vec<f64>], classes: &[usize]) -> f64 {
    let mut by_class: BTreeMap<usize, Vec<&[f64]>> = BTreeMap::new();
    for (item, class) in items.iter().zip(classes) {
        by_class.entry(*class).or_default().push(item);
    }
    let (mut squares, mut freedom) = (0.0, 0);
    for members in by_class.values().filter(|members| members.len() > 1) {
        freedom += members.len() - 1;
        for i in 0..members[0].len() {
            let column: Vec<f64> = members.iter().map(|item| item[i]).collect();
            squares += stats::variance(&column) * (members.len() - 1) as f64;
        }
    }
    (squares / freedom as f64).sqrt()
}

fn found(drawn: &[usize], real: &[usize], labels: impl Iterator<Item = usize> + Clone) -> Metrics {
    let k = labels.clone().chain(drawn.iter().copied()).chain(real.iter().copied()).max().map_or(0, |top| top + 1);
    let shares = |places: &mut dyn Iterator<Item = usize>| -> Vec<f64> {
        let counts = histogram(k, places);
        let total = counts.iter().sum::<usize>().max(1) as f64;
        counts.iter().map(|count| *count as f64 / total).collect()
    };
    let truth = shares(&mut labels.clone());
    let distance = |q: &[f64]| stats::total_variation(q, &truth);
    let (of_drawn, of_real) = (shares(&mut drawn.iter().copied()), shares(&mut real.iter().copied()));
    let mut metrics = Metrics::new().with("class_tv", distance(&of_drawn)).with("class_tv_real", distance(&of_real));
    for (class, share) in of_drawn.iter().enumerate().filter(|(class, _)| truth.get(*class).is_some_and(|t| *t > 0.0)) {
        metrics.set(format!("class_share_{class}"), *share);
    }
    metrics
}

fn no_classifier() -> Error {
    Error::config("probe `class_balance` needs a classifier").at("classifier").hint(
        "`digits` is the shipped one of the 8×8 digits; for other data train one on all classes and set `classifier` \
         of the probe to its checkpoint",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_that_about_the_mean_of_each_class() {
        // Class 0 at (0, 0) and (2, 0), class 1 at (10, 10) and (10, 14), one item of class 2: (2 + 8)/2 in the mean.
        let items = [[0.0, 0.0], [10.0, 10.0], [2.0, 0.0], [10.0, 14.0], [99.0, 0.0]].map(|item| item.to_vec());
        assert!((spread(&items, &[0, 1, 0, 1, 2]) - 5f64.sqrt()).abs() < 1e-12);
        assert!(spread(&items[..1], &[0]).is_nan());
    }

    #[test]
    fn shares_are_those_by_hand() {
        // Labels 4:2:1 of the classes 2, 3, 6; samples half 2 and half 3; one test item of seven read as class 8.
        let labels = [2, 2, 2, 2, 3, 3, 6];
        let metrics = found(&[2, 3, 2, 3], &[2, 2, 2, 2, 3, 3, 8], labels.into_iter());
        let half = (0.5 - 4.0 / 7.0f64).abs() + (0.5 - 2.0 / 7.0) + 1.0 / 7.0;
        assert!((metrics.get("class_tv").unwrap() - 0.5 * half).abs() < 1e-12);
        assert!((metrics.get("class_tv_real").unwrap() - 1.0 / 7.0).abs() < 1e-12);
        assert_eq!((metrics.get("class_share_2"), metrics.get("class_share_6")), (Some(0.5), Some(0.0)));
        assert_eq!((metrics.get("class_share_8"), metrics.get("class_share_0")), (None, None));
    }
}
