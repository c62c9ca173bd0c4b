//! Watches for divergence: a run that left the region where numbers mean anything is stopped, with its reason.

use std::collections::VecDeque;

use candle_core::Tensor;

use super::show;
use crate::config::rule;
use crate::metrics::{Metrics, Number, Watch};
use crate::store::checkpoint::first_not_finite;
use crate::{Error, Result};

crate::config! {
    /// Keys of `[guard]`.
    pub struct GuardConfig {
        /// Whether a run is stopped at values that are not finite or beyond the limits below.
        enabled: bool = true;
        /// Limit of every number that the method declares as the norm of a gradient.
        max_grad_norm: f64 = 1e6, rule::positive;
        /// Limit, in nats and either sign, of every number that the method declares as a difference of energies.
        max_energy_gap: f64 = 1e6, rule::positive;
        /// How many steps the history in the message goes back.
        window: u64 = 200, rule::at_least(1);
    }
}

/// Looks at the metrics of each step and remembers a window of them for its message.
#[derive(Clone, Debug)]
pub struct Guard {
    config: GuardConfig,
    numbers: &'static [Number],
    advice: Vec<String>,
    saved: Option<u64>,
    history: VecDeque<(u64, Metrics)>,
}

impl Guard {
    /// A guard with an empty history. `numbers` says which metrics have a limit.
    pub fn new(config: GuardConfig, numbers: &'static [Number]) -> Self {
        Guard { config, numbers, advice: Vec::new(), saved: None, history: VecDeque::new() }
    }

    /// What to try first, from those who know the method: `--set method.lambda=20` …
    pub fn with_advice(mut self, advice: impl IntoIterator<Item = String>) -> Self {
        self.advice.extend(advice);
        self
    }

    /// Notes that the run can go on from a checkpoint of this step; step 0 has none.
    pub fn saved(&mut self, step: u64) {
        self.saved = (step > 0).then_some(step);
    }

    /// Looks at the metrics of `step`, which it keeps and gives back.
    ///
    /// # Errors
    /// [`Error::Diverged`] for the first metric that is not finite or beyond its limit.
    pub fn check(&mut self, step: u64, metrics: Metrics) -> Result<&Metrics> {
        let objections =
            || metrics.iter().filter_map(|(name, value)| Some((name, value, self.objection(name, value)?)));
        if self.config.enabled
            && let Some((name, value, why)) = objections().next()
        {
            let what = format!("{name} = {value} {why}{}", self.growth(step, name, value));
            return Err(self.diverged(step, what));
        }
        while self.history.front().is_some_and(|(old, _)| old + self.config.window < step) {
            self.history.pop_front();
        }
        self.history.push_back((step, metrics));
        self.history.back().map(|(_, metrics)| metrics).ok_or_else(|| Error::Other("the guard keeps no metrics".into()))
    }

