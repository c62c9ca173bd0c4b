//! What is tested: every layer, and every network of the registry in small.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use ebm::config::Spec;
use ebm::nets::{
    Attention, AvgPool, Builder, Conv2d, Dropout, GlobalPool, GroupNorm, Io, Layer, Linear, NETS, Network, Nonlinear,
    NonlinearName, Pass, Reshape, Residual, Scaling, Sequence, Upsample, schemas,
};
use ebm::ops::{Activation, Conv};
use ebm::rng::Key;

/// A layer at a point.
pub struct Case {
    pub name: String,
    pub layer: Subject,
    /// Its weights, and the point `x`.
    pub vars: BTreeMap<String, Var>,
    pub x: Tensor,
    pub pass: Pass<'static>,
}

#[allow(clippy::large_enum_variant)] // a handful of them
pub enum Subject {
    Layer(Box<dyn Layer>),
    Net(Network),
}

impl Case {
    pub fn layer(&self) -> &dyn Layer {
        match &self.layer {
            Subject::Layer(layer) => layer.as_ref(),
            Subject::Net(net) => net.layer(),
        }
    }

    /// A constant of the shape of `like`, each purpose another.
    pub fn constant(&self, purpose: &str, like: &Tensor) -> Tensor {
        normal(purpose, like.dims())
    }
}

/// Standard normal numbers.
pub fn normal(purpose: &str, shape: &[usize]) -> Tensor {
    Key::new(5).with(purpose).normal(shape, DType::F64, &Device::Cpu).unwrap()
}

pub fn builder() -> Builder {
    Builder::new(Key::new(11), DType::F64, &Device::Cpu)
}

/// Every layer and every network.
pub fn all() -> Vec<Case> {
    layers().into_iter().chain(nets()).collect()
}

fn case(name: &str, shape: &[usize], make: impl FnOnce(&Builder) -> Box<dyn Layer>) -> Case {
    let builder = builder().sub("layer");
    let layer = Subject::Layer(make(&builder));
    // Kept off 0, where leaky ReLU and its kin have a corner.
    let x = normal(name, shape);
    let x = Var::from_tensor(&(&x + x.sign().unwrap().affine(0.3, 0.0).unwrap()).unwrap()).unwrap();
    let mut vars = builder.finish().weights;
    // Off their constant initial values, so that no term vanishes by chance.
    for (name, var) in &vars {
        ebm::ops::assign(var, &(var.as_tensor() + normal(name, var.dims()).affine(0.3, 0.0).unwrap()).unwrap())
            .unwrap();
    }
    vars.insert("x".into(), x.clone());
    Case { name: name.into(), layer, vars, x: x.as_tensor().clone(), pass: Pass::train(Key::new(3)) }
}

fn layers() -> Vec<Case> {
    use NonlinearName::{Elu, LeakyRelu, Relu, Sigmoid, Softplus, Swish, Tanh};
    let conv = |stride, padding| Conv { stride, padding };
    let convolution = |kernel, c: Conv, scaling| {
        move |b: &Builder| Box::new(Conv2d::new(b, (2, 3), kernel, c, scaling).unwrap()) as Box<dyn Layer>
    };
    let mut cases = vec![
        case("linear", &[3, 4], |b| Box::new(Linear::new(b, 4, 2, Scaling::Free).unwrap())),
        case("linear, spectral", &[3, 4], |b| Box::new(Linear::new(b, 4, 3, Scaling::Spectral).unwrap())),
        case("linear, weight norm", &[3, 4], |b| Box::new(Linear::new(b, 4, 3, Scaling::Norm).unwrap())),
        case("swish, learned", &[3, 4], |b| Box::new(Nonlinear::new(b, Swish, 4, true).unwrap())),
        case("conv 3x3", &[2, 2, 4, 5], convolution(3, conv(1, 1), Scaling::Free)),
        case("conv 3x3, stride 2", &[2, 2, 6, 5], convolution(3, conv(2, 1), Scaling::Free)),
        case("conv 4x4, stride 2", &[2, 2, 6, 6], convolution(4, conv(2, 1), Scaling::Free)),
        case("conv 2x2, stride 3", &[2, 2, 5, 7], convolution(2, conv(3, 0), Scaling::Free)),
        case("conv 1x1", &[2, 2, 3, 3], convolution(1, conv(1, 0), Scaling::Free)),
        case("conv, spectral", &[2, 2, 4, 4], convolution(3, conv(1, 0), Scaling::Spectral)),
        case("conv, weight norm", &[2, 2, 4, 4], convolution(3, conv(1, 0), Scaling::Norm)),
        case("average pool", &[2, 2, 4, 6], |_| Box::new(AvgPool::new(2))),
        case("sum pool", &[2, 3, 4, 2], |_| Box::new(GlobalPool::Sum)),
        case("mean pool", &[2, 3, 4, 2], |_| Box::new(GlobalPool::Mean)),
        case("upsampling", &[2, 3, 2, 3], |_| Box::new(Upsample::new(2))),
        // Both branches upsample the same tensor.
        case("upsampling twice", &[2, 2, 2, 1], |_| {
            let body = Sequence::new().then(Upsample::new(3)).then(Nonlinear::Fixed(Activation::Tanh));
            Box::new(Residual::new(body).with_shortcut(Upsample::new(3)))
        }),
        case("reshape", &[2, 12], |_| Box::new(Reshape::to(&[3, 2, 2]))),
        case("flatten", &[2, 3, 2, 2], |_| Box::new(Reshape::flatten(&[3, 2, 2]))),
        case("attention", &[1, 4, 1, 3], |b| Box::new(Attention::new(b, 4, 2, Scaling::Free).unwrap())),
        case("attention, spectral", &[2, 2, 2, 1], |b| Box::new(Attention::new(b, 2, 1, Scaling::Spectral).unwrap())),
        case("attention, weight norm", &[2, 2, 1, 3], |b| Box::new(Attention::new(b, 2, 2, Scaling::Norm).unwrap())),
        case("dropout", &[4, 5], |b| Box::new(Dropout::new(b, 0.4))),
        case("layer norm", &[3, 5], |b| Box::new(GroupNorm::layer(b, 5).unwrap())),
        case("group norm", &[2, 4, 2, 3], |b| Box::new(GroupNorm::new(b, 4, 2).unwrap())),
        case("residual", &[3, 4], |b| Box::new(Residual::new(bent(b, 4)))),
        case("residual, shortcut", &[3, 4], |b| {
            let shortcut = Linear::new(&b.sub("shortcut"), 4, 2, Scaling::Spectral).unwrap();
            Box::new(Residual::new(bent(b, 2)).with_shortcut(shortcut))
        }),
    ];
    for name in [Swish, Softplus, LeakyRelu, Tanh, Relu, Elu, Sigmoid] {
        cases.push(case(&format!("{name:?}"), &[3, 4], |_| Box::new(Nonlinear::Fixed(name.function()))));
    }
    cases
}

