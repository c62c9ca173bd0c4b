//! Adam and AdamW.

use candle_core::backprop::GradStore;

use super::{BuildOptim, GradStats, Optimiser, Slots, Weights};
use crate::{
    Result,
    config::{Entry, Schema, decode, rule},
    ops,
    store::State,
};

crate::config! {
    /// Keys of `[optim] name = "adam"`.
    pub struct AdamConfig {
        /// Learning rate.
        lr: f64 = 1e-3, rule::positive;
        /// Decay rates of the first and second moment of the gradient.
        betas: [f64; 2] = [0.9, 0.999], rule::rates;
        /// Added to the root of the second moment.
        eps: f64 = 1e-8, rule::positive;
        /// Weight decay, added to the gradient (L2) unless `decoupled`.
        weight_decay: f64 = 0.0, rule::non_negative;
        /// Shrink the weights beside the gradient step (AdamW) instead of adding to the gradient.
        decoupled: bool = false;
        /// Scale gradients down to this norm over all parameters together; 0 leaves them.
        clip_norm: f64 = 0.0, rule::non_negative;
    }
}

pub(super) const ENTRY: Entry<BuildOptim> = Entry {
    name: "adam",
    about: "steps along the mean gradient over its root mean square",
    cite: "Kingma & Ba 2015, algorithm 1; decoupled: Loshchilov & Hutter 2019, algorithm 2",
    schema: Schema::of::<AdamConfig>(),
    build: |table, weights| Ok(Box::new(Adam::new(decode(table)?, weights)?)),
};

/// m ← β₁m + (1-β₁)g, v ← β₂v + (1-β₂)g², p ← p - lr·m̂/(√v̂ + eps), with m̂ and v̂ corrected for their start at 0.
struct Adam {
    config: AdamConfig,
    slots: Slots<2>,
}

impl Adam {
    fn new(config: AdamConfig, weights: &Weights) -> Result<Self> {
        Ok(Adam { config, slots: Slots::new(weights, ["first", "second"])? })
    }
}

impl Optimiser for Adam {
    fn step(&mut self, grads: &GradStore, lr_scale: f64) -> Result<GradStats> {
        let AdamConfig { lr, betas, eps, weight_decay, decoupled, clip_norm } = self.config;
        self.slots.step(grads, clip_norm, |slot, grad, scale| {
            let [first, second] = &slot.memory;
            let (lr, step) = (lr * lr_scale, slot.steps);
            let numbers = ops::Adam { lr, betas, eps, weight_decay, decoupled, step, scale };
            ops::adam_update(&slot.var, grad, first, second, &numbers)
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
