//! Whether the model tells its own data from others: detection of what is out of distribution.

use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::judge::shape;
use super::labelled::{in_chunks, log_probabilities, not_finite};
use super::{Finding, Probe, Subject};
use crate::config::{Entry, Schema, decode, rule};
use crate::data::{Data, Split};
use crate::density::Energy;
use crate::draw::{self, Curves};
use crate::math::{Detection, largest};
use crate::{Error, Result, rng::Key};

/// Where the other items come from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// Every pixel uniform; points uniform on the box of the data.
    Uniform,
    /// Images of one grey, uniform on black to white.
    Constant,
    /// The mean of two test items that follow each other.
    Interpolation,
    /// Test images with black and white exchanged.
    Inverted,
    /// Another data set.
    Dataset,
}

crate::config! {
    /// Keys of the probe `ood`.
    pub struct OodConfig {
        /// What the test set is told from, any of: uniform (noise), constant (images of one random grey), interpolation (mean
        /// of two test items), inverted (the test images' negatives), dataset (the test split of the data set named below).
        against: Vec<Against> = vec![Against::Uniform, Against::Constant, Against::Interpolation], some;
        /// Items of each side; 0 takes all of the test set.
        items: usize = 1_000;
    }
    parts {
        /// The other data set of `against = ["dataset"]`, with images of the same shape; its own `transform` does not matter.
        dataset: "digits" of crate::data::schemas;
    }
}

#[allow(clippy::ptr_arg)] // A rule takes the type of its key.
fn some(against: &Vec<Against>) -> rule::Verdict {
    against.is_empty().then(|| "must name one set or more".to_owned())
}

