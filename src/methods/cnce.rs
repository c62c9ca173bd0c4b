//! Conditional noise-contrastive estimation: the energy learns to tell data from their own noisy copies.

use std::f64::consts::LN_2;

use candle_core::{Tensor, Var};

use super::example::example;
use super::learning::jumps::Jumps;
use super::learning::readings::{GRAD_NORM, Readings, mean, scalar};
use super::learning::trainable::Trainable;
use super::method::only;
use super::part::{Named, parts};
use super::{Method, MethodRow, Setup, StepContext};
use crate::config::{Schema, decode, rule};
use crate::data::Batch;
use crate::density::{Energy, Model};
use crate::metrics::{Metrics, Number, Spent, Unit};
use crate::ops::{self, Activation};
use crate::{Error, Result, rng::Key};

crate::config! {
    /// Keys of the method `cnce`.
    pub struct CnceConfig {
        /// Standard deviation ε of the noise in y = x + ε N(0, I), in the units of the data.
        epsilon: f64 = 0.1, rule::positive;
        /// κ, noisy copies of each data item (released LSD code: 1; the method's authors: 2 to 20).
        kappa: usize = 1, rule::at_least(1);
        /// Change ε after every step, as the method's authors do to find it: times 1.2 where the loss is within a tenth
        /// of chance (x and y are too alike), halved where it is below half of chance (too different). `epsilon` is the
        /// start.
        adapt: bool = false;
        /// K, groups of training items (k-means) between whose centres some of the copies jump, so that energies of far
        /// modes are compared; 0 for noise alone.
        jumps: usize = 0;
        /// With `jumps`: the share of the copies that jump to any of the K, their own included.
        jump_share: f64 = 0.5, share;
    }
}

fn share(v: &f64) -> rule::Complaint {
    (!(0.0 < *v && *v <= 1.0)).then(|| format!("must be above 0 and at most 1, got {v}"))
}

pub(super) const ENTRY: MethodRow = MethodRow {
    name: "cnce",
    about: "conditional noise-contrastive estimation: tells data from their noisy copies; needs no normaliser at all",
    cite: "Ceylan & Gutmann 2018, \"Conditional Noise-Contrastive Estimation of Unnormalised Models\", ICML, eq. 10; \
           arXiv 1806.03664",
    schema: Schema::of::<CnceConfig>(),
    numbers: &[
        Number::new("loss", Unit::Nats, "logistic loss between data and their noisy copies; chance is log 2")
            .lower()
            .lead(),
        Number::new("accuracy", Unit::Share, "share of pairs in which data have the lower energy").lead(),
        Number::new("epsilon", Unit::Plain, "ε, the standard deviation of the noise"),
        GRAD_NORM,
    ],
    cost: Spent { values: 0, gradients: 384 },
    proposal: None,
    init: &[],
    example: example!(plane, "cnce", "kappa = 2\nadapt = true\n"),
    build: |table, setup| Ok(Box::new(Cnce::new(decode(table)?, setup)?)),
};

/// The method `cnce` (Ceylan & Gutmann 2018, eq. 10): for data x and noisy copies y with the conditional density
/// p_c(y|x) = N(y; x, ε² I), minimises mean softplus(-G) with G = log[p(x) p_c(y|x) / p(y) p_c(x|y)] = E(y) - E(x). p_c
/// is symmetric, so it cancels, and so does the normaliser. The paper's loss is twice this one; that of chance is log 2
/// here. Under [`Jumps`] p_c is not symmetric and stays in G.
struct Cnce {
    config: CnceConfig,
    trained: Trainable<Model>,
    /// The standard deviation ε, which `adapt` changes, as a scalar in f64.
    epsilon: Named<Var>,
    jumps: Option<Jumps>,
}

impl Cnce {
    fn new(config: CnceConfig, setup: Setup) -> Result<Self> {
        let CnceConfig { epsilon, adapt, jumps, jump_share, .. } = config;
        if adapt && jumps > 0 {
            return Err(Error::config("`adapt` looks at how alike items and copies are, and copies that jump are not")
                .at("adapt")
                .hint("--set method.adapt=false, with `epsilon` about a tenth of the data's width"));
        }
        let epsilon = Var::from_tensor(&Tensor::new(epsilon, &candle_core::Device::Cpu)?)?;
        let epsilon = Named::new("epsilon", epsilon);
        let groups = || Jumps::new(jumps, jump_share, setup.data, setup.key.with("jumps"));
        let jumps = (jumps > 0).then(groups).transpose()?;
        Ok(Cnce { config, trained: Trainable::model(setup.model, setup.optim)?, epsilon, jumps })
    }

