//! A plain classifier: the baseline of JEM, and where features come from.

use super::learning::supervised::{self, Supervised, SupervisedConfig};
use super::learning::trained::Trained;
use super::{Method, MethodRow, Setup, State, StepContext};
use crate::config::{Schema, decode};
use crate::data::Batch;
use crate::density::{Energy, Model};
use crate::metrics::Metrics;
use crate::{Error, Result};

pub(super) const ENTRY: MethodRow = MethodRow {
    name: "classifier",
    about: "cross-entropy alone: the baseline of JEM; -log Σ exp of its logits is an energy all the same",
    cite: "Liu, Wang, Owens, Li 2020, \"Energy-based out-of-distribution detection\" (the energy of a plain classifier)",
    schema: Schema::of::<SupervisedConfig>(),
    numbers: &[],
    proposal: None,
    example: "",
    build: |table, setup| Ok(Box::new(Plain::new(decode(table)?, setup)?)),
};

/// Minimises α E[-log p(y|x)], dropout on.
struct Plain {
    supervised: Supervised,
    trained: Trained,
}

impl Plain {
    fn new(config: SupervisedConfig, setup: Setup) -> Result<Self> {
        let supervised = Supervised::new(config, setup.data)?;
        Ok(Plain { supervised, trained: Trained::new(setup.model, setup.optim)? })
    }
}

impl Method for Plain {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let batch = batches.first().ok_or_else(|| Error::Other("classifier: a step needs a batch".into()))?;
        let view = self.trained.model.in_training(cx.key.with("dropout"));
        let energy: &dyn Energy = view.as_deref().unwrap_or(self.trained.model.as_energy());
        let (loss, mut metrics) =
            self.supervised.loss(cx.step, energy, &supervised::logits(energy, &batch.x)?, batch)?;
        metrics.set("grad_norm", self.trained.descend(&loss, cx.lr_scale)?);
        Ok(metrics)
    }

    fn model(&self) -> &Model {
        &self.trained.model
    }

    fn state(&self) -> Result<State> {
        self.trained.state()
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.trained.load(state)
    }
}