/// A map from 4 numbers that is not linear.
fn bent(builder: &Builder, output: usize) -> Sequence {
    let linear = Linear::new(&builder.sub("body"), 4, output, Scaling::Free).unwrap();
    Sequence::new().then(Nonlinear::Fixed(Activation::Tanh)).then(linear)
}

/// The section `text` of the network `name`, completed with its defaults.
pub fn spec(name: &str, text: &str) -> Spec {
    Spec::of_text(schemas, name, text).unwrap()
}

/// Small versions of a network of the registry: (section, shapes of one item).
fn variants(name: &str) -> Vec<(&'static str, Io)> {
    match name {
        "mlp" => vec![
            ("hidden = []", Io::field(&[3])),
            ("hidden = [4, 3]", Io::scalar(&[3])),
            ("hidden = [4, 3]\nlearned_beta = true\ndropout = 0.3", Io::field(&[1, 2, 2])),
            ("hidden = [4, 3]\nactivation = \"softplus\"\nspectral_norm = true", Io::field(&[2])),
            ("hidden = [5]\nactivation = \"leaky_relu\"\nnorm = \"layer\"", Io::scalar(&[3])),
            ("hidden = [5]\nfourier = 4\nfourier_std = 0.7", Io::field(&[3])),
        ],
        "conv" => vec![
            ("channels = [2, 3, 2]", Io::scalar(&[1, 8, 8])),
            ("channels = [4, 4]\nnorm = \"group\"\ngroups = 2\nhead = \"sum\"", Io::scalar(&[2, 6, 5])),
            ("channels = [3]\nspectral_norm = true\nkernels = [5]", Io::field(&[2, 4, 3])),
        ],
        "resnet" => vec![
            ("widths = [2, 3]", Io::scalar(&[1, 4, 4])),
            (
                "widths = [2]\nblocks = 2\nnorm = \"group\"\ngroups = 1\nspectral_norm = true",
                Io { input: vec![2, 4, 2], output: vec![3] },
            ),
        ],
        "wide_resnet" => {
            vec![("stem = 1\nactivation = \"swish\"\ndropout = 0.3", Io { input: vec![1, 4, 4], output: vec![2] })]
        }
        "resnet_generator" => vec![
            ("widths = [2]", Io { input: vec![3], output: vec![2, 4, 6] }),
            (
                "widths = [4, 2]\nnorm = \"group\"\ngroups = 1\nspectral_norm = true\nactivation = \"softplus\"",
                Io { input: vec![2], output: vec![1, 8, 8] },
            ),
        ],
        "unet" => vec![
            ("channels = [2, 3]", Io::field(&[1, 4, 6])),
            (
                "channels = [2, 4]\nblocks = [0, 1]\nstem = 2\nnorm = \"group\"\ngroups = 2\nattention = 2\n\
                 activation = \"elu\"",
                Io { input: vec![2, 8, 8], output: vec![1, 8, 8] },
            ),
        ],
        "sequential" => vec![(
            "layers = [{ name = \"conv\", channels = 2 }, \
             { name = \"skip\", layers = [{ name = \"conv\", channels = 2 }] }, \
             { name = \"activation\" }, { name = \"residual\", layers = [{ name = \"norm\", groups = 2 }] }, \
             { name = \"dropout\" }, { name = \"global_pool\" }, { name = \"linear\" }]",
            Io { input: vec![1, 3, 4], output: vec![2] },
        )],
        _ => panic!("give `{name}` a small size here, so that it is tested"),
    }
}

/// Every network of the registry.
pub fn nets() -> Vec<Case> {
    let rows = NETS.iter().flat_map(|row| variants(row.name).into_iter().map(|(text, io)| (row.name, text, io)));
    rows.map(|(name, text, io)| net_case(name, text, &io)).collect()
}

pub fn net_case(name: &str, text: &str, io: &Io) -> Case {
    let net = Network::new(&spec(name, text), io, &builder().sub("net")).unwrap();
    let shape = [&[2], io.input.as_slice()].concat();
    let x = Var::from_tensor(&normal(text, &shape)).unwrap();
    let mut vars = net.params().weights.clone();
    vars.insert("x".into(), x.clone());
    let name = format!("{name} ({})", text.replace('\n', ", "));
    Case { name, layer: Subject::Net(net), vars, x: x.as_tensor().clone(), pass: Pass::train(Key::new(3)) }
}
