//! Every energy that is made of another one gives in each of its five functions what that one gives.

use candle_core::{DType, Device, Tensor};
use ebm::config::Spec;
use ebm::data::Moments;
use ebm::density::{
    Affine, Bridge, Clamped, Context, Coordinates, Counted, Energy, Freedom, Gaussian, Generator, GeneratorConfig,
    Model, Potential, Space,
};
use ebm::methods::vera::posterior::{Force, Posterior};
use ebm::nets::Builder;
use ebm::rng::Key;

const CPU: Device = Device::Cpu;

fn normal(key: u64, shape: &[usize]) -> Tensor {
    Key::new(key).normal(shape, DType::F64, &CPU).unwrap()
}

fn list(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// A model on items of four numbers in f64.
fn model(text: &str) -> Model {
    let of = |value: f64| Tensor::full(value, 4, &CPU).unwrap().to_dtype(DType::F32).unwrap();
    let moments = Moments { mean: of(0.3), std: of(1.5), overall_mean: 0.3, overall_std: 1.5 };
    let context = Context { shape: vec![4], classes: Some(3), moments: Some(&|| Ok(moments.clone())) };
    Model::new(&Spec::new(text.parse().unwrap()), &context, Key::new(4), DType::F64, &CPU).unwrap()
}

const NEURAL: &str =
    "name = \"neural\"\nnet = { name = \"mlp\", hidden = [7], activation = \"swish\" }\nbase = \"diagonal\"";
const CLASSIFIER: &str = "name = \"classifier\"\nnet = { name = \"mlp\", hidden = [7], activation = \"swish\" }";
const FLOW: &str = "name = \"real_nvp\"\nhidden = [6]\ncouplings = 2";

fn close(what: &str, a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < tolerance * (1.0 + b.abs()), "{what}: {a} and {b}");
    }
}

/// The five functions agree with each other and with differences of the energy along v.
fn consistent(what: &str, e: &dyn Energy, x: &Tensor, v: &Tensor) {
    let value = list(&e.energy(x).unwrap());
    let along = |h: f64| list(&e.energy(&(x + (v * h).unwrap()).unwrap()).unwrap());
    let h = 1e-4;
    let (up, down) = (along(h), along(-h));
    let difference: Vec<f64> = up.iter().zip(&down).map(|(u, d)| (u - d) / (2.0 * h)).collect();
    let second: Vec<f64> = (0..value.len()).map(|i| (up[i] - 2.0 * value[i] + down[i]) / (h * h)).collect();

    let (energy, grad) = e.grad(x).unwrap();
    assert_eq!(grad.dims(), x.dims(), "{what}");
    let slope = list(&(&grad * v).unwrap().flatten_from(1).unwrap().sum(1).unwrap());
    close(&format!("{what}, value of grad"), &list(&energy), &value, 1e-12);
    close(&format!("{what}, gradient"), &slope, &difference, 1e-6);

    let (energy, directional) = e.directional(x, v).unwrap();
    close(&format!("{what}, value of directional"), &list(&energy), &value, 1e-12);
    close(&format!("{what}, directional"), &list(&directional), &slope, 1e-10);

    let [energy, first, bend] = e.curvature(x, v).unwrap();
    close(&format!("{what}, value of curvature"), &list(&energy), &value, 1e-12);
    close(&format!("{what}, slope of curvature"), &list(&first), &slope, 1e-10);
    close(&format!("{what}, curvature"), &list(&bend), &second, 1e-5);

    let (energy, by_laplacian, trace) = e.laplacian(x).unwrap();
    close(&format!("{what}, value of laplacian"), &list(&energy), &value, 1e-12);
    close(&format!("{what}, gradient of laplacian"), &list(&by_laplacian), &list(&grad), 1e-10);
    let (rows, size) = (x.dim(0).unwrap(), x.elem_count() / x.dim(0).unwrap());
    let axis = |i: usize| {
        let unit: Vec<f64> = (0..rows * size).map(|j| f64::from(j % size == i)).collect();
        let unit = Tensor::from_vec(unit, x.dims(), &CPU).unwrap();
        list(&e.curvature(x, &unit).unwrap()[2])
    };
    let axes: Vec<Vec<f64>> = (0..size).map(axis).collect();
    let sum: Vec<f64> = (0..rows).map(|row| axes.iter().map(|bends| bends[row]).sum()).collect();
    close(&format!("{what}, laplacian"), &list(&trace), &sum, 1e-10);
}

/// All that the five functions give, as numbers.
fn given(e: &dyn Energy, x: &Tensor, v: &Tensor) -> Vec<f64> {
    let ((e0, g0), (e1, s1), [e2, s2, b2]) =
        (e.grad(x).unwrap(), e.directional(x, v).unwrap(), e.curvature(x, v).unwrap());
    let (e3, g3, l3) = e.laplacian(x).unwrap();
    [e.energy(x).unwrap(), e0, g0, e1, s1, e2, s2, b2, e3, g3, l3].iter().flat_map(list).collect()
}

