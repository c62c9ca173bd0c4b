//! The three score-matching methods against what is known: stationary points, each other, and the moments of the data.

use candle_core::{DType, Device, Tensor, Var};
use ebm::Result;
use ebm::data::{Batch, Split};
use ebm::density::{Energy, Gaussian};
use ebm::math::stats;
use ebm::methods::score::{self, Slices, Terms};
use ebm::methods::{Noise, StepContext};
use ebm::nets::Builder;
use ebm::probes::Subject;
use ebm::rng::Key;
use ebm::run::Experiment;

const CPU: Device = Device::Cpu;

fn slices(noise: Noise, count: usize, variance_reduced: bool) -> Slices {
    Slices { noise, count, variance_reduced }
}

fn normal(key: u64, shape: &[usize]) -> Tensor {
    Key::new(key).normal(shape, DType::F64, &CPU).unwrap()
}

/// Fails unless the mean of independent values is `want` within four standard errors.
fn assert_mean(what: &str, values: &[f64], want: f64) {
    let z = (stats::mean(values) - want) / stats::std_error(values);
    assert!(z.abs() < 4.0, "{what}: {} ± {}, not {want}", stats::mean(values), stats::std_error(values));
}

/// An estimate of J.
type Estimate = Box<dyn Fn(&dyn Energy, Key, &Tensor) -> Result<Terms>>;

/// What the blur of denoising score matching adds in these tests.
const SIGMA: f64 = 0.7;

/// Name, estimate of J, standard deviation of the blur it works on.
fn estimates() -> Vec<(String, Estimate, f64)> {
    let mut all: Vec<(String, Estimate, f64)> = vec![
        ("exact".into(), Box::new(|e, _, x| score::exact(e, x)), 0.0),
        ("denoising".into(), Box::new(|e, key, x| score::denoising(e, key, x, SIGMA)), SIGMA),
    ];
    for noise in [Noise::Gaussian, Noise::Rademacher] {
        for variance_reduced in [true, false] {
            let s = slices(noise, 2, variance_reduced);
            let name = format!("{noise:?}, variance reduced: {variance_reduced}");
            all.push((name, Box::new(move |e, key, x| score::sliced(e, key, x, s)), 0.0));
        }
    }
    all
}

/// Gradients of J for the mean and the log standard deviation of N(mean, std²) in 2 dimensions, on 200 batches of data
/// from N(1, 1.5²): (all batches' ∂μ, all batches' ∂log σ), summed over coordinates.
fn gradients(estimate: &Estimate, mean: f64, std: f64) -> [Vec<f64>; 2] {
    let builder = Builder::new(Key::new(0), DType::F64, &CPU);
    let model = Gaussian::new(&[2], mean, std, &builder).unwrap();
    let params = builder.finish().weights;
    let gradient = |batch: u64| -> [f64; 2] {
        let x = normal(100 + batch, &[200, 2]).affine(1.5, 1.0).unwrap();
        let loss = estimate(&model, Key::new(7).at(batch), &x).unwrap().objective().unwrap().mean_all().unwrap();
        let grads = loss.backward().unwrap();
        let sum = |var: &Var| grads.get(var).unwrap().sum_all().unwrap().to_scalar().unwrap();
        [sum(&params["mean"]), sum(&params["log_std"])]
    };
    let all: Vec<[f64; 2]> = (0..200).map(gradient).collect();
    [0, 1].map(|k| all.iter().map(|g| g[k]).collect())
}

#[test]
fn the_truth_is_a_stationary_point_and_nothing_else_is() {
    for (name, estimate, blur) in estimates() {
        let std = (1.5f64 * 1.5 + blur * blur).sqrt();
        for (gradient, of) in gradients(&estimate, 1.0, std).iter().zip(["mean", "log_std"]) {
            assert_mean(&format!("{name}: ∂{of} at the truth"), gradient, 0.0);
        }
        let z = |v: &[f64]| stats::mean(v) / stats::std_error(v);
        // Too far right: the gradient points right. Too wide: towards wider. By tens of standard errors.
        assert!(z(&gradients(&estimate, 1.3, std)[0]) > 10.0, "{name}: the mean");
        assert!(z(&gradients(&estimate, 1.0, 1.2 * std)[1]) > 10.0, "{name}: the width");
        assert!(z(&gradients(&estimate, 1.0, std / 1.2)[1]) < -10.0, "{name}: the width");
    }
}

