//! The maximum mean discrepancy of two sets under Gaussian kernels, with a permutation test (Gretton et al. 2012).
//!
//! A set is a matrix in f64 with one item per row.

use nalgebra::DMatrix;
use rand::seq::SliceRandom as _;

use super::two_samples::{check, squares};
use crate::{Result, rng::Key};

/// The bandwidths of the kernel mixture, as multiples of the median distance.
const WIDTHS: [f64; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];

/// The median distance between two different items of a set, the unit of the bandwidths; 0 for equal items.
///
/// # Errors
/// There are fewer than two items, or numbers that are not finite.
pub fn median_distance(x: &DMatrix<f64>) -> Result<f64> {
    check(x, x)?;
    let pairs = squares(x, x).enumerate().flat_map(|(i, row)| row.into_iter().take(i).collect::<Vec<_>>());
    let mut all: Vec<f64> = pairs.collect();
    let middle = all.len() / 2;
    Ok(all.select_nth_unstable_by(middle, f64::total_cmp).1.sqrt())
}

/// The kernel matrix k(x, y) = mean over the widths w of exp(-‖x - y‖²/2(w·median)²) of all pairs of items of two
/// pooled sets; k is set to 0 for an item and itself.
pub struct Mmd {
    kernel: Vec<Vec<f64>>,
    rows: Vec<f64>,
    total: f64,
    first: usize,
}

impl Mmd {
    /// The kernel between all items of a and b, with `median` the unit of the bandwidths, such as [`median_distance`].
    ///
    /// # Errors
    /// The rows differ in length, a set has fewer than two items, or there are numbers that are not finite.
    pub fn new(a: &DMatrix<f64>, b: &DMatrix<f64>, median: f64) -> Result<Self> {
        check(a, b)?;
        let pooled = DMatrix::from_rows(&a.row_iter().chain(b.row_iter()).collect::<Vec<_>>());
        let rate = WIDTHS.map(|w| -0.5 / (w * median.max(1e-100)).powi(2));
        let k = |square: f64| rate.iter().map(|r| (r * square).exp()).sum::<f64>() / rate.len() as f64;
        let row = |(i, distances): (usize, Vec<f64>)| -> Vec<f64> {
            distances.into_iter().enumerate().map(|(j, square)| if i == j { 0.0 } else { k(square) }).collect()
        };
        let kernel: Vec<Vec<f64>> = squares(&pooled, &pooled).enumerate().map(row).collect();
        let rows: Vec<f64> = kernel.iter().map(|row| row.iter().sum()).collect();
        Ok(Mmd { total: rows.iter().sum(), rows, kernel, first: a.nrows() })
    }

    /// The unbiased estimate of MMD² (Gretton et al. 2012, eq. 3); it may be negative.
    pub fn value(&self) -> f64 {
        self.between(&(0..self.kernel.len()).collect::<Vec<_>>())
    }

    /// The p-value of the permutation test: the share of `permutations` random divisions of the pool and the given one
    /// under which the estimate is at least as large. It is uniform if both sets come from one distribution.
    pub fn p_value(&self, key: Key, permutations: usize) -> f64 {
        let (value, mut rng) = (self.value(), key.rng());
        let mut order: Vec<usize> = (0..self.kernel.len()).collect();
        let mut larger = || {
            order.shuffle(&mut rng);
            self.between(&order) >= value
        };
        let count = (0..permutations).filter(|_| larger()).count();
        (1 + count) as f64 / (1 + permutations) as f64
    }

