//! Whether the model tells its own data from others: detection of what is out of distribution.

mod outliers;

use candle_core::{DType, Tensor};
use image::RgbImage;

use self::outliers::{comparable, made, of_other};
use crate::Result;
use crate::config::{Schema, decode, rule};
use crate::data::{Data, Split};
use crate::density::{Energy as _, Model};
use crate::draw::{self, Curves};
use crate::math::{Detection, largest};
use crate::metrics::{Number, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::items::{not_finite, present};
use crate::probes::support::labels::log_probabilities;
use crate::probes::support::rows::{CHUNK, host, in_chunks};

pub use self::outliers::Against;

crate::config! {
    /// Keys of the probe `ood`.
    pub struct OodConfig {
        /// What the test set is told from, any of: uniform (noise), constant (images of one random grey), interpolation
        /// (mean of two test items), inverted (the test images' negatives), dataset (the test split of the data set
        /// named below).
        against: Vec<Against> = vec![Against::Uniform, Against::Constant, Against::Interpolation], some;
        /// Items of each side; 0 takes all of the test set.
        items: usize = 1_000;
    }
    parts {
        /// The other data set of `against = ["dataset"]`, with images of the same shape; its own `transform` does not
        /// matter.
        dataset: "digits" of crate::data::schemas;
    }
}

#[allow(clippy::ptr_arg)] // A rule takes the type of its key.
fn some(against: &Vec<Against>) -> rule::Complaint {
    let twice = against.iter().enumerate().any(|(i, one)| against.iter().skip(i + 1).any(|other| one == other));
    (against.is_empty() || twice).then(|| "must name one set or more, each once".to_owned())
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "ood",
    about: "AUROC, AUPR, FPR at 95 % TPR of log p(x), max p(y|x) and -|∇log p| on test items against other sets",
    cite: "Grathwohl et al. 2020 (JEM), section 5.3; Hendrycks & Gimpel 2017",
    schema: Schema::of::<(OodConfig, Schedule)>(),
    numbers: &[
        Number::new("auroc_{score}_{set}", Unit::Share, "area under the ROC curve; test items are the positives")
            .higher()
            .lead(),
        Number::new("aupr_{score}_{set}", Unit::Share, "area under the precision-recall curve").higher(),
        Number::new("fpr95_{score}_{set}", Unit::Share, "false positives where 95 % of the test items are found")
            .lower(),
    ],
    example: example!(
        digits,
        "name = \"ood\"\nitems = 40\nagainst = \
         [\"uniform\", \"constant\", \"interpolation\", \"inverted\", \"dataset\"]\ndataset = { name = \"digits\", \
         transform = \"unit\" }\n"
    ),
    build: |table, device| {
        let config: OodConfig = decode(table)?;
        // Opened before training begins, so that a missing file is not found after it.
        let other = match config.against.contains(&Against::Dataset) {
            true => Some(Data::open(&config.dataset, 0, device)?),
            false => None,
        };
        Ok(Box::new(Ood { config, other }))
    },
};

struct Ood {
    config: OodConfig,
    other: Option<Data>,
}

impl Probe for Ood {
    fn fits(&self, subject: &Subject) -> Result<()> {
        present(ENTRY.name, subject, Split::Test)?;
        for &against in &self.config.against {
            match &self.other {
                Some(other) if against == Against::Dataset => comparable(subject.data, other)?,
                _ => against.check(subject.data)?,
            }
        }
        Ok(())
    }

    /// Finds `auroc_SCORE_SET`, `aupr_SCORE_SET` and `fpr95_SCORE_SET` with the test set as positives; SCORE is logp,
    /// maxp (of a classifier) or mass, SET a word of `against` or the name of the other data set.
    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        let count = if self.config.items == 0 { usize::MAX } else { self.config.items };
        let count = subject.data.len(Split::Test).map_or(count.min(10_000), |n| n.min(count));
        let inside = subject.data.all(Split::Test, count)?.x;
        let own = Scores::of(subject.model, &inside)?;
        let mut finding = Finding::default();
        for &against in &self.config.against {
            let key = subject.key.with("against");
            let (set, outside) = match (against, &self.other) {
                (Against::Dataset, Some(other)) => {
                    (other.spec().name.clone(), of_other(subject.data, other, key, count)?)
                }
                _ => (against.name(), made(against, subject.data, &inside, key)?),
            };
            let scores = Scores::of(subject.model, &outside)?;
            for ((score, positive), (_, negative)) in own.each().zip(scores.each()) {
                let found = Detection::new(positive, negative);
                finding.metrics.set(format!("auroc_{score}_{set}"), found.auroc());
                finding.metrics.set(format!("aupr_{score}_{set}"), found.average_precision());
                finding.metrics.set(format!("fpr95_{score}_{set}"), found.false_positives_at(0.95));
            }
            finding.pictures.push((format!("ood_{set}"), histogram(&own.logp, &scores.logp, &set)?));
        }
        Ok(finding)
    }
}

