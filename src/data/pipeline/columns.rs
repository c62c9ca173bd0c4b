//! Columns of a table: standardised, dropped where values repeat, bounded.

use crate::data::keys::Columns;
use crate::data::source::{Bounds, Category, Records};
use crate::{Error, Result};

/// A column whose smallest value occurs more often than this is taken for discrete.
const REPEATS: usize = 5;

/// The box of `Records::bounds` reaches beyond the data by this share of their range, on each side.
const MARGIN: f64 = 0.25;

/// More than this share of a column's standard deviation lost to the rounding to f32 is told.
const ROUNDED: f64 = 0.01;

impl Records {
    /// With columns dropped and scaled as the keys say, by what the rows `train` show alone, all in f64.
    ///
    /// # Errors
    /// No column is left; a number that is not finite in f32.
    pub(crate) fn prepared(self, keys: &Columns, train: &[u32]) -> Result<Self> {
        let records = self.filled(train)?;
        let records = if keys.drop_repeats { records.without_repeats(train)? } else { records };
        let records = if keys.standardise { records.standardised(train) } else { records };
        if let Some(at) = records.values.iter().position(|v| !(*v as f32).is_finite()) {
            let (row, column, value) = (at / records.dim.max(1), at % records.dim.max(1), records.values[at]);
            return Err(Error::config(format!(
                "row {row}, column {column} of the table (from 0) is {value:e}, which is not finite in f32"
            ))
            .at("standardise")
            .hint("set `dataset.standardise = true`, or divide the column by a constant"));
        }
        for c in (0..records.dim).filter(|&c| records.is_coarse(c, train)) {
            tracing::warn!(
                "column {c} of the table (from 0) varies so little around a large number that f32, which a model \
                 computes in, rounds it: set `dataset.standardise = true`, or subtract a constant"
            );
        }
        Ok(records)
    }

    /// With the mean of the rows `train` where a value is missing (NaN).
    ///
    /// # Errors
    /// A column without any value in these rows.
    fn filled(mut self, train: &[u32]) -> Result<Self> {
        for c in 0..self.dim {
            if !self.values.iter().skip(c).step_by(self.dim).any(|v| v.is_nan()) {
                continue;
            }
            let present = || self.column(c, train).filter(|v| !v.is_nan());
            let mean = present().sum::<f64>() / present().count() as f64;
            if !mean.is_finite() {
                let name = self.names.get(c).cloned().unwrap_or_else(|| c.to_string());
                let what = format!("the column `{name}` has no value in any of {} training items", train.len());
                return Err(Error::config(what).at("missing").hint("leave the column out by `dataset.columns`"));
            }
            let missing = self.values.iter_mut().skip(c).step_by(self.dim).filter(|v| v.is_nan());
            missing.for_each(|v| *v = mean);
        }
        Ok(self)
    }

    /// The box of the given rows, with a margin, so that the mass of a model beside them is inside too.
    pub(crate) fn bounds(&self, rows: &[u32]) -> Bounds {
        let range = |c: usize| {
            let [low, high] = ends(self.column(c, rows));
            let margin = if high > low { MARGIN * (high - low) } else { 1.0 };
            [low - margin, high + margin]
        };
        (0..self.dim).map(range).collect()
    }

    /// The values of a column in the given rows.
    fn column<'a>(&'a self, c: usize, rows: &'a [u32]) -> impl Iterator<Item = f64> + 'a {
        rows.iter().filter_map(move |&r| self.values.get(r as usize * self.dim + c)).copied()
    }

    /// Whether f32 loses what tells the values of a column apart.
    fn is_coarse(&self, c: usize, rows: &[u32]) -> bool {
        let [low, high] = ends(self.column(c, rows));
        let scale = Scale::of(|| self.column(c, rows));
        let rounding = f64::from(f32::EPSILON) / 2.0 * low.abs().max(high.abs());
        !scale.constant && rounding > ROUNDED * scale.std
    }

