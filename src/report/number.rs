//! Numbers as a paper prints them: as many digits as their error allows.

use super::summary::{Interval, Summary};
use crate::run::show::{decimals, parts, scale};

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

/// One number without an error, with six digits and no zeros at the end.
pub(super) fn plain(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    match scale(value, 0.0) {
        0 => trimmed(&format!("{value:.*}", decimals(value, 0.0))),
        _ => format!("{value:.5e}").split_once('e').map_or_else(String::new, |(digits, e)| trimmed(digits) + "e" + e),
    }
}

fn trimmed(text: &str) -> String {
    let short = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    if short == "-0" { "0".into() } else { short.to_owned() }
}

/// `mean ± error`; an interval that is not symmetric is written `mean [low, high]`; `–` for no value.
pub(super) fn estimate(s: &Summary, kind: ErrorKind, flavour: Flavour) -> String {
    let (low, high) = kind.ends(s);
    if s.n == 0 {
        "–".into()
    } else if kind == ErrorKind::Ci && s.kind == Interval::Wilson {
        let digits = decimals(s.mean, (high - low) / 2.0);
        math(format!("{:.digits$} [{low:.digits$}, {high:.digits$}]", s.mean), flavour)
    } else {
        with_error(s.mean, (high - low) / 2.0, flavour)
    }
}

/// `value ± error` with two digits of the error.
pub(super) fn with_error(value: f64, error: f64, flavour: Flavour) -> String {
    let pm = if flavour == Flavour::Latex { "\\pm" } else { "±" };
    if !error.is_finite() {
        return math(plain(value), flavour);
    }
    // Repeats that agree to rounding agree.
    if error <= 1e-12 * value.abs() {
        return math(format!("{} {pm} 0", plain(value)), flavour);
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
        let text = |v, e| with_error(v, e, Flavour::Plain);
        assert_eq!(text(-25.534_21, 0.1234), "-25.53 ± 0.12");
        assert_eq!(text(1.0, 0.0996), "1.00 ± 0.10");
        assert_eq!(text(123.456, 45.6), "123 ± 46");
        assert_eq!(text(123_456.0, 789.0), "123456 ± 789");
        assert_eq!(text(0.5, 0.0), "0.5 ± 0");
        assert_eq!(text(0.1 + 0.2, 1e-17), "0.3 ± 0");
        assert_eq!(text(0.0, 0.0), "0 ± 0");
        assert_eq!(text(1.234e-7, 1.2e-8), "(1.23 ± 0.12)e-7");
        assert_eq!(text(2.5e9, 3e7), "(2.500 ± 0.030)e9");
        assert_eq!(text(-0.000_01, 0.02), "-0.000 ± 0.020");
        assert_eq!(text(3.0, f64::NAN), "3");
        assert_eq!(with_error(1.234e-7, 1.2e-8, Flavour::Latex), "$(1.23 \\pm 0.12) \\times 10^{-7}$");
    }

    #[test]
    fn a_number_alone_has_six_digits() {
        let texts = [0.0, -25.0, 1.0 / 3.0, 1e-9, 123_456_789.0, f64::NAN].map(plain);
        assert_eq!(texts, ["0", "-25", "0.333333", "1e-9", "1.23457e8", "–"]);
    }

    #[test]
    fn a_rate_shows_both_ends() {
        let hits = |k: usize| Summary::of(&(0..200).map(|i| Some(f64::from(i < k))).collect::<Vec<_>>(), true);
        assert_eq!(estimate(&hits(0), ErrorKind::Ci, Flavour::Plain), "0.0000 [0.0000, 0.0188]");
        assert_eq!(estimate(&hits(70), ErrorKind::Ci, Flavour::Latex), "$0.350 [0.287, 0.418]$");
        assert_eq!(estimate(&hits(70), ErrorKind::Se, Flavour::Plain), "0.350 ± 0.034");
    }
}
