//! `sequential`: lists of layers, right in all derivatives, and refused at the layer that does not fit.

use candle_core::{DType, Device, Tensor};
use ebm::config::Spec;
use ebm::density::{Context, Energy as _, Model};
use ebm::nets::{Io, outline};
use ebm::rng::Key;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

use crate::contracts::check_energy;
use crate::harness::Lab;

const CPU: Device = Device::Cpu;

/// A configuration whose energy's network has these layers.
fn text(layers: &str) -> String {
    format!(
        "[dataset]\nname = \"moons\"\n[method]\nname = \"pcd\"\n[model]\nname = \"neural\"\nbase = \"none\"\n\
         [model.net]\nname = \"sequential\"\nlayers = [\n  {layers}\n]\n[train]\nsteps = 1\n"
    )
}

/// The section of the model, as a configuration resolves it.
fn resolved(layers: &str) -> ebm::Result<Spec> {
    let table = ebm::config::Document::from_str("c.toml", &text(layers), &[])?.resolve(&ebm::run::sections())?.0;
    Ok(Spec::new(table["model"].as_table().unwrap().clone()))
}

fn model(layers: &str, item: &[usize]) -> ebm::Result<Model> {
    let context = Context { shape: item.to_vec(), classes: None, moments: None };
    Model::new(&resolved(layers)?, &context, Key::new(4), DType::F64, &CPU)
}

/// Layers that keep the size of what they read: vectors where there is no image.
fn keeping(rng: &mut ChaCha8Rng, image: bool, depth: usize) -> String {
    let bend = ["swish", "softplus", "tanh", "sigmoid"][rng.random_range(0..4)];
    let norm = ["", ", weight_norm = true", ", spectral_norm = true"][rng.random_range(0..3)];
    let linear = match image {
        true => format!("{{ name = \"conv\", channels = 4, kernel = {}{norm} }}", [1, 3][rng.random_range(0..2)]),
        false => format!("{{ name = \"linear\", units = 4{norm} }}"),
    };
    let bend = format!("{{ name = \"activation\", function = \"{bend}\" }}");
    match rng.random_range(0..if depth == 0 { 3 } else { 6 }) {
        0 if image && rng.random_range(0..2) == 0 => {
            let heads = [1, 2, 4][rng.random_range(0..3)];
            format!("{linear}, {{ name = \"attention\", heads = {heads}{norm} }}, {bend}")
        }
        0 => format!("{linear}, {bend}"),
        // Two coordinates of a vector in a group are ±1 but for what keeps the norm from 0: no difference follows that.
        1 => {
            let groups = if image { [1, 2, 4][rng.random_range(0..3)] } else { 1 };
            format!("{linear}, {{ name = \"norm\", groups = {groups} }}, {bend}")
        }
        2 => format!("{linear}, {{ name = \"dropout\", rate = 0.5 }}, {bend}"),
        3 => format!("{linear}, {{ name = \"residual\", layers = [{}] }}", keeping(rng, image, depth - 1)),
        4 => {
            let (body, beside) = (keeping(rng, image, depth - 1), keeping(rng, image, depth - 1));
            format!("{{ name = \"residual\", layers = [{body}], shortcut = [{beside}] }}")
        }
        _ => format!("{{ name = \"skip\", layers = [{}] }}, {linear}", keeping(rng, image, depth - 1)),
    }
}

/// A random list, and the shape of an item that it reads.
pub fn random(rng: &mut ChaCha8Rng) -> (String, Vec<usize>) {
    let image = rng.random_range(0..2) == 0;
    let item = if image { vec![2, 4, 4] } else { vec![3] };
    let mut layers: Vec<String> = (0..rng.random_range(1..3)).map(|_| keeping(rng, image, 2)).collect();
    if image {
        let size = ["{ name = \"pool\" }", "{ name = \"upsample\" }", "{ name = \"conv\", channels = 2, stride = 2 }"];
        layers.push(size[rng.random_range(0..3)].into());
        layers.push(["{ name = \"global_pool\" }", "{ name = \"flatten\" }"][rng.random_range(0..2)].into());
    } else if rng.random_range(0..2) == 0 {
        layers.insert(0, "{ name = \"fourier\", features = 3, std = 1.0 }".into());
        layers.push("{ name = \"reshape\", shape = [2, 2, 1] }, { name = \"flatten\" }".into());
    }
    layers.push(keeping(rng, false, 1));
    layers.push("{ name = \"linear\" }".into());
    (layers.join(", "), item)
}

/// The derivatives of the random networks of these seeds: gradient, curvature and Laplacian of the energy by x, and the
/// gradient of a gradient penalty by all weights, against finite differences.
fn check_random(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let (layers, item) = random(&mut Key::new(seed).rng());
        let what = format!("seed {seed}: {layers}");
        let model = model(&layers, &item).unwrap_or_else(|e| panic!("{what}: {e}"));
        let shape = [&[2], item.as_slice()].concat();
        check_energy(&model, &shape, &what);
        check_penalty(&model, &Key::new(seed).with("x").normal(shape, DType::F64, &CPU).unwrap(), &what);
    }
}