    fn without_repeats(self, train: &[u32]) -> Result<Self> {
        let kept: Vec<usize> = (0..self.dim).filter(|&c| !repeats(self.column(c, train))).collect();
        if kept.is_empty() {
            return Err(Error::config(format!(
                "`dataset.drop_repeats` drops every one of the {} columns: the smallest value of each occurs more \
                 than {REPEATS} times",
                self.dim
            ))
            .at("drop_repeats")
            .hint("set `dataset.drop_repeats = false`, and `dataset.noise` to spread values that repeat"));
        }
        let row = |row: &[f64]| kept.iter().filter_map(|&c| row.get(c)).copied().collect::<Vec<_>>();
        let values = self.values.chunks_exact(self.dim).flat_map(row).collect();
        let names = kept.iter().filter_map(|&c| self.names.get(c)).cloned().collect();
        // A word whose column is gone cannot be told from the others; the rest are numbers then.
        let moved = |category: &Category| {
            let first = kept.binary_search(&category.first).ok()?;
            let whole =
                kept.get(first + category.words.len() - 1) == Some(&(category.first + category.words.len() - 1));
            whole.then(|| Category { first, ..category.clone() })
        };
        let categories = self.categories.iter().filter_map(moved).collect();
        Ok(Records { dim: kept.len(), values, names, categories, ..self })
    }

    /// (x - mean)/std of each column.
    fn standardised(mut self, train: &[u32]) -> Self {
        let scales: Vec<Scale> = (0..self.dim).map(|c| Scale::of(|| self.column(c, train))).collect();
        for row in self.values.chunks_exact_mut(self.dim.max(1)) {
            row.iter_mut().zip(&scales).for_each(|(v, scale)| *v = scale.of_value(*v));
        }
        self.scales = scales.iter().map(|scale| [scale.origin + scale.shift, scale.std]).collect();
        self
    }
}

/// Mean and standard deviation of a column (n in the denominator of the variance), of which no digit is lost that the
/// column has: the mean is kept as a value of the column and what it lies beside it.
struct Scale {
    origin: f64,
    shift: f64,
    /// 1 where nothing varies.
    std: f64,
    constant: bool,
}

impl Scale {
    fn of<I: Iterator<Item = f64>>(values: impl Fn() -> I) -> Self {
        let n = values().count().max(1) as f64;
        let [low, high] = ends(values());
        // A few roundings of f64 apart: numbers that were equal before somebody computed with them.
        let constant = high - low <= 4.0 * f64::EPSILON * low.abs().max(high.abs());
        let origin = values().next().unwrap_or(0.0);
        let shift = values().map(|v| (v - origin) / n).sum::<f64>();
        // Relative to the range, whose square may be beyond f64.
        let range = if constant { 1.0 } else { high - low };
        let variance = values().map(|v| (((v - origin) - shift) / range).powi(2)).sum::<f64>() / n;
        Scale { origin, shift, std: if constant { 1.0 } else { range * variance.sqrt() }, constant }
    }

    fn of_value(&self, v: f64) -> f64 {
        ((v - self.origin) - self.shift) / self.std
    }
}

/// The smallest and the largest value.
fn ends(values: impl Iterator<Item = f64>) -> [f64; 2] {
    values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| [low.min(v), high.max(v)])
}

