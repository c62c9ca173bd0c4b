//! Products of all orientations, transposes, maps, and what does not fit.

use super::*;

fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / 16777216.0 - 0.5
        })
        .collect()
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

fn naive(a: Matrix<'_, f32>, b: Matrix<'_, f32>) -> Vec<f64> {
    let at = |m: &Matrix<'_, f32>, i: usize, j: usize| m.data[i * m.strides[0] + j * m.strides[1]] as f64;
    let entry = |i, j| (0..a.columns).map(|k| at(&a, i, k) * at(&b, k, j)).sum::<f64>();
    (0..a.rows).flat_map(|i| (0..b.columns).map(move |j| (i, j))).map(|(i, j)| entry(i, j)).collect()
}

#[test]
fn products_of_all_orientations_agree_with_the_definition() {
    for [m, n, k] in [[1, 1, 1], [3, 5, 2], [17, 1, 9], [1, 23, 40], [33, 18, 65], [4, 4, 0]] {
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        for (a, b) in [
            (Matrix::rows(&a, m, k).unwrap(), Matrix::rows(&b, k, n).unwrap()),
            (Matrix::rows(&a, k, m).unwrap().t(), Matrix::rows(&b, n, k).unwrap().t()),
        ] {
            let want = naive(a, b);
            let got = product(a, b, Threads::One).unwrap();
            assert!(got.iter().zip(&want).all(|(g, w)| (*g as f64 - w).abs() < 1e-5), "{m} {n} {k}");
            let mut sum = vec![1f32; m * n];
            product_into(&mut sum, [n, 1], true, a, b, Threads::One).unwrap();
            assert!(sum.iter().zip(&want).all(|(g, w)| (*g as f64 - 1.0 - w).abs() < 1e-5), "{m} {n} {k}");
        }
    }
}

#[test]
fn one_and_two_threads_give_the_same_bytes() {
    for [m, n, k] in [[128, 1000, 784], [1000, 784, 256], [256, 1000, 1000], [200, 300, 300], [4096, 64, 576]] {
        let (a, b) = (numbers(m * k, 3), numbers(k * n, 4));
        for transposed in [false, true] {
            let run = || {
                let a = Matrix::rows(&a, m, k).unwrap();
                let b = if transposed { Matrix::rows(&b, n, k).unwrap().t() } else { Matrix::rows(&b, k, n).unwrap() };
                product(a, b, Threads::Pool).unwrap()
            };
            let (one, two) = (pool(1).install(run), pool(2).install(run));
            assert!(one.iter().zip(&two).all(|(a, b)| a.to_bits() == b.to_bits()), "{m} {n} {k}");
        }
    }
}

#[test]
fn transposes_exchange_rows_and_columns() {
    for (rows, columns) in [(1, 1), (3, 40), (40, 3), (17, 33), (0, 5)] {
        let x: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
        let want: Vec<f32> = (0..columns).flat_map(|j| (0..rows).map(move |i| (i * columns + j) as f32)).collect();
        assert_eq!(transposed(&x, rows, columns), want, "{rows}x{columns}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let data = [0f32; 12];
    assert!(Matrix::rows(&data, 3, 4).is_ok());
    assert!(Matrix::rows(&data, 4, 4).is_err());
    assert!(Matrix::new(&data, [2, 2], [usize::MAX, 1]).is_err());
    let (a, b) = (Matrix::rows(&data, 3, 4).unwrap(), Matrix::rows(&data, 3, 4).unwrap());
    assert!(product(a, b, Threads::One).is_err());
    let mut dst = [0f32; 8];
    assert!(product_into(&mut dst, [3, 1], false, a, b.t(), Threads::One).is_err());
    let mut dst = [0f32; 9];
    assert!(product_into(&mut dst, [1, 1], false, a, b.t(), Threads::One).is_err());
    assert!(map([&data[..], &data[..3]], |[a, b]| [a + b]).is_err());
}

#[test]
fn maps_fill_planes_and_do_not_depend_on_threads() {
    let x = numbers(100_001, 5);
    let run = || map([&x[..]], |[x]| [x + 1.0, x * 2.0]).unwrap();
    let (one, two) = (pool(1).install(run), pool(2).install(run));
    assert_eq!(one, two);
    let want: Vec<f32> = x.iter().map(|x| x + 1.0).chain(x.iter().map(|x| x * 2.0)).collect();
    assert_eq!(one, want);
}
