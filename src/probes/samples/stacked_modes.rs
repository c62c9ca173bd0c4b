//! Which of the 100 or 1,000 modes of stacked digits the samples reach, by a classifier of single digits.

use candle_core::Tensor;

use crate::config::{Schema, decode};
use crate::data::Split;
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::histogram::{divergence, floor, histogram};
use crate::probes::support::items::present;
use crate::probes::support::judge::Judge;
use crate::probes::support::labels;
use crate::probes::support::rows::in_chunks;
use crate::{Error, Result};

crate::config! {
    /// Keys of the probe `stacked_modes`.
    pub struct StackedModesConfig {
        /// Samples drawn; 0 for 26·10^c of c channels, as the literature has.
        n: usize = 0;
        /// Classifier of single digits (of digits or mnist, as the stacks are): a checkpoint of ebm or the folder of
        /// its run, or `digits`, the shipped one of the 8×8 digits; must be given.
        classifier: String = String::new();
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "stacked_modes",
    about: "modes of stacked digits that samples reach, and KL of their histogram to the uniform one, by a classifier \
            of digits",
    cite: "Metz et al. 2017; Srivastava et al. 2017 (VEEGAN); Lin et al. 2018 (PacGAN)",
    schema: Schema::of::<(StackedModesConfig, Schedule)>(),
    numbers: &[
        Number::new("stacked_modes", Unit::Count, "modes that have a sample")
            .higher()
            .against("stacked_modes_real")
            .lead(),
        Number::new(
            "stacked_modes_sure",
            Unit::Count,
            "modes with so many samples that mistakes of the classifier do not fill them",
        )
        .higher(),
        Number::new("stacked_kl", Unit::Nats, "divergence of the histogram of samples from the uniform one")
            .lower()
            .against("stacked_kl_floor")
            .lead(),
        Number::new("stacked_kl_floor", Unit::Nats, "its expectation for perfect draws"),
        Number::new("stacked_n", Unit::Count, "samples"),
        Number::new("{number}_real", Unit::Plain, "the same number of test items"),
        Number::new("classifier_sha", Unit::Hash, "sha256 of the classifier's file"),
    ],
    example: example!(stacked, "name = \"stacked_modes\"\nn = 60\nclassifier = \"{classifier}\"\n"),
    build: |table, device| {
        let config: StackedModesConfig = decode(table)?;
        let judge = Judge::named(&config.classifier, device)?;
        Ok(Box::new(StackedModes { config, judge }))
    },
};

struct StackedModes {
    config: StackedModesConfig,
    judge: Option<Judge>,
}

impl Probe for StackedModes {
    fn draws(&self) -> bool {
        true
    }

    fn fits(&self, subject: &Subject) -> Result<()> {
        stacked(subject)?;
        present(ENTRY.name, subject, Split::Test)
    }

    /// Finds `stacked_modes`, how many modes have a sample; `stacked_modes_sure`, how many have n/10^{c+1} or more, as
    /// mistakes of the classifier fill empty modes too; `stacked_kl`, KL of the histogram to the uniform one in nats,
    /// beside its expectation for perfect draws, `stacked_kl_floor` = (10^c - 1)/2n; all again with `_real` for test
    /// items; the numbers of samples and items, `stacked_n` and `stacked_n_real`; and `classifier_sha`.
    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        /// Samples at a time.
        const CHUNK: usize = 1_000;
        let (channels, modes) = stacked(subject)?;
        let judge = self.judge.as_ref().ok_or_else(no_classifier)?;
        let n = if self.config.n == 0 { 26 * modes } else { self.config.n };
        let mut places = Vec::with_capacity(n);
        let key = subject.key.with("samples");
        let start = subject.sampler.start(key.with("start"), subject.model, subject.proposal, subject.data, n)?;
        // As many as the data have, where chains start at data.
        let n = start.dim(0)?;
        in_chunks(&start, CHUNK, |at, x| {
            let end = subject.chains(key.with("steps").at(at as u64), &subject.target(), x)?;
            places.extend(classes(judge, &end.x, subject, channels)?);
            Ok(())
        })?;
        let real = subject.data.all(Split::Test, n)?.x;
        let mut metrics = counted(&places, modes, "");
        metrics.extend(counted(&classes(judge, &real, subject, channels)?, modes, "_real"));
        judge.stamp("classifier_sha", &mut metrics);
        Ok(Finding::of(metrics))
    }
}

/// The decimal number that the classifier reads in the channels of each item, the first channel first.
fn classes(judge: &Judge, x: &Tensor, subject: &Subject, channels: usize) -> Result<Vec<usize>> {
    let pixels = subject.data.to_unit(x)?;
    let (n, _, height, width) = pixels.dims4()?;
    let logits = judge.logits_of_pixels(&pixels.reshape((n * channels, 1, height, width))?)?;
    let digits = labels::classes(&logits)?;
    Ok(digits.chunks(channels).map(|item| item.iter().fold(0, |number, digit| 10 * number + digit)).collect())
}

fn counted(places: &[usize], modes: usize, suffix: &str) -> Metrics {
    let (n, counts) = (places.len(), histogram(modes, places.iter().copied()));
    let at_least = |least: f64| counts.iter().filter(|count| **count as f64 >= least).count() as f64;
    [
        ("stacked_modes", at_least(1.0)),
        ("stacked_modes_sure", at_least((n as f64 / (10 * modes) as f64).max(1.0))),
        ("stacked_kl", divergence(&counts, &vec![1.0 / modes as f64; modes])),
        ("stacked_kl_floor", floor(modes, n)),
        ("stacked_n", n as f64),
    ]
    .map(|(name, value)| (format!("{name}{suffix}"), value))
    .into_iter()
    .collect()
}

/// Digits of an item, and the modes that they make.
fn stacked(subject: &Subject) -> Result<(usize, usize)> {
    let [channels, ..] = subject.data.spec().image.ok_or_else(|| unfit(subject))?;
    let modes = 10usize.checked_pow(channels as u32).filter(|k| Some(*k) == subject.data.spec().classes);
    modes.filter(|_| channels > 1).map(|modes| (channels, modes)).ok_or_else(|| unfit(subject))
}

fn unfit(subject: &Subject) -> Error {
    Error::config(format!(
        "probe `stacked_modes` counts the modes of stacked digits, and the data set is `{}`",
        subject.data.spec().name
    ))
    .hint("use the probe `modes`, or the data set stacked_digits")
}

fn no_classifier() -> Error {
    Error::config("probe `stacked_modes` needs a classifier of single digits")
        .at("classifier")
        .hint("train one with ebm on `digits` or `mnist` and set `classifier` of the probe to its checkpoint")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_counted_and_strays_are_not_sure() {
        // 1,000 samples: all modes below 50 twenty times each but one, which has none; and one stray, below n/10^3 = 1.
        let places: Vec<usize> = (0..980).map(|i| i % 49).chain([99; 20]).collect();
        let found = counted(&places, 100, "");
        assert_eq!((found.get("stacked_modes"), found.get("stacked_n")), (Some(50.0), Some(1000.0)));
        assert!((found.get("stacked_kl").unwrap() - 2f64.ln()).abs() < 1e-12);
        assert_eq!(found.get("stacked_kl_floor"), Some(99.0 / 2000.0));
        let mut stray = vec![7; 2999];
        stray.push(8);
        let found = counted(&stray, 100, "_real");
        assert_eq!((found.get("stacked_modes_real"), found.get("stacked_modes_sure_real")), (Some(2.0), Some(1.0)));
    }
}