#[test]
fn what_only_counts_borrows_or_owns_an_energy_gives_the_same_bits() {
    let (x, v) = (normal(1, &[3, 4]), normal(2, &[3, 4]));
    let plain = model(NEURAL);
    let want = given(&plain, &x, &v);
    let shared = std::sync::Arc::new(plain.clone());
    let same: [(&str, Box<dyn Energy + '_>); 7] = [
        ("counted", Box::new(Counted::new(&plain))),
        ("reference", Box::new(&plain)),
        ("box", Box::new(Box::new(plain.clone()))),
        ("arc", Box::new(shared)),
        ("held", Box::new(plain.held())),
        ("frozen", Box::new(plain.frozen().unwrap())),
        ("view without dropout", Box::new(plain.in_training(Key::new(3)))),
    ];
    for (what, energy) in &same {
        assert_eq!(given(energy, &x, &v), want, "{what}");
    }
}

#[test]
fn what_changes_an_energy_changes_all_of_its_functions_alike() {
    let (x, v) = (normal(1, &[3, 4]), normal(2, &[3, 4]));
    let (plain, classifier, flow) = (model(NEURAL), model(CLASSIFIER), model(FLOW));
    consistent("model", &plain, &x, &v);
    consistent("tilt", &plain.tilt().unwrap(), &x, &v);
    consistent("classifier", &classifier, &x, &v);
    let labels = Tensor::new(&[0u32, 2, 1], &CPU).unwrap();
    // The labels belong to the rows: one axis at a time.
    let class = classifier.given(&labels).unwrap();
    let logits = classifier.logits(&x).unwrap().unwrap().to_vec2::<f64>().unwrap();
    let own: Vec<f64> = logits.iter().zip([0, 2, 1]).map(|(row, y): (_, usize)| -row[y]).collect();
    close("class", &list(&class.energy(&x).unwrap()), &own, 1e-12);
    consistent("class", &class, &x, &v);
    let wide = Gaussian::new(&[4], 0.5, 2.0, &Builder::new(Key::new(0), DType::F64, &CPU)).unwrap();
    let bridge = Bridge { from: &wide, to: &plain, beta: 0.3 };
    let mixed: Vec<f64> = list(&wide.energy(&x).unwrap())
        .iter()
        .zip(list(&plain.energy(&x).unwrap()))
        .map(|(a, b)| 0.7 * a + 0.3 * b)
        .collect();
    close("bridge", &list(&bridge.energy(&x).unwrap()), &mixed, 1e-12);
    consistent("bridge", &bridge, &x, &v);
    for full in [true, false] {
        let coordinates = Coordinates::of_items(&normal(3, &[40, 4]), full, 1.2).unwrap();
        let affine = Affine { energy: &plain, coordinates: &coordinates };
        let at = plain.energy(&coordinates.to_items(&x).unwrap()).unwrap();
        let want: Vec<f64> = list(&at).iter().map(|e| e - coordinates.log_det()).collect();
        close("affine", &list(&affine.energy(&x).unwrap()), &want, 1e-12);
        consistent("affine", &affine, &x, &v);
    }
    let freedom = Freedom::new(&[4], &[true, false, true, true], &CPU).unwrap();
    let clamped = Clamped { energy: &plain, freedom: &freedom, known: &x };
    let free = normal(5, &[3, 3]);
    let whole = plain.energy(&freedom.embed(&free, &x).unwrap()).unwrap();
    close("clamped", &list(&clamped.energy(&free).unwrap()), &list(&whole), 1e-12);
    consistent("clamped", &clamped, &free, &normal(6, &[3, 3]));
    consistent("flow", &flow, &x, &v);
}

#[test]
fn the_posterior_of_a_generator_has_all_derivatives() {
    let net = Spec::new("name = \"mlp\"\nhidden = [6]\nactivation = \"tanh\"".parse().unwrap());
    let config = GeneratorConfig { latent: 2, ..GeneratorConfig::default() };
    let builder = Builder::new(Key::new(1), DType::F64, &CPU);
    let generator = Generator::new(&config, &net, &[4], &builder).unwrap();
    let x = normal(1, &[3, 4]);
    let posterior = Posterior::new(&generator, &x, Force::Joint).unwrap();
    consistent("posterior", &posterior, &normal(2, &[3, 2]), &normal(3, &[3, 2]));
}

#[test]
fn the_potential_of_a_noise_space_is_the_tilt_at_its_items_and_refuses_second_derivatives() {
    let tilted = model(
        "name = \"tilted\"\nnet = { name = \"mlp\", hidden = [6] }\n\
         base = { name = \"real_nvp\", hidden = [6], couplings = 2 }",
    );
    let space = || tilted.noise_space(Space::Noise).unwrap();
    let tilt = Box::new(tilted.tilt().unwrap()) as Box<dyn Energy>;
    let potential = Potential::new(space(), Some(tilt)).unwrap();
    let (at, v) = (space().start(Key::new(1), 3).unwrap(), normal(2, &[3, 4]));
    let f = tilted.tilt().unwrap().energy(&space().push(&at).unwrap()).unwrap();
    let want: Vec<f64> = list(&space().base(&at).unwrap().0).iter().zip(list(&f)).map(|(a, b)| a + b).collect();
    close("potential", &list(&potential.energy(&at).unwrap()), &want, 1e-12);
    let (value, grad) = potential.grad(&at).unwrap();
    close("value of grad", &list(&value), &want, 1e-12);
    let slope = list(&(grad * &v).unwrap().sum(1).unwrap());
    close("directional", &list(&potential.directional(&at, &v).unwrap().1), &slope, 1e-12);
    for refused in [potential.curvature(&at, &v).err(), potential.laplacian(&at).err()] {
        assert!(refused.unwrap().to_string().contains("second derivatives"));
    }
    let exact = tilted.base().unwrap().log_prob(&space().push(&at).unwrap()).unwrap();
    assert!(list(&exact).iter().all(|log_p| log_p.is_finite()));
}
