//! Networks as the configuration makes them: frozen copies, spectral norm, traces, and refusals instead of panics.

use candle_core::{DType, Device, Tensor};
use ebm::Error;
use ebm::config::{Spec, find};
use ebm::nets::{Builder, Io, Jet, NETS, Network, Pass, schemas};
use ebm::rng::Key;

/// One network of each row, with whatever that row can normalise switched on.
const SMALL: &[(&str, &str)] = &[
    ("mlp", "hidden = [6, 5]\nspectral_norm = true\nnorm = \"layer\""),
    ("conv", "channels = [4, 4]\nspectral_norm = true\nnorm = \"group\"\ngroups = 2"),
    ("resnet", "widths = [2, 4]\nspectral_norm = true\nnorm = \"group\"\ngroups = 1"),
    ("wide_resnet", "spectral_norm = true\nnorm = \"group\"\ngroups = 4"),
    ("resnet_generator", "widths = [4]\nspectral_norm = true\nnorm = \"group\"\ngroups = 2"),
    ("unet", "channels = [2, 4]\nspectral_norm = true\nnorm = \"group\"\ngroups = 2"),
    (
        "sequential",
        "layers = [{ name = \"conv\", channels = 2, spectral_norm = true }, { name = \"activation\" }, \
         { name = \"flatten\" }, { name = \"linear\", spectral_norm = true }]",
    ),
];

/// What a network is tried on: an energy on images, or the way from a latent vector to an image.
fn small_io(name: &str) -> Io {
    match name {
        "resnet_generator" => Io { input: vec![3], output: vec![1, 8, 8] },
        "unet" => Io::field(&[1, 8, 8]),
        _ => Io::scalar(&[1, 8, 8]),
    }
}

fn spec(name: &str, text: &str) -> Spec {
    Spec::of_text(schemas, name, text).unwrap()
}

fn builder() -> Builder {
    Builder::new(Key::new(1), DType::F64, &Device::Cpu).sub("net")
}

fn network(name: &str, text: &str, io: &Io) -> Result<Network, Error> {
    Network::new(&spec(name, text), io, &builder())
}

fn points(shape: &[usize]) -> Tensor {
    Key::new(2).normal(shape, DType::F64, &Device::Cpu).unwrap()
}

