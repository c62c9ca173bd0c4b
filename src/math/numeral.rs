//! Numbers as they are written, compared exactly: whole ones that f64 cannot tell apart stay apart.

use std::cmp::Ordering;

/// A finite number out of a text. `1e1` is 10, and 2⁵³ + 1 is not 2⁵³.
#[derive(Clone, Copy, Debug)]
pub struct Numeral {
    value: f64,
    /// Exact where the text is a whole number, cut off otherwise; a function of `value` then, and so no other order.
    whole: i128,
}

impl Numeral {
    /// The number that a text is, if it is one and finite.
    pub fn parse(text: &str) -> Option<Self> {
        // -0 and 0 are one number.
        let value = text.parse::<f64>().ok().filter(|v| v.is_finite())? + 0.0;
        Some(Numeral { value, whole: text.parse().unwrap_or(value as i128) })
    }
}

impl Ord for Numeral {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.total_cmp(&other.value).then(self.whole.cmp(&other.whole))
    }
}

impl PartialOrd for Numeral {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Numeral {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Numeral {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_numbers_are_compared_exactly() {
        let of = |text: &str| Numeral::parse(text).unwrap();
        assert!(of("10") == of("1e1") && of("+7") == of("7.0") && of("-0") == of("0") && of("1e-3") == of("0.001"));
        let ascending = ["-3", "0.5", "9007199254740992", "9007199254740993", "9007199254740993.0e1", "1e300"];
        assert!(ascending.windows(2).all(|pair| of(pair[0]) < of(pair[1])));
        assert!(of("18446744073709551615") > of("18446744073709551614"), "seeds have 64 bits");
        assert!(["nan", "inf", "-inf", "x", "", "1,5"].iter().all(|text| Numeral::parse(text).is_none()));
    }
}
