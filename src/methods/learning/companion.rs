//! A flow that learns beside an energy: what it proposes, and its steps of maximum likelihood.

use candle_core::{DType, Tensor};

use super::readings::mean;
use super::trained::Learner;
use crate::config::Spec;
use crate::data::Data;
use crate::density::flow::{self, Flow};
use crate::density::{Context, Density as _, Energy as _, Proposal};
use crate::methods::Standing;
use crate::metrics::Metrics;
use crate::nets::Builder;
use crate::store::{State, take};
use crate::{Result, rng::Key};

/// Training items whose moments a flow starts at.
const MOMENT_ITEMS: usize = 10_000;

/// What the flow's parameters are under in the state.
const FLOW: &str = "flow";

/// A flow with its optimiser.
pub(in crate::methods) struct Companion {
    flow: Flow,
    /// On the same storage, without a graph.
    still: Flow,
    /// Its parameters.
    pub learner: Learner,
}

impl Companion {
    /// A new flow by the sections `spec` and `optim`, started at the data's moments.
    ///
    /// # Errors
    /// A flow that does not fit the items.
    pub fn new(spec: &Spec, optim: &Spec, data: &Data, key: Key) -> Result<Self> {
        let builder = Builder::new(key, DType::F32, data.device());
        let moments = || data.mean_std(MOMENT_ITEMS);
        let context = Context { shape: data.spec().shape.clone(), classes: None, moments: Some(&moments) };
        let flow = flow::build(spec, &context, &builder)?;
        let params = builder.finish();
        let still = Builder::bound(params.tensors(), DType::F32, data.device());
        let still = flow::build(spec, &Context { moments: None, ..context }, &still)?;
        Ok(Companion { flow, still, learner: Learner::new(params, optim)? })
    }

    /// The flow as it stands, without a graph.
    pub fn still(&self) -> &Flow {
        &self.still
    }

    /// One step down -mean log q(x): maximum likelihood, which is the divergence KL(p‖q) where x are draws of p. `flow_nll` is
    /// that before the step.
    pub fn learn(&mut self, x: &Tensor, lr_scale: f64) -> Result<Metrics> {
        let loss = self.flow.log_prob(x)?.mean_all()?.neg()?;
        let nll = mean(&loss)?;
        let norm = self.learner.descend(&loss, lr_scale)?;
        self.flow.after_update()?;
        Ok(Metrics::new().with("flow_nll", nll).with("flow_grad_norm", norm))
    }

    /// Adds all state.
    pub fn save(&self, state: &mut State) -> Result<()> {
        self.learner.save(FLOW, state)
    }

    /// Takes what [`Companion::save`] put.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn load(&mut self, state: &State) -> Result<()> {
        self.learner.load(FLOW, state)
    }
}

/// The flow of a run, by its section, to draw from.
///
/// # Errors
/// A tensor that is missing or has another shape.
pub(in crate::methods) fn proposal(spec: &Spec, standing: &Standing) -> Result<Box<dyn Proposal>> {
    let builder = Builder::bound(take(standing.state, FLOW), DType::F32, standing.device);
    let context = Context { shape: standing.shape.to_vec(), classes: None, moments: None };
    Ok(Box::new(flow::build(spec, &context, &builder)?))
}
