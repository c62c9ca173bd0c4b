//! Flows beside an energy: they propose to its chains and are trained by maximum likelihood.

use candle_core::Tensor;

use super::readings::{Readings, scalar};
use super::trainable::{Trainable, at_rest};
use crate::config::Spec;
use crate::data::Data;
use crate::density::flow::{self, Flow};
use crate::density::{Context, Density as _, Proposal};
use crate::methods::Standing;
use crate::metrics::{Number, Unit};
use crate::{Result, rng::Key};

/// The number of training items whose moments a flow starts at.
const MOMENT_ITEMS: usize = 10_000;

/// The name of the flow in the state.
const FLOW: &str = "flow";

/// The numbers of [`Trainable::learn`].
pub(in crate::methods) const NUMBERS: [Number; 2] = [
    Number::new("flow_nll", Unit::Nats, "mean -log q of what the flow learns from, before the step").lower().lead(),
    Number::norm("flow_grad_norm", "norm of the flow's gradient, before clipping"),
];

impl Trainable<Flow> {
    /// A new flow by the sections `spec` and `optim`, which starts at the data's moments.
    ///
    /// # Errors
    /// The flow does not fit the items.
    pub fn flow(spec: &Spec, optim: &Spec, data: &Data, key: Key) -> Result<Self> {
        let moments = || data.mean_std(MOMENT_ITEMS);
        let context = Context { shape: data.spec().shape.clone(), classes: None, moments: Some(&moments) };
        Trainable::new(FLOW, optim, key, data.device(), |builder| flow::build(spec, &context, builder))
    }

    /// Takes one step down -mean log q(x) for the flow's density q: maximum likelihood, which is the divergence KL(p‖q)
    /// up to a constant if x are draws of p. The number `flow_nll` is the loss before the step.
    pub fn learn(&mut self, x: &Tensor, lr_scale: f64) -> Result<Readings> {
        let loss = self.live.log_prob(x)?.mean_all()?.neg()?;
        let nll = scalar(&loss)?;
        let norm = self.descend(&loss, lr_scale)?;
        Ok(Readings::new().with("flow_nll", nll).with("flow_grad_norm", norm))
    }
}

/// The flow of a run, as a proposal, from the flow's section and the method's state.
///
/// # Errors
/// A tensor is missing or has another shape.
pub(in crate::methods) fn proposal(spec: &Spec, standing: &Standing) -> Result<Box<dyn Proposal>> {
    let context = Context { shape: standing.shape.to_vec(), classes: None, moments: None };
    Ok(Box::new(at_rest(FLOW, standing, |builder| flow::build(spec, &context, builder))?))
}
