//! Adam and AdamW.

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

impl AdamConfig {
    /// The numbers of step t ≥ 1 with the learning rate times `lr_scale`. They contain the corrections m̂ = m/(1-β₁ᵗ)
    /// and v̂ = v/(1-β₂ᵗ).
    fn step(&self, t: u64, lr_scale: f64) -> ops::Adam {
        let AdamConfig { lr, betas, eps, weight_decay, decoupled, .. } = *self;
        let lr = lr * lr_scale;
        let correction = betas.map(|beta| 1.0 - beta.powf(t as f64));
        ops::Adam {
            scale: 1.0,
            l2: if decoupled { 0.0 } else { weight_decay },
            betas,
            rest: betas.map(|beta| 1.0 - beta),
            keep: if decoupled { 1.0 - lr * weight_decay } else { 1.0 },
            rate: lr / correction[0],
            root: 1.0 / correction[1].sqrt(),
            eps,
        }
    }
}

/// Adam (Kingma & Ba 2015, algorithm 1) and AdamW (Loshchilov & Hutter 2019, algorithm 2): m ← β₁m + (1-β₁)g, v ← β₂v +
/// (1-β₂)g², p ← p - lr·m̂/(√v̂ + eps), with p the parameter, g its gradient, and m̂ and v̂ the moments corrected for
/// their start at 0.
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
        let AdamConfig { clip_norm, .. } = self.config;
        self.slots.step(grads, |pairs| {
            let all = pairs.iter().map(|&(slot, grad)| ops::Stepping {
                var: &slot.var,
                grad,
                memory: slot.memory.each_ref(),
                numbers: self.config.step(slot.steps, lr_scale),
            });
            ops::adam_steps(&all.collect::<Vec<_>>(), clip_norm)
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
