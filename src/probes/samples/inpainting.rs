//! Images completed from a part of them: error, diversity and class of what the chains fill in.

use candle_core::Tensor;
use image::RgbImage;

use crate::config::{Schema, decode, rule};
use crate::data::{Batch, Moments, Split};
use crate::density::{Clamped, Freedom, Hole};
use crate::math::{largest, stats};
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::items::present;
use crate::probes::support::judge::Judge;
use crate::probes::support::labels::{labelled, unlabelled};
use crate::probes::support::rows::host_rows;
use crate::samplers::{Start, Target};
use crate::{Error, Result, draw};

crate::config! {
    /// Keys of the probe `inpainting`.
    pub struct InpaintingConfig {
        /// What is filled in: lower, left or right (half), or centre (a quarter of the area).
        hole: Hole = Hole::Lower;
        /// Items.
        items: usize = 100, rule::at_least(1);
        /// Completions of each.
        completions: usize = 5, rule::at_least(2);
        /// Where the items come from: test, validation or train.
        split: Split = Split::Test;
        /// Classifier of such images that reads the completed ones: a checkpoint of ebm or the folder of its run, or
        /// `digits`, the shipped one of the 8×8 digits; empty: none.
        classifier: String = String::new();
        /// How many items the picture shows, a row each; 0 for no picture.
        shown: usize = 8;
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "inpainting",
    about: "fills in a part of images by the run's sampler, the known pixels held: error, diversity, accuracy of the \
            class; picture",
    cite: "Xie, Zheng & Li 2021, arXiv 2012.14936, section 5.4",
    schema: Schema::of::<(InpaintingConfig, Schedule)>(),
    numbers: &[
        Number::new("inpaint_mse", Unit::Plain, "mean squared error of the filled pixels in [0, 1]")
            .lower()
            .against("inpaint_mse_mean")
            .lead(),
        Number::new(
            "inpaint_diversity",
            Unit::Plain,
            "standard deviation of a filled pixel over the completions of its item",
        ),
        Number::new("inpaint_mse_mean", Unit::Plain, "mean squared error of the training mean in their place"),
        Number::new("inpaint_accept", Unit::Share, "share of proposals that the chains accepted")
            .when("a kernel that accepts or rejects"),
        Number::new("inpaint_accuracy", Unit::Share, "completed images that the classifier gives their item's label")
            .higher()
            .against("inpaint_accuracy_real")
            .lead()
            .when("`classifier` is given"),
        Number::new("inpaint_accuracy_real", Unit::Share, "whole images that it gives their label")
            .when("`classifier` is given"),
        Number::new("classifier_sha", Unit::Hash, "sha256 of the classifier's file").when("`classifier` is given"),
    ],
    example: example!(
        digits,
        "name = \"inpainting\"\nitems = 6\ncompletions = 3\nshown = 2\nhole = \"centre\"\nclassifier \
         = \"{classifier}\"\n"
    ),
    build: |table, device| {
        let config: InpaintingConfig = decode(table)?;
        let judge = Judge::named(&config.classifier, device)?;
        Ok(Box::new(Inpainting { config, judge }))
    },
};

struct Inpainting {
    config: InpaintingConfig,
    judge: Option<Judge>,
}

impl Probe for Inpainting {
    fn fits(&self, subject: &Subject) -> Result<()> {
        subject.data.spec().image.ok_or_else(|| no_image(subject))?;
        if let Some(judge) = &self.judge {
            judge.check(subject.data)?;
            labelled(ENTRY.name, subject)?;
        }
        present(ENTRY.name, subject, self.config.split)
    }

    /// Finds `inpaint_mse`, mean squared error of the filled pixels in [0, 1], beside that of the training mean,
    /// `inpaint_mse_mean`; `inpaint_diversity`, the standard deviation of a filled pixel over the completions of its
    /// item, mean over pixels and items; `inpaint_accept` of kernels that reject; and with a classifier
    /// `inpaint_accuracy`, the share of the completed images that it gives their item's label, beside that of the whole
    /// ones, `inpaint_accuracy_real`.
    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        let image = subject.data.spec().image.ok_or_else(|| no_image(subject))?;
        let InpaintingConfig { hole, items, completions, split, shown, .. } = &self.config;
        let Batch { x: truth, y, .. } = subject.data.all(*split, *items)?;
        let freedom = Freedom::new(&subject.data.spec().shape, &hole.mask(image), subject.data.device())?;
        let known = repeated(&truth, *completions)?;
        let (filled, accept) = completed(subject, &freedom, &known)?;
        let pixels = |x: &Tensor| -> Result<Vec<Vec<f64>>> { host_rows(&freedom.of(&subject.data.to_unit(x)?)?) };
        let mean = subject.data.mean_std(Moments::ITEMS)?.mean.unsqueeze(0)?;
        let (right, mean) = (pixels(&truth)?, pixels(&mean)?.concat());
        let mut metrics = compared(&pixels(&filled)?, &right, *completions);
        metrics.set("inpaint_mse_mean", stats::mean(&right.iter().map(|row| square(row, &mean)).collect::<Vec<_>>()));
        accept.into_iter().for_each(|share| metrics.set("inpaint_accept", share));
        if let Some(judge) = &self.judge {
            let labels = y.ok_or_else(|| unlabelled(ENTRY.name, subject))?.to_vec1::<u32>()?;
            metrics.set("inpaint_accuracy", accuracy(judge, subject, &filled, &labels, *completions)?);
            metrics.set("inpaint_accuracy_real", accuracy(judge, subject, &truth, &labels, 1)?);
            judge.stamp("classifier_sha", &mut metrics);
        }
        let pictures = match shown {
            0 => vec![],
            n => vec![("inpainting".to_owned(), picture(subject, &freedom, (&truth, &filled), *n, *completions)?)],
        };
        Ok(Finding { metrics, pictures })
    }
}