/// A swish network that tilts a Gaussian, in 3 dimensions, f64 weights.
fn network() -> ebm::density::Model {
    let text = "dataset = { name = \"gaussian\", dim = 3 }\nmodel = { net = { hidden = [9, 8] } }\n\
                method.name = \"score_matching\"\ntrain.steps = 1\n";
    let experiment = Experiment::parse("test", text, &[]).unwrap();
    let data = experiment.data().unwrap();
    let of = |value: f64| Tensor::full(value, 3, &CPU).unwrap();
    let moments = ebm::data::Moments { mean: of(0.2), std: of(1.3), overall_mean: 0.2, overall_std: 1.3 };
    let context = ebm::density::Context {
        shape: data.spec().shape.clone(),
        classes: None,
        moments: Some(&|| Ok(moments.clone())),
    };
    let model =
        ebm::density::Model::new(&experiment.resolved.spec("model"), &context, Key::new(4), DType::F64, &CPU).unwrap();
    // Larger than their initial values, so that the network bends.
    for var in model.params().weights.values() {
        ebm::ops::assign(var, &(var.as_tensor() * 2.5).unwrap()).unwrap();
    }
    model
}

fn list(t: &Tensor) -> Vec<f64> {
    t.to_vec1().unwrap()
}

#[test]
fn slices_average_to_the_exact_objective() {
    let model = network();
    let x = normal(1, &[1, 3]);
    let want = list(&score::exact(&model, &x).unwrap().objective().unwrap())[0];
    let many = x.broadcast_as((20_000, 3)).unwrap().contiguous().unwrap();
    for noise in [Noise::Gaussian, Noise::Rademacher] {
        for variance_reduced in [true, false] {
            let terms = score::sliced(&model, Key::new(2), &many, slices(noise, 1, variance_reduced)).unwrap();
            let values = list(&terms.objective().unwrap());
            assert_mean(&format!("{noise:?}, {variance_reduced}"), &values, want);
            assert!(stats::std(&values) > 1e-3, "the slices are all the same");
        }
    }
}

/// Several directions an item are the mean of so many single ones, item by item.
#[test]
fn slices_of_an_item_stay_with_the_item() {
    let model = network();
    let x = normal(1, &[5, 3]);
    let exact = list(&score::exact(&model, &x).unwrap().objective().unwrap());
    let s = slices(Noise::Rademacher, 4000, true);
    let sliced = list(&score::sliced(&model, Key::new(3), &x, s).unwrap().objective().unwrap());
    let one = x.broadcast_as((1, 5, 3)).unwrap().reshape((5, 3)).unwrap();
    for (i, (have, want)) in sliced.iter().zip(&exact).enumerate() {
        let copies = one.narrow(0, i, 1).unwrap().broadcast_as((4000, 3)).unwrap().contiguous().unwrap();
        let s = slices(Noise::Rademacher, 1, true);
        let single = list(&score::sliced(&model, Key::new(4), &copies, s).unwrap().objective().unwrap());
        let error = stats::std_error(&single);
        assert!((have - want).abs() < 4.5 * error, "item {i}: {have} and {want}, ± {error}");
    }
}

#[test]
fn denoising_is_score_matching_of_the_blurred_data() {
    let model = network();
    let (x, key) = (normal(1, &[40_000, 3]), Key::new(5));
    for sigma in [0.3, 1.0] {
        let denoised = list(&score::denoising(&model, key, &x, sigma).unwrap().objective().unwrap());
        let noise = key.normal(x.shape(), DType::F64, &CPU).unwrap();
        let blurred = (&x + (noise * sigma).unwrap()).unwrap();
        let exact = list(&score::exact(&model, &blurred).unwrap().objective().unwrap());
        let difference: Vec<f64> = denoised.iter().zip(&exact).map(|(a, b)| a - b).collect();
        assert_mean(&format!("σ = {sigma}"), &difference, 0.0);
        assert!(stats::std(&difference) > 1e-3, "they agree item by item: there is nothing to test");
    }
}

