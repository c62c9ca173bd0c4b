//! The model that knows noise levels: its energies at each, and what is trained on them.

use candle_core::{DType, Device, Tensor};
use ebm::config::{Spec, find};
use ebm::data::{Moments, Split};
use ebm::density::{Context, Energy, MODELS, Model};
use ebm::rng::Key;
use ebm::run::{Experiment, Trainer};

use super::contracts::check_energy;
use super::harness::Lab;

const CPU: Device = Device::Cpu;

/// A perceptron on the item with the level in further channels.
const CHANNELS: &str = "net = { name = \"mlp\", hidden = [6] }";

/// Layers that read the level themselves, in a row and in a block.
const LAYERS: &str = r#"told = "layers"
net = { name = "sequential", layers = [
    { name = "time_embedding", units = 3 }, { name = "flatten" }, { name = "linear", units = 5 },
    { name = "residual", layers = [{ name = "activation" }, { name = "time_embedding", units = 4 }] },
    { name = "activation" }, { name = "linear" } ] }"#;

/// A ladder of five levels on items of this shape, whose coordinates have mean .3 and standard deviation 1.5.
fn ladder(item: &[usize], net: &str) -> Model {
    let row = find(MODELS, "ladder").unwrap();
    let keys = format!("levels = 5\nsigma_min = 0.1\n{net}");
    let mut table = row.schema.decode(&keys.parse().unwrap()).unwrap();
    table.insert("name".into(), "ladder".into());
    let of = |value: f32| Tensor::full(value, item, &CPU).unwrap();
    let moments = Moments { mean: of(0.3), std: of(1.5), overall_mean: 0.3, overall_std: 1.5 };
    let context = Context { shape: item.to_vec(), classes: None, moments: Some(&|| Ok(moments.clone())) };
    Model::new(&Spec::new(table), &context, Key::new(4), DType::F64, &CPU).unwrap()
}

