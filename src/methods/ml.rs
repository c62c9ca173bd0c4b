//! Exact maximum likelihood for models whose normaliser is known: flows, linear ICA, Gaussians.

use candle_core::DType;

use super::{BuildMethod, Method, Setup, State, StepContext, put, take};
use crate::config::{Entry, Schema};
use crate::data::Batch;
use crate::density::Model;
use crate::metrics::Metrics;
use crate::optim::{self, Optimiser};
use crate::{Error, Result};

crate::config! {
    /// The method `ml` has no keys of its own; `[optim]` is the model's optimiser.
    pub struct MlConfig {}
}

pub(super) const ENTRY: Entry<BuildMethod> = Entry {
    name: "ml",
    about: "exact maximum likelihood, for models with a known normaliser (flows, ICA, Gaussians)",
    cite: "",
    schema: Schema::of::<MlConfig>(),
    build: |_, setup| Ok(Box::new(MaximumLikelihood::new(setup)?)),
};

/// Minimises mean[-log p(x)].
struct MaximumLikelihood {
    model: Model,
    optim: Box<dyn Optimiser>,
}

impl MaximumLikelihood {
    fn new(setup: Setup) -> Result<Self> {
        if setup.model.density().is_none() {
            return Err(Error::Config(
                "error: method `ml` needs a model with a known normaliser\n\nhint: choose a flow, `ica` or `gaussian` as \
                 model, `ml_grid` in 2-D, or a method for unnormalised models (ebm methods)"
                    .into(),
            ));
        }
        let optim = optim::build(setup.optim, &setup.model.params().weights)?;
        Ok(MaximumLikelihood { model: setup.model, optim })
    }
}

impl Method for MaximumLikelihood {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let batch = batches.first().ok_or_else(|| Error::Other("ml: a step needs a batch".into()))?;
        let density = self.model.density().ok_or_else(|| Error::Other("ml: the model lost its normaliser".into()))?;
        let loss = density.log_prob(&batch.x)?.mean_all()?.neg()?;
        let stats = self.optim.step(&loss.backward()?, cx.lr_scale)?;
        self.model.after_update()?;
        let nll: f64 = loss.to_dtype(DType::F64)?.to_scalar()?;
        Ok(Metrics::new().with("nll", nll).with("grad_norm", stats.norm))
    }

    fn model(&self) -> &Model {
        &self.model
    }

    fn state(&self) -> Result<State> {
        let mut state = State::new();
        put(&mut state, "model", self.model.params().tensors());
        put(&mut state, "optim", self.optim.state()?);
        Ok(state)
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.model.params().load(&take(state, "model"))?;
        self.optim.load(&take(state, "optim"))
    }
}
