//! Ranges that a configuration value must lie in, as used by [`config!`](macro@crate::config).
//!
//! A rule looks at a value and gives the sentence that completes "`key` ..." when it is out of range.

use std::cmp::Ordering;

/// What a rule answers: `None` if the value is fine.
pub type Complaint = Option<String>;

/// `value >= min`.
pub fn at_least<T: PartialOrd + std::fmt::Display + Copy>(min: T) -> impl Fn(&T) -> Complaint {
    move |v| (v.partial_cmp(&min).is_none_or(Ordering::is_lt)).then(|| format!("must be at least {min}, got {v}"))
}

/// `value > 0`.
pub fn positive(v: &f64) -> Complaint {
    (v.is_nan() || *v <= 0.0).then(|| format!("must be greater than 0, got {v}"))
}

/// `value >= 0`.
pub fn non_negative(v: &f64) -> Complaint {
    (v.is_nan() || *v < 0.0).then(|| format!("must not be negative, got {v}"))
}

/// `0 <= value < 1`: rates, decays, momentum.
pub fn rate(v: &f64) -> Complaint {
    (!(0.0..1.0).contains(v)).then(|| format!("must be in [0, 1), got {v}"))
}

/// A pair of rates.
pub fn rates(v: &[f64; 2]) -> Complaint {
    rate(&v[0]).or_else(|| rate(&v[1]))
}

/// A list whose entries are all at least 1, such as layer widths.
#[allow(clippy::ptr_arg)] // A rule takes the type of its key.
pub fn sizes(v: &Vec<usize>) -> Complaint {
    v.contains(&0).then(|| "must not contain 0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_where_they_say() {
        assert!(at_least(1)(&1).is_none() && at_least(1)(&0).is_some());
        assert!(positive(&f64::MIN_POSITIVE).is_none() && positive(&0.0).is_some());
        assert!(non_negative(&0.0).is_none() && non_negative(&-1e-300).is_some());
        assert!(rate(&0.0).is_none() && rate(&1.0).is_some() && rates(&[0.5, 1.0]).is_some());
        assert!(sizes(&vec![1, 2]).is_none() && sizes(&vec![1, 0]).is_some());
        for refused in [at_least(1.0)(&f64::NAN), positive(&f64::NAN), non_negative(&f64::NAN), rate(&f64::NAN)] {
            assert!(refused.is_some());
        }
    }
}