pub(super) const ENTRY: Entry<super::BuildProbe> = Entry {
    name: "ood",
    about: "AUROC, AUPR, FPR at 95 % TPR of log p(x), max p(y|x) and -|∇log p| on test items against other sets",
    cite: "Grathwohl et al. 2020 (JEM), section 5.3 and Table 2; Hendrycks & Gimpel 2017",
    schema: Schema::joined::<OodConfig, super::Schedule>(),
    build: |table| {
        let config: OodConfig = decode(table)?;
        // Opened before training begins, so that a missing file is not found after it.
        let other = match config.against.contains(&Against::Dataset) {
            true => Some(Data::open(&config.dataset, 0, &Device::Cpu)?),
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
    /// Finds `auroc_SCORE_SET`, `aupr_SCORE_SET` and `fpr95_SCORE_SET` with the test set as positives; SCORE is logp, maxp
    /// (of a classifier) or mass, SET a word of `against` or the name of the other data set.
    fn run(&self, subject: &Subject) -> Result<Finding> {
        let count = if self.config.items == 0 { usize::MAX } else { self.config.items };
        let count = subject.data.len(Split::Test).map_or(count.min(10_000), |n| n.min(count));
        let inside = subject.data.all(Split::Test, count)?.x;
        let own = Scores::of(subject.energy, &inside)?;
        let mut finding = Finding::default();
        for &against in &self.config.against {
            let key = subject.key.with("against");
            let (set, outside) = match (against, &self.other) {
                (Against::Dataset, Some(other)) => {
                    (other.spec().name.clone(), of_other(subject.data, other, key, count)?)
                }
                _ => (against.name(), made(against, subject.data, &inside, key)?),
            };
            let scores = Scores::of(subject.energy, &outside)?;
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

impl Against {
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// High for what the model takes for its own.
struct Scores {
    /// log p(x) + log Z = -E(x), nats.
    logp: Vec<f64>,
    /// log max p(y|x), of a classifier: the logarithm changes no rank, and tells 1 - 1e-18 from 1.
    maxp: Option<Vec<f64>>,
    /// -|∇log p(x)|: small where the density is flat, the approximate mass of Grathwohl et al. 2020, eq. 9.
    mass: Vec<f64>,
}

impl Scores {
    fn of(energy: &dyn Energy, x: &Tensor) -> Result<Self> {
        let host = |t: Tensor| -> Result<Vec<f64>> { Ok(t.detach().to_dtype(DType::F64)?.to_vec1()?) };
        let pairs = in_chunks(x, |rows| {
            let (energy, grad) = energy.grad(rows)?;
            let norm = grad.detach().to_dtype(DType::F64)?.sqr()?.flatten_from(1)?.sum(1)?.sqrt()?;
            Ok((host(energy.neg()?)?, host(norm.neg()?)?))
        })?;
        let (logp, mass): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let classifier = x.dim(0)? > 0 && energy.logits(&x.narrow(0, 0, 1)?)?.is_some();
        let maxp = match classifier {
            true => Some(log_probabilities("ood", energy, x)?.iter().map(|row| sure(row)).collect()),
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

/// As many items as `inside` of a set that is made here, in model space.
fn made(against: Against, data: &Data, inside: &Tensor, key: Key) -> Result<Tensor> {
    let (n, image) = (inside.dim(0)?, data.spec().image.is_some());
    match against {
        Against::Uniform => data.uniform_init(key.with("uniform"), n),
        Against::Constant | Against::Inverted if !image => Err(Error::Config(format!(
            "error: probe `ood`: `against = \"{}\"` needs images, and `{}` has none\n\nhint: use uniform, interpolation or dataset",
            against.name(),
            data.spec().name
        ))),
        Against::Constant => {
            let grey = key.with("constant").uniform((n, 1), DType::F32, data.device())?;
            data.of_unit(&grey.broadcast_as((n, data.spec().dim()))?.contiguous()?, Some(key.with("noise")))
        }
        Against::Inverted => data.of_unit(&data.to_unit(inside)?.affine(-1.0, 1.0)?, Some(key.with("noise"))),
        Against::Interpolation | Against::Dataset => {
            let z = data.to_unit(inside)?;
            let next: Vec<u32> = (0..n as u32).map(|i| (i + 1) % n.max(1) as u32).collect();
            let mean = ((&z + z.index_select(&Tensor::new(next, z.device())?, 0)?)? * 0.5)?;
            data.of_unit(&mean, Some(key.with("noise")))
        }
    }
}

/// Test items of another set in the space of `data`: by way of pixels in [0, 1], so that transforms need not agree.
fn of_other(data: &Data, other: &Data, key: Key, count: usize) -> Result<Tensor> {
    let (own, its) = (data.spec(), other.spec());
    let refuse = |what: String| {
        let hint = "choose a data set of the same shape: `ebm data list`";
        Err(Error::Config(format!("error: probe `ood`: {what}\n\nhint: {hint}")))
    };
    if shape(own) != shape(its) {
        let (a, b) = (shape(its), shape(own));
        return refuse(format!("items of `{}` have the shape {a:?}, those of `{}` {b:?}", its.name, own.name));
    }
    let x = other.all(Split::Test, count)?.x;
    if x.dim(0)? == 0 {
        return refuse(format!("`{}` has no test items", its.name));
    }
    data.of_unit(&other.to_unit(&x)?, own.image.map(|_| key.with("noise")))
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
    use super::*;
    use crate::config::Spec;
    use crate::density::Gaussian;
    use crate::nets::Builder;

    fn open(text: &str) -> Data {
        let table: toml::Table = text.parse().unwrap();
        let rows = crate::data::schemas();
        let schema = rows.iter().find(|row| row.0 == table["name"].as_str().unwrap()).unwrap().1;
        let mut full = (schema.defaults)();
        full.extend(table);
        Data::open(&Spec(full), 7, &Device::Cpu).unwrap()
    }

    fn list(x: &Tensor) -> Vec<f32> {
        x.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn scores_of_a_gaussian_in_closed_form() {
        let normal = Gaussian::new(&[3], 0.5, 2.0, &Builder::new(Key::new(0), DType::F64, &Device::Cpu)).unwrap();
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

    #[test]
    fn the_other_sets_are_what_their_names_say() {
        for transform in ["scaled", "unit", "logit"] {
            let data = open(&format!("name = \"digits\"\ntransform = \"{transform}\""));
            let x = data.all(Split::Test, 6).unwrap().x;
            let of = |against| data.to_unit(&made(against, &data, &x, Key::new(3)).unwrap()).unwrap();
            let z = list(&data.to_unit(&x).unwrap());
            let constant = list(&of(Against::Constant));
            assert!(constant.chunks(64).all(|image| image.iter().all(|v| (v - image[0]).abs() < 1e-5)));
            assert!(constant[0] != constant[64], "another grey for another image");
            let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
            assert!(
                close(&list(&of(Against::Inverted)), &z.iter().map(|v| 1.0 - v).collect::<Vec<_>>()),
                "{transform}"
            );
            let next = [&z[64..], &z[..64]].concat();
            let mean: Vec<f32> = z.iter().zip(&next).map(|(a, b)| (a + b) / 2.0).collect();
            assert!(close(&list(&of(Against::Interpolation)), &mean), "{transform}");
        }
        let points = open("name = \"rings\"");
        let x = points.all(Split::Test, 5).unwrap().x;
        assert_eq!(made(Against::Constant, &points, &x, Key::new(1)).unwrap_err().exit_code(), 2);
        assert_eq!(made(Against::Interpolation, &points, &x, Key::new(1)).unwrap().dims(), [5, 2]);
    }

    #[test]
    fn another_set_comes_in_the_models_space_whatever_its_own_transform_is() {
        let plain = "name = \"digits\"\ndequantise = false\n";
        let data = open(&format!("{plain}transform = \"scaled\"\nflatten = true"));
        let want = data.all(Split::Test, 30).unwrap().x;
        let other = open(&format!("{plain}transform = \"unit\""));
        let x = of_other(&data, &other, Key::new(1), 30).unwrap();
        assert_eq!(x.dims(), want.dims());
        assert!(list(&x).iter().zip(list(&want)).all(|(a, b)| (a - b).abs() < 1e-6));
        let refused = of_other(&data, &open("name = \"rings\""), Key::new(1), 30).unwrap_err();
        assert!(refused.to_string().contains("[2], those of `digits` [1, 8, 8]"), "{refused}");
    }
}
