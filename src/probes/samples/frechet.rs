//! Sample quality in a feature space: Fréchet and kernel distance to the data, precision, recall, density and coverage.

use candle_core::Tensor;
use nalgebra::DMatrix;

use crate::config::{Schema, decode, rule};
use crate::data::Split;
use crate::math::two_samples;
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::features::Features;
use crate::{Error, Result};

crate::config! {
    /// Keys of the probe `frechet`.
    pub struct FrechetConfig {
        /// Samples, and items of the data. Fewer where the split has less than twice as many, as the floor takes as
        /// many items again. The Fréchet distance falls with 1/n: compare at one n only, far above the number of
        /// features.
        n: usize = 2_000, rule::at_least(4);
        /// The data that samples are compared with: test, validation or train.
        split: Split = Split::Test;
        /// Network whose last linear layer's input is the feature space: a classifier of ebm (a checkpoint or the
        /// folder of its run, or `digits`, the shipped one of the 8×8 digits), or the weights of Inception-v3
        /// (docs/methods.md), which make this the FID; empty: the numbers of an item as the model sees them. Numbers of
        /// different features cannot be compared.
        features: String = String::new();
        /// Nearest neighbours of precision, recall, density and coverage (Naeem et al. 2020: 5; Kynkäänniemi et al.
        /// 2019: 3).
        neighbours: usize = 5, rule::at_least(1);
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "frechet",
    about: "Fréchet distance, KID, precision, recall, density, coverage of samples against data, in the features of a \
            classifier or of Inception; each beside its floor, real against real",
    cite: "Heusel et al. 2017; Bińkowski et al. 2018; Kynkäänniemi et al. 2019; Naeem et al. 2020",
    schema: Schema::of::<(FrechetConfig, Schedule)>(),
    numbers: &[
        Number::new(
            "frechet",
            Unit::Plain,
            "squared Fréchet distance between samples and data in the features (the FID of Inception)",
        )
        .lower()
        .against("frechet_floor")
        .lead(),
        Number::new(
            "kid",
            Unit::Plain,
            "kernel inception distance: unbiased squared maximum mean discrepancy, cubic kernel",
        )
        .lower(),
        Number::new("precision", Unit::Share, "share of samples that lie among the data").higher(),
        Number::new("recall", Unit::Share, "share of the data that lie among the samples").higher(),
        Number::new("density", Unit::Plain, "precision with every neighbourhood counted").higher(),
        Number::new("coverage", Unit::Share, "share of the data with a sample in their neighbourhood")
            .higher()
            .against("coverage_floor")
            .lead(),
        Number::new(
            "{number}_floor",
            Unit::Plain,
            "the same number between two sets of real items: what a perfect sampler would have",
        ),
        Number::new("frechet_items", Unit::Count, "size of each set"),
        Number::new("features_sha", Unit::Hash, "sha256 of the file of features").when("`features` is given"),
    ],
    example: example!(plane, "name = \"frechet\"\nn = 60\n"),
    build: |table, device| {
        let config: FrechetConfig = decode(table)?;
        let features = Features::load(&config.features, device)?;
        Ok(Box::new(Frechet { config, features }))
    },
};

struct Frechet {
    config: FrechetConfig,
    features: Features,
}

impl Probe for Frechet {
    fn draws(&self) -> bool {
        true
    }

    fn fits(&self, subject: &Subject) -> Result<()> {
        self.features.check(subject.data)?;
        let FrechetConfig { n, split, neighbours, .. } = self.config;
        let have = subject.data.len(split).unwrap_or(usize::MAX).min(n.saturating_mul(2));
        if have / 2 <= neighbours { Err(too_few(subject, split, have, neighbours)) } else { Ok(()) }
    }

    /// Finds `frechet` (squared, as FID is), `kid`, `precision`, `recall`, `density` and `coverage`; each again with
    /// `_floor`, between two sets of real items of the same size, which is what a perfect sampler would score;
    /// `frechet_items`, that size; and `features_sha` where features are a classifier's.
    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        let FrechetConfig { n, split, neighbours, .. } = &self.config;
        let real = subject.data.all(*split, n.saturating_mul(2))?.x;
        let half = real.dim(0)? / 2;
        let samples = subject.sample(subject.key.with("samples"), half)?;
        let seen = |x: &Tensor| self.features.seen(x, subject.data);
        let (first, second) = (seen(&real.narrow(0, 0, half)?)?, seen(&real.narrow(0, half, half)?)?);
        let mut metrics = compared(&first, &seen(&samples)?, *neighbours)?;
        let floor = compared(&first, &second, *neighbours)?;
        metrics.extend(floor.iter().map(|(name, value)| (format!("{name}_floor"), value)));
        metrics.set("frechet_items", half as f64);
        self.features.stamp(&mut metrics);
        Ok(Finding::of(metrics))
    }
}

fn compared(real: &DMatrix<f64>, samples: &DMatrix<f64>, k: usize) -> Result<Metrics> {
    let two_samples::Coverage { precision, recall, density, coverage } = two_samples::coverage(real, samples, k)?;
    Ok(Metrics::new()
        .with("frechet", two_samples::frechet(real, samples)?)
        .with("kid", two_samples::kernel_distance(real, samples)?)
        .with("precision", precision)
        .with("recall", recall)
        .with("density", density)
        .with("coverage", coverage))
}

fn too_few(subject: &Subject, split: Split, have: usize, neighbours: usize) -> Error {
    let needed = 2 * (neighbours + 1);
    Error::config(format!(
        "probe `frechet` needs {needed} items or more for {neighbours} neighbours, and `n` and the {split} split of \
         `{}` give {have}",
        subject.data.spec().name
    ))
    .at("n")
    .hint("choose another split, raise `n`, or lower `neighbours`")
}
