//! Random search: every key draws from its own stream, so that more trials or more keys change no earlier draw.

use rand::Rng as _;

use crate::config::{Problem, Setting, View, nearest};
use crate::rng::Key;

/// The distributions by the names that a plan gives them.
pub(super) const NAMES: [&str; 4] = ["uniform", "log_uniform", "int", "choice"];

/// What the values of one key are drawn from.
#[derive(Clone, Debug, PartialEq)]
pub enum Distribution {
    /// Any number between two.
    Uniform(f64, f64),
    /// A positive number whose logarithm is uniform.
    LogUniform(f64, f64),
    /// A whole number between two, both included.
    Int(i64, i64),
    /// One of a list.
    Choice(Vec<toml::Value>),
}

impl Distribution {
    /// Reads `{ log_uniform = [1e-5, 1e-2] }`.
    ///
    /// # Errors
    /// Another name, bounds that are none.
    pub fn read(view: View<'_>) -> Result<Self, Problem> {
        let fields = view.fields().unwrap_or_default();
        let [(name, inside)] = fields.as_slice() else {
            let hint = "write { uniform = [a, b] }, { log_uniform = [a, b] }, { int = [a, b] } or { choice = [..] }";
            return Err(view.wrong(format!("a distribution is expected, got {}", view.written()), Some(hint.into())));
        };
        match *name {
            "choice" => choice(*inside),
            "int" => int(*inside),
            "uniform" => bounds(*inside, f64::NEG_INFINITY).map(|(a, b)| Distribution::Uniform(a, b)),
            "log_uniform" => bounds(*inside, 0.0).map(|(a, b)| Distribution::LogUniform(a, b)),
            other => Err(inside.unknown_key(other, " in a distribution", &NAMES)),
        }
    }

    /// The draw of `path` in trial number `trial`. Numbers are rounded to four digits, and to more where the bounds
    /// have their first digits in common: enough for a search, and short enough for names.
    pub fn draw(&self, seed: u64, path: &str, trial: u64) -> toml::Value {
        let mut rng = Key::new(seed).with("sweep").with(path).at(trial).rng();
        let between = |a: f64, b: f64, u: f64| (1.0 - u) * a + u * b;
        match self {
            Distribution::Uniform(a, b) => rounded(between(*a, *b, rng.random()), *a, *b).clamp(*a, *b).into(),
            Distribution::LogUniform(a, b) => {
                rounded(between(a.ln(), b.ln(), rng.random()).exp(), *a, *b).clamp(*a, *b).into()
            }
            Distribution::Int(a, b) => rng.random_range(*a..=*b).into(),
            Distribution::Choice(items) => {
                let i = rng.random_range(0..items.len().max(1));
                items.get(i).cloned().unwrap_or_else(|| false.into())
            }
        }
    }
}

/// Whether a table in `[random]` is a distribution, and not a step of a path.
pub(super) fn is_distribution(view: View<'_>) -> bool {
    let fields = view.fields().unwrap_or_default();
    let meant = |key: &str| NAMES.contains(&key) || nearest(key, &NAMES).is_some();
    matches!(fields.as_slice(), [(key, inside)] if meant(key) && inside.items().is_some())
}

/// One key that is drawn.
#[derive(Clone, Debug)]
pub struct Draw {
    /// The key, and where it stands.
    pub key: Setting,
    /// Where its values come from.
    pub from: Distribution,
}

/// x to four digits, and as many more as a and b have in common.
fn rounded(x: f64, a: f64, b: f64) -> f64 {
    let common = (a.abs().max(b.abs()) / (b - a)).log10();
    let digits = 3 + if common.is_finite() { common.clamp(0.0, 13.0) as usize } else { 0 };
    format!("{x:.digits$e}").parse().unwrap_or(x)
}

fn number(view: &View<'_>) -> Option<f64> {
    let value = view.value()?;
    value.as_float().or_else(|| value.as_integer().map(|n| n as f64))
}

