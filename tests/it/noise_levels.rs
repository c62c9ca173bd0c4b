//! The model that knows noise levels: its energies at each, and what is trained on them.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use ebm::config::Spec;
use ebm::data::{Moments, Split};
use ebm::density::{Context, Density, Energy, Model, ProbabilityFlow, schemas};
use ebm::metrics::Metrics;
use ebm::probes::Subject;
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

/// Networks that give items, told by channels and by layers, with both weights.
const FORMS: [&str; 3] = [
    "form = \"dot\"\nweight = \"growing\"\nnet = { name = \"mlp\", hidden = [6] }",
    "form = \"square\"\nnet = { name = \"mlp\", hidden = [6] }",
    r#"form = "dot"
told = "layers"
net = { name = "sequential", layers = [
    { name = "time_embedding", units = 3 }, { name = "flatten" }, { name = "linear", units = 5 },
    { name = "activation" }, { name = "linear" } ] }"#,
];

/// All ways from an item and its level to a number.
const NETS: [&str; 5] = [CHANNELS, LAYERS, FORMS[0], FORMS[1], FORMS[2]];

/// A ladder of five levels on items of this shape, whose coordinates have mean .3 and standard deviation 1.5.
fn ladder(item: &[usize], net: &str) -> Model {
    let spec = Spec::of_text(schemas, "ladder", &format!("levels = 5\nsigma_min = 0.1\n{net}")).unwrap();
    let of = |value: f32| Tensor::full(value, item, &CPU).unwrap();
    let moments = Moments { mean: of(0.3), std: of(1.5), overall_mean: 0.3, overall_std: 1.5 };
    let context = Context { shape: item.to_vec(), classes: None, moments: Some(&|| Ok(moments.clone())) };
    Model::new(&spec, &context, Key::new(4), DType::F64, &CPU).unwrap()
}

