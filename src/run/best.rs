//! The step that a run is judged by: where a number of a probe was best so far.

use crate::metrics::Metrics;

/// What of a number is best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extreme {
    /// A large value.
    Max,
    /// A small value.
    Min,
}

/// Watches one number of the probes.
#[derive(Clone, Debug, PartialEq)]
pub struct Best {
    name: String,
    is: Extreme,
    /// The best step so far, with all that was found there.
    pub found: Option<(u64, Metrics)>,
}

impl Best {
    /// Key of a checkpoint's metadata for what was found.
    pub const META: &'static str = "best";

    /// Watches the number `name`.
    pub fn new(name: &str, is: Extreme) -> Self {
        Best { name: name.to_owned(), is, found: None }
    }

    /// Takes note of what probes found at `step`; whether that is better than all before. Of equal steps the first
    /// stays best, and a number that is not finite never is.
    pub fn look(&mut self, step: u64, findings: &Metrics) -> bool {
        let Some(value) = findings.get(&self.name) else { return false };
        let before = self.found.as_ref().and_then(|(_, metrics)| metrics.get(&self.name));
        let beyond = match (self.is, before) {
            (_, None) => true,
            (Extreme::Max, Some(before)) => value > before,
            (Extreme::Min, Some(before)) => value < before,
        };
        let better = value.is_finite() && beyond;
        if better {
            self.found = Some((step, findings.clone()));
        }
        better
    }

    /// Warns at the end of a run of which no step is best.
    pub fn end(&self) {
        if self.found.is_none() {
            tracing::warn!("train.best: no probe found a finite `{}`, so there is no best.safetensors", self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(is: Extreme, values: &[f64]) -> (Vec<bool>, Option<u64>) {
        let mut best = Best::new("test_ll", is);
        let findings = |v: f64| Metrics::new().with("other", 1.0).with("test_ll", v);
        let better = values.iter().zip(1..).map(|(v, step)| best.look(step, &findings(*v))).collect();
        (better, best.found.map(|found| found.0))
    }

    #[test]
    fn the_first_of_the_best_steps_stays() {
        let values = [f64::NEG_INFINITY, -3.0, -2.0, -2.0, f64::NAN, -4.0, f64::INFINITY];
        assert_eq!(watch(Extreme::Max, &values), (vec![false, true, true, false, false, false, false], Some(3)));
        assert_eq!(watch(Extreme::Min, &values), (vec![false, true, false, false, false, true, false], Some(6)));
        assert_eq!(watch(Extreme::Max, &[f64::NAN]), (vec![false], None));
    }

    #[test]
    fn a_number_that_no_probe_finds_has_no_best_step() {
        let mut best = Best::new("true_ll", Extreme::Max);
        assert!(!best.look(5, &Metrics::new()));
        assert!(!best.look(5, &Metrics::new().with("test_ll", 1.0)));
        assert_eq!(best.found, None);
    }
}
