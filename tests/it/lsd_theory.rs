//! The learned Stein discrepancy against its closed form (Grathwohl 2020, eq. 9): for data N(0, I) and a model
//! N(μ, I) the best critic is the constant (∇log q - ∇log p)/2λ = μ/2λ, the discrepancy ‖μ‖²/2λ and the penalised
//! objective ‖μ‖²/4λ.

use candle_core::{DType, Device, Tensor};
use ebm::data::Split;
use ebm::density::Gaussian;
use ebm::math::stats;
use ebm::methods::StepContext;
use ebm::nets::Builder;
use ebm::probes::lsd::{self, LsdConfig, Outcome};
use ebm::rng::Key;
use ebm::run::Experiment;

/// Data N(0, I_D) and the model N(shift, I_D), D = `dim`.
fn outcome(dim: usize, shift: f64, items: usize, config: &LsdConfig) -> Outcome {
    let model = Gaussian::new(&[dim], shift, 1.0, &Builder::new(Key::new(0), DType::F32, &Device::Cpu)).unwrap();
    let x = Key::new(42).normal((items, dim), DType::F32, &Device::Cpu).unwrap();
    lsd::evaluate(config, &model, &x, Key::new(7), |_| Ok(())).unwrap()
}

fn with_hidden(config: &mut LsdConfig, hidden: &[i64]) {
    let list = hidden.iter().map(|&h| toml::Value::Integer(h)).collect();
    config.critic.table.insert("hidden".into(), toml::Value::Array(list));
}

/// 1 - Σ|f - f*|² / Σ|f*|² on fresh draws of N(0, I_D).
fn r_squared(outcome: &Outcome, dim: usize, optimum: f64) -> f64 {
    let x = Key::new(99).normal((2000, dim), DType::F32, &Device::Cpu).unwrap();
    let f = outcome.critic.value(&x).unwrap().to_dtype(DType::F64).unwrap();
    let sum = |t: Tensor| t.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
    1.0 - sum((&f - optimum).unwrap()) / sum((f.zeros_like().unwrap() + optimum).unwrap())
}

fn check(dim: usize, shift: f64, lambda: f64, items: usize, epochs: usize) {
    let mut config = LsdConfig { lambda, epochs, ..LsdConfig::default() };
    with_hidden(&mut config, &[300, 300]);
    let outcome = outcome(dim, shift, items, &config);
    let square = dim as f64 * shift * shift;
    let expected = square / (2.0 * lambda);
    let relative = outcome.score.mean / expected - 1.0;
    let r2 = r_squared(&outcome, dim, shift / (2.0 * lambda));
    println!(
        "D = {dim}: LSD {:.4}, closed form {expected:.4} ({:+.2} %), R² {r2:.4}",
        outcome.score.mean,
        100.0 * relative
    );
    assert!(relative.abs() < 0.05, "LSD {:.4}, closed form {expected:.4}", outcome.score.mean);
    assert!(r2 > 0.95, "R² of the critic {r2:.4}");
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn ten_dimensions_match_the_closed_form() {
    check(10, 0.5, 0.5, 10_000, 6);
}

#[test]
#[ignore = "slow: minutes; cargo test --release -- --ignored"]
fn ten_and_a_hundred_dimensions_match_the_closed_form_at_two_penalties() {
    for lambda in [0.5, 10.0] {
        check(10, 1.0, lambda, 20_000, 30);
        check(100, 0.5, lambda, 50_000, 30);
    }
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn a_perfect_model_scores_zero_within_its_error() {
    let config = LsdConfig { epochs: 3, ..LsdConfig::default() };
    let score = outcome(10, 0.0, 5_000, &config).score;
    assert!(score.mean.abs() < 4.0 * score.std_error.max(1e-3), "{score:?}");
}

/// What the method finds on data N(0, I₅) for the model N(1, I₅), which learns at the rate `lr`, over the last 100 of
/// 400 steps of 100 items. The critic's network is a linear map, which both parts of the best critic are.
fn trained(lr: &str, learns: &str) -> Vec<f64> {
    let text = format!(
        "[dataset]\nname = \"gaussian\"\ndim = 5\n[model]\nname = \"gaussian\"\nmean = 1.0\n\
         [method]\nname = \"lsd\"\nlambda = 0.5\nprobe = \"rademacher\"\ncritic_learns = \"{learns}\"\n\
         critic = {{ name = \"mlp\", hidden = [] }}\ncritic_optim = {{ name = \"adam\", lr = 1e-2 }}\n\
         [optim]\nname = \"adam\"\nlr = {lr}\n[train]\nsteps = 400\nbatch_size = 100\n"
    );
    let experiment = Experiment::parse("lsd.toml", &text, &[]).unwrap();
    let data = experiment.data().unwrap();
    let mut method = experiment.method(&data).unwrap();
    let mut found = Vec::new();
    for step in 0..400 {
        let of = |i| data.batch(Split::Train, 6 * step + i, 100).unwrap();
        let cx = StepContext { step, key: Key::new(9).at(step), lr_scale: 1.0 };
        let metrics = method.step(&cx, &(0..6).map(of).collect::<Vec<_>>()).unwrap();
        found.push(metrics.get("lsd").unwrap());
    }
    found.split_off(300)
}

#[test]
fn a_critic_that_learns_the_data_alone_finds_the_same_discrepancy_and_follows_a_fast_model() {
    for learns in ["difference", "data"] {
        let still = stats::mean(&trained("1e-9", learns));
        assert!((still - 5.0).abs() < 0.25, "{learns}: {still}, closed form 5");
        let learned = stats::mean(&trained("1e-2", learns));
        assert!(learned.abs() < 0.1, "{learns}: {learned} after training, closed form 0");
    }
}
