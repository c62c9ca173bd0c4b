//! Which modes of the data the samples reach: components of a mixture, or classes that a classifier tells apart.

use candle_core::{D, Tensor};

use crate::config::{Schema, decode, rule};
use crate::data::{Modes, Split};
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::histogram::{divergence, floor, histogram};
use crate::probes::support::items::{blank, items, present};
use crate::probes::support::judge::Judge;
use crate::probes::support::labels;
use crate::probes::support::labels::classes;
use crate::probes::support::rows::{CHUNK, host_rows, in_chunks};
use crate::{Error, Result};

crate::config! {
    /// Keys of the probe `modes`.
    pub struct ModesConfig {
        /// Samples drawn (the literature has 2,500 for 25 Gaussians).
        n: usize = 2_500, rule::at_least(1);
        /// Classifier of images: a checkpoint of ebm or the folder of its run, or `digits`, the shipped one of the 8×8
        /// digits; empty: the model itself, if it is a classifier.
        classifier: String = String::new();
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "modes",
    about: "modes of a Gaussian mixture, or classes, that samples reach; share of good samples; KL of their histogram",
    cite: "Srivastava et al. 2017 (VEEGAN); Lin et al. 2018 (PacGAN)",
    schema: Schema::of::<(ModesConfig, Schedule)>(),
    numbers: &[
        Number::new("modes", Unit::Count, "modes, or classes, that have a sample").higher().lead(),
        Number::new("mode_quality", Unit::Share, "samples within three standard deviations of a mean")
            .higher()
            .lead()
            .when("a Gaussian mixture"),
        Number::new("mode_kl", Unit::Nats, "divergence of the histogram of samples from the weights of the modes")
            .lower()
            .against("mode_kl_floor")
            .lead(),
        Number::new("mode_kl_floor", Unit::Nats, "its expectation for a perfect sampler"),
        Number::new("classifier_sha", Unit::Hash, "sha256 of the classifier's file").when("`classifier` is given"),
    ],
    example: example!(plane, "name = \"modes\"\nn = 60\n"),
    build: |table, device| {
        let config: ModesConfig = decode(table)?;
        let judge = Judge::named(&config.classifier, device)?;
        Ok(Box::new(ModesProbe { config, judge }))
    },
};

struct ModesProbe {
    config: ModesConfig,
    judge: Option<Judge>,
}

impl Probe for ModesProbe {
    fn draws(&self) -> bool {
        true
    }

    fn fits(&self, subject: &Subject) -> Result<()> {
        if subject.data.modes().is_some() {
            return Ok(());
        }
        if let Some(judge) = &self.judge {
            judge.check(subject.data)?;
        } else if subject.model.logits(&blank(subject.data)?)?.is_none() {
            return Err(no_modes(subject));
        }
        present(ENTRY.name, subject, Split::Test)
    }

    /// Of a mixture as [`of_mixture`]; else as [`of_classes`], with `classifier_sha` ([`Judge::stamp`]) for a
    /// classifier out of a checkpoint.
    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        let samples = || subject.sample(subject.key.with("samples"), self.config.n);
        if let Some(modes) = subject.data.modes() {
            return Ok(Finding::of(of_mixture(&host_rows(&samples()?.flatten_from(1)?)?, &modes)));
        }
        let judge = self.judge.as_ref();
        let counts = |x: &Tensor| -> Result<Vec<usize>> {
            let logits = match judge {
                Some(judge) => judge.logits(x, subject.data)?,
                None => Tensor::cat(&in_chunks(x, CHUNK, |_, rows| labels::logits("modes", subject.model, rows))?, 0)?,
            };
            Ok(histogram(logits.dim(D::Minus1)?, classes(&logits)?.into_iter()))
        };
        let real = items(subject.data, Split::Test, 0)?;
        let mut metrics = of_classes(&counts(&samples()?)?, &counts(&real)?);
        if let Some(judge) = judge {
            judge.stamp("classifier_sha", &mut metrics);
        }
        Ok(Finding::of(metrics))
    }
}

/// A sample is good if it lies within 3 standard deviations of the nearest mean, which then has it: `modes`, how many
/// means have one; `mode_quality`, the share of good samples (0.9889 of a plane mixture's own draws, if it does not
/// overlap); `mode_kl`, KL of the histogram of the good samples to the weights of the modes, in nats, -log of the least
/// weight if there are none; and `mode_kl_floor`, its expectation for a perfect sampler, (K - 1)/2N.
pub fn of_mixture(samples: &[Vec<f64>], modes: &Modes) -> Metrics {
    const REACH: f64 = 3.0;
    let home = |x: &Vec<f64>| Some(modes.nearest(x)).filter(|(_, square)| *square < REACH * REACH).map(|(k, _)| k);
    let k = modes.centres.len();
    let counts = histogram(k, samples.iter().filter_map(home));
    let good: usize = counts.iter().sum();
    Metrics::new()
        .with("modes", counts.iter().filter(|c| **c > 0).count() as f64)
        .with("mode_quality", good as f64 / samples.len() as f64)
        .with("mode_kl", divergence(&counts, &modes.weights))
        .with("mode_kl_floor", floor(k, good))
}

