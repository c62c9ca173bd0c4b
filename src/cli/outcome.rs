//! What a run came to: its last numbers, the ones that matter first, and how they changed since the look before.

use std::collections::BTreeSet;

use crate::metrics::{Better, Metrics};
use crate::run::{Declared, Reporter, layout, show};

/// Significant digits of a number.
const DIGITS: usize = 5;

/// The rows of `metrics`, those declared as leading first. A standard error stands behind its number. `log` is the
/// run's: a number of a probe is compared with the value that the log has of it before its last one.
pub(super) fn outcome(metrics: &Metrics, declared: &Declared, log: &[(u64, Metrics)]) -> String {
    let leads: BTreeSet<&str> = declared.leads(metrics).into_iter().map(|(name, _)| name).collect();
    let of_another = |name: &str| name.strip_suffix("_se").is_some_and(|name| metrics.get(name).is_some());
    let shown = || metrics.iter().filter(|(name, _)| !of_another(name));
    let (first, rest): (Vec<_>, Vec<_>) = shown().partition(|(name, _)| leads.contains(name));
    let widest = layout::widest(shown().map(|(name, _)| name));
    let row = |(name, value): (&str, f64)| {
        let found = declared.find(name).map(|declared| &declared.number);
        let unit = declared.unit(name);
        let number = match metrics.get(&format!("{name}_se")) {
            Some(error) => show::with_error(value, error, DIGITS),
            None => show::value(unit, value, DIGITS),
        };
        let text = format!("  {} {} {number} {}", layout::padded(name, widest), show::arrow(found), show::unit(unit));
        format!("{}{}\n", text.trim_end(), change(name, value, declared, log).unwrap_or_default())
    };
    first.into_iter().chain(rest).map(row).collect()
}

/// `   better than -2.614 at step 500`, of a number of a probe that is better high or low and was looked at before.
fn change(name: &str, value: f64, declared: &Declared, log: &[(u64, Metrics)]) -> Option<String> {
    let found = declared.find(name).filter(|declared| matches!(declared.by, Reporter::Probe(_)))?;
    let mut looks = log.iter().rev().filter_map(|(step, metrics)| Some((*step, metrics.get(name)?)));
    let (step, before) = looks.nth(1)?;
    let word = match (found.number.better, value > before) {
        (Better::Neither, _) => return None,
        _ if value == before => "as",
        (Better::Higher, true) | (Better::Lower, false) => "better than",
        (Better::Higher, false) | (Better::Lower, true) => "worse than",
    };
    Some(format!("   {word} {} at step {step}", show::value(found.number.unit, before, DIGITS)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Experiment;

    #[test]
    fn what_matters_comes_first_with_its_error_and_its_change() {
        let text = "[dataset]\nname = \"8gaussians\"\n[method]\nname = \"ml_grid\"\n[train]\nsteps = 1\n\
                    [[probe]]\nname = \"nll\"\n[[probe]]\nname = \"ais\"\n";
        let experiment = Experiment::parse("c.toml", text, &[]).unwrap();
        let declared = Declared::of(&experiment.resolved).unwrap();
        let look = |ll: f64| Metrics::new().with("log_z", 1.25).with("test_ll", ll).with("test_ll_se", 0.0123);
        let last = look(-2.5134).with("edge_mass", -0.0).with("ais/energy_gradients", 1_344_000.0);
        let text = outcome(&last, &declared, &[(5, look(-2.6)), (10, last.clone())]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "  test_ll              ↑ -2.513 ± 0.012 nats   better than -2.6000 at step 5");
        assert_eq!(lines[1], "  log_z                  1.2500 nats");
        assert_eq!(&lines[2..], ["  edge_mass            ↓ 0", "  ais/energy_gradients   1,344,000"]);
    }
}
