//! Ranges that a configuration value must lie in, as used by [`config!`](crate::config).
//!
//! A rule looks at a value and gives the sentence that completes "`key` ..." when it is out of range.

/// What a rule answers: `None` if the value is fine.
pub type Verdict = Option<String>;

/// `value >= min`.
pub fn at_least<T: PartialOrd + std::fmt::Display + Copy>(min: T) -> impl Fn(&T) -> Verdict {
    move |v| (!(*v >= min)).then(|| format!("must be at least {min}, got {v}"))
}

/// `value > 0`.
pub fn positive(v: &f64) -> Verdict {
    (!(*v > 0.0)).then(|| format!("must be greater than 0, got {v}"))
}

/// `value >= 0`.
pub fn non_negative(v: &f64) -> Verdict {
    (!(*v >= 0.0)).then(|| format!("must not be negative, got {v}"))
}

/// `0 <= value < 1`: rates, decays, momentum.
pub fn rate(v: &f64) -> Verdict {
    (!(0.0..1.0).contains(v)).then(|| format!("must be in [0, 1), got {v}"))
}

/// A pair of rates.
pub fn rates(v: &[f64; 2]) -> Verdict {
    rate(&v[0]).or_else(|| rate(&v[1]))
}

/// A list whose entries are all at least 1, such as layer widths.
pub fn sizes(v: &Vec<usize>) -> Verdict {
    v.contains(&0).then(|| "must not contain 0".to_owned())
}
