//! Distances of two sets of vectors: Fréchet distance, kernel distance, and the share of each that the other covers.
//!
//! A set is a matrix in f64 with one item per row.

use nalgebra::{DMatrix, RowDVector, SVD, SymmetricEigen};

use crate::{Error, Result};

/// The squared Fréchet distance ‖μ_a - μ_b‖² + tr(Σ_a + Σ_b - 2 (Σ_a^½ Σ_b Σ_a^½)^½) of the Gaussians with the means μ
/// and covariances Σ (n - 1 in the denominator) of two sets (Dowson & Landau 1982; Heusel et al. 2017).
///
/// It is biased upwards by about 1/n, also for two sets of one distribution.
///
/// # Errors
/// A set has fewer than two items, the rows differ in length, or there are numbers that are not finite.
pub fn frechet(a: &DMatrix<f64>, b: &DMatrix<f64>) -> Result<f64> {
    check(a, b)?;
    let ((mean_a, a), (mean_b, b)) = (scaled(a), scaled(b));
    // The work grows with the cube of the smaller of the two.
    let few = a.nrows().max(b.nrows()) < a.ncols();
    let cross = if few { by_singular_values(&a, &b)? } else { by_roots(&a, &b)? };
    // Rounding can leave a distance of nothing below 0.
    Ok(((mean_a - mean_b).norm_squared() + a.norm_squared() + b.norm_squared() - 2.0 * cross).max(0.0))
}

/// The trace tr (Σ_a^½ Σ_b Σ_a^½)^½ with Σ_a = AᵀA and Σ_b = BᵀB.
fn by_roots(a: &DMatrix<f64>, b: &DMatrix<f64>) -> Result<f64> {
    let root = root(&(a.transpose() * a))?;
    let product = &root * (b.transpose() * b) * &root;
    Ok(eigen(product)?.eigenvalues.iter().map(|v| v.max(0.0).sqrt()).sum())
}

/// The same trace as the sum of the singular values of A Bᵀ.
fn by_singular_values(a: &DMatrix<f64>, b: &DMatrix<f64>) -> Result<f64> {
    let most = SWEEPS * a.nrows().max(b.nrows());
    SVD::try_new(a * b.transpose(), false, false, f64::EPSILON, most)
        .map(|svd| svd.singular_values.sum())
        .ok_or_else(|| Error::Other("the singular values of two sets were not found".into()))
}

/// The kernel distance (Bińkowski et al. 2018): the unbiased estimate of the squared maximum mean discrepancy under
/// k(x, y) = (xᵀy/d + 1)³, with d the length of a vector. It is taken on all items at once rather than as the mean over
/// subsets, whose expectation is the same. It may be negative.
///
/// # Errors
/// As [`frechet`].
pub fn kernel_distance(a: &DMatrix<f64>, b: &DMatrix<f64>) -> Result<f64> {
    check(a, b)?;
    let (n, m, d) = (a.nrows() as f64, b.nrows() as f64, a.ncols() as f64);
    let k = |dot: f64| (dot / d + 1.0).powi(3);
    let total = |x: &DMatrix<f64>, y: &DMatrix<f64>| -> f64 {
        let y = y.transpose();
        blocks(x).map(|rows| (rows * &y).iter().map(|dot| k(*dot)).sum::<f64>()).sum()
    };
    let own = |x: &DMatrix<f64>| x.row_iter().map(|row| k(row.norm_squared())).sum::<f64>();
    let within = |x: &DMatrix<f64>, n: f64| (total(x, x) - own(x)) / (n * (n - 1.0));
    Ok(within(a, n) + within(b, m) - 2.0 * total(a, b) / (n * m))
}