fn list(x: &Tensor) -> Vec<f64> {
    x.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

#[test]
fn the_energy_at_every_level_has_the_derivatives_that_it_says() {
    for shape in [vec![5, 2], vec![5, 1, 3, 3]] {
        for net in NETS {
            let model = ladder(&shape[1..], net);
            let levels = model.levels().unwrap().unwrap();
            check_energy(&model.at_level(&levels).unwrap(), &shape, &format!("at_level {net}"));
            check_energy(&model.tilt().unwrap(), &shape, &format!("tilt {net}"));
        }
    }
}

/// The slope in the level by differences of fourth order, for all networks.
#[test]
fn the_slope_in_the_level_is_that_of_the_energy_and_the_rest_is_the_plain_gradient() {
    for shape in [vec![5, 2], vec![5, 1, 3, 3]] {
        for net in NETS {
            let model = ladder(&shape[1..], net);
            let levels = model.levels().unwrap().unwrap();
            let x = Key::new(6).normal(shape.clone(), DType::F64, &CPU).unwrap();
            let [energy, grad, slope] = model.level_grad(&levels, &x).unwrap().unwrap();
            let (same, plain) = model.at_level(&levels).unwrap().grad(&x).unwrap();
            assert_eq!((list(&energy), list(&grad)), (list(&same), list(&plain)));
            let h = 1e-3;
            let at = |by: f64| list(&model.at_level(&(&levels * by.exp()).unwrap()).unwrap().energy(&x).unwrap());
            let [a, b, c, d] = [-2.0 * h, -h, h, 2.0 * h].map(at);
            for (i, slope) in list(&slope).into_iter().enumerate() {
                let want = (a[i] - 8.0 * b[i] + 8.0 * c[i] - d[i]) / (12.0 * h);
                assert!((slope - want).abs() < 1e-7 * (1.0 + want.abs()), "{net}, {i}: {slope} and {want}");
            }
        }
    }
    assert!(ladder(&[2], CHANNELS).top().unwrap().is_some());
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

/// A ladder on points of the plane whose network is zero.
fn flat() -> Model {
    let model = ladder(&[2], CHANNELS);
    for weight in model.params().weights.values() {
        ebm::ops::assign(weight, &weight.zeros_like().unwrap()).unwrap();
    }
    model
}

/// A network of zeros leaves the normal density of each level, which is exact for normal data.
#[test]
fn normal_data_have_their_exact_energy_at_every_level_without_a_network() {
    let model = flat();
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

/// Of N(m, vI): ∂ log p/∂ln σ = σ²/(v + σ²) (|x - m|²/(v + σ²) - D); the top is that density at the highest level, and
/// what the probability flow draws and says of it is the density of level 0.
#[test]
fn normal_data_have_their_exact_slope_top_and_flow_without_a_network() {
    let model = flat();
    let sigma = model.levels().unwrap().unwrap();
    let x = Key::new(1).normal((5, 2), DType::F64, &CPU).unwrap();
    let [_, _, slope] = model.level_grad(&sigma, &x).unwrap().unwrap();
    let square = |row: &Vec<f64>| row.iter().map(|x| (x - 0.3f32 as f64).powi(2)).sum::<f64>();
    let rows = x.to_vec2::<f64>().unwrap();
    for ((slope, sigma), row) in list(&slope).iter().zip(list(&sigma)).zip(&rows) {
        let variance = 1.5f64 * 1.5 + sigma * sigma;
        let want = -sigma * sigma / variance * (square(row) / variance - 2.0);
        assert!((slope - want).abs() < 1e-6, "at {sigma}: {slope} and {want}");
    }
    let last = list(&sigma)[4];
    let top = list(&model.top().unwrap().unwrap().log_prob(&x).unwrap());
    let flow = ProbabilityFlow::of(&model).unwrap().unwrap();
    let low = list(&flow.log_prob(&x).unwrap());
    for (i, row) in rows.iter().enumerate() {
        for (found, variance) in [(top[i], 2.25 + last * last), (low[i], 2.26)] {
            let want = -square(row) / (2.0 * variance) - (2.0 * std::f64::consts::PI * variance).ln();
            assert!((found - want).abs() < 1e-4, "{found} and {want}");
        }
    }
    let drawn = list(&flow.sample(Key::new(2), 4000).unwrap());
    let mean = drawn.iter().sum::<f64>() / 8000.0;
    let spread = drawn.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 8000.0;
    assert!((mean - 0.3).abs() < 0.07 && (spread / 2.26 - 1.0).abs() < 0.07, "{mean}, {spread}");
}

/// What the probes find of a ladder whose network is zero on the data set `text`, with its levels' F raised by `f`.
fn looked(text: &str, f: Option<Vec<f64>>) -> Metrics {
    let ladder = "[model]\nname = \"ladder\"\nlevels = 4\nsigma_min = 0.1\nnet = { name = \"mlp\", hidden = [4] }\n";
    let probes = "[[probe]]\nname = \"levels\"\nitems = 800\nflow_items = 300\n[[probe]]\nname = \"ode_likelihood\"\n\
                  items = 300\ndraws = 300\n";
    let rest = "[method]\nname = \"none\"\n[train]\nsteps = 1\n";
    let experiment = Experiment::parse("look.toml", &format!("{text}{ladder}{rest}{probes}"), &[]).unwrap();
    let (data, sampler) = (experiment.data().unwrap(), experiment.sampler().unwrap());
    let model = experiment.model(&data).unwrap();
    model.params().weights.values().for_each(|weight| ebm::ops::assign(weight, &weight.zeros_like().unwrap()).unwrap());
    let model = model.frozen().unwrap().with_level_log_z(f);
    let subject = Subject { model: &model, proposal: None, data: &data, sampler: &sampler, key: Key::new(9) };
    let mut found = Metrics::new();
    for probe in experiment.probes().unwrap() {
        found.extend(probe.probe.run(&subject).unwrap().metrics);
    }
    found
}

/// On normal data all levels are exact but for the moments that the model took from items; on two modes the scores at
/// the top alone are near, which every number says.
#[test]
fn the_probes_know_exact_energies_from_wrong_ones() {
    let exact = looked("[dataset]\nname = \"gaussian\"\nstd = 1.5\nmean = 0.5\n", Some(vec![2.0, 2.0, 2.0, 2.25]));
    let get = |found: &Metrics, name: &str| found.get(name).unwrap_or_else(|| panic!("{name}: {found:?}"));
    assert!(get(&exact, "levels/worst_fisher") < 1e-3 && get(&exact, "levels/worst_ess_share") > 0.99, "{exact:?}");
    assert!(get(&exact, "levels/worst_log_z") < 0.02 && get(&exact, "levels/flow_kl").abs() < 0.02, "{exact:?}");
    assert!((get(&exact, "levels/worst_f") - 0.25).abs() < 0.02 && get(&exact, "levels/f_0") == -0.25, "{exact:?}");
    let [model, truth] = ["", "_exact"].map(|name| get(&exact, &format!("levels/classification{name}")));
    assert!((model - truth).abs() < 0.02 && truth > 0.1 && truth < 4f64.ln(), "{model} and {truth}");
    assert!(get(&exact, "ode_ess_share") > 0.99 && get(&exact, "ode_gap").abs() < 0.02, "{exact:?}");
    let modes = looked("[dataset]\nname = \"two_modes\"\nstd = 0.5\n", None);
    assert!(get(&modes, "levels/fisher_3") < 0.1 && get(&modes, "levels/worst_fisher") > 0.5, "{modes:?}");
    assert!(get(&modes, "levels/worst_ess_share") < 0.5 && get(&modes, "levels/flow_kl") > 0.3, "{modes:?}");
    assert!(get(&modes, "levels/classification") > get(&modes, "levels/classification_exact"), "{modes:?}");
    assert_eq!(modes.get("levels/worst_f"), None);
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
    for form in ["scalar", "dot", "square"] {
        let heard = told("ladder", "{ name = \"time_embedding\" },") + "\ntold = \"layers\"\n";
        lab.write("heard.toml", &config(&format!("{heard}form = \"{form}\""), "name = \"dsm_ladder\""));
        lab.ok(&["check", "heard.toml"]);
    }
    let unet = "name = \"ladder\"\ntold = \"layers\"\nform = \"dot\"\n\
                net = { name = \"unet\", channels = [2, 4], level = true }";
    let pictures = config(unet, "name = \"dsm_ladder\"").replace("\"moons\"", "\"digits\"\nflatten = false");
    lab.write("unet.toml", &pictures);
    lab.ok(&["check", "unet.toml"]);
    let deaf = told("ladder", "") + "\ntold = \"layers\"";
    lab.write("deaf.toml", &config(&deaf, "name = \"dsm_ladder\""));
    lab.refused(2, &["check", "deaf.toml"], &["deaf.toml:6", "no layer of the network reads the level"]);
    for (probe, said) in
        [("levels", "probe `levels` needs a model"), ("ode_likelihood", "probe `ode_likelihood` needs")]
    {
        let text = config("name = \"neural\"", "name = \"score_matching\"");
        lab.write("probe.toml", &format!("{text}[[probe]]\nname = \"{probe}\"\n"));
        lab.refused(2, &["check", "probe.toml"], &[said, "--set model.name=ladder"]);
    }
    let text = config("name = \"ladder\"", "name = \"time_score\"");
    lab.write("unknown.toml", &format!("{text}[[probe]]\nname = \"levels\"\n"));
    lab.refused(
        2,
        &["check", "unknown.toml"],
        &["density of `moons` under noise is not known", "dataset.name=mixture"],
    );
    lab.write("upside.toml", &config("name = \"ladder\"\nsigma_min = 2\nsigma_max = 1", "name = \"dsm_ladder\""));
    lab.refused(2, &["check", "upside.toml"], &["upside.toml:6", "not above level 0"]);
}

/// After a run of the leaderboard the scores are near the exact ones at every level, of which the worst was off by more
/// than a half.
#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn a_critic_that_is_told_the_level_teaches_the_scores_of_every_level() {
    let path = Path::new("configs/leaderboard/lsd_ladder.toml");
    let experiment = Experiment::load(path, &["probe=[{ name = \"levels\" }]".into()]).unwrap();
    let (data, sampler) = (experiment.data().unwrap(), experiment.sampler().unwrap());
    let probes = experiment.probes().unwrap();
    let mut trainer = Trainer::on(experiment, data.clone()).unwrap();
    let mut guard = trainer.guard();
    for _ in 0..3375 {
        trainer.advance(&mut guard).unwrap();
    }
    let model = trainer.model();
    let subject = Subject { model, proposal: None, data: &data, sampler: &sampler, key: Key::new(9) };
    let found = probes[0].probe.run(&subject).unwrap().metrics;
    assert!(found.get("levels/worst_fisher").unwrap() < 0.1, "{found:?}");
}

/// Two modes 8.5 apart: the trained energies against the exact marginals of every level, and the weights at level 0.
#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn classified_levels_learn_the_exact_marginals_of_a_mixture() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/diffclf_two_modes.toml");
    let experiment = Experiment::load(&path, &[]).unwrap();
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
