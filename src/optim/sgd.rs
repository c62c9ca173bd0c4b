//! Gradient descent, with momentum if wanted.

use candle_core::backprop::GradStore;

use super::optimiser::{BuildOptim, GradStats, Optimiser, Weights};
use super::slots::Slots;
use crate::{
    Result,
    config::{Entry, Schema, decode, rule},
    ops,
    store::State,
};

crate::config! {
    /// Keys of `[optim] name = "sgd"`.
    pub struct SgdConfig {
        /// Learning rate.
        lr: f64 = 1e-2, rule::positive;
        /// Decay rate of the velocity; 0 is plain gradient descent.
        momentum: f64 = 0.0, rule::rate;
        /// Look ahead along the new velocity.
        nesterov: bool = false;
        /// Weight decay, added to the gradient (L2).
        weight_decay: f64 = 0.0, rule::non_negative;
        /// Scale gradients down to this norm over all parameters together; 0 leaves them.
        clip_norm: f64 = 0.0, rule::non_negative;
    }
}

pub(super) const ENTRY: Entry<BuildOptim> = Entry {
    name: "sgd",
    about: "steps along the gradient, with momentum if wanted",
    cite: "Robbins & Monro 1951; momentum: Polyak 1964; nesterov: Sutskever et al. 2013, eq. 3-4",
    schema: Schema::of::<SgdConfig>(),
    build: |table, weights| Ok(Box::new(Sgd::new(decode(table)?, weights)?)),
};

/// Gradient descent with momentum: b ← momentum·b + g, p ← p - lr·b, with p the parameter, g its gradient and b the
/// velocity.
struct Sgd {
    config: SgdConfig,
    slots: Slots<1>,
}

impl Sgd {
    fn new(config: SgdConfig, weights: &Weights) -> Result<Self> {
        Ok(Sgd { config, slots: Slots::new(weights, ["velocity"])? })
    }
}

impl Optimiser for Sgd {
    fn step(&mut self, grads: &GradStore, lr_scale: f64) -> Result<GradStats> {
        let SgdConfig { lr, momentum, nesterov, weight_decay, clip_norm } = self.config;
        let numbers = ops::Sgd { lr: lr * lr_scale, momentum, nesterov, weight_decay, scale: 1.0 };
        self.slots.step(grads, |pairs| {
            let all = pairs.iter().map(|&(slot, grad)| ops::Stepping {
                var: &slot.var,
                grad,
                memory: slot.memory.each_ref(),
                numbers,
            });
            ops::sgd_steps(&all.collect::<Vec<_>>(), clip_norm)
        })
    }

    fn state(&self) -> Result<State> {
        self.slots.state()
    }

    fn check(&self, state: &State) -> Result<()> {
        self.slots.check(state).map(|_| ())
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.slots.load(state)
    }
}
