//! Values against definitions written out with loops, in f64; verdicts on data from the model and off it.

use candle_core::{DType, Device, Tensor};

use super::estimate::Statistic;
use super::features::{Features, Moments};
use super::ksd::{Ksd, KsdConfig};
use super::lksd::Lksd;
use super::*;
use crate::density::Gaussian;
use crate::nets::Builder;

const CPU: Device = Device::Cpu;

/// n points of N(0, I_d) with the scores of N(shift, std²), f64.
fn sample(n: usize, d: usize, shift: f64, std: f64, key: u64) -> Scored {
    let model = Gaussian::new(&[d], shift, std, &Builder::new(Key::new(0), DType::F64, &CPU)).unwrap();
    Scored::new(&model, Key::new(key).normal((n, d), DType::F64, &CPU).unwrap()).unwrap()
}

fn rows(t: &Tensor) -> Vec<Vec<f64>> {
    t.to_vec2().unwrap()
}

const KERNELS: [(Radial, f64); 2] = [(Radial::Rbf, 1.3), (Radial::Imq, 0.8)];
const BETA: f64 = -0.5;

/// k(x, y), by its name's formula.
fn k(radial: Radial, sigma: f64, x: &[f64], y: &[f64]) -> f64 {
    let square: f64 = x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum();
    match radial {
        Radial::Rbf => (-square / (2.0 * sigma * sigma)).exp(),
        Radial::Imq => (1.0 + square / (sigma * sigma)).powf(BETA),
    }
}

/// h_p(x, y) = k s_x·s_y + s_x·∇_y k + s_y·∇_x k + tr ∇_x∇_y k, every derivative of k by central differences.
fn h(radial: Radial, sigma: f64, [x, sx]: [&[f64]; 2], [y, sy]: [&[f64]; 2]) -> f64 {
    const H: f64 = 1e-3;
    let moved = |v: &[f64], c: usize, by: f64| {
        let mut v = v.to_vec();
        v[c] += by;
        v
    };
    let k = |x: &[f64], y: &[f64]| k(radial, sigma, x, y);
    // Fourth order.
    let slope = |f: &dyn Fn(f64) -> f64| (8.0 * (f(H) - f(-H)) - (f(2.0 * H) - f(-2.0 * H))) / (12.0 * H);
    let mut total = 0.0;
    for c in 0..x.len() {
        total += k(x, y) * sx[c] * sy[c];
        total += sx[c] * slope(&|t| k(x, &moved(y, c, t)));
        total += sy[c] * slope(&|t| k(&moved(x, c, t), y));
        total += slope(&|t| slope(&|u| k(&moved(x, c, t), &moved(y, c, u))));
    }
    total
}

#[test]
fn ksd_is_the_mean_of_the_stein_kernel_over_pairs() {
    let sample = sample(12, 3, 0.4, 1.5, 1);
    let (x, s) = (rows(&sample.x), rows(&sample.score));
    for (kernel, sigma) in KERNELS {
        for statistic in [Statistic::U, Statistic::V] {
            let own = matches!(statistic, Statistic::V);
            let (mut total, mut pairs) = (0.0, 0);
            for i in 0..12 {
                for j in (0..12).filter(|j| own || *j != i) {
                    total += h(kernel, sigma, [&x[i], &s[i]], [&x[j], &s[j]]);
                    pairs += 1;
                }
            }
            let want = total / f64::from(pairs);
            let config = KsdConfig { statistic, ..Default::default() };
            let got = Ksd { config, kernel: fixed(kernel, sigma) }.weigh(&sample, Key::new(2)).unwrap();
            assert!((got.discrepancy - want).abs() < 1e-7, "{kernel:?} {statistic:?}: {got:?}, by hand {want}");
            assert_eq!(got.statistic, 12.0 * got.discrepancy);
        }
    }
}

fn fixed(kernel: Radial, sigma: f64) -> KernelConfig {
    KernelConfig { kernel, beta: BETA, bandwidth: Bandwidth::Fixed(sigma), ..Default::default() }
}

#[test]
fn the_p_value_of_u_and_v_is_the_same() {
    let sample = sample(60, 4, 0.1, 1.0, 3);
    let p = |statistic| {
        let test = Ksd { config: KsdConfig { statistic, ..Default::default() }, ..Default::default() };
        test.weigh(&sample, Key::new(2)).unwrap().p_value
    };
    assert_eq!(p(Statistic::U), p(Statistic::V));
}

#[test]
fn lksd_is_the_mean_over_pairs_half_the_sample_apart() {
    let sample = sample(13, 3, 0.4, 1.5, 1);
    let (x, s) = (rows(&sample.x), rows(&sample.score));
    for (kernel, sigma) in KERNELS {
        let pair = |i: usize| h(kernel, sigma, [&x[i], &s[i]], [&x[i + 6], &s[i + 6]]);
        let values: Vec<f64> = (0..6).map(pair).collect();
        let (mean, square) = (values.iter().sum::<f64>() / 6.0, values.iter().map(|v| v * v).sum::<f64>() / 6.0);
        let got = Lksd { kernel: fixed(kernel, sigma), ..Default::default() }.weigh(&sample, Key::new(2)).unwrap();
        assert!((got.statistic - 6f64.sqrt() * mean).abs() < 1e-7, "{kernel:?}: {got:?}, by hand {mean}");
        let p = crate::math::erfc(6f64.sqrt() * mean / square.sqrt() / 2f64.sqrt()) / 2.0;
        assert!((got.p_value - p).abs() < 1e-7);
    }
}