    /// The estimate of MMD² with the first items in `order` as one set and the rest as the other.
    fn between(&self, order: &[usize]) -> f64 {
        let (n, m) = (self.first as f64, (self.kernel.len() - self.first) as f64);
        let set = order.get(..self.first).unwrap_or_default();
        let row = |i: &usize| self.kernel.get(*i).map_or(0.0, |row| set.iter().filter_map(|j| row.get(*j)).sum());
        let within: f64 = set.iter().map(row).sum();
        let touching: f64 = set.iter().filter_map(|i| self.rows.get(*i)).sum();
        let (across, rest) = (touching - within, self.total - 2.0 * touching + within);
        within / (n * (n - 1.0)) + rest / (m * (m - 1.0)) - 2.0 * across / (n * m)
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng as _;
    use rand_distr::StandardNormal;

    use super::*;
    use crate::math::stats;

    fn normal(key: Key, rows: usize, columns: usize, std: f64) -> DMatrix<f64> {
        let mut rng = key.rng();
        DMatrix::from_fn(rows, columns, |_, _| std * rng.sample::<f64, _>(StandardNormal))
    }

    #[test]
    fn it_is_its_definition() {
        let (a, b) = (normal(Key::new(1), 7, 3, 1.0), normal(Key::new(2), 5, 3, 1.5).add_scalar(0.5));
        let median = median_distance(&a).unwrap();
        let mut all: Vec<f64> =
            (0..7).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| (a.row(i) - a.row(j)).norm()).collect();
        all.sort_by(f64::total_cmp);
        assert!((median - all[10]).abs() < 1e-12);
        let k = |x: &DMatrix<f64>, i: usize, y: &DMatrix<f64>, j: usize| {
            let square = (x.row(i) - y.row(j)).norm_squared();
            [0.25, 0.5, 1.0, 2.0, 4.0].iter().map(|w| (-square / (2.0 * (w * median).powi(2))).exp()).sum::<f64>() / 5.0
        };
        let mean = |x: &DMatrix<f64>, y: &DMatrix<f64>, same: bool| {
            let pairs =
                (0..x.nrows()).flat_map(|i| (0..y.nrows()).map(move |j| (i, j))).filter(|(i, j)| !same || i != j);
            stats::mean(&pairs.map(|(i, j)| k(x, i, y, j)).collect::<Vec<_>>())
        };
        let want = mean(&a, &a, true) + mean(&b, &b, true) - 2.0 * mean(&a, &b, false);
        assert!((Mmd::new(&a, &b, median).unwrap().value() - want).abs() < 1e-12);
    }

    #[test]
    fn it_is_unbiased_and_its_p_values_are_uniform_under_the_null() {
        let one = |i: u64| {
            let key = Key::new(5).at(i);
            let mmd = Mmd::new(&normal(key.at(0), 20, 2, 1.0), &normal(key.at(1), 14, 2, 1.0), 1.5).unwrap();
            (mmd.value(), mmd.p_value(key.at(2), 99))
        };
        let (values, p): (Vec<f64>, Vec<f64>) = (0..400).map(one).unzip();
        let z = stats::mean(&values) / stats::std_error(&values);
        assert!(z.abs() < 4.0, "z = {z}");
        // On the grid 0.01 … 1 each value has the same probability; ties are spread over the cell below.
        let spread: Vec<f64> = p.iter().enumerate().map(|(i, p)| p - 0.01 * ((i as f64 * 0.618_034).fract())).collect();
        assert!(stats::kolmogorov_smirnov(&spread, |x| x.clamp(0.0, 1.0)).1 > 1e-3);
    }

    #[test]
    fn the_closed_form_for_gaussians_and_a_difference_that_is_seen() {
        // E exp(-|x-y|²/2h²) with x - y ~ N(0, s² I) in d dimensions is (h²/(h² + s²))^{d/2}.
        let (d, median) = (2, 1.2);
        let mean = |s2: f64| {
            WIDTHS
                .map(|w| {
                    let h2 = (w * median).powi(2);
                    h2 / (h2 + s2)
                })
                .iter()
                .sum::<f64>()
                / 5.0
        };
        let want = mean(2.0) + mean(2.0 * 4.0) - 2.0 * mean(1.0 + 4.0);
        let values: Vec<f64> = (0..60)
            .map(|i| {
                let key = Key::new(8).at(i);
                Mmd::new(&normal(key.at(0), 60, d, 1.0), &normal(key.at(1), 50, d, 2.0), median).unwrap().value()
            })
            .collect();
        let z = (stats::mean(&values) - want) / stats::std_error(&values);
        assert!(z.abs() < 4.0, "z = {z}: {} for {want}", stats::mean(&values));
        let apart = Mmd::new(&normal(Key::new(1), 60, d, 1.0), &normal(Key::new(2), 50, d, 2.0), median).unwrap();
        assert_eq!(apart.p_value(Key::new(3), 199), 1.0 / 200.0);
    }

    #[test]
    fn equal_items_are_no_division_by_zero() {
        let same = DMatrix::from_element(4, 2, 3.0);
        let median = median_distance(&same).unwrap();
        assert_eq!((median, Mmd::new(&same, &same, median).unwrap().value()), (0.0, 0.0));
        assert!(median_distance(&DMatrix::from_element(1, 2, 3.0)).is_err());
    }
}
