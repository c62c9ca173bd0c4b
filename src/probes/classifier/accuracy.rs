//! Accuracy of a classifier and the calibration of its confidence.

use image::RgbImage;

use crate::Result;
use crate::config::{Schema, decode, rule};
use crate::data::Split;
use crate::draw::{Figure, Line, Mark, Panel};
use crate::math::{Bin, Calibration, Detection, stats};
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::labels::{Labelled, log_probabilities};

crate::config! {
    /// Keys of the probe `accuracy`.
    pub struct AccuracyConfig {
        /// Items that are classified: test, validation or train. The metrics' names begin with it.
        split: Split = Split::Test;
        /// How many of them; 0 takes all.
        items: usize = 0;
        /// Equal-width bins of the confidence for the calibration errors, which depend on their number: papers have 10
        /// to 20.
        bins: usize = 15, few;
    }
}

/// A picture has no place for more.
fn few(bins: &usize) -> rule::Complaint {
    (!(1..=1000).contains(bins)).then(|| format!("must be from 1 to 1000, got {bins}"))
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "accuracy",
    about: "accuracy, AUC, cross-entropy, Brier score, calibration errors (ECE, MCE) of a classifier; reliability \
            diagram",
    cite: "Guo, Pleiss, Sun, Weinberger 2017, \"On calibration of modern neural networks\", ICML, eq. 2-5",
    schema: Schema::of::<(AccuracyConfig, Schedule)>(),
    numbers: &[
        Number::new("{split}_accuracy", Unit::Share, "items that are classified correctly").higher().lead(),
        Number::new("{split}_auc", Unit::Share, "area under the ROC curve, the mean of each class against the rest")
            .higher()
            .when("two classes or more occur"),
        Number::new("{split}_cross_entropy", Unit::Nats, "mean -log p(y|x)").lower(),
        Number::new("{split}_brier", Unit::Plain, "Brier score: squared distance of probabilities to the label")
            .lower(),
        Number::new("{split}_ece", Unit::Share, "expected calibration error: mean distance of confidence to accuracy")
            .lower()
            .lead(),
        Number::new("{split}_mce", Unit::Share, "largest such distance of a bin").lower(),
    ],
    example: example!(digits, "name = \"accuracy\"\nsplit = \"validation\"\nbins = 10\n"),
    build: |table, _| Ok(Box::new(Accuracy(decode(table)?))),
};

struct Accuracy(AccuracyConfig);

impl Probe for Accuracy {
    fn fits(&self, subject: &Subject) -> Result<()> {
        Labelled::fit(ENTRY.name, subject, self.0.split)
    }

    /// Finds `{split}_accuracy`, `_cross_entropy` (nats), `_brier`, `_ece`, `_mce`, and `_auc` where two classes or
    /// more occur.
    fn run(&self, subject: &Subject) -> Result<Finding> {
        let AccuracyConfig { split, items, bins } = self.0;
        let Labelled { x, y } = Labelled::of("accuracy", subject, split, items)?;
        let log_p = log_probabilities("accuracy", subject.model, &x)?;
        let found = Calibration::new(&log_p, &y, bins);
        let mut metrics = Metrics::new()
            .with(format!("{split}_accuracy"), found.accuracy)
            .with(format!("{split}_cross_entropy"), found.cross_entropy)
            .with(format!("{split}_brier"), found.brier)
            .with(format!("{split}_ece"), found.ece)
            .with(format!("{split}_mce"), found.mce);
        if let Some(auc) = Detection::one_against_rest(&log_p, &y) {
            metrics.set(format!("{split}_auc"), auc);
        }
        let name = if split == Split::Test { "reliability".to_owned() } else { format!("reliability_{split}") };
        Ok(Finding { metrics, pictures: vec![(name, reliability(&found)?)] })
    }
}

/// Accuracy over mean confidence, bin by bin, with Wilson's 95 % interval; on the diagonal the confidence is right.
fn reliability(found: &Calibration) -> Result<RgbImage> {
    /// The normal quantile of 95 %.
    const Z: f64 = 1.96;
    let mark = |bin: &Bin| Mark { x: bin.confidence(), y: bin.accuracy(), bar: stats::wilson(bin.hits, bin.items, Z) };
    let marks = found.bins.iter().filter(|bin| bin.items > 0).map(mark).collect();
    let corner = |at: f64| Mark { x: at, y: at, bar: (f64::NAN, f64::NAN) };
    let diagonal = vec![corner(0.0), corner(1.0)];
    let line = |name: &str, marks, look, dash| Line { name: name.into(), marks, look, dash, joined: true };
    let lines = vec![line("calibrated", diagonal, 6, 1), line("model", marks, 0, 0)];
    let title = format!("ECE {:.4}, MCE {:.4} ({} bins)", found.ece, found.mce, found.bins.len());
    let figure = Figure {
        x_label: "confidence".into(),
        y_label: "accuracy".into(),
        panels: vec![Panel { title, lines }],
        ..Figure::default()
    };
    figure.picture((620, 600))
}
