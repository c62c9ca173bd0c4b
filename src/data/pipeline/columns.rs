//! Columns of a table: standardised, dropped where values repeat, bounded.

use crate::data::keys::Columns;
use crate::data::source::{Bounds, Records};
use crate::{Error, Result};

/// A column whose smallest value occurs more often than this is taken for discrete.
const REPEATS: usize = 5;

/// The box of `Records::bounds` reaches beyond the data by this share of their range, on each side.
const MARGIN: f64 = 0.25;

impl Records {
    /// With columns dropped and scaled as the keys say, by what the rows `train` show alone.
    ///
    /// # Errors
    /// No column is left.
    pub(crate) fn prepared(self, keys: &Columns, train: &[u32]) -> Result<Self> {
        let records = if keys.drop_repeats { self.without_repeats(train)? } else { self };
        Ok(if keys.standardise { records.standardised(train) } else { records })
    }

    /// The box of the given rows, with a margin, so that the mass of a model beside them is inside too.
    pub(crate) fn bounds(&self, rows: &[u32]) -> Bounds {
        let range = |c: usize| {
            let ends = |[low, high]: [f64; 2], v: f64| [low.min(v), high.max(v)];
            let [low, high] = self.column(c, rows).fold([f64::INFINITY, f64::NEG_INFINITY], ends);
            let margin = if high > low { MARGIN * (high - low) } else { 1.0 };
            [low - margin, high + margin]
        };
        (0..self.dim).map(range).collect()
    }

    /// The values of a column in the given rows.
    pub(super) fn column<'a>(&'a self, c: usize, rows: &'a [u32]) -> impl Iterator<Item = f64> + 'a {
        rows.iter().filter_map(move |&r| self.values.get(r as usize * self.dim + c)).map(|&v| f64::from(v))
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
        let row = |row: &[f32]| kept.iter().filter_map(|&c| row.get(c)).copied().collect::<Vec<_>>();
        let values = self.values.chunks_exact(self.dim).flat_map(row).collect();
        let names = kept.iter().filter_map(|&c| self.names.get(c)).cloned().collect();
        Ok(Records { dim: kept.len(), values, names, ..self })
    }

    /// (x - mean)/std of each column, the sums in f64; n in the denominator of the variance.
    fn standardised(mut self, train: &[u32]) -> Self {
        let moments: Vec<(f64, f64)> = (0..self.dim).map(|c| moments(|| self.column(c, train))).collect();
        for row in self.values.chunks_exact_mut(self.dim.max(1)) {
            for (v, (mean, std)) in row.iter_mut().zip(&moments) {
                *v = ((f64::from(*v) - mean) / std) as f32;
            }
        }
        self
    }
}

/// Mean and standard deviation; the latter is 1 where nothing varies.
fn moments<I: Iterator<Item = f64>>(values: impl Fn() -> I) -> (f64, f64) {
    let n = values().count().max(1) as f64;
    let mean = values().sum::<f64>() / n;
    let std = (values().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    // Of equal numbers, rounding leaves a trace of a variance.
    (mean, if std > 1e-12 * mean.abs() { std } else { 1.0 })
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
        let row = |i: usize| [i as f32, 7.7, if i < zeros { 0.0 } else { 100.0 + i as f32 }];
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