/// The overlap of samples and real items, by balls around items that reach to the k-th nearest neighbour within their
/// own set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coverage {
    /// The precision: the share of the samples inside a ball of a real item (Kynkäänniemi et al. 2019).
    pub precision: f64,
    /// The recall: the share of the real items inside a ball of a sample (Kynkäänniemi et al. 2019).
    pub recall: f64,
    /// The density: real balls that hold a sample, over k, mean over the samples (Naeem et al. 2020); 1 for equal
    /// distributions.
    pub density: f64,
    /// The coverage: share of the real balls that hold a sample (Naeem et al. 2020); about 1 - 2^-k for equal
    /// distributions.
    pub coverage: f64,
}

/// Precision, recall, density and coverage of `samples` with respect to `real`; balls are closed.
///
/// # Errors
/// As [`frechet`], or a set has no more than k items.
pub fn coverage(real: &DMatrix<f64>, samples: &DMatrix<f64>, k: usize) -> Result<Coverage> {
    check(real, samples)?;
    if k == 0 || k >= real.nrows().min(samples.nrows()) {
        let (n, m) = (real.nrows(), samples.nrows());
        return Err(Error::Other(format!("{k} nearest neighbours need sets of more than {k} items, got {n} and {m}")));
    }
    let (real_reach, sample_reach) = (reaches(real, k), reaches(samples, k));
    let mut balls = vec![0usize; samples.nrows()];
    let (mut recalled, mut covered) = (0usize, 0usize);
    for (distances, reach) in squares(real, samples).zip(real_reach) {
        let mut held = 0;
        for (count, d) in balls.iter_mut().zip(&distances) {
            let inside = usize::from(*d <= reach);
            *count += inside;
            held += inside;
        }
        covered += usize::from(held > 0);
        recalled += usize::from(distances.iter().zip(&sample_reach).any(|(d, reach)| d <= reach));
    }
    let (n, m) = (real.nrows() as f64, samples.nrows() as f64);
    Ok(Coverage {
        precision: balls.iter().filter(|count| **count > 0).count() as f64 / m,
        recall: recalled as f64 / n,
        density: balls.iter().sum::<usize>() as f64 / (k as f64 * m),
        coverage: covered as f64 / n,
    })
}

/// The row of a set that is nearest to an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// The index of the row.
    pub row: usize,
    /// The Euclidean distance to it.
    pub distance: f64,
}

/// The nearest row of y for every row of x.
///
/// # Errors
/// As [`frechet`].
pub fn nearest(x: &DMatrix<f64>, y: &DMatrix<f64>) -> Result<Vec<Nearest>> {
    check(x, y)?;
    let first = |distances: Vec<f64>| {
        let least = distances.into_iter().enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
        least.map(|(row, square)| Nearest { row, distance: square.sqrt() })
    };
    Ok(squares(x, y).filter_map(first).collect())
}

/// The squared distance from every item to its k-th nearest neighbour in the set.
fn reaches(x: &DMatrix<f64>, k: usize) -> Vec<f64> {
    let kth = |(i, mut distances): (usize, Vec<f64>)| {
        // The item itself comes first, whatever rounding says.
        distances.iter_mut().skip(i).take(1).for_each(|own| *own = -1.0);
        *distances.select_nth_unstable_by(k, f64::total_cmp).1
    };
    squares(x, x).enumerate().map(kth).collect()
}

/// The squared distances from every row of x to all rows of y.
pub(super) fn squares<'a>(x: &'a DMatrix<f64>, y: &'a DMatrix<f64>) -> impl Iterator<Item = Vec<f64>> + 'a {
    // Column by column, so that the inner loop runs over neighbouring numbers and no large product cancels.
    x.row_iter().map(move |row| {
        let mut sums = vec![0.0; y.nrows()];
        for (value, column) in row.iter().zip(y.column_iter()) {
            sums.iter_mut().zip(column.iter()).for_each(|(sum, other)| *sum += (value - other) * (value - other));
        }
        sums
    })
}

/// The rows of a set in blocks of some hundred, so that products of them with all others stay small.
fn blocks(x: &DMatrix<f64>) -> impl Iterator<Item = DMatrix<f64>> + '_ {
    const ROWS: usize = 256;
    (0..x.nrows()).step_by(ROWS).map(move |at| x.rows(at, ROWS.min(x.nrows() - at)).into_owned())
}

