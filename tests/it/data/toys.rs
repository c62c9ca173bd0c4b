//! The two-dimensional recipes against their moments in closed form, and the known densities against quadrature.

use crate::data::support::{try_open, values};
use candle_core::{DType, Device, Tensor};
use ebm::data::Split;
use std::f64::consts::{PI, TAU};

const N: usize = 40_000;

fn points(name: &str) -> Vec<[f64; 2]> {
    let x = try_open(name, "").unwrap().all(Split::Test, N).unwrap().x;
    values(&x).chunks(2).map(|p| [p[0], p[1]]).collect()
}

/// How many standard errors the mean of `f` over the points is from `want`.
fn z(points: &[[f64; 2]], f: impl Fn(&[f64; 2]) -> f64, want: f64) -> f64 {
    let n = points.len() as f64;
    let mean = points.iter().map(&f).sum::<f64>() / n;
    let var = points.iter().map(|p| (f(p) - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean - want) / (var / n).sqrt()
}

fn assert_mean(name: &str, what: &str, f: impl Fn(&[f64; 2]) -> f64, want: f64) {
    let z = z(&points(name), f, want);
    assert!(z.abs() < 4.0, "{name}, {what}: z = {z}");
}

fn square(p: &[f64; 2]) -> f64 {
    p[0] * p[0] + p[1] * p[1]
}

/// Pearson's statistic against equal counts, as a z-score (Wilson and Hilferty's cube root).
fn evenness(counts: &[f64]) -> f64 {
    let expected = counts.iter().sum::<f64>() / counts.len() as f64;
    let chi2: f64 = counts.iter().map(|c| (c - expected).powi(2) / expected).sum();
    let k = counts.len() as f64 - 1.0;
    ((chi2 / k).cbrt() - (1.0 - 2.0 / (9.0 * k))) / (2.0 / (9.0 * k)).sqrt()
}

fn counts(name: &str, bins: usize, bin: impl Fn(&[f64; 2]) -> usize) -> Vec<f64> {
    let mut counts = vec![0.0; bins];
    points(name).iter().for_each(|p| counts[bin(p)] += 1.0);
    counts
}

/// ∫ f over [a, b], midpoint rule.
fn integral(a: f64, b: f64, f: impl Fn(f64) -> f64) -> f64 {
    let n = 100_000;
    let h = (b - a) / n as f64;
    (0..n).map(|i| f(a + (i as f64 + 0.5) * h)).sum::<f64>() * h
}

#[test]
fn centres_are_the_middle_of_symmetric_sets() {
    for name in ["8gaussians", "25gaussians", "2spirals", "rings", "circles", "pinwheel"] {
        assert_mean(name, "x", |p| p[0], 0.0);
        assert_mean(name, "y", |p| p[1], 0.0);
    }
    // Arcs (0, 2/π) and (1, ½ - 2/π) on average, then ×2 and moved by (-1, -0.2).
    assert_mean("moons", "x", |p| p[0], 0.0);
    assert_mean("moons", "y", |p| p[1], 0.3);
    assert_mean("cos", "odd", |p| p[1], 0.0);
}

#[test]
fn squared_radii_are_those_of_the_recipes() {
    assert_mean("8gaussians", "|x|²", square, (16.0 + 0.5) / 1.414f64.powi(2));
    assert_mean("25gaussians", "|x|²", square, 2.0 * (2.0 * 1.5 * 1.5 + 0.15 * 0.15));
    assert_mean("rings", "|x|²", square, 0.75 * 0.75 * 30.0 / 4.0 + 2.0 * 0.08 * 0.08);
    assert_mean("circles", "|x|²", square, 9.0 * (1.25 / 2.0 + 2.0 * 0.08 * 0.08));
    assert_mean("pinwheel", "|x|²", square, 4.0 * (1.0 + 0.09 + 0.01));
    let (a, b) = (1.5 * PI, 4.5 * PI);
    assert_mean("swissroll", "|x|²", square, ((b.powi(3) - a.powi(3)) / (3.0 * (b - a)) + 2.0) / 25.0);
    let r = |f: fn(f64) -> f64| integral(0.0, 3.0 * PI, |r| f(r) * 2.0 * r / (9.0 * PI * PI));
    let arm = r(|r| r * r) + 0.5 * r(|r| r * (r.sin() - r.cos())) + 0.5 / 3.0;
    assert_mean("2spirals", "|x|²", square, arm / 9.0 + 2.0 * 0.01);
    assert_mean("cos", "x²", |p| p[0] * p[0], 6.25 / 3.0 + 0.01);
}

#[test]
fn every_part_has_its_share() {
    let sector = |p: &[f64; 2]| ((p[1].atan2(p[0]) / TAU * 8.0).round() as i64).rem_euclid(8) as usize;
    let ring = |p: &[f64; 2]| (square(p).sqrt() / 0.75).round().clamp(1.0, 4.0) as usize - 1;
    let cell = |p: &[f64; 2]| {
        let [i, j] = p.map(|c| (c / 1.5 + 2.0).round().clamp(0.0, 4.0) as usize);
        5 * i + j
    };
    // Column 0..4, then the upper or lower dark square of it.
    let dark = |p: &[f64; 2]| 2 * (p[0] / 2.0 + 2.0).floor().min(3.0) as usize + usize::from(p[1] >= 0.0);
    let tallies = [
        counts("8gaussians", 8, sector),
        counts("rings", 4, ring),
        counts("25gaussians", 25, cell),
        counts("checkerboard", 8, dark),
        counts("circles", 2, |p| usize::from(square(p).sqrt() > 2.25)),
    ];
    for tally in tallies {
        assert!(evenness(&tally) < 4.0, "{tally:?}");
    }
}

#[test]
fn the_spirals_and_the_wave_are_thin() {
    // Undo the wave: what is left across it is noise of 0.1 in both coordinates, slope at most 2.5.
    let far = points("cos").iter().filter(|p| (p[1] - 2.5 * p[0].sin()).abs() > 6.0 * 0.1 * 1f64.hypot(2.5)).count();
    assert_eq!(far, 0);
    // Pinwheel: the arm's own turn undone, angles cluster at multiples of 2π/5.
    let off = |p: &[f64; 2]| {
        let radial = square(p).sqrt() / 2.0;
        let turn = (-p[1]).atan2(p[0]) - 0.25 * radial.exp();
        (turn * 5.0 / TAU - (turn * 5.0 / TAU).round()).abs()
    };
    let near = points("pinwheel").iter().filter(|p| square(p) > 1.0 && off(p) < 0.25).count() as f64;
    let all = points("pinwheel").iter().filter(|p| square(p) > 1.0).count() as f64;
    assert!(near / all > 0.98, "{}", near / all);
}

/// Midpoints of a grid of 1152² cells on [-4.5, 4.5]², which the squares and pixels of the sets are aligned with.
fn grid() -> (Tensor, f64) {
    let n = 1152;
    let h = 9.0 / f64::from(n);
    let at = |i: u32| -4.5 + (f64::from(i) + 0.5) * h;
    let all: Vec<f64> = (0..n * n).flat_map(|k| [at(k / n), at(k % n)]).collect();
    (Tensor::from_vec(all, ((n * n) as usize, 2), &Device::Cpu).unwrap(), h * h)
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn known_densities_integrate_to_one_and_are_those_of_the_draws() {
    let (grid, area) = grid();
    let cases = [
        ("8gaussians", "", 1e-5),
        ("25gaussians", "", 1e-6),
        ("mixture", "offset = 1.5\nstd = 0.4", 1e-6),
        ("checkerboard", "", 1e-9),
        ("image2d", "", 1e-9),
        ("image2d", "invert = true", 1e-9),
        ("gaussian", "mean = [0.5, -1.0]\nstd = [0.3, 0.6]", 1e-6),
    ];
    for (name, keys, tolerance) in cases {
        let data = try_open(name, keys).unwrap();
        let logs = values(&data.log_density(&grid).unwrap().unwrap());
        let mass: f64 = logs.iter().map(|l| l.exp()).sum::<f64>() * area;
        assert!((mass - 1.0).abs() < tolerance, "{name}: mass {mass}");
        let neg_entropy: f64 = logs.iter().filter(|l| l.is_finite()).map(|l| l.exp() * l).sum::<f64>() * area;
        let x = data.all(Split::Test, N).unwrap().x;
        let drawn = values(&data.log_density(&x).unwrap().unwrap());
        assert!(drawn.iter().all(|l| l.is_finite()), "{name}: a draw where the density is 0");
        let (n, mean) = (N as f64, drawn.iter().sum::<f64>() / N as f64);
        let std = (drawn.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / n).sqrt();
        let error = 4.0 * std / n.sqrt() + 10.0 * tolerance;
        assert!((mean - neg_entropy).abs() < error, "{name}: {mean} against {neg_entropy}");
    }
}

#[test]
fn blurred_or_unknown_densities_are_not_claimed() {
    let x = Tensor::zeros((3, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
    assert!(try_open("8gaussians", "noise = 0.1").unwrap().log_density(&x).unwrap().is_none());
    assert!(try_open("moons", "").unwrap().log_density(&x).unwrap().is_none());
}

#[test]
fn a_picture_of_ones_own_shapes_the_density() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("half.png");
    // Left half black, right half white, twice as wide as high.
    image::GrayImage::from_fn(8, 4, |x, _| image::Luma([if x < 4 { 0 } else { 255 }])).save(&path).unwrap();
    let data = try_open("image2d", &format!("path = {path:?}")).unwrap();
    let x = values(&data.all(Split::Train, 2000).unwrap().x);
    assert!(x.chunks(2).all(|p| (0.0..=4.0).contains(&p[0]) && p[1].abs() <= 2.0));
    std::fs::write(&path, b"no picture").unwrap();
    assert_eq!(try_open("image2d", &format!("path = {path:?}")).err().unwrap().exit_code(), 4);
}

#[test]
fn contradictions_are_refused() {
    let error = try_open("gaussian", "dim = 3\nmean = [1.0, 2.0]").err().unwrap();
    assert!(error.exit_code() == 2 && error.to_string().contains("dataset.mean"), "{error}");
}

#[test]
fn known_scores_are_the_slopes_of_the_known_densities() {
    let mixture = ("mixture", "weights = [0.2, 0.5, 0.3]\ncentres = [[0.0], [1.0, 1.0], [0.0, -2.0]]");
    let sets = [("8gaussians", ""), ("25gaussians", ""), mixture, ("gaussian", "mean = [0.5, -1.0]\nstd = [2.0, 0.3]")];
    for (name, keys) in sets {
        let data = try_open(name, keys).unwrap();
        let x = data.all(Split::Test, 50).unwrap().x.to_dtype(DType::F64).unwrap();
        let score = data.score(&x).unwrap().unwrap();
        for axis in [[1.0, 0.0], [0.0, 1.0f64]] {
            let axis = Tensor::new(&axis, &Device::Cpu).unwrap();
            let at = |h: f64| {
                let moved = x.broadcast_add(&(&axis * h).unwrap()).unwrap();
                data.log_density(&moved).unwrap().unwrap()
            };
            let h = 1e-4;
            let slope = ((at(h) - at(-h)).unwrap() * 8.0 - (at(2.0 * h) - at(-2.0 * h)).unwrap()).unwrap();
            let slope = values(&(slope / (12.0 * h)).unwrap());
            for (a, b) in slope.into_iter().zip(values(&score.broadcast_mul(&axis).unwrap().sum(1).unwrap())) {
                assert!((a - b).abs() < 1e-6 * (1.0 + a.abs()), "{name}: {a}, {b}");
            }
        }
    }
}

#[test]
fn where_noise_blurs_or_no_formula_is_known_there_is_no_score() {
    let origin = Tensor::zeros((1, 2), DType::F32, &Device::Cpu).unwrap();
    for (name, keys) in [("moons", ""), ("gaussian", "noise = 0.1")] {
        assert!(try_open(name, keys).unwrap().score(&origin).unwrap().is_none(), "{name}");
    }
}
