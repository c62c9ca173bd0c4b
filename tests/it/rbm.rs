//! The RBM against quadrature, finite differences, and draws from its exact mixture, by z-scores at fixed seeds.

use std::collections::BTreeMap;

use crate::data::support::{try_open, values};
use candle_core::{DType, Device, Tensor, Var};
use ebm::data::{RbmTruth, Split};
use ebm::density::{Capabilities as _, Context, Density, Energy, Rbm, RbmConfig, RbmInit};
use ebm::math::stats;
use ebm::nets::Builder;
use ebm::probes::fisher::divergence;
use ebm::rng::Key;
use ebm::samplers::{Gibbs, Kernel, Target};

const CPU: Device = Device::Cpu;

fn config(hidden: usize, perturb: f64) -> RbmConfig {
    RbmConfig { hidden, init: RbmInit::Paper, matrix_seed: 3, perturb, perturb_seed: None }
}

fn context(shape: &[usize]) -> Context<'static> {
    Context { shape: shape.to_vec(), classes: None, moments: None }
}

fn rbm(visible: usize, hidden: usize) -> Rbm {
    Rbm::new(&config(hidden, 0.1), &context(&[visible]), &Builder::new(Key::new(1), DType::F64, &CPU)).unwrap()
}

/// As the paper has it, on given tensors.
fn on(b: &[f64], weights: &[f64], c: &[f64]) -> Rbm {
    let tensor = |v: &[f64], shape: &[usize]| Tensor::from_slice(v, shape, &CPU).unwrap();
    let tensors: BTreeMap<String, Tensor> = [
        ("weights".to_owned(), tensor(weights, &[b.len(), c.len()])),
        ("visible_bias".to_owned(), tensor(b, &[b.len()])),
        ("hidden_bias".to_owned(), tensor(c, &[c.len()])),
    ]
    .into();
    let builder = Builder::bound(tensors, DType::F64, &CPU);
    Rbm::new(&config(c.len(), 0.0), &context(&[b.len()]), &builder).unwrap()
}

fn normal(seed: u64, shape: &[usize]) -> Tensor {
    Key::new(seed).normal(shape.to_vec(), DType::F64, &CPU).unwrap()
}

/// z-score of the mean of `x` against `want`.
fn z(x: &[f64], want: f64) -> f64 {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let var = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean - want) / (var / n).sqrt()
}

/// Every column's z-score is below 4.5 (a chance of 1 in 10⁵ a column under the null).
fn assert_means(what: &str, columns: &Tensor, want: &Tensor) {
    let columns = columns.t().unwrap().to_vec2::<f64>().unwrap();
    for (i, (column, want)) in columns.iter().zip(values(want)).enumerate() {
        let z = z(column, want);
        assert!(z.abs() < 4.5, "{what}, entry {i}: z = {z:.2}");
    }
}

/// All products xᵢxⱼ, `[N, D²]`.
fn products(x: &Tensor) -> Tensor {
    let (n, d) = x.dims2().unwrap();
    let (a, b) = (x.unsqueeze(2).unwrap(), x.unsqueeze(1).unwrap());
    a.broadcast_mul(&b).unwrap().reshape((n, d * d)).unwrap()
}

#[test]
fn the_normaliser_is_that_of_quadrature() {
    let p = rbm(2, 5);
    let (n, reach) = (600, 14.0);
    let h = 2.0 * reach / n as f64;
    let at = |i: usize| (i as f64 + 0.5) * h - reach;
    let points: Vec<f64> = (0..n).flat_map(|i| (0..n).flat_map(move |j| [at(i), at(j)])).collect();
    let x = Tensor::from_vec(points, (n * n, 2), &CPU).unwrap();
    let mass: f64 = values(&p.energy(&x).unwrap()).iter().map(|e| (-e).exp()).sum::<f64>() * h * h;
    let log_z: f64 = p.log_z_exact().unwrap().to_scalar().unwrap();
    assert!((mass.ln() - log_z).abs() < 1e-9, "{} by quadrature, {log_z} in closed form", mass.ln());
    let total: f64 = values(&p.log_prob(&x).unwrap()).iter().map(|l| l.exp()).sum::<f64>() * h * h;
    assert!((total - 1.0).abs() < 1e-9, "{total}");
}

