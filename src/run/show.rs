//! Numbers as a screen shows them: by their unit, with as many digits as are worth reading.

use std::time::Duration;

use crate::metrics::{Better, Number, Unit};

/// `value` of this unit with `digits` significant digits. A count is whole, in groups of three digits.
pub fn value(unit: Unit, value: f64, digits: usize) -> String {
    let whole = value.fract() == 0.0 && value.abs() < 1e15;
    match unit {
        Unit::Count if whole => grouped(value as i64),
        Unit::Hash if whole && value >= 0.0 => format!("{:012x}", value as u64),
        _ => number(value, digits),
    }
}

/// `value ± error`, with two digits of the error; the value alone, with `digits` digits, where the error is none.
pub fn with_error(value: f64, error: f64, digits: usize) -> String {
    if !(error.is_finite() && error > 1e-12 * value.abs()) {
        return number(value, digits);
    }
    match parts(value, error) {
        (value, error, 0) => format!("{value} ± {error}"),
        (value, error, power) => format!("({value} ± {error})e{power}"),
    }
}

/// `value` with this many places behind the point.
pub fn fixed(value: f64, places: usize) -> String {
    unsigned_zero(format!("{value:.places$}"))
}

/// `1 step`, `1,200 steps`.
pub fn counted(n: u64, one: &str) -> String {
    format!("{} {one}{}", grouped(n as i64), if n == 1 { "" } else { "s" })
}

/// `3h04m`, `12m30s`, `8s`.
pub fn time(time: Duration) -> String {
    match time.as_secs() {
        s if s >= 3600 => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        s if s >= 60 => format!("{}m{:02}s", s / 60, s % 60),
        s => format!("{s}s"),
    }
}

/// `↑` where large values are better, `↓` where small ones are, a blank where it says how things stand.
pub fn arrow(number: Option<&Number>) -> &'static str {
    match number.map(|number| number.better) {
        Some(Better::Higher) => "↑",
        Some(Better::Lower) => "↓",
        _ => " ",
    }
}

/// The unit behind a number; empty where it says nothing.
pub fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Nats => "nats",
        Unit::Bits => "bits/dim",
        Unit::Share | Unit::Count | Unit::Hash | Unit::Plain => "",
    }
}

/// `digits` significant digits, in powers of ten below 0.001 and from 100,000 on.
pub fn number(value: f64, digits: usize) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".into();
    }
    if !(1e-3..1e5).contains(&size) {
        return format!("{value:.*e}", digits.saturating_sub(1));
    }
    let places = (digits as i32 - 1 - size.log10().floor() as i32).max(0) as usize;
    format!("{value:.places$}")
}

/// Value and error with as many places as two significant digits of the error need, over ten to the power given behind
/// them.
pub fn parts(value: f64, error: f64) -> (String, String, i32) {
    let power = scale(value, error);
    let (value, error) = (value / 10f64.powi(power), error / 10f64.powi(power));
    let places = decimals(value, error);
    (fixed(value, places), fixed(error, places), power)
}

/// Digits behind the point so that `error` shows two significant ones; `value` has six where there is no error.
pub fn decimals(value: f64, error: f64) -> usize {
    let places = |x: f64, digits: i32| match format!("{:.*e}", (digits - 1) as usize, x.abs()).split_once('e') {
        Some((_, exponent)) => (digits - 1 - exponent.parse::<i32>().unwrap_or(0)).clamp(0, 17) as usize,
        None => 0,
    };
    if error.is_finite() && error > 0.0 { places(error, 2) } else { places(value, 6) }
}

/// The power of ten to take out in front; 0 for numbers of a handy size.
pub fn scale(value: f64, error: f64) -> i32 {
    let error = if error.is_finite() { error.abs() } else { 0.0 };
    let size = value.abs().max(error);
    if size == 0.0 || (1e-3..1e6).contains(&size) { 0 } else { size.log10().floor() as i32 }
}

fn grouped(whole: i64) -> String {
    let digits = whole.unsigned_abs().to_string();
    let (mut text, first) = (String::new(), digits.len() % 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && i % 3 == first {
            text.push(',');
        }
        text.push(digit);
    }
    if whole < 0 { format!("-{text}") } else { text }
}

/// Without the sign of a value that rounds to zero.
fn unsigned_zero(text: String) -> String {
    match text.strip_prefix('-') {
        Some(size) if size.chars().all(|c| c == '0' || c == '.') => size.to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_whole_and_a_hash_is_hexadecimal() {
        let count = |v| value(Unit::Count, v, 4);
        assert_eq!([1_344_000.0, 999.0, 0.0, -12_345.0].map(count), ["1,344,000", "999", "0", "-12,345"]);
        assert_eq!([100_000.0, 2.5, f64::NAN].map(count), ["100,000", "2.500", "NaN"]);
        assert_eq!(value(Unit::Hash, 0xabc_def as f64, 4), "000000abcdef");
    }

    #[test]
    fn other_numbers_have_their_digits_and_no_negative_zero() {
        let four = |v| value(Unit::Nats, v, 4);
        assert_eq!([-0.0, 0.93, -2.5134, 12_345.6, 1e-7].map(four), ["0", "0.9300", "-2.513", "12346", "1.000e-7"]);
        assert_eq!(with_error(-2.5134, 0.0123, 5), "-2.513 ± 0.012");
        assert_eq!(with_error(-1e-5, 0.02, 5), "0.000 ± 0.020");
        assert_eq!(with_error(1.234e-7, 1.2e-8, 5), "(1.23 ± 0.12)e-7");
        assert_eq!([0.0, f64::NAN].map(|error| with_error(3.0, error, 4)), ["3.000", "3.000"]);
        assert_eq!(with_error(-1e-6, 2e-6, 5), "(-1.0 ± 2.0)e-6");
        assert_eq!([-1e-9, -0.0, 0.04, f64::NAN].map(|v| fixed(v, 1)), ["0.0", "0.0", "0.0", "NaN"]);
    }

    #[test]
    fn one_thing_is_not_several_and_a_time_has_two_units() {
        let times = [8, 750, 7500].map(|seconds| time(Duration::from_secs(seconds)));
        assert_eq!(times, ["8s", "12m30s", "2h05m"]);
        let said = [0, 1, 2, 1200].map(|n| counted(n, "step"));
        assert_eq!(said, ["0 steps", "1 step", "2 steps", "1,200 steps"]);
    }
}
