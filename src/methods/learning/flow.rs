//! Flows beside an energy: they propose to its chains and are trained by maximum likelihood.

use candle_core::{D, DType, Tensor};

use super::readings::{Readings, scalar};
use super::trainable::{Trainable, at_rest};
use crate::config::Spec;
use crate::data::{Data, Moments};
use crate::density::flow::{self, Flow};
use crate::density::{Context, Density as _, Proposal};
use crate::methods::Standing;
use crate::metrics::{Number, Unit};
use crate::samplers::{coordinate, digit};
use crate::{Error, Result, rng::Key};

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
        let moments = || data.mean_std(Moments::ITEMS);
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

/// Refuses a flow that begins far narrower than the draws x `[B, ..]` of the first update, from which it will learn:
/// the gradient of its likelihood grows with the square of their distance in standard deviations.
///
/// # Errors
/// The refusal ([`Error::Config`]), with the coordinate, at the section `section` of the method.
pub(in crate::methods) fn check_reach(data: &Data, x: &Tensor, section: &'static str) -> Result<()> {
    /// Standard deviations in one coordinate that still leave gradients of a size that clipping and Adam cope with.
    const FAR: f64 = 100.0;
    /// The sum of the squared standard deviations of all coordinates of a draw, likewise.
    const FAR_IN_ALL: f64 = 5e5;
    let moments = data.mean_std(Moments::ITEMS)?;
    let widths = flow::first_widths(&moments)?;
    let away = x.detach().broadcast_sub(&moments.mean)?.abs()?.to_dtype(DType::F64)?;
    let host = |t: Tensor| -> Result<Vec<f64>> { Ok(t.flatten_all()?.to_vec1()?) };
    let times = host(away.broadcast_div(&widths)?.max(0)?)?;
    let in_all =
        host(away.broadcast_div(&widths)?.sqr()?.flatten_from(1)?.sum(D::Minus1)?)?.into_iter().fold(0.0, f64::max);
    let Some(worst) = (0..times.len()).max_by(|&a, &b| times[a].total_cmp(&times[b])) else { return Ok(()) };
    if times[worst] <= FAR && in_all <= FAR_IN_ALL {
        return Ok(());
    }
    let (away, widths) = (host(away.max(0)?)?, host(widths)?);
    let (coordinate, width, far) = (coordinate(worst, &data.spec().shape), widths[worst], away[worst]);
    let what = format!(
        "the flow begins too narrow for the draws that it will learn from: coordinate {coordinate:?} of the items has \
         standard deviation {width:.3e}, and the first of these draws lie up to {far:.3e} away from its mean, {:.0} \
         times as far; over all coordinates up to {:.0} standard deviations",
        times[worst],
        in_all.sqrt()
    );
    // With noise this wide, one coordinate is no further away than `FAR`, and all of them are no further than the sum.
    let distance = away.iter().map(|far| far * far).sum::<f64>().sqrt();
    let noise = digit((far / FAR).max(distance / FAR_IN_ALL.sqrt()), f64::ceil);
    let hint = format!(
        "--set dataset.noise={noise}, so that no coordinate is so narrow; or draws that begin nearer (smaller steps of \
         a chain, a trained generator)"
    );
    Err(Error::config(what).at(section).hint(hint))
}

/// The flow of a run, as a proposal, from the flow's section and the method's state.
///
/// # Errors
/// A tensor is missing or has another shape.
pub(in crate::methods) fn proposal(spec: &Spec, standing: &Standing) -> Result<Box<dyn Proposal>> {
    let context = Context { shape: standing.shape.to_vec(), classes: None, moments: None };
    Ok(Box::new(at_rest(FLOW, standing, |builder| flow::build(spec, &context, builder))?))
}
