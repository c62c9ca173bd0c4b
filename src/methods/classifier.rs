//! A plain classifier: the baseline of JEM, and a source of features.

use super::learning::readings::GRAD_NORM;
use super::learning::supervised::{self, Supervised, SupervisedConfig};
use super::learning::trainable::Trainable;
use super::method::only;
use super::part::parts;
use super::{Method, MethodRow, Setup, StepContext};
use crate::Result;
use crate::config::{Schema, decode};
use crate::data::Batch;
use crate::density::Model;
use crate::metrics::{Metrics, Spent, numbers};

pub(super) const ENTRY: MethodRow = MethodRow {
    name: "classifier",
    about: "cross-entropy alone: the baseline of JEM; -log Σ exp of its logits is an energy all the same",
    cite: "Liu, Wang, Owens, Li 2020, \"Energy-based out-of-distribution detection\" (the energy of a plain \
           classifier)",
    schema: Schema::of::<SupervisedConfig>(),
    numbers: numbers![supervised::NUMBERS, [GRAD_NORM]],
    cost: Spent { values: 0, gradients: 128 },
    proposal: None,
    init: &[("dataset", "digits"), ("model", "classifier")],
    example: r#"[dataset]
name = "digits"

[model]
name = "classifier"
net = { name = "mlp", hidden = [8, 8], dropout = 0.2, spectral_norm = true }

[method]
name = "classifier"
"#,
    build: |table, setup| Ok(Box::new(Plain::new(decode(table)?, setup)?)),
};

/// The method `classifier`: minimises the cross-entropy α E[-log p(y|x)] of the labels y, with dropout.
struct Plain {
    supervised: Supervised,
    trained: Trainable<Model>,
}

impl Plain {
    fn new(config: SupervisedConfig, setup: Setup) -> Result<Self> {
        let supervised = Supervised::new(config, setup.data)?;
        Ok(Plain { supervised, trained: Trainable::model(setup.model, setup.optim)? })
    }
}

parts!(Plain: trained);

impl Method for Plain {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let batch = only(batches)?;
        let (loss, mut metrics) = self.trained.in_training(cx, |energy| {
            self.supervised.loss(cx.step, energy, &supervised::logits(energy, &batch.x)?, batch)
        })?;
        metrics.set("grad_norm", self.trained.descend(&loss, cx.lr_scale)?);
        metrics.read()
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }
}
