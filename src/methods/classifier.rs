//! A plain classifier: the baseline of JEM, and a source of features.

use super::example::example;
use super::learning::readings::{GRAD_NORM, scalar};
use super::learning::supervised::{self, Supervised, SupervisedConfig};
use super::learning::trainable::Trainable;
use super::learning::virtual_adversarial::{VAT, VirtualAdversarial, VirtualAdversarialConfig};
use super::method::only;
use super::part::parts;
use super::{Method, MethodRow, Setup, StepContext};
use crate::Result;
use crate::config::{Schema, decode};
use crate::data::Batch;
use crate::density::Model;
use crate::metrics::{Metrics, Spent, numbers};

/// The keys of the method `classifier`.
type Keys = (SupervisedConfig, VirtualAdversarialConfig);

pub(super) const ENTRY: MethodRow = MethodRow {
    name: "classifier",
    about: "cross-entropy alone, or with virtual adversarial training (`vat`): the baselines of JEM; -log Σ exp of \
            its logits is an energy all the same",
    cite: "Liu, Wang, Owens, Li 2020, \"Energy-based out-of-distribution detection\" (the energy of a plain \
           classifier); Miyato, Maeda, Koyama, Ishii 2018, \"Virtual adversarial training\", eq. 5-11; \
           arXiv 1704.03976",
    schema: Schema::of::<Keys>(),
    numbers: numbers![supervised::NUMBERS, [VAT, GRAD_NORM]],
    cost: Spent { values: 0, gradients: 128 },
    proposal: None,
    init: &[("dataset", "digits"), ("model", "classifier")],
    example: example!(digits, "classifier"),
    build: |table, setup| Ok(Box::new(Plain::new(decode(table)?, setup)?)),
};

/// The method `classifier`: minimises the cross-entropy α E[-log p(y|x)] of the labels y, with dropout; with
/// [`VirtualAdversarial`] also how much p(y|x) can change close by, on items with and without labels.
struct Plain {
    supervised: Supervised,
    smooth: Option<VirtualAdversarial>,
    trained: Trainable<Model>,
}

impl Plain {
    fn new((labels, vat): Keys, setup: Setup) -> Result<Self> {
        let supervised = Supervised::new(labels, setup.data)?;
        let trained = Trainable::model(setup.model, setup.optim)?;
        Ok(Plain { supervised, smooth: VirtualAdversarial::new(vat), trained })
    }
}

parts!(Plain: trained);

impl Method for Plain {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let batch = only(batches)?;
        let (loss, mut metrics) = self.trained.in_training(cx, |energy| {
            let logits = supervised::logits(energy, &batch.x)?;
            let (mut loss, mut metrics) = self.supervised.loss(cx.step, energy, &logits, batch)?;
            if let Some(smooth) = &self.smooth {
                let models = [energy, &self.trained.still_in_training(cx)];
                let term = smooth.loss(cx.key.with("vat"), models, &batch.x, &logits)?;
                metrics.set("vat", scalar(&term)?);
                loss = (loss + (term * smooth.weight())?)?;
            }
            Ok((loss, metrics))
        })?;
        metrics.set("grad_norm", self.trained.descend(&loss, cx.lr_scale)?);
        metrics.read()
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }
}
