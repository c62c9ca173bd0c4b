//! Noise-contrastive objectives have their optimum at the truth, and training finds it, as it does with weighted
//! walkers: z-scores with fixed seeds.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use ebm::data::{Data, Split};
use ebm::math::{LogWeights, stats};
use ebm::methods::{Method, State, StepContext};
use ebm::rng::Key;
use ebm::run::Experiment;

use crate::harness::Lab;

/// The objectives, with noise that is not the data's own density.
const METHODS: [&str; 5] = [
    "name = \"nce\"\nnoise_ratio = 3\nnoise = \"model\"\nnoise_model = { name = \"gaussian\", mean = 1.0, std = 1.5 }",
    "name = \"nce\"\nnoise = \"full\"",
    "name = \"cnce\"\nepsilon = 0.4\nkappa = 3",
    "name = \"cnce\"\nepsilon = 0.2\nkappa = 2\nadapt = true",
    "name = \"cnce\"\nepsilon = 0.3\njumps = 3",
];

/// Maximum likelihood by walkers whose weights stand in for the chains that would have to mix.
const WEIGHTED: &str = "name = \"jarzynski\"\nwalkers = 2000\nstep_size = 0.4";

const MEAN: f64 = 0.7;
const STD: f64 = 0.6;

/// Data N(0.7, 0.6²) in two dimensions.
fn experiment(method: &str, model: &str, optim: &str, seed: u64) -> (Experiment, Arc<Data>) {
    let text = format!(
        "seed = {seed}\n[dataset]\nname = \"gaussian\"\ndim = 2\nmean = {MEAN}\nstd = {STD}\n[model]\n{model}\n\
         [method]\n{method}\n[optim]\n{optim}\n[train]\nsteps = 10\n"
    );
    let experiment = Experiment::parse("contrastive.toml", &text, &[]).unwrap();
    let data = experiment.data().unwrap();
    (experiment, data)
}

fn step(method: &mut dyn Method, data: &Arc<Data>, key: Key, step: u64, size: usize, lr_scale: f64) {
    let batch = data.batch(Split::Train, step, size).unwrap();
    method.step(&StepContext { step, key: key.with("step").at(step), lr_scale }, &[batch]).unwrap();
}