/// The gradient of mean |∇ₓE|² by the weights, along one direction in all of them.
fn check_penalty(model: &Model, x: &Tensor, what: &str) {
    let penalty = || model.grad(x).unwrap().1.sqr().unwrap().mean_all().unwrap();
    let weights = &model.params().weights;
    let along = |name: &str, like: &Tensor| Key::new(8).with(name).normal(like.dims(), DType::F64, &CPU).unwrap();
    let grads = penalty().backward().unwrap();
    let slope: f64 = weights
        .iter()
        .filter_map(|(name, var)| {
            let product = (grads.get(var)? * along(name, var)).unwrap();
            Some(product.sum_all().unwrap().to_scalar::<f64>().unwrap())
        })
        .sum();
    let before: Vec<Tensor> = weights.values().map(|var| var.as_tensor().copy().unwrap()).collect();
    let at = |step: f64| {
        for ((name, var), start) in weights.iter().zip(&before) {
            ebm::ops::assign(var, &(start + (along(name, var) * step).unwrap()).unwrap()).unwrap();
        }
        penalty().to_scalar::<f64>().unwrap()
    };
    let h = 1e-4;
    let difference = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
    assert!((difference - slope).abs() < 1e-6 * (1.0 + slope.abs()), "{what}, penalty: {difference} and {slope}");
}

#[test]
fn random_lists_have_the_derivatives_of_what_they_compute() {
    check_random(0..8);
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn a_hundred_random_lists_have_the_derivatives_of_what_they_compute() {
    check_random(100..200);
}

#[test]
fn a_list_that_does_not_fit_is_refused_at_its_layer() {
    for (layers, says) in [
        ("{ name = \"conv\" }", ["c.toml:", "images"]),
        ("{ name = \"linear\", units = 5 }", ["c.toml:", "one number an item"]),
        ("{ name = \"reshape\", shape = [3] }, { name = \"linear\" }", ["c.toml:", "[3] has 3"]),
        (
            "{ name = \"reshape\", shape = [2, 1, 1] }, { name = \"attention\", heads = 3 }, { name = \"linear\" }",
            ["c.toml:", "3 equal heads"],
        ),
        ("{ name = \"attention\" }, { name = \"linear\" }", ["c.toml:", "images"]),
        (
            "{ name = \"reshape\", shape = [2, 1, 1] }, { name = \"upsample\", factor = 4611686018427387904 }",
            ["c.toml:", "more than memory holds"],
        ),
        ("{ name = \"norm\" }, { name = \"linear\" }", ["c.toml:", "groups"]),
        (
            "{ name = \"residual\", layers = [{ name = \"linear\", units = 7 }] }, { name = \"linear\" }",
            ["c.toml:", "no sum"],
        ),
        (
            "{ name = \"skip\", layers = [{ name = \"reshape\", shape = [2, 1, 1] }] }, { name = \"linear\" }",
            ["c.toml:", "joined"],
        ),
    ] {
        let spec = resolved(layers).unwrap();
        let net: Spec = spec.table["net"].clone().try_into().unwrap();
        assert!(outline(&net, &Io::scalar(&[2])).is_err());
        let lab = Lab::new();
        lab.write("c.toml", &text(layers));
        lab.refused(2, &["check", "c.toml"], &says);
    }
}

#[test]
fn what_is_misspelt_in_a_list_is_shown_where_it_stands() {
    for (layers, says) in [
        ("{ name = \"linaer\" }", ["did you mean `linear`?", "c.toml:"]),
        ("{ name = \"linear\", unit = 3 }", ["did you mean `units`?", "c.toml:"]),
        ("{ units = 3 }", ["needs a `name`", "c.toml:"]),
        ("{ name = \"dropout\", rate = 1.5 }", ["rate", "c.toml:"]),
        ("{ name = \"residual\", layers = [{ name = \"conf\" }] }", ["did you mean `conv`?", "c.toml:"]),
        ("3", ["layers", "c.toml:"]),
    ] {
        let error = resolved(layers).unwrap_err();
        let text = error.to_string();
        assert!(error.exit_code() == 2 && says.iter().all(|word| text.contains(word)), "{layers}: {text}");
    }
}

#[test]
fn the_table_counts_what_is_trained_and_multiplied() {
    let layers = "{ name = \"conv\", channels = 4 }, \
                  { name = \"residual\", layers = [{ name = \"conv\", channels = 4, kernel = 1 }] }, \
                  { name = \"pool\" }, { name = \"flatten\" }, { name = \"linear\" }";
    let net: Spec = resolved(layers).unwrap().table["net"].clone().try_into().unwrap();
    let lines = outline(&net, &Io::scalar(&[2, 8, 6])).unwrap().lines;
    let rows: Vec<_> =
        lines.iter().map(|l| (l.place.as_str(), l.item.as_slice(), l.parameters, l.multiplications)).collect();
    let want: [(&str, &[usize], usize, usize); 6] = [
        ("0", &[4, 8, 6], 2 * 4 * 9 + 4, 48 * 4 * 2 * 9),
        ("1", &[4, 8, 6], 4 * 4 + 4, 48 * 4 * 4),
        ("1.0", &[4, 8, 6], 4 * 4 + 4, 48 * 4 * 4),
        ("2", &[4, 4, 3], 0, 0),
        ("3", &[48], 0, 0),
        ("4", &[1], 49, 48),
    ];
    assert_eq!(rows, want);
}