/// Every row of x `times` times, one after another.
fn repeated(x: &Tensor, times: usize) -> Result<Tensor> {
    let rows: Vec<u32> = (0..x.dim(0)? as u32).flat_map(|i| std::iter::repeat_n(i, times)).collect();
    Ok(x.index_select(&Tensor::new(rows, x.device())?, 0)?)
}

/// The ends of the run's chains on the free coordinates, which start where the sampler starts; the known ones never
/// move.
fn completed(subject: &Subject, freedom: &Freedom, known: &Tensor) -> Result<(Tensor, Option<f64>)> {
    let n = known.dim(0)?;
    let key = subject.key.with("start");
    let drawn = match (subject.sampler.config.init, subject.proposal) {
        (Start::Proposal, Some(proposal)) => proposal.complete(key, known)?,
        _ => None,
    };
    let start = match drawn {
        Some(start) => start,
        None => subject.sampler.start(key, subject.model, subject.proposal, subject.data, n)?,
    };
    if start.dim(0)? < n {
        return Err(Error::config(format!(
            "probe `inpainting` starts {n} chains, and the sampler gives {} to start at",
            start.dim(0)?
        ))
        .at("items")
        .hint("lower `items` or `completions` of the probe, or set `sampler.init` to normal or uniform"));
    }
    let energy = Clamped { energy: subject.model, freedom, known };
    let trace = subject.chains(subject.key.with("steps"), &Target::new(&energy), &freedom.of(&start)?)?;
    Ok((freedom.embed(&trace.chain.x, known)?, trace.accept))
}

/// Error and diversity of completions, `completions` rows for each row of `right`.
fn compared(filled: &[Vec<f64>], right: &[Vec<f64>], completions: usize) -> Metrics {
    let groups = || filled.chunks(completions).zip(right);
    let errors: Vec<f64> = groups().flat_map(|(rows, right)| rows.iter().map(|row| square(row, right))).collect();
    let spread = |rows: &[Vec<f64>], i: usize| {
        stats::std(&rows.iter().filter_map(|row| row.get(i)).copied().collect::<Vec<_>>())
    };
    let spreads = groups().flat_map(|(rows, right)| (0..right.len()).map(|i| spread(rows, i)));
    Metrics::new()
        .with("inpaint_mse", stats::mean(&errors))
        .with("inpaint_diversity", stats::mean(&spreads.collect::<Vec<_>>()))
}

/// Mean squared difference.
fn square(a: &[f64], b: &[f64]) -> f64 {
    stats::mean(&a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).collect::<Vec<_>>())
}

/// The share of images that are given the label of their item.
fn accuracy(judge: &Judge, subject: &Subject, x: &Tensor, labels: &[u32], each: usize) -> Result<f64> {
    let rows = host_rows(&judge.logits(x, subject.data)?)?;
    let wanted = labels.iter().flat_map(|label| std::iter::repeat_n(*label as usize, each));
    let right = rows.iter().zip(wanted).filter(|(row, label)| largest(row).0 == *label).count();
    Ok(right as f64 / rows.len() as f64)
}

/// A row for each item: the truth, the known part (the rest grey), its completions.
fn picture(
    subject: &Subject,
    freedom: &Freedom,
    (truth, filled): (&Tensor, &Tensor),
    shown: usize,
    completions: usize,
) -> Result<RgbImage> {
    let n = shown.min(truth.dim(0)?);
    let [_, height, _] = subject.data.spec().image.ok_or_else(|| no_image(subject))?;
    let truth = subject.data.to_unit(&truth.narrow(0, 0, n)?)?;
    let filled = subject.data.to_unit(&filled.narrow(0, 0, n * completions)?)?;
    let grey = (freedom.of(&truth)?.zeros_like()? + 0.5)?;
    let masked = freedom.embed(&grey, &truth)?.reshape(truth.shape())?;
    let mut rows = Vec::new();
    for i in 0..n {
        rows.extend([truth.narrow(0, i, 1)?, masked.narrow(0, i, 1)?, filled.narrow(0, i * completions, completions)?]);
    }
    draw::grid(&Tensor::cat(&rows, 0)?, 2 + completions, draw::scale_for(height))
}

fn no_image(subject: &Subject) -> Error {
    Error::config(format!("probe `inpainting` completes images, and items of `{}` are none", subject.data.spec().name))
        .hint("remove the probe, or choose a data set of images such as digits or mnist")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_lie_where_their_names_say() {
        let shown = |hole: Hole| -> String {
            hole.mask([1, 4, 4])
                .chunks(4)
                .map(|row| row.iter().map(|f| if *f { '#' } else { '.' }).collect::<String>() + "/")
                .collect()
        };
        assert_eq!(shown(Hole::Lower), "..../..../####/####/");
        assert_eq!(shown(Hole::Left), "##../##../##../##../");
        assert_eq!(shown(Hole::Centre), "..../.##./.##./..../");
        assert_eq!(Hole::Lower.mask([3, 2, 1]), [false, true, false, true, false, true]);
    }

    #[test]
    fn error_and_diversity_by_hand() {
        let found = compared(
            &[vec![0.0, 1.0], vec![1.0, 1.0], vec![0.5, 0.0], vec![0.5, 1.0]],
            &[vec![0.0, 1.0], vec![0.5, 0.5]],
            2,
        );
        assert!((found.get("inpaint_mse").unwrap() - (0.0 + 0.5 + 0.125 + 0.125) / 4.0).abs() < 1e-12);
        let half = 0.5f64.sqrt();
        assert!((found.get("inpaint_diversity").unwrap() - (half + 0.0 + 0.0 + half) / 4.0).abs() < 1e-12);
    }
}