/// High for what the model takes for its own.
struct Scores {
    /// log p(x) + log Z = -E(x), nats.
    logp: Vec<f64>,
    /// log max p(y|x), of a classifier: the logarithm changes no rank, and tells 1 - 1e-18 from 1.
    maxp: Option<Vec<f64>>,
    /// -|∇log p(x)|: small where the density is flat ("approximate mass", Grathwohl et al. 2020).
    mass: Vec<f64>,
}

impl Scores {
    fn of(model: &Model, x: &Tensor) -> Result<Self> {
        let pairs = in_chunks(x, CHUNK, |_, rows| {
            let (energy, grad) = model.grad(rows)?;
            let norm = grad.detach().to_dtype(DType::F64)?.sqr()?.flatten_from(1)?.sum(1)?.sqrt()?;
            Ok((host(&energy.neg()?)?, host(&norm.neg()?)?))
        })?;
        let (logp, mass): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let classifier = x.dim(0)? > 0 && model.logits(&x.narrow(0, 0, 1)?)?.is_some();
        let maxp = match classifier {
            true => Some(log_probabilities("ood", model, x)?.iter().map(|row| sure(row)).collect()),
            false => None,
        };
        let scores = Scores { logp: logp.concat(), maxp, mass: mass.concat() };
        if scores.each().any(|(_, values)| values.iter().any(|v| !v.is_finite())) {
            return Err(not_finite("the energy or its gradient is not finite at an item of the probe `ood`"));
        }
        Ok(scores)
    }

    fn each(&self) -> impl Iterator<Item = (&'static str, &[f64])> {
        let maxp = self.maxp.as_ref().map(|values| ("maxp", values.as_slice()));
        [Some(("logp", self.logp.as_slice())), maxp, Some(("mass", self.mass.as_slice()))].into_iter().flatten()
    }
}

/// log p of the likeliest class, by the shares of the others, so that it is exact next to 0.
fn sure(log_p: &[f64]) -> f64 {
    let (best, confidence) = largest(log_p);
    let others: f64 = log_p.iter().enumerate().filter(|(k, _)| *k != best).map(|(_, l)| (l - confidence).exp()).sum();
    -others.ln_1p()
}

/// Histograms of log p(x) up to its constant, within the middle 99 % of both sets.
fn histogram(inside: &[f64], outside: &[f64], set: &str) -> Result<RgbImage> {
    const BINS: usize = 60;
    let mut all = [inside, outside].concat();
    all.sort_by(f64::total_cmp);
    let quantile = |q: f64| all.get((q * all.len() as f64) as usize).or(all.last()).copied().unwrap_or(0.0);
    let (low, high) = (quantile(0.005), quantile(0.995));
    let range = if high > low { [low, high] } else { [low - 1.0, low + 1.0] };
    let curves = Curves {
        title: format!("test set against {set}"),
        x_label: "log p(x) + log Z, nats".into(),
        y_label: "share".into(),
        series: vec![draw::outline("test", inside, range, BINS), draw::outline(set, outside, range, BINS)],
    };
    curves.picture((720, 420))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::config::Spec;
    use crate::data::Moments;
    use crate::density::Context;
    use crate::rng::Key;

    #[test]
    fn scores_of_a_gaussian_in_closed_form() {
        // N(0.5, 2²) in every coordinate.
        let spec = Spec::new("name = \"gaussian\"\nfrom_data = true".parse().unwrap());
        let of = |value: f64| Tensor::full(value, 3, &Device::Cpu).unwrap();
        let moments = Moments { mean: of(0.5), std: of(2.0), overall_mean: 0.5, overall_std: 2.0 };
        let context = Context { shape: vec![3], classes: None, moments: Some(&|| Ok(moments.clone())) };
        let normal = Model::new(&spec, &context, Key::new(0), DType::F64, &Device::Cpu).unwrap();
        let x = Key::new(1).normal((700, 3), DType::F64, &Device::Cpu).unwrap();
        let scores = Scores::of(&normal, &x).unwrap();
        assert!(scores.maxp.is_none());
        for ((row, logp), mass) in x.to_vec2::<f64>().unwrap().iter().zip(&scores.logp).zip(&scores.mass) {
            let square: f64 = row.iter().map(|v| (v - 0.5).powi(2)).sum();
            let constant = -1.5 * (2.0 * std::f64::consts::PI * 4.0).ln();
            assert!((mass + square.sqrt() / 4.0).abs() < 1e-12, "{mass}");
            let gap = logp + square / 8.0;
            assert!((gap - constant).abs() < 1e-9, "{gap}");
        }
    }

    #[test]
    fn the_largest_probability_keeps_its_order_next_to_1() {
        let row = |gap: f64| {
            let total = (-gap).exp().ln_1p();
            vec![-total, -gap - total]
        };
        assert!((sure(&row(0.3)) - row(0.3)[0]).abs() < 1e-15);
        assert!(sure(&row(60.0)) > sure(&row(59.0)) && sure(&row(60.0)) < 0.0);
    }
}
