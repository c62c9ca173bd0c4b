//! What a run came to: the numbers that matter, what they are measured against, how they changed since the first look,
//! and below them the rest, but for hashes and numbers that are one of many.

use std::collections::BTreeSet;

use crate::metrics::{Better, Metrics, Unit};
use crate::run::{Declared, Reporter, columns_of_output, layout, show};

/// Significant digits of a number.
const DIGITS: usize = 5;

/// Columns of the paragraph where the output is no terminal.
const WIDTH: usize = 120;

/// A row for each of `metrics` that is declared as leading, or for all where none is, and a paragraph of the others. A
/// standard error stands behind its number, as does what the number is measured against. `log` is the run's: a number
/// of a probe is compared with the first value that the log has of it, and with the best between where that is better.
pub(super) fn outcome(metrics: &Metrics, declared: &Declared, log: &[(u64, Metrics)]) -> String {
    let leads: BTreeSet<&str> = declared.leads(metrics).into_iter().map(|(name, _)| name).collect();
    let of_another = |name: &str| name.strip_suffix("_se").is_some_and(|name| metrics.get(name).is_some());
    let measures: BTreeSet<&str> = leads
        .iter()
        .filter_map(|name| Some(declared.against(name, metrics)?.0))
        .filter(|name| !leads.contains(name))
        .collect();
    let shown = metrics.iter().filter(|(name, _)| !of_another(name) && !measures.contains(name));
    let (first, rest): (Vec<_>, Vec<_>) = shown.partition(|(name, _)| leads.contains(name));
    let widest = layout::widest(first.iter().map(|(name, _)| *name));
    let number = |name: &str, value: f64| {
        let unit = declared.unit(name);
        let number = match metrics.get(&format!("{name}_se")) {
            Some(error) => show::with_error(value, error, DIGITS),
            None => show::value(unit, value, DIGITS),
        };
        format!("{number} {}", show::unit(unit)).trim_end().to_owned()
    };
    let row = |(name, value): (&str, f64)| {
        let found = declared.find(name).map(|declared| &declared.number);
        let head = format!("  {} {} {}", layout::padded(name, widest), show::arrow(found), number(name, value));
        let against =
            declared.against(name, metrics).map(|(other, value)| format!("   {other} {}", number(other, value)));
        format!("{head}{}{}\n", against.unwrap_or_default(), change(name, value, declared, log).unwrap_or_default())
    };
    let rows: String = first.into_iter().map(row).collect();
    // One of many of its kind says little here, and a hash nothing.
    let alone = |name: &str| declared.find(name).is_none_or(|d| d.number.unit != Unit::Hash && !d.name.contains('{'));
    let (alone, many): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(name, _)| alone(name));
    let mut others: Vec<String> =
        alone.iter().map(|(name, value)| format!("{name} {}", number(name, *value))).collect();
    if !many.is_empty() {
        others.push(format!("{} more in metrics.jsonl", many.len()));
    }
    match others.is_empty() {
        true => rows,
        false => rows + &layout::beside("also:", 10, &others.join(", "), Some(columns_of_output().unwrap_or(WIDTH))),
    }
}

/// `   better than -2.614 at step 500; best -2.488 at step 2000`, of a number of a probe that is better high or low and
/// was looked at before.
fn change(name: &str, value: f64, declared: &Declared, log: &[(u64, Metrics)]) -> Option<String> {
    let found = declared.find(name).filter(|declared| matches!(declared.by, Reporter::Probe(_)))?;
    let sign = match found.number.better {
        Better::Neither => return None,
        Better::Higher => 1.0,
        Better::Lower => -1.0,
    };
    let looks = log.iter().filter_map(|(step, metrics)| Some((*step, metrics.get(name)?)));
    let looks: Vec<(u64, f64)> = looks.collect();
    let [first, between @ .., _] = looks.as_slice() else { return None };
    let word = match (value - first.1) * sign {
        0.0 => "as",
        gain if gain > 0.0 => "better than",
        _ => "worse than",
    };
    let at = |(step, value): (u64, f64)| format!("{} at step {step}", show::value(found.number.unit, value, DIGITS));
    let best = between.iter().copied().max_by(|a, b| (a.1 * sign).total_cmp(&(b.1 * sign)));
    let best = best.filter(|best| [value, first.1].iter().all(|other| (best.1 - other) * sign > 0.0));
    let best = best.map(|best| format!("; best {}", at(best))).unwrap_or_default();
    Some(format!("   {word} {}{best}", at(*first)))
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
        assert_eq!(lines[0], "  test_ll ↑ -2.513 ± 0.012 nats   better than -2.6000 at step 5");
        assert_eq!(&lines[1..], ["also:     log_z 1.2500 nats, edge_mass 0, ais/energy_gradients 1,344,000"]);
        let log = [(5, look(-2.6)), (10, look(-2.4)), (15, look(-2.5)), (20, last.clone())];
        let text = outcome(&last, &declared, &log);
        assert!(text.contains("   better than -2.6000 at step 5; best -2.4000 at step 10\n"), "{text}");
        let text = outcome(&last.clone().with("true_ll", -2.4), &declared, &[]);
        assert!(text.starts_with("  test_ll ↑ -2.513 ± 0.012 nats   true_ll -2.4000 nats\n"), "{text}");
        assert_eq!(text.matches("true_ll").count(), 1, "{text}");
    }
}