#[test]
fn pieces_of_the_sum_over_states_add_up() {
    // Without weights the hidden units are independent: Z = (2π)^{D/2} exp(½|b|²) Π 2cosh(cⱼ); 2¹⁶ states in 4 pieces.
    let c: Vec<f64> = (0..16).map(|j| 0.3 * f64::from(j) - 2.0).collect();
    let log_z: f64 = on(&[0.5, -1.0], &[0.0; 32], &c).log_z_exact().unwrap().to_scalar().unwrap();
    let want = std::f64::consts::TAU.ln() + 0.5 * 1.25 + c.iter().map(|c| (2.0 * c.cosh()).ln()).sum::<f64>();
    assert!((log_z - want).abs() < 1e-11, "{log_z} and {want}");
    let refused = rbm(2, 21).log_z_exact().unwrap_err();
    assert!(refused.to_string().contains("2^21") && refused.exit_code() == 2, "{refused}");
    assert!(rbm(2, 16).density().is_some() && rbm(2, 17).density().is_none());
}

#[test]
fn far_out_nothing_overflows() {
    let truth = RbmTruth::new(3, 2, 0);
    let p = on(&truth.visible_bias, &truth.weights, &truth.hidden_bias);
    let x = Tensor::new(&[[1e4f64, -2.5e4, 3e4], [-1e4, 2.5e4, -3e4]], &CPU).unwrap();
    let (energy, grad) = p.grad(&x).unwrap();
    for (row, (e, g)) in
        [[1e4, -2.5e4, 3e4], [-1e4, 2.5e4, -3e4]].iter().zip(values(&energy).iter().zip(grad.to_vec2::<f64>().unwrap()))
    {
        // log 2cosh(a) is |a| and its slope sign(a) there.
        let score = truth.score(row);
        let field =
            |j: usize| 0.5 * (0..3).map(|i| truth.weights[2 * i + j] * row[i]).sum::<f64>() + truth.hidden_bias[j];
        let plain: f64 = row.iter().zip(&truth.visible_bias).map(|(x, b)| 0.5 * x * x - b * x).sum();
        let want = plain - field(0).abs() - field(1).abs();
        assert!((e - want).abs() < 1e-6 && e.is_finite(), "{e} and {want}");
        assert!(score.iter().zip(&g).all(|(s, g)| (s + g).abs() < 1e-9), "{score:?} {g:?}");
    }
}

#[test]
fn curvature_is_the_second_derivative_along_v() {
    let p = rbm(6, 4);
    let (x, v) = (normal(1, &[5, 6]), normal(2, &[5, 6]));
    let [energy, slope, bend] = p.curvature(&x, &v).unwrap().map(|t| values(&t));
    let along = |h: f64| values(&p.energy(&(&x + (&v * h).unwrap()).unwrap()).unwrap());
    let h = 1e-3;
    let steps: Vec<Vec<f64>> = [-2.0, -1.0, 0.0, 1.0, 2.0].map(|k| along(k * h)).into();
    for i in 0..5 {
        let e = |k: usize| steps[k][i];
        let first = (e(0) - 8.0 * e(1) + 8.0 * e(3) - e(4)) / (12.0 * h);
        let second = (-e(0) + 16.0 * e(1) - 30.0 * e(2) + 16.0 * e(3) - e(4)) / (12.0 * h * h);
        assert!((energy[i] - e(2)).abs() < 1e-12);
        assert!((slope[i] - first).abs() < 1e-8, "{} and {first}", slope[i]);
        assert!((bend[i] - second).abs() < 1e-6 * (1.0 + second.abs()), "{} and {second}", bend[i]);
    }
}

