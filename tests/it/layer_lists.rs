//! Networks printed as lists of layers: the list, read back, is the same network.

use candle_core::{DType, Device, Tensor};
use ebm::config::Spec;
use ebm::nets::{Builder, Io, NETS, Network, Pass, outline, schemas};
use ebm::rng::Key;

use crate::harness::{Lab, experiment};

const CPU: Device = Device::Cpu;

/// Networks of every row, with whatever their keys can switch on, and the shapes that they are tried for.
fn cases() -> Vec<(&'static str, &'static str, Io)> {
    let (flat, image) = (|| Io::scalar(&[3]), || Io::scalar(&[2, 8, 8]));
    let (classes, field) = (|| Io { input: vec![1, 8, 12], output: vec![10] }, || Io::field(&[2, 6, 5]));
    let makes = |output: &[usize]| Io { input: vec![5], output: output.to_vec() };
    vec![
        ("mlp", "", flat()),
        ("mlp", "hidden = []", flat()),
        ("mlp", "hidden = [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]", flat()),
        ("mlp", "hidden = [7, 5]\nnorm = \"layer\"\nspectral_norm = true\ndropout = 0.25", image()),
        ("mlp", "hidden = [7, 5]\nlearned_beta = true\nweight_norm = true\nfourier = 4\nfourier_std = 0.5", field()),
        ("mlp", "hidden = [6]\nactivation = \"elu\"", makes(&[1, 4, 4])),
        ("conv", "", Io::scalar(&[1, 28, 28])),
        ("conv", "channels = [4, 4]\nspectral_norm = true\nnorm = \"group\"\ngroups = 2\nhead = \"mean\"", image()),
        ("conv", "channels = [4, 3]\nkernels = [5, 1]\nstrides = [2, 1]\nhead = \"sum\"\nweight_norm = true", image()),
        ("conv", "channels = [4, 6]\nactivation = \"leaky_relu\"", field()),
        ("resnet", "widths = [2, 4]\nspectral_norm = true\nnorm = \"group\"\ngroups = 1", image()),
        ("resnet", "widths = [4, 4]\nblocks = 2\nactivation = \"relu\"\nhead = \"flatten\"", classes()),
        ("wide_resnet", "", classes()),
        ("wide_resnet", "depth = 16\nwidth = 2\nstem = 4\nspectral_norm = true\nnorm = \"group\"\ngroups = 4", image()),
        ("wide_resnet", "dropout = 0.3\nweight_norm = true\nactivation = \"softplus\"\nstem = 2", image()),
        ("resnet_generator", "widths = [4]", makes(&[1, 8, 8])),
        ("resnet_generator", "widths = [4, 2]\nspectral_norm = true\nnorm = \"group\"\ngroups = 2", makes(&[3, 12, 8])),
        ("unet", "weight_norm = true", Io::field(&[1, 8, 12])),
        ("unet", "channels = [2, 4]\nblocks = [1, 2]\nstem = 2\nnorm = \"group\"\ngroups = 2", Io::field(&[3, 8, 8])),
        ("sequential", "", flat()),
        (
            "sequential",
            "layers = [{ name = \"skip\", layers = [{ name = \"conv\", channels = 3 }] }, { name = \"upsample\" }, \
             { name = \"pool\", window = 4 }, { name = \"attention\", heads = 5, spectral_norm = true }, \
             { name = \"flatten\" }, { name = \"linear\", units = 4 }, \
             { name = \"reshape\", shape = [2, 2, 1] }, { name = \"global_pool\", of = \"mean\" }, \
             { name = \"linear\" }]",
            image(),
        ),
    ]
}

fn spec(name: &str, keys: &str) -> Spec {
    Spec::of_text(schemas, name, keys).unwrap()
}

