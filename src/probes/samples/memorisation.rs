//! Whether samples are copies of training items: how near their nearest ones are, against those of unseen items.

use candle_core::Tensor;
use image::RgbImage;

use crate::config::{Schema, decode, rule};
use crate::data::Split;
use crate::math::two_samples::{Nearest, nearest};
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::features::Features;
use crate::probes::support::items::empty;
use crate::{Error, Result, draw};

crate::config! {
    /// Keys of the probe `memorisation`.
    pub struct MemorisationConfig {
        /// Samples; test items as many, and as many again for the floor, or what the split has.
        n: usize = 500, rule::at_least(2);
        /// Training items that neighbours are sought among; 0 for all.
        train: usize = 10_000;
        /// Network whose last linear layer's input is the space: a classifier of ebm (a checkpoint or the folder of its
        /// run, or `digits`, the shipped one of the 8×8 digits), or the weights of Inception-v3 (docs/methods.md);
        /// empty: the numbers of an item as the model sees them.
        features: String = String::new();
        /// Of images: how many samples the picture shows beside their nearest training item, nearest first; 0 for no
        /// picture.
        shown: usize = 24;
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "memorisation",
    about: "distances from samples to their nearest training items against those from test items; picture of the \
            nearest pairs",
    cite: "",
    schema: Schema::of::<(MemorisationConfig, Schedule)>(),
    numbers: &[
        Number::new(
            "memorised_ratio",
            Unit::Plain,
            "median distance to the nearest training item, over that of test \
                                                     items: 1 for a perfect sampler, 0 for copies",
        )
        .against("memorised_ratio_floor")
        .lead(),
        Number::new(
            "memorised_share",
            Unit::Share,
            "samples nearer to a training item than all but 1 % of test \
                                                     items",
        )
        .lower()
        .lead(),
        Number::new("{number}_floor", Unit::Plain, "the same number for other test items in the samples' place"),
        Number::new("features_sha", Unit::Hash, "sha256 of the file of features").when("`features` is given"),
    ],
    example: example!(digits, "name = \"memorisation\"\nn = 30\ntrain = 100\n"),
    build: |table, device| {
        let config: MemorisationConfig = decode(table)?;
        let features = Features::load(&config.features, device)?;
        Ok(Box::new(Memorisation { config, features }))
    },
};

struct Memorisation {
    config: MemorisationConfig,
    features: Features,
}

impl Probe for Memorisation {
    fn draws(&self) -> bool {
        true
    }

    fn fits(&self, subject: &Subject) -> Result<()> {
        self.features.check(subject.data)?;
        match (subject.data.len(Split::Train), subject.data.len(Split::Test)) {
            (None, _) => Err(endless(subject)),
            (_, Some(0..4)) => Err(empty(ENTRY.name, subject, Split::Test)),
            _ => Ok(()),
        }
    }

    /// With d the distance to the nearest training item: `memorised_ratio`, median d of the samples over that of test
    /// items, 1 for a perfect sampler and 0 for copies; `memorised_share` of the samples with d below the 1 % quantile
    /// of the test items' d; both again with `_floor`, for other test items in the samples' place.
    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        let MemorisationConfig { n, train, shown, .. } = &self.config;
        let train = subject.data.all(Split::Train, if *train == 0 { usize::MAX } else { *train })?.x;
        let test = subject.data.all(Split::Test, n.saturating_mul(2))?.x;
        let half = test.dim(0)? / 2;
        let samples = subject.sample(subject.key.with("samples"), *n)?;
        let among = self.features.seen(&train, subject.data)?;
        let found = |x: &Tensor| nearest(&self.features.seen(x, subject.data)?, &among);
        let (near, reference) = (found(&samples)?, found(&test.narrow(0, 0, half)?)?);
        let mut metrics = compared(&near, &reference, "");
        metrics.extend(compared(&found(&test.narrow(0, half, half)?)?, &reference, "_floor"));
        self.features.stamp(&mut metrics);
        let pictures = match subject.data.spec().image {
            Some([_, height, _]) if *shown > 0 => {
                vec![("nearest".to_owned(), picture(subject, &near, (&samples, &train), *shown, height)?)]
            }
            _ => vec![],
        };
        Ok(Finding { metrics, pictures })
    }
}