/// The mean of the rows, and the matrix X of the rows minus the mean, over √(n - 1): the covariance is XᵀX.
fn scaled(x: &DMatrix<f64>) -> (RowDVector<f64>, DMatrix<f64>) {
    let mean = x.row_mean();
    let mut centred = x.clone();
    centred.row_iter_mut().for_each(|mut row| row -= &mean);
    let scale = (x.nrows() as f64 - 1.0).sqrt();
    (mean, centred / scale)
}

/// The largest number of sweeps for an eigenvalue or a singular value, far above the two or three that one takes.
const SWEEPS: usize = 100;

/// The symmetric square root; eigenvalues that rounding left below 0 count as 0.
fn root(matrix: &DMatrix<f64>) -> Result<DMatrix<f64>> {
    let SymmetricEigen { eigenvectors, eigenvalues } = eigen(matrix.clone())?;
    let roots = DMatrix::from_diagonal(&eigenvalues.map(|v| v.max(0.0).sqrt()));
    Ok(&eigenvectors * roots * eigenvectors.transpose())
}

fn eigen(matrix: DMatrix<f64>) -> Result<SymmetricEigen<f64, nalgebra::Dyn>> {
    let most = SWEEPS * matrix.nrows().max(1);
    let symmetric = (&matrix + matrix.transpose()) * 0.5;
    SymmetricEigen::try_new(symmetric, f64::EPSILON, most)
        .ok_or_else(|| Error::Other("the eigenvalues of a covariance were not found".into()))
}