/// Trains a Gaussian that starts off by `mean = 1, std = 2` on one batch of 4,000 points in 3 dimensions; (μ, σ² - the
/// batch's own moments) for each coordinate.
fn fitted(method: &str, steps: u64) -> [Vec<f64>; 2] {
    let text = format!(
        "seed = 1\ndataset = {{ name = \"gaussian\", dim = 3 }}\n\
         model = {{ name = \"gaussian\", mean = 1.0, std = 2.0 }}\nmethod = {{ {method} }}\ntrain.steps = 1\n\
         optim = {{ name = \"adam\", lr = 0.03 }}\n"
    );
    let experiment = Experiment::parse("test", &text, &[]).unwrap();
    let data = experiment.data().unwrap();
    let mut trained = experiment.method(&data).unwrap();
    let batch: Batch = data.batch(Split::Train, 0, 4000).unwrap();
    for step in 0..steps {
        let done = step as f64 / steps as f64;
        let cx = StepContext {
            step,
            key: Key::new(9).at(step),
            lr_scale: 0.5 * (1.0 + (done * std::f64::consts::PI).cos()),
        };
        trained.step(&cx, std::slice::from_ref(&batch)).unwrap();
    }
    let weights = &trained.model().params().weights;
    let of = |name: &str| list(&weights[name].as_tensor().to_dtype(DType::F64).unwrap());
    let x = batch.x.to_dtype(DType::F64).unwrap().t().unwrap().to_vec2::<f64>().unwrap();
    let variance = |x: &Vec<f64>| x.iter().map(|v| (v - stats::mean(x)).powi(2)).sum::<f64>() / x.len() as f64;
    let shift = of("mean").iter().zip(&x).map(|(m, x)| m - stats::mean(x)).collect();
    let growth = of("log_std").iter().zip(&x).map(|(s, x)| (2.0 * s).exp() - variance(x)).collect();
    [shift, growth]
}

/// J of N(μ, σ²) is ½ mean (x - μ)²/σ⁴ - 1/σ²: its minimum is at the batch's mean and variance exactly.
#[test]
fn exact_score_matching_of_a_gaussian_gives_the_moments_of_the_batch() {
    let [shift, growth] = fitted("name = \"score_matching\"", 600);
    for error in shift.iter().chain(&growth) {
        assert!(error.abs() < 1e-4, "{shift:?} {growth:?}");
    }
}

/// The blurred batch has variance var + σ². Noise of the last steps, 4,000 points each: about 1 % of the variance.
#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn denoising_score_matching_of_a_gaussian_gives_the_variance_plus_the_blur() {
    for sigma in [0.5, 1.0] {
        let [shift, growth] = fitted(&format!("name = \"denoising_score_matching\", sigma = {sigma}"), 600);
        for (shift, growth) in shift.iter().zip(&growth) {
            assert!(shift.abs() < 0.02 && (growth - sigma * sigma).abs() < 0.03, "σ = {sigma}: {shift} {growth}");
        }
    }
}

/// Test log-likelihood in nats of a shipped configuration after its steps, by the grid.
fn likelihood(config: &str, sets: &[&str]) -> f64 {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("configs").join(config);
    let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
    let experiment = Experiment::load(&path, &sets).unwrap();
    let data = experiment.data().unwrap();
    let mut method = experiment.method(&data).unwrap();
    let total = experiment.total_steps(&data, &*method).unwrap();
    for step in 0..total {
        let batch = data.batch(Split::Train, step, experiment.train.batch_size).unwrap();
        let cx = StepContext { step, key: Key::new(9).at(step), lr_scale: experiment.train.lr_scale(step, total) };
        method.step(&cx, &[batch]).unwrap();
    }
    let (sampler, model) = (experiment.sampler().unwrap(), method.model().frozen().unwrap());
    let subject = Subject { model: &model, proposal: None, data: &data, sampler: &sampler, key: Key::new(1) };
    let nll = &experiment.probes().unwrap()[0];
    let found = nll.probe.run(&subject).unwrap().metrics;
    println!("{config}: {found:?}");
    found.get("test_ll").unwrap()
}

#[test]
#[ignore = "slow: minutes; cargo test --release -- --ignored"]
fn score_matching_comes_near_maximum_likelihood_on_moons() {
    let ceiling = likelihood("ml_grid_toy2d.toml", &[]);
    for config in ["sm_toy2d.toml", "ssm_toy2d.toml"] {
        let gap = ceiling - likelihood(config, &[]);
        assert!(gap < 0.15, "{config}: {gap} nats below maximum likelihood");
    }
}

/// A step on CIFAR-10 was killed by the system for its memory.
#[test]
fn more_directions_than_memory_holds_are_refused() {
    let lab = crate::harness::Lab::new();
    let config = |model: &str| {
        format!(
            "[dataset]\nname = \"gaussian\"\ndim = 1100\n[model]\n{model}\n[method]\nname = \"score_matching\"\n\
             [train]\nsteps = 1\nbatch_size = 2\n"
        )
    };
    lab.write("net.toml", &config("name = \"neural\"\nnet = { name = \"mlp\", hidden = [4] }"));
    lab.refused(2, &["check", "net.toml"], &["net.toml:8", "1100 second-order passes", "sliced_score_matching"]);
    lab.write("closed.toml", &config("name = \"gaussian\""));
    lab.ok(&["check", "closed.toml"]);
}