/// A scalar of an RBM on given parameters.
type Scalar = fn(&Rbm, &Tensor, &Tensor) -> Tensor;

#[test]
fn everything_is_differentiable_in_the_parameters() {
    let quantities: [(&str, Scalar); 5] = [
        ("energy", |p, x, _| p.energy(x).unwrap().sum_all().unwrap()),
        ("grad", |p, x, _| p.grad(x).unwrap().1.sqr().unwrap().sum_all().unwrap()),
        ("directional", |p, x, v| p.directional(x, v).unwrap().1.sum_all().unwrap()),
        ("curvature", |p, x, v| p.curvature(x, v).unwrap()[2].sum_all().unwrap()),
        ("log Z", |p, _, _| p.log_z_exact().unwrap()),
    ];
    let (x, v) = (normal(1, &[5, 3]), normal(2, &[5, 3]));
    let start: [(&str, Vec<f64>); 3] = [
        ("weights", values(&normal(3, &[12]))),
        ("visible_bias", values(&normal(4, &[3]))),
        ("hidden_bias", values(&normal(5, &[4]))),
    ];
    let shape =
        |name: &str| if name == "weights" { vec![3, 4] } else { vec![if name == "visible_bias" { 3 } else { 4 }] };
    let build = |vars: &BTreeMap<String, Var>| {
        let tensors = vars.iter().map(|(k, v)| (k.clone(), v.as_tensor().clone())).collect();
        Rbm::new(&config(4, 0.0), &context(&[3]), &Builder::bound(tensors, DType::F64, &CPU)).unwrap()
    };
    let vars = |moved: &str, i: usize, h: f64| -> BTreeMap<String, Var> {
        let var = |(name, v): &(&str, Vec<f64>)| {
            let mut v = v.clone();
            if *name == moved {
                v[i] += h;
            }
            (name.to_string(), Var::from_tensor(&Tensor::from_vec(v, shape(name), &CPU).unwrap()).unwrap())
        };
        start.iter().map(var).collect()
    };
    for (what, f) in quantities {
        let still = vars("", 0, 0.0);
        let grads = f(&build(&still), &x, &v).backward().unwrap();
        for (name, numbers) in &start {
            let zeros = still[*name].zeros_like().unwrap();
            let grad = values(grads.get(&still[*name]).unwrap_or(&zeros));
            assert_eq!(grad.len(), numbers.len());
            for (i, slope) in grad.into_iter().enumerate() {
                let at = |h: f64| f(&build(&vars(name, i, h)), &x, &v).to_scalar::<f64>().unwrap();
                let h = 1e-3;
                let difference = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
                let close = (difference - slope).abs() < 1e-7 * (1.0 + difference.abs());
                assert!(close, "{what}, {name}[{i}]: {difference}, {slope}");
            }
        }
    }
}

#[test]
fn steins_and_fishers_identities_hold_on_exact_draws() {
    let p = rbm(4, 3);
    let x = p.sample(Key::new(8), 20_000).unwrap();
    let grad = p.grad(&x).unwrap().1;
    let zeros = Tensor::zeros(16, DType::F64, &CPU).unwrap();
    assert_means("E[s] = 0", &grad, &zeros);
    // E[s sᵀ] = -E[∇s], row by row of ∇²E by polarisation along the axes.
    let axis = |i: usize| {
        let mut row = vec![0.0; 4];
        row[i] = 1.0;
        Tensor::from_vec(row, (1, 4), &CPU).unwrap().broadcast_as(x.shape()).unwrap().contiguous().unwrap()
    };
    let bend = |v: &Tensor| p.curvature(&x, v).unwrap()[2].clone();
    let hessian: Vec<Tensor> = (0..16)
        .map(|k| {
            let (a, b) = (axis(k / 4), axis(k % 4));
            let (plus, minus) = (bend(&(&a + &b).unwrap()), bend(&(&a - &b).unwrap()));
            ((plus - minus).unwrap() * 0.25).unwrap()
        })
        .collect();
    let difference = (products(&grad) - Tensor::stack(&hessian, 1).unwrap()).unwrap();
    assert_means("E[s sᵀ] = E[∇²E]", &difference, &zeros);
}

