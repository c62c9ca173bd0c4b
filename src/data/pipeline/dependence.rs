//! Columns of a table that leave no density: constant ones, repeated ones, and such as follow from others.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Columns beyond which linear dependence is not looked for: the cost grows with their square.
const MOST: usize = 300;

/// Rows that it is looked for in, at most; a few of each column would do.
const ROWS: usize = 20_000;

/// What is left of a column's variance after all columns before it, below which nothing is: rounding to f32 leaves
/// 1e-14 of it.
const LEFT: f64 = 1e-10;

/// The rows of a table as a model computes with them.
pub(crate) struct Sheet<'a> {
    /// Numbers in a row.
    pub dim: usize,
    /// Of the columns; empty if the file does not name them.
    pub names: &'a [String],
    /// Row after row.
    pub values: &'a [f32],
}

impl Sheet<'_> {
    /// Why the rows `train` have no density, a line a column: each lies on a plane.
    pub(crate) fn flat_columns(&self, train: &[u32]) -> Vec<String> {
        let mut found = Vec::new();
        let mut spread = Vec::new();
        let mut seen: HashMap<u64, usize> = HashMap::new();
        for c in 0..self.dim {
            let mut values = self.column(c, train);
            let first = values.next();
            if values.all(|v| Some(v) == first) {
                found.push(format!("{} is the same in all rows", self.name(c)));
                continue;
            }
            let same = |b: usize| self.column(b, train).eq(self.column(c, train));
            let fingerprint = self.fingerprint(c, train);
            match seen.get(&fingerprint).copied().filter(|b| same(*b)) {
                Some(b) => found.push(format!("{} repeats {}", self.name(c), self.name(b))),
                None => {
                    seen.insert(fingerprint, c);
                    spread.push(c);
                }
            }
        }
        let rows = train.get(..ROWS.min(train.len())).unwrap_or(train);
        // Of fewer rows than columns each column follows from the others.
        if spread.len() <= MOST && rows.len() > spread.len() + 1 {
            found.extend(self.dependent(&spread, rows));
        }
        found
    }

    fn column<'a>(&'a self, c: usize, rows: &'a [u32]) -> impl Iterator<Item = f64> + 'a {
        rows.iter().filter_map(move |&r| self.values.get(r as usize * self.dim + c)).map(|&v| f64::from(v))
    }

    /// As the file names it, or by its number.
    fn name(&self, c: usize) -> String {
        self.names.get(c).map_or_else(|| format!("column {c} (from 0)"), |name| format!("column `{name}`"))
    }

    fn fingerprint(&self, c: usize, rows: &[u32]) -> u64 {
        let mut hasher = DefaultHasher::new();
        // -0 and 0 are one number.
        self.column(c, rows).for_each(|v| (v + 0.0).to_bits().hash(&mut hasher));
        hasher.finish()
    }

    /// Those of the columns that are sums of multiples of the ones before them, by Cholesky's factor of their
    /// correlations, a row of it a column.
    fn dependent(&self, columns: &[usize], rows: &[u32]) -> Vec<String> {
        let unit: Vec<Vec<f64>> = columns.iter().map(|c| unit(self.column(*c, rows).collect())).collect();
        let mut factor: Vec<Vec<f64>> = Vec::new();
        let mut found = Vec::new();
        for (i, x) in unit.iter().enumerate() {
            let mut row: Vec<f64> = Vec::with_capacity(i + 1);
            let mut alike = None;
            for (j, y) in unit.iter().take(i).enumerate() {
                let correlation = dot(x, y);
                if 1.0 - correlation.abs() < 0.5 * LEFT {
                    alike = Some(j);
                }
                let other = factor.get(j).map(Vec::as_slice).unwrap_or_default();
                let pivot = other.get(j).copied().unwrap_or(0.0);
                // A column that follows from others adds nothing.
                row.push(if pivot > 0.0 { (correlation - dot(&row, other)) / pivot } else { 0.0 });
            }
            let left = 1.0 - dot(&row, &row);
            row.push(if left < LEFT { 0.0 } else { left.sqrt() });
            factor.push(row);
            if left < LEFT {
                let name = |place: usize| columns.get(place).map_or_else(String::new, |c| self.name(*c));
                found.push(match alike {
                    Some(j) => format!("{} repeats {}, but for a factor and a constant", name(i), name(j)),
                    None => format!("{} follows from the columns before it by a linear rule", name(i)),
                });
            }
        }
        found
    }
}

/// Moved and scaled to mean 0 and length 1.
fn unit(mut x: Vec<f64>) -> Vec<f64> {
    let mean = crate::math::stats::mean(&x);
    x.iter_mut().for_each(|v| *v -= mean);
    let length = dot(&x, &x).sqrt();
    x.iter_mut().for_each(|v| *v /= length);
    x
}

/// Over the places that both have.
fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::rng::Key;

    /// 60 rows of the columns that `of` makes of three independent ones.
    fn found<const D: usize>(names: &[&str], of: impl Fn(&[f64]) -> [f64; D]) -> Vec<String> {
        let x = Key::new(1).normal((60, 3), DType::F64, &Device::Cpu).unwrap().to_vec2::<f64>().unwrap();
        let values = x.iter().flat_map(|row| of(row)).map(|v| v as f32).collect::<Vec<f32>>();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Sheet { dim: D, names: &names, values: &values }.flat_columns(&(0..60).collect::<Vec<_>>())
    }

    #[test]
    fn columns_without_a_density_are_named() {
        assert_eq!(found(&[], |x| [x[0], x[1], x[2], x[0] * x[1], x[0] + 1e-3 * x[1] * x[2]]), [""; 0]);
        assert_eq!(found(&["a", "b", "c"], |x| [x[0], 7.5, x[1]]), ["column `b` is the same in all rows"]);
        assert_eq!(found(&["a", "b", "c"], |x| [x[0], x[1], x[0]]), ["column `c` repeats column `a`"]);
        let scaled = found(&[], |x| [x[0], x[1], 3.0 - 20.0 * x[0]]);
        assert!(scaled.len() == 1 && scaled[0].starts_with("column 2 (from 0) repeats column 0"), "{scaled:?}");
        // A sum, a share of a whole, and what comes after is judged by what is left.
        let sum = found(&[], |x| [x[0], x[1], x[0] + 100.0 * x[1], x[2]]);
        assert!(sum.len() == 1 && sum[0].starts_with("column 2 (from 0) follows"), "{sum:?}");
        let share = found(&[], |x| [x[0], x[1], 1.0 - x[0] - x[1], 1.0, x[2] - x[0], x[2]]);
        let says = ["column 3 (from 0) is the same", "column 2 (from 0) follows", "column 5 (from 0) follows"];
        assert!(share.len() == 3 && share.iter().zip(says).all(|(a, b)| a.starts_with(b)), "{share:?}");
    }

    #[test]
    fn fewer_rows_than_columns_say_nothing_of_rules() {
        let values = vec![1.0, 2.0, 3.0, 5.0, 4.0, 9.0];
        assert_eq!(Sheet { dim: 3, names: &[], values: &values }.flat_columns(&[0, 1]), [""; 0]);
    }
}