    /// Copies y `[κB, ..]` of the items x, in the order of [`copied`], and log p_c(y|x) - log p_c(x|y), `[κB]`, where
    /// it is not 0.
    fn pairs(&self, key: Key, x: &Tensor, epsilon: f64) -> Result<(Tensor, Option<Tensor>)> {
        let copies = copied(x, self.config.kappa)?;
        let Some(jumps) = &self.jumps else { return Ok((noisy(key, &copies, epsilon)?, None)) };
        let y = jumps.copies(key, &copies, epsilon)?;
        let ratio = jumps.log_ratio(&copies, &y, epsilon)?;
        Ok((y, Some(ratio)))
    }
}

/// The items x repeated κ times: `[B, ..]` -> `[κB, ..]`, all items once, then all again.
fn copied(x: &Tensor, kappa: usize) -> Result<Tensor> {
    Ok(Tensor::cat(&vec![x; kappa], 0)?)
}

/// Items with noise of standard deviation ε.
fn noisy(key: Key, x: &Tensor, epsilon: f64) -> Result<Tensor> {
    let noise = key.with("noise").normal(x.dims(), x.dtype(), x.device())?;
    Ok((x + (noise * epsilon)?)?)
}

/// The loss mean softplus(E(x) - E(y) - r), r = log p_c(y|x) - log p_c(x|y) or 0, and the share of pairs in which the
/// data item has the lower energy.
///
/// # Shapes
/// x `[B, ..]`, y `[κB, ..]` in the order of [`copied`], r `[κB]`.
fn logistic_loss(energy: &dyn Energy, x: &Tensor, y: &Tensor, ratio: Option<&Tensor>) -> Result<(Tensor, Tensor)> {
    let (b, n) = (x.dim(0)?, y.dim(0)?);
    let all = energy.energy(&Tensor::cat(&[x, y], 0)?)?;
    let on_data = all.narrow(0, 0, b)?;
    let gap = (copied(&on_data, n / b.max(1))? - all.narrow(0, b, n)?)?;
    let told = mean(&gap.lt(0.0)?)?;
    let minus_g = ratio.map_or_else(|| Ok(gap.clone()), |ratio| &gap - ratio)?;
    Ok((ops::activate(Activation::Softplus, &minus_g)?.mean_all()?, told))
}

/// The next ε after a step with this loss.
fn adapted(epsilon: f64, loss: f64) -> f64 {
    match loss / LN_2 {
        share if (share - 1.0).abs() < 0.1 => 1.2 * epsilon,
        share if share < 0.5 => 0.5 * epsilon,
        _ => epsilon,
    }
}

parts!(Cnce: trained, epsilon, jumps);

impl Method for Cnce {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let x = &only(batches)?.x;
        let epsilon: f64 = self.epsilon.value.to_scalar()?;
        let (y, ratio) = self.pairs(cx.key, x, epsilon)?;
        let (loss, told) = logistic_loss(&self.trained.live, x, &y, ratio.as_ref())?;
        let grad_norm = self.trained.descend(&loss, cx.lr_scale)?;
        let loss = scalar(&loss)?;
        if self.config.adapt {
            let next = Tensor::new(adapted(epsilon, loss.to_scalar()?), self.epsilon.value.device())?;
            ops::assign(&self.epsilon.value, &next)?;
        }
        Readings::new()
            .with("loss", loss)
            .with("accuracy", told)
            .with("epsilon", epsilon)
            .with("grad_norm", grad_norm)
            .read()
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }

    fn advice(&self) -> Vec<String> {
        vec![format!("less noise (--set method.epsilon={})", 0.1 * self.config.epsilon)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_grows_near_chance_and_shrinks_when_it_is_too_easy() {
        let next = |share: f64| adapted(2.0, share * LN_2);
        assert_eq!([0.3, 0.49].map(next), [1.0; 2]);
        assert_eq!([0.51, 0.89, 1.11, 3.0].map(next), [2.0; 4]);
        assert_eq!([0.91, 1.0, 1.09].map(next), [2.4; 3]);
    }
}