fn list(x: &Tensor) -> Vec<f64> {
    x.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

#[test]
fn the_energy_at_every_level_has_the_derivatives_that_it_says() {
    for shape in [vec![5, 2], vec![5, 1, 3, 3]] {
        for net in [CHANNELS, LAYERS] {
            let model = ladder(&shape[1..], net);
            let levels = model.levels().unwrap().unwrap();
            check_energy(&model.at_level(&levels).unwrap(), &shape, &format!("at_level {net}"));
            check_energy(&model.tilt().unwrap(), &shape, &format!("tilt {net}"));
        }
    }
}

#[test]
fn levels_are_geometric_and_level_0_is_the_energy_itself() {
    let model = ladder(&[2], CHANNELS);
    let levels = list(&model.levels().unwrap().unwrap());
    let top = 3.0 * (1.5f64 * 1.5 + 0.01).sqrt();
    for (i, level) in levels.iter().enumerate() {
        let want = 0.1 * (top / 0.1).powf(i as f64 / 4.0);
        assert!((level / want - 1.0).abs() < 1e-6, "{level} and {want}");
    }
    let x = Key::new(1).normal((6, 2), DType::F64, &CPU).unwrap();
    let bottom = Tensor::full(0.1, 6, &CPU).unwrap();
    let (at, plain) = (model.at_level(&bottom).unwrap().energy(&x).unwrap(), model.energy(&x).unwrap());
    assert_eq!(list(&at), list(&plain));
    let (base, tilt) = (model.base().unwrap().log_prob(&x).unwrap(), model.tilt().unwrap().energy(&x).unwrap());
    for (whole, parts) in list(&plain).iter().zip(list(&(tilt - base).unwrap())) {
        assert!((whole - parts).abs() < 1e-9, "{whole} and {parts}");
    }
}

/// A network of zeros leaves the normal density of each level, which is exact for normal data.
#[test]
fn normal_data_have_their_exact_energy_at_every_level_without_a_network() {
    let model = ladder(&[2], CHANNELS);
    for weight in model.params().weights.values() {
        weight.set(&weight.zeros_like().unwrap()).unwrap();
    }
    let sigma = model.levels().unwrap().unwrap();
    let x = Key::new(1).normal((5, 2), DType::F64, &CPU).unwrap();
    let have = list(&model.at_level(&sigma).unwrap().energy(&x).unwrap());
    for ((energy, sigma), row) in have.iter().zip(list(&sigma)).zip(x.to_vec2::<f64>().unwrap()) {
        let variance = 1.5f64 * 1.5 + sigma * sigma;
        let square: f64 = row.iter().map(|x| (x - 0.3f32 as f64).powi(2)).sum();
        let want = square / (2.0 * variance) + (2.0 * std::f64::consts::PI * variance).ln();
        assert!((energy - want).abs() < 1e-6, "at {sigma}: {energy} and {want}");
    }
}

#[test]
fn a_model_without_levels_and_more_levels_than_there_are_are_refused() {
    let lab = Lab::new();
    let config = |model: &str, method: &str| {
        format!("[dataset]\nname = \"moons\"\n[model]\n{model}\n[method]\n{method}\n[train]\nsteps = 2\n")
    };
    lab.write("plain.toml", &config("name = \"neural\"", "name = \"diffclf\""));
    lab.refused(
        2,
        &["check", "plain.toml"],
        &["method `diffclf` needs a model that knows noise levels", "model.name=ladder"],
    );
    lab.write("few.toml", &config("name = \"ladder\"\nlevels = 3", "name = \"diffclf\"\nk = 4"));
    lab.refused(2, &["check", "few.toml"], &["few.toml:8", "model that has 3", "--set model.levels=4"]);
    let told = |model: &str, layers: &str| {
        format!("name = \"{model}\"\nnet = {{ name = \"sequential\", layers = [{layers} {{ name = \"linear\" }}] }}")
    };
    let embedded = told("neural", "{ name = \"time_embedding\" },");
    lab.write("blind.toml", &config(&embedded, "name = \"score_matching\""));
    lab.refused(2, &["check", "blind.toml"], &["blind.toml:5", "reads the noise level, and this model has none"]);
    let deaf = told("ladder", "") + "\ntold = \"layers\"";
    lab.write("deaf.toml", &config(&deaf, "name = \"dsm_ladder\""));
    lab.refused(2, &["check", "deaf.toml"], &["deaf.toml:6", "no layer of the network reads the level"]);
    lab.write("upside.toml", &config("name = \"ladder\"\nsigma_min = 2\nsigma_max = 1", "name = \"dsm_ladder\""));
    lab.refused(2, &["check", "upside.toml"], &["upside.toml:6", "not above level 0"]);
}

/// Two modes 8.5 apart: the trained energies against the exact marginals of every level, and the weights at level 0.
#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn classified_levels_learn_the_exact_marginals_of_a_mixture() {
    let text = include_str!("../../configs/diffclf_two_modes.toml").replace("base/", "configs/base/");
    let experiment = Experiment::parse("two.toml", &text, &[]).unwrap();
    let data = experiment.data().unwrap();
    let mut trainer = Trainer::on(experiment, data.clone()).unwrap();
    let mut guard = trainer.guard();
    for _ in 0..3000 {
        trainer.advance(&mut guard).unwrap();
    }
    let model = trainer.model();
    let x = data.batch(Split::Train, 1 << 40, 2000).unwrap().x;
    for (i, sigma) in list(&model.levels().unwrap().unwrap()).into_iter().enumerate() {
        let level = Tensor::full(sigma as f32, 2000, &CPU).unwrap();
        let noise = Key::new(8).at(i as u64).normal((2000, 2), DType::F32, &CPU).unwrap();
        let x = (&x + (noise * sigma).unwrap()).unwrap();
        let energy = list(&model.at_level(&level).unwrap().energy(&x).unwrap());
        let s2 = 0.49 + sigma * sigma;
        let exact = |row: &Vec<f32>| {
            let of =
                |w: f64, c: f64| w * (-row.iter().map(|x| (f64::from(*x) - c).powi(2)).sum::<f64>() / (2.0 * s2)).exp();
            -((of(0.8, -3.0) + of(0.2, 3.0)) / (2.0 * std::f64::consts::PI * s2)).ln()
        };
        let exact: Vec<f64> = x.to_vec2::<f32>().unwrap().iter().map(exact).collect();
        let left: Vec<f64> = energy.iter().zip(&exact).map(|(e, x)| e - x).collect();
        let mean = left.iter().sum::<f64>() / 2000.0;
        let spread = (left.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 2000.0).sqrt();
        assert!(spread < 0.25, "level {i}, σ = {sigma}: E + log p = {mean} ± {spread}");
    }
}
