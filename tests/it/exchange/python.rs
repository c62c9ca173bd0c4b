//! The real PyTorch and the real ONNX agree with the model.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use ebm::data::{Data, file};
use ebm::density::{Context, Energy as _, Model, WeightsOf};
use ebm::exchange::{Export, ExportFormat};
use ebm::rng::Key;
use ebm::run::Experiment;
use ebm::store::State;

use super::python;
use crate::harness::{Lab, read};
use crate::sequential::random;

/// Models of every network and layer, with everything that changes the numbers switched on: data set and model.
const MODELS: &[(&str, &str)] = &[
    (
        "name = \"moons\"",
        "name = \"neural\"\nnet = { name = \"mlp\", hidden = [7, 5], learned_beta = true, \
         norm = \"layer\", dropout = 0.2 }",
    ),
    (
        "name = \"moons\"",
        "name = \"neural\"\nbase = \"none\"\nnet = { name = \"mlp\", hidden = [7, 5], activation = \"tanh\", \
         spectral_norm = true, fourier = 3 }",
    ),
    (
        "name = \"digits\"\nflatten = true",
        "name = \"neural\"\nbase = \"scalar\"\nnet = { name = \"mlp\", hidden = [6], activation = \"elu\", \
         weight_norm = true }",
    ),
    (
        "name = \"digits\"\ntransform = \"logit\"",
        "name = \"neural\"\nnet = { name = \"conv\", channels = [4, 6], norm = \"group\", groups = 2, \
         activation = \"leaky_relu\", spectral_norm = true }",
    ),
    (
        "name = \"digits\"",
        "name = \"neural\"\nbase = \"none\"\nnet = { name = \"resnet\", widths = [4, 6], activation = \"softplus\", \
         weight_norm = true }",
    ),
    (
        "name = \"digits\"",
        "name = \"classifier\"\nnet = { name = \"wide_resnet\", depth = 10, width = 1, stem = 4, norm = \"group\", \
         groups = 2, activation = \"swish\" }",
    ),
    (
        "name = \"digits\"",
        "name = \"classifier\"\nnet = { name = \"sequential\", layers = [\
         { name = \"conv\", channels = 4, kernel = 3, stride = 2 }, { name = \"norm\", groups = 2 }, \
         { name = \"activation\", function = \"relu\" }, \
         { name = \"skip\", layers = [{ name = \"conv\", channels = 2 }] }, \
         { name = \"residual\", layers = [{ name = \"conv\", channels = 3 }, { name = \"dropout\" }], \
           shortcut = [{ name = \"conv\", channels = 3, kernel = 1, weight_norm = true }] }, \
         { name = \"upsample\" }, { name = \"attention\", heads = 3, spectral_norm = true }, \
         { name = \"pool\", window = 4 }, { name = \"global_pool\", of = \"mean\" }, \
         { name = \"fourier\", features = 4 }, { name = \"reshape\", shape = [11] }, \
         { name = \"residual\", layers = [{ name = \"linear\", units = 11, spectral_norm = true }, \
           { name = \"activation\", function = \"sigmoid\" }] }, { name = \"linear\" }] }",
    ),
    (
        "name = \"moons\"",
        "name = \"ladder\"\nsigma_min = 0.2\nnet = { name = \"mlp\", hidden = [7, 5], spectral_norm = true }",
    ),
    (
        "name = \"digits\"\nflatten = true",
        "name = \"ladder\"\nlevels = 5\nform = \"square\"\nnet = { name = \"mlp\", hidden = [6] }",
    ),
    (
        "name = \"digits\"",
        "name = \"ladder\"\nlevels = 4\nform = \"dot\"\nweight = \"growing\"\ntold = \"layers\"\n\
         net = { name = \"unet\", channels = [8, 16], norm = \"group\", attention = 2, level = true }",
    ),
    ("name = \"digits\"", "name = \"ladder\"\nweight = \"growing\"\nnet = { name = \"conv\", channels = [4, 6] }"),
    (
        "name = \"digits\"\nflatten = true",
        "name = \"potential\"\nform = \"square\"\nscale = 3.0\nnet = { name = \"mlp\", hidden = [6] }",
    ),
    (
        "name = \"digits\"",
        "name = \"potential\"\nform = \"dot\"\ntemperature = 0.4\n\
         net = { name = \"sequential\", layers = [{ name = \"conv\", channels = 4 }, \
         { name = \"activation\", function = \"softplus\" }, { name = \"conv\", channels = 1 }] }",
    ),
    ("name = \"moons\"", "name = \"potential\"\nnet = { name = \"mlp\", hidden = [6], spectral_norm = true }"),
    ("name = \"moons\"", "name = \"gaussian\"\nfrom_data = true"),
    ("name = \"digits\"", "name = \"tilted\"\nbase = { name = \"gaussian\" }\nnet = { name = \"mlp\", hidden = [5] }"),
];