/// Features of three locations in two dimensions.
fn features(radial: Radial, sigma: f64) -> Features {
    let kernel = SteinKernel { radial, beta: BETA, scale: sigma * sigma };
    Features { kernel, locations: vec![0.3, -0.2, 1.1, 0.4, -0.9, 0.7] }
}

#[test]
fn fssd_is_the_mean_product_of_features_of_different_items() {
    let (n, sample) = (9, sample(9, 2, 0.4, 1.5, 1));
    let (x, s) = (rows(&sample.x), rows(&sample.score));
    let points = PointSet::new("test", &sample, 2).unwrap();
    for (radial, sigma) in KERNELS {
        let features = features(radial, sigma);
        let tau = features.at(&points);
        let xi = |i: usize, v: &[f64], c: usize| {
            let moved = |by: f64| {
                let mut x = x[i].clone();
                x[c] += by;
                k(radial, sigma, &x, v)
            };
            s[i][c] * moved(0.0) + (8.0 * (moved(1e-3) - moved(-1e-3)) - (moved(2e-3) - moved(-2e-3))) / 12e-3
        };
        let mut total = 0.0;
        for v in features.locations.chunks(2) {
            for c in 0..2 {
                for i in 0..n {
                    for j in (0..n).filter(|j| *j != i) {
                        total += xi(i, v, c) * xi(j, v, c) / 6.0;
                    }
                }
            }
        }
        let want = total / (n * (n - 1)) as f64;
        let got = Moments::of(&tau, n).fssd;
        assert!((got - want).abs() < 1e-9, "{radial:?}: {got}, by hand {want}");
    }
}

#[test]
fn slopes_of_the_criterion_are_its_derivatives() {
    let points = PointSet::new("test", &sample(30, 2, 0.4, 1.5, 1), 2).unwrap();
    for (radial, sigma) in KERNELS {
        let at = features(radial, sigma);
        let (value, [width, places]) = at.criterion_and_slopes(&points);
        assert_eq!(value, at.criterion(&points));
        let difference = |f: &dyn Fn(f64) -> f64| (f(1e-5) - f(-1e-5)) / 2e-5;
        let wider = |by: f64| features(radial, sigma * by.exp()).criterion(&points);
        let close = |got: f64, want: f64| assert!((got - want).abs() < 1e-8, "{radial:?}: {got} and {want}");
        close(width[0], difference(&wider));
        for (i, got) in places.iter().enumerate() {
            let moved = |by: f64| {
                let mut features = features(radial, sigma);
                features.locations[i] += by;
                features.criterion(&points)
            };
            close(*got, difference(&moved));
        }
    }
}

#[test]
fn the_error_of_ksd_is_the_jackknifes_over_the_items() {
    let all = sample(14, 3, 0.4, 1.5, 1);
    for statistic in [Statistic::U, Statistic::V] {
        let test =
            Ksd { config: KsdConfig { statistic, ..Default::default() }, kernel: fixed(KERNELS[1].0, KERNELS[1].1) };
        let left = |i: u32| {
            let rows: Vec<u32> = (0..14).filter(|j| *j != i).collect();
            test.weigh(&all.rows(&rows).unwrap(), Key::new(2)).unwrap().discrepancy
        };
        let left: Vec<f64> = (0..14).map(left).collect();
        let want = 13.0 * crate::math::stats::std_error(&left);
        let got = test.weigh(&all, Key::new(2)).unwrap().std_error;
        assert!((got / want - 1.0).abs() < 1e-9, "{statistic:?}: {got}, by hand {want}");
    }
}

#[test]
fn the_error_of_ksd_is_its_spread_and_an_outlier_alone_does_not_make_it() {
    let test = Ksd { config: KsdConfig { replicates: 1, ..Default::default() }, kernel: fixed(Radial::Rbf, 1.3) };
    let found: Vec<Evidence> =
        (0..200).map(|key| test.weigh(&sample(60, 2, 0.5, 1.0, key), Key::new(2)).unwrap()).collect();
    let of = |pick: fn(&Evidence) -> f64| found.iter().map(pick).collect::<Vec<_>>();
    let (spread, error) =
        (crate::math::stats::std(&of(|e| e.discrepancy)), crate::math::stats::mean(&of(|e| e.std_error)));
    // The spread of 200 is known to 5 %.
    assert!((error / spread - 1.0).abs() < 0.2, "{error}, spread {spread}");
    let plain = sample(200, 1, 0.0, 1.0, 5);
    let model = Gaussian::new(&[1], 0.0, 1.0, &Builder::new(Key::new(0), DType::F64, &CPU)).unwrap();
    let far = Tensor::cat(&[&plain.x, &Tensor::full(50.0, (1, 1), &CPU).unwrap()], 0).unwrap();
    let far = Scored::new(&model, far).unwrap();
    let [plain, far] = [plain, far].map(|sample| test.weigh(&sample, Key::new(2)).unwrap());
    assert!((far.std_error / plain.std_error - 1.0).abs() < 0.05, "{plain:?} {far:?}");
}