/// Whether the smallest value occurs more than [`REPEATS`] times.
fn repeats(values: impl Iterator<Item = f64>) -> bool {
    let (mut least, mut count) = (f64::INFINITY, 0);
    for v in values {
        if v < least {
            (least, count) = (v, 0);
        }
        count += usize::from(v == least);
    }
    count > REPEATS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns: 0..n, a constant, and one that is 0 for `zeros` rows and large afterwards.
    fn records(n: usize, zeros: usize) -> Records {
        let row = |i: usize| [i as f64, 7.7, if i < zeros { 0.0 } else { 100.0 + i as f64 }];
        Records { values: (0..n).flat_map(row).collect(), ..Records::empty(3, 0) }
    }

    fn keys(standardise: bool, drop_repeats: bool) -> Columns {
        Columns { standardise, drop_repeats, ..Columns::default() }
    }

    #[test]
    fn columns_are_standardised_by_the_training_rows_alone() {
        let done = records(40, 3).prepared(&keys(true, false), &(0..20).collect::<Vec<_>>()).unwrap();
        let train: Vec<u32> = (0..20).collect();
        for c in [0, 2] {
            let x: Vec<f64> = done.column(c, &train).collect();
            let mean = x.iter().sum::<f64>() / 20.0;
            let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 20.0;
            assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-6, "column {c}: {mean}, {variance}");
        }
        assert!(done.column(1, &train).all(|v| v.abs() < 1e-6), "a constant column becomes 0");
        // 0..20 has mean 9.5 and variance (20² - 1)/12.
        let want = (39.0 - 9.5) / (399.0f64 / 12.0).sqrt();
        assert!((done.column(0, &[39]).next().unwrap() - want).abs() < 1e-6);
    }

    /// 0, 1, 2 … standardised are the same numbers, whatever they were scaled and moved by.
    #[test]
    fn no_digit_is_lost_to_a_large_mean() {
        let train: Vec<u32> = (0..20).collect();
        let plain: Vec<f64> = {
            let columns = Records { values: (0..20).map(f64::from).collect(), ..Records::empty(1, 0) };
            columns.prepared(&keys(true, false), &train).unwrap().values
        };
        for (offset, scale, tolerance) in [
            (1_700_000_000.0, 1.0 / 32.0, 1e-9), // a Unix time
            (1.7e18, 1e6, 1e-3),                 // in nanoseconds, of which f64 holds every 256th
            (-1e15, 1.0, 1e-9),
            (0.0, 1e-200, 1e-9),
            (1e300, 1e299, 1e-9),
        ] {
            let values = (0..20).map(|i| offset + scale * f64::from(i)).collect();
            let done = Records { values, ..Records::empty(1, 0) }.prepared(&keys(true, false), &train).unwrap();
            let far = done.values.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(far < tolerance, "{offset:e} + {scale:e}i: {far:e} off");
        }
        let sums = [0.3, 0.1 + 0.2];
        let values = (0..20).map(|i| sums[i % 2]).collect();
        let done = Records { values, ..Records::empty(1, 0) }.prepared(&keys(true, false), &train).unwrap();
        assert!(done.values.iter().all(|v| v.abs() < 1e-15), "a rounding is no spread");
    }

    #[test]
    fn repeats_are_those_of_the_file() {
        let times = |step: f64| {
            let values = (0..40).map(|i| 1_700_000_000.0 + step * f64::from(i)).collect();
            Records { values, ..Records::empty(1, 0) }.prepared(&keys(false, true), &(0..40).collect::<Vec<_>>())
        };
        assert_eq!(times(1.0).unwrap().dim, 1, "one value in f32, forty in the file");
        assert!(times(0.0).is_err());
    }

    #[test]
    fn what_f32_cannot_hold_is_told_or_refused() {
        let train: Vec<u32> = (0..10).collect();
        let of = |f: fn(i32) -> f64| Records { values: (0..10).map(f).collect(), ..Records::empty(1, 0) };
        let time = of(|i| 1_700_000_000.0 + f64::from(i));
        assert!(time.is_coarse(0, &train));
        assert!(!of(f64::from).is_coarse(0, &train) && !of(|_| 1_700_000_000.0).is_coarse(0, &train));
        let huge = || of(|i| if i == 3 { 1e99 } else { 0.0 });
        let error = huge().prepared(&keys(false, false), &train).unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains("row 3, column 0"), "{error}");
        assert!(huge().prepared(&keys(true, false), &train).unwrap().values[3] > 2.9);
    }

    #[test]
    fn columns_with_more_than_five_repeats_of_their_least_value_are_dropped() {
        let train: Vec<u32> = (0..40).collect();
        for (zeros, dim) in [(5, 2), (6, 1)] {
            let done = records(40, zeros).prepared(&keys(false, true), &train).unwrap();
            assert_eq!((done.dim, done.len(), done.values[0], done.values[dim]), (dim, 40, 0.0, 1.0), "{zeros}");
        }
        // Only five of the training rows are 0.
        assert_eq!(records(40, 6).prepared(&keys(false, true), &train[1..]).unwrap().dim, 2);
        let repeated = Records { values: vec![1.0; 30], ..Records::empty(3, 0) };
        let error = repeated.prepared(&keys(true, true), &train[..10]).unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains("3 columns"), "{error}");
    }

    #[test]
    fn the_box_holds_the_rows_with_a_margin() {
        let bounds = records(5, 0).bounds(&[0, 1, 2, 3, 4]);
        assert_eq!(bounds[0], [-1.0, 5.0]);
        assert!((bounds[1][0] - 6.7).abs() < 1e-6 && (bounds[1][1] - 8.7).abs() < 1e-6);
    }
}