/// The two numbers, of points against test items.
fn compared(points: &[Nearest], test: &[Nearest], suffix: &str) -> Metrics {
    let sorted = |items: &[Nearest]| {
        let mut all: Vec<f64> = items.iter().map(|near| near.distance).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let (points, test) = (sorted(points), sorted(test));
    let at = |all: &[f64], share: f64| all.get((share * all.len() as f64) as usize).copied().unwrap_or(f64::NAN);
    let close = points.iter().filter(|d| **d < at(&test, 0.01)).count();
    let ratio = at(&points, 0.5) / at(&test, 0.5).max(f64::MIN_POSITIVE);
    [("memorised_ratio", ratio), ("memorised_share", close as f64 / points.len() as f64)]
        .map(|(name, value)| (format!("{name}{suffix}"), value))
        .into_iter()
        .collect()
}

/// Samples, each with its nearest training item on its right, four pairs a row, the nearest pair first.
fn picture(
    subject: &Subject,
    near: &[Nearest],
    (samples, train): (&Tensor, &Tensor),
    shown: usize,
    height: usize,
) -> Result<RgbImage> {
    const COLUMNS: usize = 8;
    let mut order: Vec<(usize, &Nearest)> = near.iter().enumerate().collect();
    order.sort_by(|a, b| a.1.distance.total_cmp(&b.1.distance));
    order.truncate(shown);
    let rows = |x: &Tensor, rows: Vec<u32>| -> Result<Tensor> {
        subject.data.to_unit(&x.index_select(&Tensor::new(rows, x.device())?, 0)?)
    };
    let left = rows(samples, order.iter().map(|(i, _)| *i as u32).collect())?;
    let right = rows(train, order.iter().map(|(_, near)| near.row as u32).collect())?;
    let pairs = Tensor::stack(&[left, right], 1)?.flatten(0, 1)?;
    draw::grid(&pairs, COLUMNS, draw::scale_for(height))
}

fn endless(subject: &Subject) -> Error {
    Error::config(format!(
        "probe `memorisation`: `{}` draws its training items without end, so that none can be memorised",
        subject.data.spec().name
    ))
    .at_path("dataset.limit")
    .hint("set `dataset.limit`, or remove the probe")
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;

    use super::*;

    #[test]
    fn copies_have_ratio_0_and_the_share_is_below_the_quantile() {
        let of = |d: &[f64]| d.iter().map(|&distance| Nearest { row: 0, distance }).collect::<Vec<_>>();
        let test: Vec<f64> = (0..200).map(|i| 1.0 + f64::from(i)).collect();
        let found = compared(&of(&[0.0, 0.0, 2.5, 50.0]), &of(&test), "");
        // The 1 % quantile of 1 … 200 is the third of them.
        assert_eq!(found.get("memorised_share"), Some(0.75));
        assert_eq!(found.get("memorised_ratio"), Some(2.5 / 101.0));
        assert_eq!(compared(&of(&[0.0; 5]), &of(&test), "_floor").get("memorised_ratio_floor"), Some(0.0));
    }

    #[test]
    fn neighbours_are_the_nearest() {
        let train = DMatrix::from_row_slice(3, 2, &[0.0, 0.0, 3.0, 4.0, -1.0, 0.0]);
        let x = DMatrix::from_row_slice(2, 2, &[3.0, 3.0, -0.9, 0.0]);
        let near = nearest(&x, &train).unwrap();
        assert_eq!(near.iter().map(|n| n.row).collect::<Vec<_>>(), [1, 2]);
        assert!((near[0].distance - 1.0).abs() < 1e-12 && (near[1].distance - 0.1).abs() < 1e-12);
    }
}