    /// Looks for a value that is not finite in named tensors: weights before they are saved, gradients when in doubt.
    ///
    /// # Errors
    /// [`Error::Diverged`] naming the first such tensor; a tensor that cannot be read.
    pub fn check_tensors<'a>(&self, step: u64, named: impl IntoIterator<Item = (&'a str, &'a Tensor)>) -> Result<()> {
        if !self.config.enabled {
            return Ok(());
        }
        for (name, tensor) in named {
            if let Some((at, value)) = first_not_finite(tensor)? {
                let what = format!("tensor `{name}` {:?} has {value} at index {at}", tensor.dims());
                return Err(self.diverged(step, what));
            }
        }
        Ok(())
    }

    fn objection(&self, name: &str, value: f64) -> Option<String> {
        if !value.is_finite() {
            return Some("is not finite".into());
        }
        let limit = match self.numbers.iter().find(|number| number.is(name))?.watch {
            Watch::Norm => ("guard.max_grad_norm", self.config.max_grad_norm),
            Watch::Gap => ("guard.max_energy_gap", self.config.max_energy_gap),
            Watch::Finite => return None,
        };
        (value.abs() > limit.1).then(|| format!("is beyond {} = {}", limit.0, limit.1))
    }

    /// `; it was 3.1 at step 400 (grew 40-fold in 200 steps)`.
    fn growth(&self, step: u64, name: &str, value: f64) -> String {
        let Some((then, old)) = self.history.iter().find_map(|(s, m)| Some((*s, m.get(name)?))) else {
            return String::new();
        };
        let fold = (value / old).abs();
        let grew = if fold.is_finite() && fold > 1.0 { format!("grew {fold:.0}-fold in") } else { "changed in".into() };
        let steps = show::counted(step.saturating_sub(then), "step");
        format!("; it was {} at step {then} ({grew} {steps})", show::number(old, 4))
    }

    fn diverged(&self, step: u64, what: String) -> Error {
        let general = [
            "a smaller learning rate (a third of it: --set optim.lr=…)",
            "a stronger penalty or weight decay (--set optim.weight_decay=…)",
            "another seed from the start (--set seed=…)",
        ];
        let tries: Vec<&str> = self.advice.iter().map(String::as_str).chain(general).collect();
        let saved = self.saved.map_or_else(String::new, |step| format!("the checkpoint of step {step} is untouched. "));
        let tries = tries.join("; ");
        let remedy = format!("{saved}Try, in this order: {tries}. `--set guard.enabled=false` goes on regardless");
        Error::Diverged { step: Some(step), what, remedy }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    const NUMBERS: &[Number] = &[Number::norm("{net}/grad_norm", ""), Number::gap("energy_gap", "")];

    fn of(rows: &[(&str, f64)]) -> Metrics {
        rows.iter().copied().collect()
    }

    #[test]
    fn what_is_not_finite_is_named_at_once_with_its_history() {
        let mut guard = Guard::new(GuardConfig::default(), NUMBERS);
        for step in 0..=400 {
            guard.check(step, of(&[("loss", 2.0), ("gap", 1.0)])).unwrap();
        }
        let error = guard.check(401, of(&[("loss", 1.0), ("gap", f64::NAN)])).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        let text = error.to_string();
        for says in ["step 401", "gap = NaN is not finite", "it was 1.000 at step 200", "--set optim.lr"] {
            assert!(text.contains(says), "{says}: {text}");
        }
        assert!(!text.contains("checkpoint"), "none was written: {text}");
        guard.saved(300);
        let text = guard.check(401, of(&[("gap", f64::NAN)])).unwrap_err().to_string();
        assert!(text.contains("the checkpoint of step 300 is untouched"), "{text}");
    }

    #[test]
    fn limits_hold_for_their_metrics_alone() {
        let config = GuardConfig { max_grad_norm: 10.0, max_energy_gap: 5.0, ..Default::default() };
        let mut guard = Guard::new(config, NUMBERS).with_advice(["--set method.lambda=20".into()]);
        let others = [("loss", 1e30), ("sum_of_grad_norm", 11.0), ("other_energy_gap", 6.0)];
        guard.check(1, of(&[("critic/grad_norm", 0.25), ("energy_gap", -5.0)])).unwrap();
        guard.check(1, of(&others)).unwrap();
        let text = guard.check(51, of(&[("critic/grad_norm", 10.1)])).unwrap_err().to_string();
        assert!(
            text.contains("beyond guard.max_grad_norm = 10; it was 0.2500 at step 1 (grew 40-fold in 50 steps)"),
            "{text}"
        );
        assert!(text.contains("method.lambda=20"), "{text}");
        assert!(guard.check(52, of(&[("energy_gap", -5.1)])).is_err());
    }

    #[test]
    fn switched_off_it_lets_everything_pass() {
        let mut guard = Guard::new(GuardConfig { enabled: false, ..Default::default() }, NUMBERS);
        guard.check(1, of(&[("loss", f64::NAN)])).unwrap();
        let nan = Tensor::new(f32::NAN, &Device::Cpu).unwrap();
        guard.check_tensors(1, [("w", &nan)]).unwrap();
    }

    #[test]
    fn tensors_are_searched_and_a_mere_overflow_of_the_sum_is_no_finding() {
        let guard = Guard::new(GuardConfig::default(), NUMBERS);
        let tensor = |v: &[f32]| Tensor::new(v, &Device::Cpu).unwrap();
        let (large, bad) = (tensor(&[f32::MAX, f32::MAX]), tensor(&[0.0, f32::NEG_INFINITY, f32::INFINITY]));
        let empty = Tensor::zeros((0, 3), DType::F32, &Device::Cpu).unwrap();
        let ints = Tensor::new(&[1u32], &Device::Cpu).unwrap();
        guard.check_tensors(3, [("large", &large), ("empty", &empty), ("ints", &ints)]).unwrap();
        let text = guard.check_tensors(3, [("large", &large), ("head.bias", &bad)]).unwrap_err().to_string();
        assert!(text.contains("`head.bias` [3] has -inf at index 1"), "{text}");
    }
}