/// Means and second moments of x under the mixture of 2ᴴ normals, written out over its states.
fn exact_moments(truth: &RbmTruth) -> (Tensor, Tensor) {
    let (d, hidden) = (truth.visible(), truth.hidden());
    let (mut total, mut mean, mut square) = (0.0, vec![0.0; d], vec![0.0; d * d]);
    for state in 0..1usize << hidden {
        let h: Vec<f64> = (0..hidden).map(|j| if state >> j & 1 == 1 { 1.0 } else { -1.0 }).collect();
        let centre: Vec<f64> = (0..d)
            .map(|i| {
                truth.visible_bias[i] + 0.5 * (0..hidden).map(|j| truth.weights[i * hidden + j] * h[j]).sum::<f64>()
            })
            .collect();
        let tilt: f64 = h.iter().zip(&truth.hidden_bias).map(|(h, c)| h * c).sum();
        let weight = (tilt + 0.5 * centre.iter().map(|m| m * m).sum::<f64>()).exp();
        total += weight;
        for i in 0..d {
            mean[i] += weight * centre[i];
            (0..d).for_each(|k| square[i * d + k] += weight * (centre[i] * centre[k] + f64::from(u8::from(i == k))));
        }
    }
    let (n, m) = (mean.len(), square.len());
    let tensor = |v: Vec<f64>, n: usize| {
        Tensor::from_vec(v.into_iter().map(|v| v / total).collect::<Vec<f64>>(), n, &CPU).unwrap()
    };
    (tensor(mean, n), tensor(square, m))
}

fn truth_and_model(visible: usize, hidden: usize) -> (RbmTruth, Rbm) {
    let truth = RbmTruth::new(visible, hidden, 3);
    let model = on(&truth.visible_bias, &truth.weights, &truth.hidden_bias);
    (truth, model)
}

fn assert_moments(what: &str, x: &Tensor, truth: &RbmTruth) {
    let (mean, square) = exact_moments(truth);
    assert_means(&format!("{what}: mean"), x, &mean);
    assert_means(&format!("{what}: second moments"), &products(x), &square);
}