/// Of counts by class, among samples and among real items: `modes`, how many classes the samples have; `mode_kl`, KL of
/// their histogram to that of the real items, in nats, whose counts are raised by ½ so that none is 0; and
/// `mode_kl_floor`. Both sides are judged by one classifier, so that its mistakes on real items are no distance.
pub fn of_classes(samples: &[usize], real: &[usize]) -> Metrics {
    let total: f64 = real.iter().map(|c| *c as f64 + 0.5).sum();
    let shares: Vec<f64> = real.iter().map(|c| (*c as f64 + 0.5) / total).collect();
    Metrics::new()
        .with("modes", samples.iter().filter(|c| **c > 0).count() as f64)
        .with("mode_kl", divergence(samples, &shares))
        .with("mode_kl_floor", floor(real.len(), samples.iter().sum()))
}

fn no_modes(subject: &Subject) -> Error {
    Error::config(format!(
        "probe `modes`: `{}` is no mixture of Gaussians, and there is no classifier",
        subject.data.spec().name
    ))
    .at("classifier")
    .hint("set `classifier` of the probe to a checkpoint that ebm trained on it, or use 8gaussians or 25gaussians")
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::rng::Key;

    fn grid() -> Modes {
        let centres = (0..9).map(|k| vec![f64::from(k / 3) * 10.0, f64::from(k % 3) * 10.0]).collect();
        Modes::new(centres, vec![1.0 / 9.0; 9], &[1.0; 2])
    }

    #[test]
    fn a_mixtures_own_draws_reach_every_mode_at_the_floor() {
        // 4,500 draws, as many from each: P(|x| < 3σ) = 1 - exp(-9/2) in the plane.
        let noise = Key::new(1).normal((4500, 2), DType::F64, &Device::Cpu).unwrap().to_vec2::<f64>().unwrap();
        let draw = |(i, e): (usize, Vec<f64>)| grid().centres[i % 9].iter().zip(e).map(|(c, e)| c + e).collect();
        let found = of_mixture(&noise.into_iter().enumerate().map(draw).collect::<Vec<_>>(), &grid());
        let good = 1.0 - (-4.5f64).exp();
        let z = (found.get("mode_quality").unwrap() - good) / (good * (1.0 - good) / 4500.0).sqrt();
        assert!(z.abs() < 4.0, "z = {z}");
        assert_eq!(found.get("modes"), Some(9.0));
        assert!(found.get("mode_kl").unwrap() < found.get("mode_kl_floor").unwrap());
    }

    #[test]
    fn one_mode_is_a_divergence_of_log_k_and_none_too() {
        let found = of_mixture(&vec![vec![10.0, 12.9]; 5], &grid());
        assert_eq!((found.get("modes"), found.get("mode_quality")), (Some(1.0), Some(1.0)));
        assert!((found.get("mode_kl").unwrap() - 9f64.ln()).abs() < 1e-14);
        let found = of_mixture(&vec![vec![10.0, 13.1]; 5], &grid());
        assert_eq!((found.get("modes"), found.get("mode_quality")), (Some(0.0), Some(0.0)));
        assert!((found.get("mode_kl").unwrap() - 9f64.ln()).abs() < 1e-14);
    }

    #[test]
    fn the_floor_is_the_mean_divergence_of_perfect_draws() {
        use rand::Rng as _;
        let (k, n) = (7, 400);
        let divergences: Vec<f64> = (0..2000)
            .map(|i| {
                let mut rng = Key::new(2).at(i).rng();
                divergence(&histogram(k, (0..n).map(|_| rng.random_range(0..k))), &[1.0 / 7.0; 7])
            })
            .collect();
        let z = (crate::math::stats::mean(&divergences) - floor(k, n)) / crate::math::stats::std_error(&divergences);
        assert!(z.abs() < 4.0, "z = {z}");
    }

    #[test]
    fn classes_are_compared_with_those_of_the_data() {
        let found = of_classes(&[30, 0, 10], &[60, 1, 20]);
        let p = [60.5, 1.5, 20.5].map(|c| c / 82.5);
        let want = 0.75 * (0.75f64 / p[0]).ln() + 0.25 * (0.25f64 / p[2]).ln();
        assert!((found.get("mode_kl").unwrap() - want).abs() < 1e-14);
        assert_eq!((found.get("modes"), found.get("mode_kl_floor")), (Some(2.0), Some(2.0 / 80.0)));
        assert!(of_classes(&[5, 5], &[0, 10]).get("mode_kl").unwrap().is_finite());
    }
}