/// Checks that two sets can be compared; if not, fails as [`frechet`] does.
pub(super) fn check(a: &DMatrix<f64>, b: &DMatrix<f64>) -> Result<()> {
    if a.ncols() != b.ncols() || a.nrows().min(b.nrows()) < 2 {
        let (a, b) = (a.shape(), b.shape());
        return Err(Error::Other(format!("two sets need rows of one length and two items each, got {a:?} and {b:?}")));
    }
    if a.iter().chain(b.iter()).any(|v| !v.is_finite()) {
        let remedy = "go back to an earlier checkpoint; lower the sampler's step size";
        return Err(Error::diverged("samples or their features are not finite", remedy));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rand::Rng as _;
    use rand_distr::StandardNormal;

    use super::*;
    use crate::math::stats;
    use crate::rng::Key;

    fn normal(key: Key, rows: usize, columns: usize) -> DMatrix<f64> {
        let mut rng = key.rng();
        DMatrix::from_fn(rows, columns, |_, _| rng.sample::<f64, _>(StandardNormal))
    }

    /// Items of exactly this mean and covariance: ±√((2d - 1)/2) times the columns of a root of the covariance, around
    /// the mean.
    fn exact(mean: &[f64], root: &DMatrix<f64>) -> DMatrix<f64> {
        let d = mean.len();
        let scale = ((2 * d - 1) as f64 / 2.0).sqrt();
        DMatrix::from_fn(2 * d, d, |i, j| mean[j] + if i < d { scale } else { -scale } * root[(j, i % d)])
    }

    #[test]
    fn the_frechet_distance_of_gaussians_in_closed_form() {
        // Roots with commuting squares: Σ (√λ_a - √λ_b)² + |Δμ|².
        let turn = DMatrix::from_row_slice(2, 2, &[0.8, -0.6, 0.6, 0.8]);
        let of = |a: f64, b: f64| &turn * DMatrix::from_row_slice(2, 2, &[a, 0.0, 0.0, b]);
        let got = frechet(&exact(&[1.0, 2.0], &of(3.0, 1.0)), &exact(&[0.0, 4.0], &of(0.5, 2.0))).unwrap();
        assert!((got - (5.0 + 2.5f64.powi(2) + 1.0)).abs() < 1e-12, "{got}");
        // Of 2x2 matrices that do not commute: tr M^½ = √(tr M + 2 √det M), M = Σ_a Σ_b.
        let (ra, rb) = (DMatrix::from_row_slice(2, 2, &[1.0, 0.0, 2.0, 0.5]), of(2.0, 0.3));
        let (sa, sb) = (&ra * ra.transpose(), &rb * rb.transpose());
        let cross = ((&sa * &sb).trace() + 2.0 * (&sa * &sb).determinant().sqrt()).sqrt();
        let got = frechet(&exact(&[0.0; 2], &ra), &exact(&[0.0; 2], &rb)).unwrap();
        assert!((got - (sa.trace() + sb.trace() - 2.0 * cross)).abs() < 1e-12, "{got}");
    }

    #[test]
    fn the_frechet_distance_by_singular_values_and_of_a_set_to_itself() {
        // tr (Σ_a^½ Σ_b Σ_a^½)^½ is the sum of the singular values of A Bᵀ over √((n-1)(m-1)): also with fewer items
        // than dimensions, where covariances are singular.
        for (n, m, d) in [(40, 30, 6), (7, 9, 20)] {
            let (a, b) = (normal(Key::new(1), n, d), normal(Key::new(2), m, d) * 1.5);
            let centred = |x: &DMatrix<f64>| DMatrix::from_fn(x.nrows(), d, |i, j| x[(i, j)] - x.column(j).mean());
            let (ca, cb) = (centred(&a), centred(&b));
            let (wa, wb) = (n as f64 - 1.0, m as f64 - 1.0);
            let cross = (&ca * cb.transpose()).singular_values().sum() / (wa * wb).sqrt();
            let mean: f64 = (0..d).map(|j| (a.column(j).mean() - b.column(j).mean()).powi(2)).sum();
            let want = mean + ca.norm_squared() / wa + cb.norm_squared() / wb - 2.0 * cross;
            let got = frechet(&a, &b).unwrap();
            assert!((got - want).abs() < 1e-6 * want, "{got} and {want}");
            assert!(frechet(&a, &a).unwrap() < 1e-6 && (frechet(&b, &a).unwrap() - got).abs() < 1e-6 * want);
        }
    }

    #[test]
    fn roots_and_singular_values_agree() {
        for (n, m, d) in [(40, 30, 6), (7, 9, 20)] {
            let ((_, a), (_, b)) = (scaled(&normal(Key::new(1), n, d)), scaled(&(normal(Key::new(2), m, d) * 1.5)));
            let (roots, values) = (by_roots(&a, &b).unwrap(), by_singular_values(&a, &b).unwrap());
            assert!((roots - values).abs() < 1e-6 * values, "{roots} and {values}");
        }
    }

    #[test]
    fn rows_are_scaled_to_their_covariance() {
        let x = normal(Key::new(2), 30, 6);
        let (mean, scaled) = scaled(&x);
        let term = |i: usize| (x[(i, 1)] - mean[1]) * (x[(i, 3)] - mean[3]);
        let covariance = (0..30).map(term).sum::<f64>() / 29.0;
        assert!(((scaled.transpose() * &scaled)[(1, 3)] - covariance).abs() < 1e-12);
    }

    #[test]
    fn the_kernel_distance_is_its_definition_and_unbiased() {
        let (a, b) = (normal(Key::new(3), 300, 3), normal(Key::new(4), 270, 3).add_scalar(0.4));
        let k = |x: &DMatrix<f64>, i: usize, y: &DMatrix<f64>, j: usize| (x.row(i).dot(&y.row(j)) / 3.0 + 1.0).powi(3);
        let mean = |x: &DMatrix<f64>, y: &DMatrix<f64>, same: bool| {
            let pairs =
                (0..x.nrows()).flat_map(|i| (0..y.nrows()).map(move |j| (i, j))).filter(|(i, j)| !same || i != j);
            stats::mean(&pairs.map(|(i, j)| k(x, i, y, j)).collect::<Vec<_>>())
        };
        let want = mean(&a, &a, true) + mean(&b, &b, true) - 2.0 * mean(&a, &b, false);
        assert!((kernel_distance(&a, &b).unwrap() - want).abs() < 1e-12);
        let null = |i: u64| {
            let key = Key::new(5).at(i);
            kernel_distance(&normal(key.at(0), 12, 2), &normal(key.at(1), 9, 2)).unwrap()
        };
        let values: Vec<f64> = (0..2000).map(null).collect();
        let z = stats::mean(&values) / stats::std_error(&values);
        assert!(z.abs() < 4.0, "z = {z}");
    }

    #[test]
    fn coverage_is_its_definition() {
        let (real, samples, k) = (normal(Key::new(6), 40, 2), normal(Key::new(7), 30, 2).add_scalar(0.7), 3);
        let distance = |x: &DMatrix<f64>, i: usize, y: &DMatrix<f64>, j: usize| (x.row(i) - y.row(j)).norm();
        let reach = |x: &DMatrix<f64>, i: usize| {
            let mut all: Vec<f64> = (0..x.nrows()).filter(|j| *j != i).map(|j| distance(x, i, x, j)).collect();
            all.sort_by(f64::total_cmp);
            all[k - 1]
        };
        let holds = |x: &DMatrix<f64>, i: usize, y: &DMatrix<f64>, j: usize| distance(x, i, y, j) <= reach(x, i);
        let share = |n: usize, f: &dyn Fn(usize) -> bool| (0..n).filter(|i| f(*i)).count() as f64 / n as f64;
        let want = Coverage {
            precision: share(30, &|j| (0..40).any(|i| holds(&real, i, &samples, j))),
            recall: share(40, &|i| (0..30).any(|j| holds(&samples, j, &real, i))),
            density: (0..40)
                .flat_map(|i| (0..30).map(move |j| (i, j)))
                .filter(|&(i, j)| holds(&real, i, &samples, j))
                .count() as f64
                / (30 * k) as f64,
            coverage: share(40, &|i| (0..30).any(|j| holds(&real, i, &samples, j))),
        };
        assert_eq!(coverage(&real, &samples, k).unwrap(), want);
        assert!(want.precision < 1.0 && want.coverage < 0.9, "{want:?}");
        let own = coverage(&real, &real, k).unwrap();
        assert_eq!((own.precision, own.recall, own.coverage), (1.0, 1.0, 1.0));
        let far = coverage(&real, &samples.add_scalar(1e3), k).unwrap();
        assert_eq!(far, Coverage { precision: 0.0, recall: 0.0, density: 0.0, coverage: 0.0 });
    }

    #[test]
    fn equal_distributions_have_the_coverage_that_theory_says() {
        // Independent of the distribution (Naeem et al. 2020): E density = 1, and E coverage tends to 1 - 2^-k.
        let k = 2;
        let (covered, density): (Vec<f64>, Vec<f64>) = (0..40)
            .map(|i| {
                let key = Key::new(8).at(i);
                let found = coverage(&normal(key.at(0), 200, 2), &normal(key.at(1), 200, 2), k).unwrap();
                (found.coverage, found.density)
            })
            .unzip();
        // The k nearest of a real item among the other 199 + 200 are all real.
        let missed = (0..k).map(|i| (199 - i) as f64 / (399 - i) as f64).product::<f64>();
        let z = (stats::mean(&covered) - (1.0 - missed)) / stats::std_error(&covered);
        assert!(z.abs() < 4.0, "z = {z}");
        let z = (stats::mean(&density) - 1.0) / stats::std_error(&density);
        assert!(z.abs() < 4.0, "z = {z}");
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let x = normal(Key::new(1), 5, 2);
        assert!(frechet(&x, &normal(Key::new(1), 5, 3)).is_err() && frechet(&x, &normal(Key::new(1), 1, 2)).is_err());
        assert!(coverage(&x, &x, 5).unwrap_err().to_string().contains("more than 5"));
        let mut broken = x.clone();
        broken[(0, 0)] = f64::NAN;
        assert_eq!(kernel_distance(&broken, &x).unwrap_err().exit_code(), 3);
    }
}