#[test]
fn exact_draws_have_the_mixtures_moments_and_gibbs_keeps_them() {
    let (truth, p) = truth_and_model(3, 4);
    let x = p.sample(Key::new(5), 40_000).unwrap();
    assert_moments("exact", &x, &truth);
    let on = Target::new(&p).swept(&p);
    let mut chain = Gibbs.init(&on, &x).unwrap();
    for i in 0..8 {
        chain = Gibbs.step(Key::new(6).at(i), &on, &chain).unwrap().0;
    }
    assert_moments("after 8 sweeps", &chain.x, &truth);
    assert!(values(&(chain.x - x).unwrap().abs().unwrap().mean_all().unwrap().reshape(1).unwrap())[0] > 0.1);
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn gibbs_forgets_where_it_started() {
    let (truth, p) = truth_and_model(3, 4);
    let x = Tensor::full(5.0f64, (20_000, 3), &CPU).unwrap();
    let on = Target::new(&p).swept(&p);
    let mut chain = Gibbs.init(&on, &x).unwrap();
    for i in 0..100 {
        chain = Gibbs.step(Key::new(7).at(i), &on, &chain).unwrap().0;
    }
    assert_moments("far start", &chain.x, &truth);
}

#[test]
fn gibbs_needs_hidden_units() {
    let builder = Builder::new(Key::new(0), DType::F64, &CPU);
    let plain = ebm::density::Gaussian::new(&[2], 0.0, 1.0, &builder).unwrap();
    let refused = Gibbs.init(&Target::new(&plain), &normal(1, &[3, 2])).err().unwrap();
    assert!(refused.exit_code() == 2 && refused.to_string().contains("hint"), "{refused}");
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn the_data_set_draws_from_its_truth() {
    let keys = "visible = 3\nhidden = 4\nmatrix_seed = 3\nburn_in = 100";
    let data = try_open("rbm", keys).unwrap();
    let x = data.all(Split::Test, 40_000).unwrap().x.to_dtype(DType::F64).unwrap();
    assert_moments("data set", &x, &RbmTruth::new(3, 4, 3));
}

#[test]
fn the_data_set_and_the_model_share_one_truth() {
    let truth = RbmTruth::new(5, 4, 3);
    let build = |perturb: f64, seed: Option<u64>, run: u64| {
        let config = RbmConfig { perturb, perturb_seed: seed, ..config(4, 0.0) };
        let builder = Builder::new(Key::new(run), DType::F64, &CPU);
        Rbm::new(&config, &context(&[5]), &builder).unwrap();
        builder.finish().tensors()
    };
    let exact = build(0.0, None, 1);
    assert_eq!(values(&exact["weights"]), truth.weights);
    assert_eq!(values(&exact["visible_bias"]), truth.visible_bias);
    assert_eq!(values(&exact["hidden_bias"]), truth.hidden_bias);
    let moved = |sigma: f64, seed: Option<u64>, run: u64| {
        values(&(&build(sigma, seed, run)["weights"] - &exact["weights"]).unwrap())
    };
    assert!(moved(0.1, None, 1) != moved(0.1, None, 2) && moved(0.1, Some(9), 1) == moved(0.1, Some(9), 2));
    // The same noise at every size of the perturbation; every entry moves.
    for (a, b) in moved(0.1, Some(9), 1).iter().zip(moved(0.2, Some(9), 1)) {
        assert!((2.0 * a - b).abs() < 1e-12 && *a != 0.0);
    }
    assert_ne!(truth, RbmTruth::new(5, 4, 4));
    assert!(truth.weights.iter().all(|w| w.abs() == 1.0));
}

/// F of the model perturbed by each σ, on 500 draws from its truth.
fn fisher<const N: usize>(visible: usize, hidden: usize, seed: u64, sigmas: [f64; N]) -> [f64; N] {
    let keys = format!("visible = {visible}\nhidden = {hidden}\nmatrix_seed = {seed}\nburn_in = 500");
    let data = try_open("rbm", &keys).unwrap();
    let x = data.all(Split::Test, 500).unwrap().x.to_dtype(DType::F64).unwrap();
    sigmas.map(|sigma| {
        let config = RbmConfig { matrix_seed: seed, ..config(hidden, sigma) };
        let model = Rbm::new(&config, &context(&[visible]), &Builder::new(Key::new(seed), DType::F64, &CPU)).unwrap();
        divergence(&model, &data, &x).unwrap().0
    })
}

#[test]
#[ignore = "draws from 40 machines"]
fn the_fisher_divergence_of_the_perturbed_model_is_the_references() {
    let sigmas = [0.01, 0.02, 0.04, 0.06];
    let values: Vec<[f64; 4]> = (0..40).map(|seed| fisher(50, 40, seed, sigmas)).collect();
    // Means over 40 machines of an independent implementation.
    for (i, want) in [0.0512, 0.205, 0.8195, 1.8445].into_iter().enumerate() {
        let column: Vec<f64> = values.iter().map(|v| v[i]).collect();
        let (mean, se) = (stats::mean(&column), stats::std_error(&column));
        println!("sigma {}: F = {mean:.4} ± {se:.4}, reference {want}", sigmas[i]);
        assert!((mean - want).abs() < 4.0 * 2f64.sqrt() * se, "sigma {}: {mean} ± {se}, reference {want}", sigmas[i]);
    }
}

#[test]
fn without_perturbation_the_divergence_is_zero_and_it_grows_with_its_square() {
    let [none, small, double] = fisher(6, 4, 0, [0.0, 1e-4, 2e-4]);
    assert!(none < 1e-20, "{none}");
    assert!((double / small - 4.0).abs() < 0.01, "{}", double / small);
}
