//! Whether draws that a generator makes for a class are of that class, before and after the chains that revise them.

use candle_core::Tensor;

use crate::config::{Schema, decode, rule};
use crate::math::largest;
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::samples::pictures;
use crate::probes::support::example::example;
use crate::probes::support::judge::Judge;
use crate::probes::support::labels;
use crate::probes::support::rows::host_rows;
use crate::samplers::Target;
use crate::{Error, Result};

crate::config! {
    /// Keys of the probe `conditional`.
    pub struct ConditionalConfig {
        /// Draws, class i mod K in turn.
        n: usize = 1_000, rule::at_least(1);
        /// Classifier that judges: a checkpoint of ebm or the folder of its run, or `digits`, the shipped one of the
        /// 8×8 digits; empty: the model itself, which judges only where its p(y|x) was trained: the energies of
        /// classes that `vae_sampler` learns are each known up to a number.
        classifier: String = String::new();
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "conditional",
    about: "of a class-conditional generator: accuracy of the labels of its draws, and of those after the run's chains \
            on p(x|y)",
    cite: "Xie, Zheng, Li 2021, AAAI, section 5",
    schema: Schema::of::<(ConditionalConfig, Schedule)>(),
    numbers: &[
        Number::new("label_accuracy_drawn", Unit::Share, "draws of the generator that are given their label").higher(),
        Number::new("label_accuracy", Unit::Share, "the same after the run's chains").higher().lead(),
        Number::new("classifier_sha", Unit::Hash, "sha256 of the classifier's file").when("`classifier` is given"),
    ],
    example: example!(classes, "name = \"conditional\"\nn = 30\n"),
    build: |table, device| {
        let config: ConditionalConfig = decode(table)?;
        let judge = Judge::named(&config.classifier, device)?;
        Ok(Box::new(Conditional { config, judge }))
    },
};

struct Conditional {
    config: ConditionalConfig,
    judge: Option<Judge>,
}

impl Probe for Conditional {
    fn fits(&self, subject: &Subject) -> Result<()> {
        let drawn = subject.proposal.map(|proposal| proposal.draw_labelled(subject.key, 1)).transpose()?.flatten();
        let (_, y) = drawn.ok_or_else(unconditional)?;
        subject.model.given(&y).map(drop).ok_or_else(unconditional)
    }

    fn run(&self, subject: &Subject) -> Result<Finding> {
        let drawn = match subject.proposal {
            Some(proposal) => proposal.draw_labelled(subject.key.with("draw"), self.config.n)?,
            None => None,
        };
        let (first, y) = drawn.ok_or_else(unconditional)?;
        let energy = subject.model.given(&y).ok_or_else(unconditional)?;
        let revised = subject.chains(subject.key.with("steps"), &Target::new(&energy), &first)?.x;
        let labels: Vec<u32> = y.to_vec1()?;
        let right = |x: &Tensor| -> Result<f64> {
            let rows = match &self.judge {
                Some(judge) => host_rows(&judge.logits(x, subject.data)?)?,
                None => labels::log_probabilities("conditional", subject.model, x)?,
            };
            let hits = rows.iter().zip(&labels).filter(|(row, y)| largest(row).0 == **y as usize).count();
            Ok(hits as f64 / labels.len() as f64)
        };
        let mut metrics = Metrics::new().with("label_accuracy_drawn", right(&first)?);
        metrics.set("label_accuracy", right(&revised)?);
        if let Some(judge) = &self.judge {
            judge.stamp("classifier_sha", &mut metrics);
        }
        // The first hundred, of ten classes one in each column.
        let shown = revised.narrow(0, 0, revised.dim(0)?.min(100))?;
        Ok(Finding { metrics, pictures: pictures::drawn("conditional", subject, &shown)? })
    }
}

fn unconditional() -> Error {
    Error::config("probe `conditional` needs a generator that draws for classes, and a classifier as model")
        .hint("method vae_sampler with `condition = \"class\"` and `model.name = \"classifier\"`")
}