fn entries(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn every_network_is_equal_to_the_list_that_it_is_printed_as() {
    let cases = cases();
    NETS.iter().for_each(|row| assert!(cases.iter().any(|(name, ..)| *name == row.name), "no case of `{}`", row.name));
    for (name, keys, io) in cases {
        let case = format!("{name}, {}", keys.replace('\n', ", "));
        let net =
            Network::new(&spec(name, keys), &io, &Builder::new(Key::new(1), DType::F64, &CPU).sub("net")).unwrap();
        let printed = outline(net.spec(), &io).unwrap();
        let parsed: toml::Table = printed.to_toml().parse().unwrap();
        let list = spec("sequential", &format!("layers = {}", parsed["layers"]));
        let (section, tensors) = net.sequential().unwrap();
        assert_eq!(section.table, parsed, "{case}");
        // A new network of the list makes the parameters that the old one has, no more and no fewer.
        let fresh = Network::new(&list, &io, &Builder::new(Key::new(2), DType::F64, &CPU)).unwrap();
        let shapes = |tensors: &ebm::methods::State| -> Vec<_> {
            tensors.iter().map(|(name, tensor)| (name.clone(), tensor.dims().to_vec())).collect()
        };
        assert_eq!(shapes(&fresh.params().tensors()), shapes(&tensors), "{case}");
        assert_eq!((fresh.params().count(), printed.parameters()), (net.params().count(), net.params().count()));
        let bound = Network::new(&list, &io, &Builder::bound(tensors, DType::F64, &CPU)).unwrap();
        let shape = [&[3], io.input.as_slice()].concat();
        let x = Key::new(3).normal(shape.as_slice(), DType::F64, &CPU).unwrap();
        let ((y, g), (value, slope)) = (net.grad(&x, Pass::EVAL).unwrap(), bound.grad(&x, Pass::EVAL).unwrap());
        assert_eq!((entries(&y), entries(&g)), (entries(&value), entries(&slope)), "{case}");
        assert_ne!(entries(&y), entries(&fresh.forward(&x, Pass::EVAL).unwrap()), "{case}");
    }
}

#[test]
fn the_widest_of_the_paper_is_listed_without_making_its_weights() {
    let io = Io { input: vec![3, 32, 32], output: vec![10] };
    let listed = outline(&spec("wide_resnet", "depth = 28\nwidth = 10"), &io).unwrap();
    assert!((listed.parameters() as f64 / 1e6 - 36.5).abs() < 0.05, "{}", listed.parameters());
    // 5.2 billion as published, with the stride in the first convolution of a block; here it is in the second.
    let multiplications = listed.multiplications() as f64 / 1e9;
    assert!((5.2..6.2).contains(&multiplications), "{multiplications}");
}

#[test]
fn the_command_line_prints_networks_that_run() {
    let lab = Lab::new();
    let text = lab.ok(&["show", "--net", "wide_resnet", "--items", "1,8,8", "--makes", "10", "--set", "net.stem=2"]);
    let net: toml::Table = text.parse().unwrap();
    assert_eq!(net["name"].as_str(), Some("sequential"));
    assert!(text.contains("wide_resnet: [1, 8, 8] to [10]") && text.contains("residual  "), "{text}");
    for name in NETS.iter().map(|row| row.name) {
        lab.ok(&["show", "--net", name]);
    }
    lab.write("c.toml", &experiment("lsd"));
    let text = lab.ok(&["show", "c.toml", "--net"]);
    let table: toml::Table = text.parse().unwrap();
    assert_eq!(table["model"]["net"]["name"].as_str(), Some("sequential"), "{text}");
    assert_eq!(table["method"]["critic"]["name"].as_str(), Some("sequential"), "{text}");
    let (model, critic) = (text.find("[model.net]").unwrap(), text.find("[method.critic]").unwrap());
    assert!(text.find("# model.net: ").unwrap() < model && model < text.find("# critic.net: ").unwrap(), "{text}");
    assert!(model < critic, "{text}");
    // Laid over the configuration, it trains the same networks.
    lab.write("listed.toml", &format!("extends = \"c.toml\"\n{text}"));
    let parameters = |config: &str| lab.json(&["check", config])["networks"].clone();
    let count = |networks: serde_json::Value| -> Vec<_> {
        networks.as_array().unwrap().iter().map(|net| net["parameters"].as_u64().unwrap()).collect()
    };
    let networks = count(parameters("listed.toml"));
    assert!(networks.len() == 2 && networks[0] > 0, "{networks:?}");
    assert_eq!(networks, count(parameters("c.toml")));
    let said = lab.ok(&["check", "c.toml"]);
    assert!(said.contains("model.net: [2] to one number") && said.contains("multiplications"), "{said}");
    lab.refused(2, &["show", "--net", "mlp", "--set", "net.hiden=[3]"], &["did you mean `hidden`?"]);
    lab.refused(2, &["show", "--net", "resnet", "--items", "3,5,5"], &["5x5 pixels are not multiples of 4"]);
    let text = lab.ok(&["show", "--net", "unet", "--items", "1,8,8", "--set", "net.level=true"]);
    assert!(text.contains("unet: [1, 8, 8] to [1, 8, 8]") && text.contains("time_embedding"), "{text}");
    lab.refused(2, &["show", "--net", "unet", "--items", "1,6,8"], &["6x8 pixels are not multiples of 4"]);
    lab.refused(2, &["show", "--net", "c.toml", "--items", "3"], &["--items"]);
}