/// Energies, scores and logits by the loader, and by ONNX; the loader's file is a module like any other.
const EVALUATE: &str = r#"
import pathlib, sys
import numpy as np, onnx, onnxruntime, torch
torch.set_num_threads(1)
for folder in sorted(pathlib.Path(".").glob("model*")):
    sys.path.insert(0, str(folder))
    for name in "ebm_model", "ebm_ladder": sys.modules.pop(name, None)
    of_levels = (folder / "ebm_ladder.py").exists()
    if of_levels: from ebm_ladder import Model
    else: from ebm_model import Model
    sys.path.pop(0)
    assert sum(1 for _ in open(folder / "ebm_model.py")) < 60
    model, given = Model(folder), {}
    if of_levels:
        given["sigma"] = np.load(folder / "sigma.npy").astype(np.float32)
        np.save(folder / "sigmas.npy", model.sigmas.double())
    x = np.load(folder / "x.npy").astype(np.float32)
    x.resize((len(x), *map(int, (folder / "shape").read_text().split())))
    save = lambda name, array: np.save(folder / name, np.asarray(array, dtype=np.float64))
    levels = [torch.tensor(sigma) for sigma in given.values()]
    save("energy.npy", model(torch.tensor(x), *levels).detach())
    save("score.npy", model.score(torch.tensor(x), *levels))
    save("lowest.npy", model(torch.tensor(x)).detach())
    if (folder / "raw.npy").exists():
        save("input.npy", model.input(torch.tensor(np.load(folder / "raw.npy"))))
    if model.form.get("form") == "logits":
        save("logits.npy", model.logits(torch.tensor(x)).detach())
    model(torch.tensor(x)).sum().backward()
    onnx.checker.check_model(str(folder / "model.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    for value, array in zip(session.get_outputs(), session.run(None, {"x": x, **given})):
        save(f"onnx_{value.name}.npy", array)
"#;

/// A model to be compared: its data set, its section, and the shape of its items where that is not the data's.
struct Case {
    dataset: String,
    model: String,
    item: Option<Vec<usize>>,
}

impl Case {
    /// The models above, and random lists of layers.
    fn all() -> Vec<Case> {
        let case = |(dataset, model): &(&str, &str)| Case {
            dataset: (*dataset).to_owned(),
            model: (*model).to_owned(),
            item: None,
        };
        let random = |seed| {
            let (layers, item) = random(&mut Key::new(seed).rng());
            let net = format!("net = {{ name = \"sequential\", layers = [{layers}] }}");
            let model = format!("name = \"neural\"\nbase = \"none\"\n{net}");
            Case { dataset: "name = \"moons\"".to_owned(), model, item: Some(item) }
        };
        MODELS.iter().map(case).chain((200..216).map(random)).collect()
    }

    fn experiment(&self) -> Experiment {
        let Case { dataset, model, .. } = self;
        let text = format!("[dataset]\n{dataset}\n[model]\n{model}\n[method]\nname = \"none\"\n[train]\nsteps = 1\n");
        Experiment::parse("c.toml", &text, &[]).unwrap()
    }

    /// The model with random numbers everywhere, and its tensors.
    fn model(&self, experiment: &Experiment) -> (Model, State) {
        let (data, spec) = (experiment.data().unwrap(), experiment.resolved.spec("model"));
        let shape = self.item.clone().unwrap_or_else(|| data.spec().shape.clone());
        let moments = || data.mean_std(100);
        let context = Context { shape, classes: data.spec().classes, moments: Some(&moments) };
        let made = Model::new(&spec, &context, Key::new(5), DType::F32, &Device::Cpu).unwrap();
        let shaken = made.params().tensors().into_iter().map(|(name, tensor)| {
            let noise = Key::new(3).with(&name).normal(tensor.dims(), DType::F32, &Device::Cpu).unwrap();
            (name, (tensor + (noise * 0.2).unwrap()).unwrap())
        });
        let weights: State = shaken.collect();
        (Model::bound(&spec, &context, weights.clone(), DType::F32, &Device::Cpu).unwrap(), weights)
    }

    /// The files of the model for PyTorch and ONNX, in a new folder.
    fn export(&self, folder: &Path) -> (Model, Arc<Data>) {
        let experiment = self.experiment();
        let (model, weights) = self.model(&experiment);
        let data = experiment.data().unwrap();
        let which = WeightsOf::Training;
        let export = Export {
            model: &model,
            weights: &weights,
            which,
            step: 0,
            experiment: &experiment,
            data: &data,
            run: None,
        };
        std::fs::create_dir(folder).unwrap();
        for (name, content) in export.files(&[ExportFormat::Torch, ExportFormat::Onnx]).unwrap() {
            std::fs::write(folder.join(name), content).unwrap();
        }
        (model, data)
    }
}

/// The largest difference, relative to the largest number.
pub(super) fn difference(have: &Path, want: &Tensor) -> f64 {
    let have = file::array(have).unwrap();
    let want: Vec<f64> = want.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap();
    assert_eq!(have.values.len(), want.len());
    let most = want.iter().fold(1.0, |most: f64, v| most.max(v.abs()));
    have.values.iter().zip(&want).fold(0.0, |worst: f64, (a, b)| worst.max((a - b).abs() / most))
}

/// Pixels as files have them, and what the model takes of each, in the middle of its grey level.
fn raw_pixels(data: &Data, folder: &Path) {
    let levels = f64::from(data.stamp().levels);
    let values: Vec<f64> = (0..3 * 64).map(|i| f64::from(i % 17)).collect();
    let unit = |v: &f64| if data.dequantises() { (v + 0.5) / levels } else { v / (levels - 1.0) };
    let z = Tensor::from_vec(values.iter().map(unit).collect(), (3, 1, 8, 8), &Device::Cpu).unwrap();
    let x = data.of_unit(&z, None).unwrap();
    let numbers = x.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
    std::fs::write(folder.join("raw.npy"), file::npy_bytes(&[3, 1, 8, 8], &values).unwrap()).unwrap();
    std::fs::write(folder.join("model_space.npy"), file::npy_bytes(x.dims(), &numbers).unwrap()).unwrap();
}

#[test]
fn energies_scores_and_logits_are_those_of_pytorch_and_onnx() {
    let lab = Lab::new();
    let mut wanted = Vec::new();
    for (i, case) in Case::all().iter().enumerate() {
        let folder = lab.path(&format!("model{i}"));
        let (model, data) = case.export(&folder);
        let shape = model.shape().to_vec();
        let x = Key::new(4).normal([&[4], shape.as_slice()].concat(), DType::F32, &Device::Cpu).unwrap();
        let values: Vec<f64> = x.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap();
        std::fs::write(folder.join("x.npy"), file::npy_bytes(x.dims(), &values).unwrap()).unwrap();
        std::fs::write(folder.join("shape"), shape.iter().map(|d| format!("{d} ")).collect::<String>()).unwrap();
        if case.item.is_none() && data.spec().image.is_some() {
            raw_pixels(&data, &folder);
        }
        let lowest = model.energy(&x).unwrap();
        // At all levels of noise, and beyond them.
        let sigma = [0.07f64, 0.3, 1.0, 4.0];
        let levels = Tensor::new(&sigma, &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
        let (energy, grad) = match model.at_level(&levels) {
            Some(at) => {
                std::fs::write(folder.join("sigma.npy"), file::npy_bytes(&[4], &sigma).unwrap()).unwrap();
                at.grad(&x).unwrap()
            }
            None => model.grad(&x).unwrap(),
        };
        let of_model = [model.logits(&x).unwrap(), model.levels().unwrap()];
        wanted.push((folder, [energy, grad.neg().unwrap(), lowest], of_model));
    }
    if !python(EVALUATE, &lab.path("")) {
        return;
    }
    for (folder, [energy, score, lowest], [logits, levels]) in wanted {
        let near = |name: &str, want: &Tensor| {
            let difference = difference(&folder.join(name), want);
            let text = || String::from_utf8(read(&folder.join("config.toml"))).unwrap();
            assert!(difference < 1e-5, "{}/{name}: {difference:e}\n{}", folder.display(), text());
        };
        near("energy.npy", &energy);
        near("score.npy", &score);
        near("lowest.npy", &lowest);
        levels.into_iter().for_each(|levels| near("sigmas.npy", &levels));
        if folder.join("raw.npy").exists() {
            let want = file::array(&folder.join("model_space.npy")).unwrap();
            let want = Tensor::from_vec(want.values, want.shape, &Device::Cpu).unwrap();
            near("input.npy", &want);
        }
        near("onnx_energy.npy", &energy);
        if let Some(logits) = logits {
            near("logits.npy", &logits);
            near("onnx_logits.npy", &logits);
        }
    }
}
