//! The sliced Wasserstein distance: optimal transport in one dimension, where sorting solves it, along many directions.

use nalgebra::{DMatrix, DVector};
use rand::Rng as _;
use rand_distr::StandardNormal;

use super::two_samples::check;
use crate::{Result, rng::Key};

/// The squared sliced Wasserstein distance SW₂²(a, b) = mean over unit vectors θ of (1/n) Σᵢ ((θᵀa)₍ᵢ₎ - (θᵀb)₍ᵢ₎)², of
/// the sorted projections (Rabin et al. 2011; Bonneel et al. 2015, eq. 14). The directions follow from `key` alone, so
/// that sets can be compared with one another. Of sets of different sizes, the first n items of each are taken, with n
/// the smaller size. It is biased upwards.
///
/// # Errors
/// The rows differ in length, a set has fewer than two items, or there are numbers that are not finite.
pub fn sliced_wasserstein(a: &DMatrix<f64>, b: &DMatrix<f64>, directions: usize, key: Key) -> Result<f64> {
    check(a, b)?;
    let n = a.nrows().min(b.nrows());
    let (a, b) = (a.rows(0, n), b.rows(0, n));
    let along = |i: usize| {
        let theta = direction(key.at(i as u64), a.ncols());
        let sorted = |x: DVector<f64>| {
            let mut values: Vec<f64> = x.iter().copied().collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let (x, y) = (sorted(a * &theta), sorted(b * &theta));
        x.iter().zip(&y).map(|(x, y)| (x - y).powi(2)).sum::<f64>() / n as f64
    };
    Ok((0..directions).map(along).sum::<f64>() / directions as f64)
}

/// A random unit vector, uniform on the sphere.
fn direction(key: Key, dim: usize) -> DVector<f64> {
    let mut rng = key.rng();
    DVector::from_fn(dim, |_, _| rng.sample::<f64, _>(StandardNormal)).normalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::stats;

    fn normal(key: Key, rows: usize, columns: usize) -> DMatrix<f64> {
        let mut rng = key.rng();
        DMatrix::from_fn(rows, columns, |_, _| rng.sample::<f64, _>(StandardNormal))
    }

    #[test]
    fn a_shift_by_v_is_v_squared_over_d_and_one_dimension_is_transport() {
        let a = normal(Key::new(1), 50, 3);
        let v = [1.0, -2.0, 0.5];
        let b = DMatrix::from_fn(50, 3, |i, j| a[(i, j)] + v[j]);
        // Along θ every projection moves by θᵀv, and E (θᵀv)² = |v|²/d.
        let exact: Vec<f64> = (0..4000)
            .map(|i| direction(Key::new(2).at(i), 3).iter().zip(v).map(|(t, v)| t * v).sum::<f64>().powi(2))
            .collect();
        let got = sliced_wasserstein(&a, &b, 4000, Key::new(2)).unwrap();
        assert!((got - stats::mean(&exact)).abs() < 1e-12);
        let z = (got - 5.25 / 3.0) / stats::std_error(&exact);
        assert!(z.abs() < 4.0, "z = {z}");
        let line = |v: &[f64]| DMatrix::from_column_slice(v.len(), 1, v);
        let got = sliced_wasserstein(&line(&[0.0, 1.0, 5.0]), &line(&[2.0, 6.0, 0.5]), 7, Key::new(3)).unwrap();
        assert!((got - (0.25 + 1.0 + 1.0) / 3.0).abs() < 1e-12, "{got}");
    }

    #[test]
    fn the_same_key_is_the_same_distance_and_order_does_not_matter() {
        let (a, b) = (normal(Key::new(1), 30, 4), normal(Key::new(2), 40, 4));
        let of = |a: &DMatrix<f64>, b: &DMatrix<f64>, key| sliced_wasserstein(a, b, 20, Key::new(key)).unwrap();
        assert_eq!(of(&a, &b, 1), of(&b, &a, 1));
        assert_ne!(of(&a, &b, 1), of(&a, &b, 2));
        let turned = DMatrix::from_fn(30, 4, |i, j| a[(29 - i, j)]);
        assert!(of(&a, &turned, 1) < 1e-24);
        assert!(sliced_wasserstein(&a, &normal(Key::new(1), 30, 3), 20, Key::new(1)).is_err());
    }
}
