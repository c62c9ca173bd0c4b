//! Numbers as a paper prints them: as many digits as their error allows.

use super::summary::{Interval, Summary};
use crate::metrics::Unit;
use crate::run::show::{self, decimals, fixed, parts, scale};

/// Which error stands behind `±` and is drawn as a bar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorKind {
    /// Half the 95 % interval.
    #[default]
    Ci,
    /// The standard error of the mean.
    Se,
    /// The standard deviation of the repeats.
    Std,
}

impl ErrorKind {
    /// The ends of the error bar.
    pub fn ends(self, s: &Summary) -> (f64, f64) {
        match self {
            ErrorKind::Ci => s.interval,
            ErrorKind::Se => (s.mean - s.std_error, s.mean + s.std_error),
            ErrorKind::Std => (s.mean - s.std, s.mean + s.std),
        }
    }

    /// What it is, in words.
    pub fn words(self) -> &'static str {
        match self {
            ErrorKind::Ci => "95 % interval",
            ErrorKind::Se => "standard error",
            ErrorKind::Std => "standard deviation",
        }
    }
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// `-25.53 ± 0.12`, `(1.23 ± 0.12)e-7`.
    Plain,
    /// `$-25.53 \pm 0.12$`, `$(1.23 \pm 0.12) \times 10^{-7}$`.
    Latex,
}

/// One number without an error, with six digits and no zeros at the end; a count that is whole has all of its digits.
fn plain(value: f64, unit: Unit) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    match scale(value, 0.0) {
        _ if unit == Unit::Count && value.fract() == 0.0 => show::value(unit, value, 6),
        0 => trimmed(&format!("{value:.*}", decimals(value, 0.0))),
        _ => format!("{value:.5e}").split_once('e').map_or_else(String::new, |(digits, e)| trimmed(digits) + "e" + e),
    }
}

fn trimmed(text: &str) -> String {
    let short = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    if short == "-0" { "0".into() } else { short.to_owned() }
}

/// `mean ± error`; an interval that is not symmetric is written `mean [low, high]`; `–` for no value.
pub(super) fn estimate(s: &Summary, kind: ErrorKind, unit: Unit, flavour: Flavour) -> String {
    let (low, high) = kind.ends(s);
    if s.n == 0 {
        "–".into()
    } else if kind == ErrorKind::Ci && s.kind == Interval::Wilson {
        let digits = decimals(s.mean, (high - low) / 2.0);
        let [mean, low, high] = [s.mean, low, high].map(|share| fixed(share, digits));
        math(format!("{mean} [{low}, {high}]"), flavour)
    } else {
        with_error(s.mean, (high - low) / 2.0, unit, flavour)
    }
}

/// `value ± error` with two digits of the error.
pub(super) fn with_error(value: f64, error: f64, unit: Unit, flavour: Flavour) -> String {
    let (pm, comma) = if flavour == Flavour::Latex { ("\\pm", "{,}") } else { ("±", ",") };
    let alone = || plain(value, unit).replace(',', comma);
    if !error.is_finite() {
        return math(alone(), flavour);
    }
    // Repeats that agree to rounding agree.
    if error <= 1e-12 * value.abs() {
        return math(format!("{} {pm} 0", alone()), flavour);
    }
    let (value, error, power) = parts(value, error);
    let both = format!("{value} {pm} {error}");
    math(
        match (power, flavour) {
            (0, _) => both,
            (_, Flavour::Plain) => format!("({both})e{power}"),
            (_, Flavour::Latex) => format!("({both}) \\times 10^{{{power}}}"),
        },
        flavour,
    )
}

fn math(text: String, flavour: Flavour) -> String {
    if flavour == Flavour::Latex { format!("${text}$") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_gets_two_digits_and_the_mean_as_many_places() {
        let text = |v, e| with_error(v, e, Unit::Plain, Flavour::Plain);
        assert_eq!(text(-25.534_21, 0.1234), "-25.53 ± 0.12");
        assert_eq!(text(1.0, 0.0996), "1.00 ± 0.10");
        assert_eq!(text(123.456, 45.6), "123 ± 46");
        assert_eq!(text(123_456.0, 789.0), "123456 ± 789");
        assert_eq!(text(0.5, 0.0), "0.5 ± 0");
        assert_eq!(text(0.1 + 0.2, 1e-17), "0.3 ± 0");
        assert_eq!(text(0.0, 0.0), "0 ± 0");
        assert_eq!(text(1.234e-7, 1.2e-8), "(1.23 ± 0.12)e-7");
        assert_eq!(text(2.5e9, 3e7), "(2.500 ± 0.030)e9");
        assert_eq!(text(-0.000_01, 0.02), "0.000 ± 0.020");
        assert_eq!(text(3.0, f64::NAN), "3");
        assert_eq!(with_error(1.234e-7, 1.2e-8, Unit::Plain, Flavour::Latex), "$(1.23 \\pm 0.12) \\times 10^{-7}$");
    }

    #[test]
    fn a_number_alone_has_six_digits() {
        let texts = [0.0, -25.0, 1.0 / 3.0, 1e-9, 123_456_789.0, f64::NAN].map(|v| plain(v, Unit::Plain));
        assert_eq!(texts, ["0", "-25", "0.333333", "1e-9", "1.23457e8", "–"]);
    }

    #[test]
    fn a_count_has_all_of_its_digits() {
        let text = |v, e, flavour| with_error(v, e, Unit::Count, flavour);
        assert_eq!(text(1_344_000.0, 0.0, Flavour::Plain), "1,344,000 ± 0");
        assert_eq!(text(12_345_678.0, f64::NAN, Flavour::Plain), "12,345,678");
        assert_eq!(text(1_344_000.0, 0.0, Flavour::Latex), r"$1{,}344{,}000 \pm 0$");
        assert_eq!(text(2.5, f64::NAN, Flavour::Plain), "2.5");
        assert_eq!(text(1_344_000.0, 5_600.0, Flavour::Plain), "(1.3440 ± 0.0056)e6");
    }

    #[test]
    fn a_rate_shows_both_ends() {
        let hits = |k: usize| Summary::of(&(0..200).map(|i| Some(f64::from(i < k))).collect::<Vec<_>>(), true);
        assert_eq!(estimate(&hits(0), ErrorKind::Ci, Unit::Share, Flavour::Plain), "0.0000 [0.0000, 0.0188]");
        assert_eq!(estimate(&hits(70), ErrorKind::Ci, Unit::Share, Flavour::Latex), "$0.350 [0.287, 0.418]$");
        assert_eq!(estimate(&hits(70), ErrorKind::Se, Unit::Share, Flavour::Plain), "0.350 ± 0.034");
    }
}