fn bounds(view: View<'_>, above: f64) -> Result<(f64, f64), Problem> {
    let pair: Vec<Option<f64>> = view.items().unwrap_or_default().iter().map(number).collect();
    match pair.as_slice() {
        [Some(a), Some(b)] if a < b && *a > above => Ok((*a, *b)),
        _ => {
            let range = if above == 0.0 { "two positive numbers" } else { "two numbers" };
            Err(view.wrong(format!("must be {range}, the smaller one first, got {}", view.written()), None))
        }
    }
}

fn int(view: View<'_>) -> Result<Distribution, Problem> {
    let whole = |item: &View<'_>| item.value().and_then(|value| value.as_integer());
    let pair: Vec<Option<i64>> = view.items().unwrap_or_default().iter().map(whole).collect();
    match pair.as_slice() {
        [Some(a), Some(b)] if a <= b => Ok(Distribution::Int(*a, *b)),
        _ => Err(view.wrong("must be two whole numbers, the smaller one first; both can be drawn", None)),
    }
}

fn choice(view: View<'_>) -> Result<Distribution, Problem> {
    let items: Option<Vec<toml::Value>> = view.items().and_then(|items| items.iter().map(View::value).collect());
    match items {
        Some(items) if !items.is_empty() => Ok(Distribution::Choice(items)),
        _ => Err(view.wrong("must be a list of at least one value, its numbers finite", None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::stats::kolmogorov_smirnov;

    /// Bounds whose first digits are the same leave room for different draws between them; wide ones do not overflow.
    #[test]
    fn draws_between_near_and_far_bounds_are_different() {
        for (a, b) in [(0.999_91, 0.999_99), (0.999, 0.9999), (-1e308, 1e308), (5.0, 5.000_1), (1e-4, 1e-2)] {
            let draws = (0..20).map(|i| Distribution::Uniform(a, b).draw(1, "x", i).as_float().unwrap());
            let mut draws: Vec<f64> = draws.collect();
            assert!(draws.iter().all(|x| (a..=b).contains(x)), "{draws:?}");
            draws.sort_by(f64::total_cmp);
            draws.dedup();
            assert!(draws.len() > 18, "{a} to {b}: {draws:?}");
        }
        assert_eq!(rounded(0.123_456, 0.0, 1.0), 0.1235);
        assert_eq!(rounded(0.912_345_6, 0.9, 0.999), 0.91235);
    }

    #[test]
    fn a_draw_depends_on_its_key_and_number_alone() {
        let from = Distribution::LogUniform(1e-5, 1e-2);
        let draw = |seed, path, trial| from.draw(seed, path, trial);
        assert_eq!(draw(0, "optim.lr", 3), draw(0, "optim.lr", 3));
        for other in [draw(1, "optim.lr", 3), draw(0, "optim.l", 3), draw(0, "optim.lr", 4)] {
            assert_ne!(draw(0, "optim.lr", 3), other);
        }
    }

    #[test]
    fn draws_follow_their_distribution() {
        let draws = |from: &Distribution| -> Vec<f64> {
            let number = |v: toml::Value| v.as_float().or_else(|| v.as_integer().map(|n| n as f64)).unwrap();
            (0..2000).map(|trial| number(from.draw(7, "x", trial))).collect()
        };
        let flat = draws(&Distribution::Uniform(-1.0, 3.0));
        let logs = draws(&Distribution::LogUniform(1e-4, 1e2));
        for (sample, cdf) in [(flat, (|x| (x + 1.0) / 4.0) as fn(f64) -> f64), (logs, |x| (x.log10() + 4.0) / 6.0)] {
            let (_, p) = kolmogorov_smirnov(&sample, cdf);
            assert!(p > 0.01, "p = {p}");
        }
        let ints = draws(&Distribution::Int(2, 4));
        for n in [2.0, 3.0, 4.0] {
            let count = ints.iter().filter(|x| **x == n).count() as f64;
            let z = (count - 2000.0 / 3.0) / (2000.0_f64 * 2.0 / 9.0).sqrt();
            assert!(z.abs() < 4.0, "{n}: z = {z}");
        }
    }
}