fn entries(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The trained numbers: those of the model, and NCE's constant.
fn parameters(state: &State) -> Vec<f64> {
    let trained = state.iter().filter(|(name, _)| name.starts_with("model.") || *name == "nce:log_z");
    trained.flat_map(|(_, t)| entries(t)).collect()
}

fn copy(state: State) -> State {
    state.into_iter().map(|(name, t)| (name, t.copy().unwrap())).collect()
}

/// z-scores of the mean gradient over 300 batches, by one step of gradient descent from the same point for each.
fn gradient_z(method: &str, mean: f64) -> Vec<f64> {
    let model = format!("name = \"gaussian\"\nmean = {mean}\nstd = {STD}");
    let (experiment, data) = experiment(method, &model, "name = \"sgd\"\nlr = 1.0", 1);
    let mut trained = experiment.method(&data).unwrap();
    let start = copy(trained.state().unwrap());
    let before = parameters(&start);
    let mut moves = vec![Vec::new(); before.len()];
    for i in 0..300 {
        trained.load(&start).unwrap();
        step(&mut *trained, &data, experiment.key(), i, 64, 1.0);
        let after = parameters(&trained.state().unwrap());
        moves.iter_mut().zip(after.iter().zip(&before)).for_each(|(all, (a, b))| all.push(a - b));
    }
    moves.iter().map(|all| stats::mean(all) / stats::std_error(all)).collect()
}

#[test]
fn the_gradient_vanishes_at_the_truth_and_not_beside_it() {
    for method in METHODS {
        let at_truth = gradient_z(method, MEAN);
        assert!(at_truth.len() >= 4 && at_truth.iter().all(|z| z.abs() < 4.0), "{method}: {at_truth:?}");
        let beside = gradient_z(method, MEAN + 0.3);
        assert!(beside.iter().any(|z| z.abs() > 10.0), "{method}: {beside:?}");
    }
}

/// A checkpoint of a normal density is the noise that its model is, and a run goes on beside no other.
#[test]
fn noise_can_be_what_another_run_learned() {
    let lab = Lab::new();
    let normal = |std: f64| format!("name = \"gaussian\"\nmean = 1.0\nstd = {std}");
    let data = format!("[dataset]\nname = \"gaussian\"\ndim = 2\nmean = {MEAN}\nstd = {STD}\n");
    for (run, std) in [("one", 1.5), ("other", 1.4)] {
        let model = normal(std);
        let rest = "[method]\nname = \"ml\"\n[optim]\nname = \"sgd\"\nlr = 1e-12\n[train]\nsteps = 1\n";
        lab.write("ml.toml", &format!("{data}[model]\n{model}\n{rest}"));
        lab.ok(&["-q", "train", "ml.toml", "--run-dir", run]);
    }
    let learned = |run: &str| {
        let path = lab.path(run);
        format!("name = \"nce\"\nnoise = \"checkpoint\"\nnoise_ckpt = {:?}", path.display().to_string())
    };
    let begin = |method: &str| {
        let (experiment, data) = experiment(method, "name = \"gaussian\"", "name = \"sgd\"\nlr = 0.1", 1);
        let mut begun = experiment.method(&data).unwrap();
        (0..3).for_each(|i| step(&mut *begun, &data, experiment.key(), i, 64, 1.0));
        begun
    };
    let mut from_run = begin(&learned("one"));
    let state = copy(from_run.state().unwrap());
    assert_eq!(parameters(&state), parameters(&begin(&METHODS[0].replace("ratio = 3", "ratio = 1")).state().unwrap()));
    from_run.load(&state).unwrap();
    let refused = begin(&learned("other")).load(&state).unwrap_err();
    assert!(refused.exit_code() == 4 && refused.to_string().contains("weights are not those"), "{refused}");
    for (keys, word) in [("noise = \"checkpoint\"", "noise_ckpt"), ("noise_ckpt = \"run\"", "belong together")] {
        let (experiment, data) =
            experiment(&format!("name = \"nce\"\n{keys}"), "name = \"gaussian\"", "name = \"sgd\"", 1);
        let refused = experiment.method(&data).err().unwrap();
        assert!(refused.exit_code() == 2 && refused.to_string().contains(word), "{refused}");
    }
}

/// The state after `steps` steps with a learning rate that falls to 0.
fn trained(method: &str, model: &str, seed: u64, steps: u64) -> State {
    let (experiment, data) = experiment(method, model, "name = \"adam\"\nlr = 0.03\nbetas = [0.5, 0.9]", seed);
    let mut trained = experiment.method(&data).unwrap();
    (0..steps).for_each(|i| step(&mut *trained, &data, experiment.key(), i, 256, 1.0 - i as f64 / steps as f64));
    trained.state().unwrap()
}

/// The mean of repeats is within 5 of its own standard errors of the truth, and those are small.
fn assert_recovered(what: &str, repeats: &[f64], truth: f64) {
    let (mean, se) = (stats::mean(repeats), stats::std_error(repeats));
    assert!(((mean - truth) / se).abs() < 5.0 && se < 0.02, "{what}: {mean} ± {se}, truth {truth}");
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn training_recovers_mean_and_standard_deviation() {
    for method in METHODS.into_iter().chain([WEIGHTED]) {
        let runs: Vec<State> = (0..8).map(|seed| trained(method, "name = \"gaussian\"", seed, 400)).collect();
        let of = |name: &str| runs.iter().map(|s| stats::mean(&entries(&s[name]))).collect::<Vec<f64>>();
        assert_recovered(&format!("{method}: mean"), &of("model.mean"), MEAN);
        assert_recovered(&format!("{method}: log std"), &of("model.log_std"), STD.ln());
        if let Some(c) = runs[0].contains_key("nce:log_z").then(|| of("nce:log_z")) {
            assert_recovered(&format!("{method}: log Z"), &c, 0.0);
        }
    }
}

/// E(x) = w·x + b - log N(x; μ, σ²) has log Z = -b - w·μ + ½|wσ|².
fn exact_log_z(state: &State) -> f64 {
    let of = |part: &str| {
        entries(state.iter().find(|(name, _)| name.starts_with("model.") && name.ends_with(part)).unwrap().1)
    };
    let (w, b, mean, log_std) = (of(".weight"), of(".bias"), of("base.mean"), of("base.log_std"));
    let tilt = |i: usize| -w[i] * mean[i] + 0.5 * (w[i] * log_std[i].exp()).powi(2);
    -b[0] + tilt(0) + tilt(1)
}

/// An energy whose normaliser is known, to us.
const LINEAR: &str = "name = \"neural\"\nnet = { name = \"mlp\", hidden = [] }\nbase_widen = 0.5";

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn noise_contrast_learns_the_normaliser_of_an_energy_without_one() {
    for method in &METHODS[..2] {
        let (mut errors, mut sizes) = (Vec::new(), Vec::new());
        for seed in 0..8 {
            let state = trained(method, LINEAR, seed, 400);
            let log_z = exact_log_z(&state);
            errors.push(entries(&state["nce:log_z"])[0] - log_z);
            sizes.push(log_z.abs());
        }
        assert_recovered(method, &errors, 0.0);
        assert!(stats::mean(&sizes) > 0.1, "{method}: log Z = {sizes:?} is too near to where it starts");
    }
}

/// Walkers whose fluctuations the energy learned from are weighed by that energy next, so that log Z comes out low by
/// O(1/walkers).
#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn weighted_walkers_follow_the_normaliser_of_an_energy_that_learns() {
    let error = |walkers: usize, seeds: u64| {
        let method = format!("name = \"jarzynski\"\nwalkers = {walkers}\nstep_size = 0.4");
        let off = |seed| {
            let state = trained(&method, LINEAR, seed, 400);
            LogWeights(entries(&state["walkers.log_weights"])).log_mean() - exact_log_z(&state)
        };
        stats::mean(&(0..seeds).map(off).collect::<Vec<f64>>())
    };
    let (few, many) = (error(2_000, 6), error(20_000, 2));
    assert!(few < -0.03 && many.abs() < 0.3 * few.abs(), "{few} with 2,000 walkers, {many} with 20,000");
}