fn entries(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn images() -> Vec<(Network, Tensor)> {
    assert_eq!(SMALL.len(), NETS.len(), "a network is missing here");
    let make = |&(name, text): &(&str, &str)| {
        let io = small_io(name);
        (network(name, text, &io).unwrap(), points(&[&[3], io.input.as_slice()].concat()))
    };
    SMALL.iter().map(make).collect()
}

#[test]
fn a_frozen_network_builds_no_graph_and_follows_updates_in_place() {
    for (net, x) in images() {
        let frozen = net.frozen().unwrap();
        assert!(net.params().count() > 0 && frozen.params().count() == 0);
        let before = entries(&frozen.forward(&x, Pass::EVAL).unwrap());
        for var in net.params().weights.values() {
            ebm::ops::assign(var, &(var.as_tensor() * 1.5).unwrap().affine(1.0, 0.1).unwrap()).unwrap();
        }
        net.power_iterate().unwrap();
        let ((y, g), (tracked, want)) = (frozen.grad(&x, Pass::EVAL).unwrap(), net.grad(&x, Pass::EVAL).unwrap());
        assert!(!y.track_op() && !g.track_op() && tracked.track_op() && want.track_op());
        assert!(!frozen.jvp(&Jet::new(&x, &x).unwrap(), Pass::EVAL).unwrap().stacked().track_op());
        assert_eq!((entries(&y), entries(&g)), (entries(&tracked), entries(&want)));
        assert_ne!(before, entries(&y));
        assert_eq!(entries(&y), entries(&frozen.frozen().unwrap().forward(&x, Pass::EVAL).unwrap()));
    }
}

#[test]
fn rebinding_puts_a_network_on_other_tensors_and_names_what_is_missing() {
    for (net, x) in images() {
        let mut tensors = net.params().tensors();
        for t in tensors.values_mut() {
            *t = (&*t * 2.0).unwrap();
        }
        let other = net.rebind(tensors.clone()).unwrap();
        assert_ne!(entries(&other.forward(&x, Pass::EVAL).unwrap()), entries(&net.forward(&x, Pass::EVAL).unwrap()));
        let gone = tensors.pop_first().unwrap().0;
        let error = net.rebind(tensors).err().unwrap().to_string();
        assert!(error.contains(&gone), "{error}");
    }
}

#[test]
fn power_iteration_reaches_every_spectral_norm() {
    for (net, _) in images() {
        let state = || net.params().buffers.iter().map(|(n, b)| (n.clone(), entries(b))).collect::<Vec<_>>();
        let matrices = net.params().weights.keys().filter(|name| name.ends_with("weight")).count();
        let before = state();
        assert_eq!(before.len(), 2 * matrices);
        // New weights, so that vectors that had converged move again.
        for var in net.params().weights.values().filter(|v| v.rank() > 1) {
            ebm::ops::assign(var, &Key::new(9).normal(var.dims(), DType::F64, &Device::Cpu).unwrap()).unwrap();
        }
        net.power_iterate().unwrap();
        for ((name, a), (_, b)) in before.iter().zip(state()) {
            assert!(a.len() == 1 || *a != b, "{name} did not move");
        }
    }
}

#[test]
fn the_trace_in_closed_form_is_the_sum_of_the_pull_backs() {
    let nets = [
        "hidden = []",
        "hidden = [7]\nlearned_beta = true",
        "hidden = [7, 6]\nlearned_beta = true\ndropout = 0.5",
        "hidden = [7, 6]\nactivation = \"softplus\"\nspectral_norm = true",
        "hidden = [7, 6]\nnorm = \"layer\"",
        "hidden = [7, 6, 5]",
    ];
    for text in nets {
        let net = network("mlp", text, &Io::field(&[1, 2, 2])).unwrap();
        let x = points(&[3, 1, 2, 2]);
        let (_, pull) = net.vjp(&x, Pass::EVAL).unwrap();
        let column = |d: usize| {
            let unit: Vec<f64> = (0..12).map(|i| if i % 4 == d { 1.0 } else { 0.0 }).collect();
            let g = pull(&Tensor::from_vec(unit, (3, 1, 2, 2), &Device::Cpu).unwrap()).unwrap();
            entries(&g.flatten_from(1).unwrap().narrow(1, d, 1).unwrap())
        };
        let columns: Vec<Vec<f64>> = (0..4).map(column).collect();
        let trace = entries(&net.exact_trace(&x).unwrap());
        assert_eq!(trace.len(), 3, "{text}");
        for (b, have) in trace.iter().enumerate() {
            let want: f64 = columns.iter().map(|c| c[b]).sum();
            assert!((have - want).abs() < 1e-12, "{text}: {have} {want}");
        }
    }
    let scalar = network("mlp", "", &Io::scalar(&[3])).unwrap();
    assert!(scalar.exact_trace(&points(&[2, 3])).is_err());
}

#[test]
fn initial_weights_fill_the_interval_of_the_fan_in() {
    let net = network("mlp", "hidden = [400]", &Io::scalar(&[100])).unwrap();
    for name in ["net.0.weight", "net.0.bias"] {
        let w = entries(&net.params().weights[name]);
        let top = w.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        let share = w.iter().filter(|v| v.abs() < 0.05).count() as f64 / w.len() as f64;
        assert!(top <= 0.1 && top > 0.099, "{name}: {top}");
        assert!((share - 0.5).abs() < 4.0 * 0.5 / (w.len() as f64).sqrt(), "{name}: {share}");
    }
    let bound = 1.0 / 9f64.sqrt();
    let conv = network("conv", "channels = [50]", &Io::scalar(&[1, 8, 8])).unwrap();
    let top = entries(&conv.params().weights["net.0.weight"]).iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    assert!(top <= bound && top > 0.98 * bound, "{top}");
}

#[test]
fn geometry_that_cannot_work_is_refused() {
    let bad = [
        ("conv", "", vec![2], "use `mlp`"),
        ("resnet", "", vec![64], "use `mlp`"),
        ("conv", "", vec![1, 2, 2], "does not fit on 1x1 pixels"),
        ("conv", "", vec![1, 2, 2], "images from 8x8 pixels on fit"),
        ("conv", "kernels = [9, 3, 3, 3]\nstrides = [1, 1, 1, 1]", vec![1, 0, 8], "not empty"),
        ("conv", "channels = [4]\nkernels = [40]\nstrides = [1]", vec![1, 8, 8], "does not fit"),
        ("conv", "kernels = [3, 3]", vec![1, 8, 8], "`kernels` has 2 entries"),
        ("conv", "norm = \"group\"\ngroups = 5", vec![1, 28, 28], "32 channels into 5"),
        ("resnet", "widths = [4, 4, 4]", vec![1, 28, 28], "28x28 pixels are not multiples of 8; 24x24 and 32x32 are"),
        ("resnet", "widths = [4, 4, 4]", vec![1, 6, 40], "not multiples of 8; 8x40 are"),
        ("resnet", "widths = [4, 4, 4]", vec![1, 16, 30], "not multiples of 8; 16x24 and 16x32 are"),
        ("wide_resnet", "", vec![3], "use `mlp`"),
        ("wide_resnet", "", vec![1, 30, 28], "30x28 pixels are not multiples of 4; 28x28 and 32x28 are"),
        ("wide_resnet", "width = 1000000000000000000", vec![1, 8, 8], "narrower"),
        ("resnet_generator", "", vec![3], "shape []; use `mlp`"),
        ("mlp", "activation = \"tanh\"\nlearned_beta = true", vec![2], "learned_beta"),
        ("mlp", "hidden = [1000000000000000000]", vec![2], "narrower"),
        ("mlp", "", vec![usize::MAX, 2], "narrower"),
    ];
    for (name, text, item, part) in bad {
        let error = network(name, text, &Io::scalar(&item)).err().map(|e| e.to_string());
        assert!(error.as_ref().is_some_and(|e| e.contains(part)), "{name} {text:?} on {item:?}: {error:?}");
    }
    assert!(network("mlp", "hidden = []", &Io::scalar(&[3])).is_ok());
    let (up, made) = ("resnet_generator", |output: &[usize]| Io { input: vec![2], output: output.to_vec() });
    for (name, text, io, part) in [
        ("conv", "channels = [4]\nstrides = [2]", Io::field(&[1, 8, 8]), "`strides`"),
        ("unet", "", Io::field(&[3]), "use `mlp`"),
        ("unet", "", Io::field(&[1, 6, 8]), "6x8 pixels are not multiples of 4; 4x8 and 8x8 are"),
        ("unet", "", Io::field(&[1, 4, 8]), "smallest image of the network `unet` is 1 pixel wide"),
        ("unet", "", Io::scalar(&[1, 8, 8]), "form = \"dot\""),
        ("unet", "stem = 2", Io::field(&[1, 28, 28]), "28x28 pixels are not multiples of 8"),
        ("unet", "stem = 3", Io::field(&[1, 8, 8]), "`stem` is 1 or 2"),
        ("unet", "blocks = [1]", Io::field(&[1, 8, 8]), "`blocks` has 1 entries and `channels` has 3"),
        ("unet", "norm = \"group\"\ngroups = 5", Io::field(&[1, 8, 8]), "5 groups do not divide 32 channels"),
        ("unet", "attention = 3", Io::field(&[1, 8, 8]), "3 heads do not divide 128 channels"),
        ("unet", "level = true", Io::field(&[1, 8, 8]), "this model has none"),
        (up, "", made(&[1, 9, 8]), "cannot reach 9x8 pixels by doubling 1 times; 8x8 and 10x8 are reached"),
        (up, "blocks = 3", made(&[1, 28, 28]), "cannot reach 28x28 pixels by doubling 3 times"),
        (up, "widths = [4, 4]\nblocks = 3", made(&[1, 32, 32]), "`widths` has 2 entries and there are 3 `blocks`"),
        (up, "widths = [1000000000000000000]", made(&[1, 8, 8]), "narrower"),
        (up, "norm = \"group\"\ngroups = 5", made(&[1, 8, 8]), "64 channels into 5"),
    ] {
        let error = network(name, text, &io).err().map(|e| e.to_string());
        assert!(error.as_ref().is_some_and(|e| e.contains(part)), "{text:?} on {io:?}: {error:?}");
    }
    let unknown = Network::new(&Spec::default(), &Io::scalar(&[2]), &builder()).err().unwrap().to_string();
    assert!(unknown.contains("mlp, conv, resnet, wide_resnet, resnet_generator, unet"), "{unknown}");
}

#[test]
fn an_unknown_word_is_refused_with_the_words_that_are_known() {
    for (name, text) in [
        ("mlp", "activation = \"gelu\""),
        ("mlp", "norm = \"batch\""),
        ("conv", "head = \"max\""),
        ("conv", "channels = []"),
        ("resnet", "widths = [4, 0]"),
        ("resnet", "blocks = 0"),
        ("resnet", "blocks = 1000000000000"),
        ("mlp", "dropout = 1.0"),
        ("wide_resnet", "depth = 12"),
        ("wide_resnet", "depth = 4"),
        ("wide_resnet", "depth = 6004000000000000000"),
        ("wide_resnet", "width = 0"),
        ("wide_resnet", "norm = \"batch\""),
        ("resnet_generator", "norm = \"batch\""),
        ("resnet_generator", "blocks = 17"),
        ("unet", "blocks = [0, 1000000000000]"),
    ] {
        let key = text.split(' ').next().unwrap();
        let wrong = find(NETS, name).unwrap().schema.decode(&text.parse().unwrap()).unwrap_err();
        assert!(wrong.len() == 1 && wrong[0].0 == key, "{wrong:?}");
        assert!(!text.contains('"') || wrong[0].1.contains("expected"), "{wrong:?}");
    }
}

#[test]
fn the_networks_have_the_shapes_they_are_asked_for() {
    let (scalar, field) = (Io::scalar(&[3, 32, 32]), Io::field(&[3, 9, 7]));
    for (name, _) in SMALL.iter().filter(|(name, _)| !["resnet_generator", "unet"].contains(name)) {
        let text = if *name == "mlp" { "hidden = [10]" } else { "" };
        let y = network(name, text, &scalar).unwrap().forward(&points(&[2, 3, 32, 32]), Pass::EVAL).unwrap();
        assert_eq!(y.dims(), [2], "{name}");
    }
    let critic = network("conv", "channels = [4, 4]", &field).unwrap();
    assert_eq!(critic.forward(&points(&[2, 3, 9, 7]), Pass::EVAL).unwrap().dims(), [2, 3, 9, 7]);
}

#[test]
fn a_wide_resnet_has_the_published_number_of_parameters() {
    let count = |text: &str, io: &Io| {
        let builder = Builder::new(Key::new(1), DType::F32, &Device::Cpu);
        Network::new(&spec("wide_resnet", text), io, &builder).unwrap().params().count()
    };
    let classes = Io { input: vec![3, 32, 32], output: vec![10] };
    for (text, published) in [
        ("depth = 10\nwidth = 1", 0.08),
        ("depth = 10\nwidth = 2", 0.30),
        ("depth = 16\nwidth = 4", 2.75),
        ("depth = 28\nwidth = 2", 1.47),
    ] {
        let have = count(text, &classes);
        assert!((have as f64 / 1e6 - published).abs() < 0.005, "{text}: {have}");
    }
    // 3×3 convolutions between so many channels, 1×1 shortcuts, and the last layer, all with a bias.
    let conv = |(i, o): (usize, usize), kernel: usize| i * o * kernel * kernel + o;
    let large = [(3, 16), (16, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64)].map(|pair| conv(pair, 3));
    let small = [(16, 32), (32, 64), (64, 10)].map(|pair| conv(pair, 1));
    assert_eq!(count("", &classes), large.iter().sum::<usize>() + small.iter().sum::<usize>());
    // A group norm before each activation: 2 · 16 + 2 · 16 in the first stage, and so on.
    let normed = count("norm = \"group\"", &classes) - count("", &classes);
    assert_eq!(normed, 2 * (16 + 16 + 16 + 32 + 32 + 64 + 64));
}

#[test]
#[ignore = "150 MB of weights"]
fn the_widest_of_the_paper_has_36_million_parameters() {
    let builder = Builder::new(Key::new(1), DType::F32, &Device::Cpu);
    let io = Io { input: vec![3, 32, 32], output: vec![10] };
    let net = Network::new(&spec("wide_resnet", "depth = 28\nwidth = 10"), &io, &builder).unwrap();
    assert!((net.params().count() as f64 / 1e6 - 36.5).abs() < 0.05, "{}", net.params().count());
}

#[test]
fn a_wide_resnet_takes_images_of_every_usual_size() {
    for item in [[3, 32, 32], [1, 28, 28], [1, 16, 16], [1, 8, 8], [1, 4, 12]] {
        let io = Io { input: item.to_vec(), output: vec![10] };
        let net = network("wide_resnet", "", &io).unwrap();
        let x = points(&[&[2], item.as_slice()].concat());
        assert_eq!(net.forward(&x, Pass::EVAL).unwrap().dims(), [2, 10]);
        // Dropout lies between the convolutions of the blocks.
        let dropped = network("wide_resnet", "dropout = 0.5", &io).unwrap();
        let y = |pass| entries(&dropped.forward(&x, pass).unwrap());
        assert_eq!(y(Pass::EVAL), entries(&net.forward(&x, Pass::EVAL).unwrap()));
        assert_ne!(y(Pass::EVAL), y(Pass::train(Key::new(1))));
    }
}

#[test]
fn generators_make_items_of_every_shape() {
    let sizes = [[3, 32, 32], [1, 28, 28], [1, 16, 16], [1, 8, 8], [3, 64, 64], [2, 6, 10]];
    for (item, start) in sizes.into_iter().zip([4, 7, 4, 4, 4, 3]) {
        let io = Io { input: vec![5], output: item.to_vec() };
        let net = network("resnet_generator", "widths = [2]", &io).unwrap();
        let y = net.forward(&points(&[3, 5]), Pass::EVAL).unwrap();
        assert_eq!(y.dims(), [&[3], item.as_slice()].concat());
        assert_eq!(net.params().weights["net.start.weight"].dims()[0], 2 * start * (start * item[2] / item[1]));
    }
    let two = network("resnet_generator", "widths = [4, 2]", &Io { input: vec![5], output: vec![1, 8, 8] }).unwrap();
    assert_eq!(two.params().weights["net.start.weight"].dims(), [4 * 2 * 2, 5]);
    // 0.36 million parameters with 64 channels on 32x32, as published.
    let io = Io { input: vec![128], output: vec![3, 32, 32] };
    let count = network("resnet_generator", "", &io).unwrap().params().count();
    assert!((count as f64 / 1e6 - 0.36).abs() < 0.005, "{count}");
    for output in [vec![1, 8, 8], vec![2]] {
        let io = Io { input: vec![5], output };
        let y = network("mlp", "hidden = [7]", &io).unwrap().forward(&points(&[3, 5]), Pass::EVAL).unwrap();
        assert_eq!(y.dims(), [&[3], io.output.as_slice()].concat());
    }
}

/// Before training, every layer under weight norm has outputs of mean 0 and standard deviation 1/5 over the items that
/// it was shown, in stacks and in residual blocks alike.
#[test]
fn weight_norm_begins_at_the_data() {
    for (name, keys, shape) in [
        ("mlp", "hidden = [7, 5]", vec![6]),
        ("conv", "channels = [4, 6]", vec![2, 6, 6]),
        ("resnet", "widths = [4, 6]", vec![2, 8, 8]),
        ("wide_resnet", "depth = 10\nwidth = 1\nstem = 4", vec![2, 8, 8]),
    ] {
        let builder = Builder::new(Key::new(4), DType::F64, &Device::Cpu);
        let net =
            Network::new(&spec(name, &format!("weight_norm = true\n{keys}")), &Io::scalar(&shape), &builder).unwrap();
        let dims: Vec<usize> = std::iter::once(200).chain(shape).collect();
        let x = ((Key::new(5).normal(dims, DType::F64, &Device::Cpu).unwrap() * 3.0).unwrap() + 1.0).unwrap();
        net.calibrate(&|| Ok(x.clone())).unwrap();
        let y = net.forward(&x, Pass::EVAL).unwrap().to_vec1::<f64>().unwrap();
        let mean = y.iter().sum::<f64>() / 200.0;
        let std = (y.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 200.0).sqrt();
        assert!(mean.abs() < 1e-9 && (std - 0.2).abs() < 1e-9, "{name}: {mean} {std}");
    }
}
