//! Exact maximum likelihood for models with a known normaliser: flows, linear ICA, Gaussians.

use super::learning::readings::{GRAD_NORM, Readings, scalar};
use super::learning::trainable::Trainable;
use super::method::only;
use super::part::parts;
use super::{Method, MethodRow, Setup, StepContext};
use crate::config::Schema;
use crate::data::Batch;
use crate::density::Model;
use crate::metrics::{Metrics, Number, Spent, Unit};
use crate::{Error, Result, shell};

crate::config! {
    /// The method `ml` has no keys of its own; `[optim]` is the model's optimiser.
    pub struct MlConfig {}
}

pub(super) const ENTRY: MethodRow = MethodRow {
    name: "ml",
    about: "exact maximum likelihood, for models with a known normaliser (flows, ICA, Gaussians)",
    cite: "",
    schema: Schema::of::<MlConfig>(),
    numbers: &[Number::new("nll", Unit::Nats, "mean -log p(x) of the batch").lower().lead(), GRAD_NORM],
    cost: Spent { values: 0, gradients: 128 },
    proposal: None,
    init: &[("model", "real_nvp")],
    example: r#"[dataset]
name = "moons"

[model]
name = "gaussian"

[method]
name = "ml"
"#,
    build: |_, setup| Ok(Box::new(MaximumLikelihood::new(setup)?)),
};

/// The method `ml`: minimises mean[-log p(x)].
struct MaximumLikelihood {
    trained: Trainable<Model>,
}

impl MaximumLikelihood {
    fn new(setup: Setup) -> Result<Self> {
        if setup.model.density().is_none() {
            return Err(Error::config("method `ml` needs a model with a known normaliser").hint(format!(
                "choose a flow, `ica` or `gaussian` as model, `ml_grid` in 2-D, or a method for unnormalised models \
                 ({})",
                shell::ebm("methods")
            )));
        }
        Ok(MaximumLikelihood { trained: Trainable::model(setup.model, setup.optim)? })
    }
}

parts!(MaximumLikelihood: trained);

impl Method for MaximumLikelihood {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let batch = only(batches)?;
        let log_p = self.trained.live.log_prob(&batch.x)?;
        let log_p = log_p.ok_or_else(|| Error::Other("ml: the model lost its normaliser".into()))?;
        let loss = log_p.mean_all()?.neg()?;
        let grad_norm = self.trained.descend(&loss, cx.lr_scale)?;
        Readings::new().with("nll", scalar(&loss)?).with("grad_norm", grad_norm).read()
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }
}
