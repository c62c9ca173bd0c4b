//! The axes, linear or logarithmic, with round ticks.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};

/// The scale of an axis, from values to pixels; one type for both kinds, so that a chart need not be generic over them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    /// The scale that holds all `values` with a margin; values that a logarithmic axis cannot show are left out.
    pub(super) fn holding(values: impl Iterator<Item = f64>, log: bool) -> Self {
        let shown = values.filter(|v| v.abs() < 1e300 && (!log || *v > 0.0));
        let range = super::range(shown.map(|v| if log { v.log10() } else { v }));
        Scale { low: range.start, high: range.end, log }
    }

    /// Whether the axis can show the value `v`.
    pub(super) fn shows(&self, v: f64) -> bool {
        v.abs() < 1e300 && (!self.log || v > 0.0)
    }

    /// The value `v`, moved to the nearer end of the axis where it lies outside.
    pub(super) fn clamp(&self, v: f64) -> f64 {
        let Range { start, end } = self.range();
        v.clamp(start, end)
    }

    /// The round values along the axis: 1, 2 or 5 times a power of ten apart, or powers of ten (times 2 and 5 if few
    /// decades are shown), `most` at the most.
    fn ticks(&self, most: usize) -> Vec<f64> {
        if self.log && self.high - self.low >= 1.0 { self.powers(most) } else { self.steps(most) }
    }

    fn steps(&self, most: usize) -> Vec<f64> {
        let Range { start, end } = self.range();
        let rough = (end - start) / most.max(2) as f64;
        let ten = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * ten).into_iter().find(|s| *s >= rough).unwrap_or(rough);
        let (first, last) = ((start / step).ceil(), (end / step).floor());
        (0..=(last - first).clamp(0.0, 100.0) as i32).map(|i| (first + f64::from(i)) * step).collect()
    }

    fn powers(&self, most: usize) -> Vec<f64> {
        let decades = (self.low.floor() as i32..=self.high.ceil() as i32).collect::<Vec<_>>();
        let stride = decades.len().div_ceil(most.max(2)).max(1);
        let within = |v: &f64| (self.low..=self.high).contains(&v.log10());
        let factors: &[f64] = if (self.high - self.low) * 3.0 <= most as f64 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let all = decades.iter().step_by(stride).flat_map(|k| factors.iter().map(|f| f * 10f64.powi(*k)));
        all.filter(within).collect()
    }
}

impl Ranged for Scale {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let place = if self.log { value.log10() } else { *value };
        let share = (place - self.low) / (self.high - self.low);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        self.ticks(hint.bold_points())
    }

    fn range(&self) -> Range<f64> {
        if self.log { 10f64.powf(self.low)..10f64.powf(self.high) } else { self.low..self.high }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let ticks = |values: [f64; 2], log| Scale::holding(values.into_iter(), log).ticks(8);
        assert_eq!(ticks([10.0, 50.0], false), [10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!(ticks([0.0, 1.0], false), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(ticks([1e-4, 1.0], true), [1e-4, 1e-3, 1e-2, 1e-1, 1.0]);
        assert_eq!(ticks([1.0, 50.0], true), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        assert_eq!(ticks([2.0, 5.0], true), [2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0]);
        assert!(ticks([3.0, 3.0], false).len() > 1 && ticks([3.0, 3.0], true).len() > 1);
    }

    #[test]
    fn a_logarithmic_axis_gives_every_decade_the_same_length() {
        let scale = Scale { low: 0.0, high: 3.0, log: true };
        assert_eq!([1.0, 10.0, 100.0, 1000.0].map(|v| scale.map(&v, (0, 300))), [0, 100, 200, 300]);
        assert!(!scale.shows(0.0) && !scale.shows(-1.0) && !scale.shows(f64::NAN) && scale.shows(1e-9));
        assert!((scale.clamp(0.0) - 1.0).abs() < 1e-12);
    }
}
