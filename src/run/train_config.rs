//! The keys of `[train]`, and the schedule of the learning rate that they describe.

use serde::{Deserialize, Serialize};

use crate::config::rule;
use crate::device::{ImageLayout, Precision};

/// How the learning rate goes from the first step to the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// Stays.
    #[default]
    Constant,
    /// Falls to 0 along a line.
    Linear,
    /// Falls to 0 along half a cosine.
    Cosine,
    /// Is multiplied by `decay_by` at each of `decay_at`.
    Steps,
}

/// Which values of the number `train.best` are best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BestIs {
    /// Those that the number declares as better.
    #[default]
    Auto,
    /// Large ones.
    Max,
    /// Small ones.
    Min,
}

crate::config! {
    /// Keys of `[train]`.
    pub struct TrainConfig {
        /// Steps of the method (model updates); 0 to give `epochs` instead.
        [may_change] steps: u64 = 0;
        /// Passes over the training data; every batch counts, the critic's too. Needs a finite data set; 0 to give
        /// `steps`.
        [may_change] epochs: u64 = 0;
        /// Items in a batch.
        batch_size: usize = 128, rule::at_least(1);
        /// Steps between lines of metrics.jsonl.
        [may_change] log_every: u64 = 10, rule::at_least(1);
        /// Steps between checkpoints; 0 means at the end only.
        [may_change] checkpoint_every: u64 = 500;
        /// Checkpoints to keep besides the newest; 0 keeps all.
        [may_change] keep: usize = 2;
        /// Never delete the checkpoint of a step that is a multiple of this; 0 for none.
        [may_change] keep_every: u64 = 0;
        /// A number that a probe finds, such as test_ll or test_accuracy: the checkpoint of the step where it is best
        /// stays, and checkpoints/best.safetensors is another name of it. Empty for none.
        [may_change] best: String = String::new();
        /// What of it is best: max, min, or auto, which takes what the number declares.
        [may_change] best_is: BestIs = BestIs::Auto;
        /// How a GPU multiplies in matrix products and convolutions: f32; tf32, which rounds the factors to 10 bits and
        /// is several times as fast; or bf16, 7 bits, in what comes out too. Weights, sums, positions and losses are
        /// f32 in any case, and on a CPU all is.
        precision: Precision = Precision::F32;
        /// How images lie in the convolutions of a GPU: auto, which is channels last where precision is tf32 or bf16
        /// and the pass is not differentiated by candle; or channels_first everywhere.
        layout: ImageLayout = ImageLayout::Auto;
        /// Parts of each batch that networks pass one after the other, with gradients summed in their order. `--ranks
        /// N` shares them out, and takes N where this is 1; what a run computes depends on parts, not on ranks.
        parts: usize = 1, rule::at_least(1);
        /// Decay of the exponential moving average of the model's weights; 0 switches it off. Sampling and probes
        /// use the average where there is one.
        ema: f64 = 0.0, rule::rate;
        /// Steps over which the learning rates rise from 0.
        warmup: u64 = 0;
        /// Learning-rate schedule after the warm-up: constant, linear, cosine or steps.
        decay: Decay = Decay::Constant;
        /// With decay = "steps": where the rates fall, as shares of the run, such as [0.75, 0.875].
        decay_at: Vec<f64> = Vec::new(), shares;
        /// With decay = "steps": what they are multiplied by there.
        decay_by: f64 = 0.3, rule::rate;
    }
}

#[allow(clippy::ptr_arg)] // A rule takes the type of its key.
fn shares(v: &Vec<f64>) -> rule::Complaint {
    (!v.iter().all(|x| (0.0..=1.0).contains(x))).then(|| format!("must be numbers from 0 to 1, got {v:?}"))
}

impl TrainConfig {
    /// The step of a run of `total` steps at which so much of it is done, in steps, or in epochs where those give its
    /// length.
    pub fn step_at(&self, part: u64, total: u64) -> u64 {
        step_at(part, if self.steps > 0 { self.steps } else { self.epochs }, total)
    }

    /// What learning rates are multiplied by at `step` of `total`.
    pub fn lr_scale(&self, step: u64, total: u64) -> f64 {
        if step < self.warmup {
            return (step + 1) as f64 / self.warmup as f64;
        }
        let progress = (step - self.warmup) as f64 / total.saturating_sub(self.warmup).max(1) as f64;
        match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => 1.0 - progress,
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
            Decay::Steps => {
                let share = step as f64 / total.max(1) as f64;
                let falls = self.decay_at.iter().filter(|at| share >= **at).count();
                (0..falls).map(|_| self.decay_by).product()
            }
        }
    }
}

/// The step of a run of `total` steps at which `part` of its `length` is done, in whatever unit both are given.
pub fn step_at(part: u64, length: u64, total: u64) -> u64 {
    let step = (u128::from(part) * u128::from(total)).div_ceil(u128::from(length.max(1)));
    u64::try_from(step).unwrap_or(total).min(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_then_falls() {
        let config = TrainConfig { warmup: 10, decay: Decay::Linear, ..TrainConfig::default() };
        assert_eq!(config.lr_scale(0, 110), 0.1);
        assert_eq!(config.lr_scale(9, 110), 1.0);
        assert_eq!(config.lr_scale(10, 110), 1.0);
        assert_eq!(config.lr_scale(60, 110), 0.5);
        let cosine = TrainConfig { decay: Decay::Cosine, ..TrainConfig::default() };
        assert!((cosine.lr_scale(50, 100) - 0.5).abs() < 1e-12);
        let decay_at = vec![0.75, 0.875];
        let steps = TrainConfig { decay: Decay::Steps, decay_at, decay_by: 0.5, ..TrainConfig::default() };
        assert_eq!([0, 74, 75, 87, 88].map(|step| steps.lr_scale(step, 100)), [1.0, 1.0, 0.5, 0.5, 0.25]);
    }

    #[test]
    fn a_part_of_a_run_ends_at_a_step() {
        let by_steps = TrainConfig { steps: 900, ..TrainConfig::default() };
        assert_eq!([1, 300, 900, 2000].map(|part| by_steps.step_at(part, 900)), [1, 300, 900, 900]);
        // 4 epochs of 6.25 steps each.
        let by_epochs = TrainConfig { epochs: 4, ..TrainConfig::default() };
        assert_eq!([0, 1, 2, 4, u64::MAX].map(|part| by_epochs.step_at(part, 25)), [0, 7, 13, 25, 25]);
    }
}
