//! What every row of a registry must keep to. The tests loop over the registries: a new row is tested by being listed.

mod models;

pub use models::check_energy;

use candle_core::{DType, Device, Tensor};
use ebm::config::{Schema, Spec};
use ebm::data::{Data, Moments, Split};
use ebm::density::{Context, Energy, MODELS, Model, ModelRow};
use ebm::methods::{METHODS, Method, MethodRow, State, StepContext};
use ebm::rng::Key;
use ebm::run::Experiment;
use ebm::samplers::{Chain, Need, SAMPLERS, SamplerRow, Target};

const CPU: Device = Device::Cpu;

/// The section of a row at its defaults.
fn spec(name: &str, schema: &Schema) -> Spec {
    let mut table = schema.defaults();
    table.insert("name".into(), name.into());
    Spec::new(table)
}

/// The section of a model with the keys of its example.
fn small_model(row: &ModelRow) -> Spec {
    Spec::of_text(ebm::density::schemas, row.name, row.example).unwrap()
}

/// Batches that the example of a model takes: some points, or two pictures.
fn batches(row: &ModelRow) -> Vec<Vec<usize>> {
    row.items.iter().map(|item| [&[if item.len() == 1 { 4 } else { 2 }], *item].concat()).collect()
}

/// The example of a method's row.
fn experiment(method: &MethodRow) -> Experiment {
    let rest = "[sampler]\nname = \"mala\"\nsteps = 5\n[train]\nsteps = 10\n";
    Experiment::parse("contract.toml", &format!("{}{rest}", method.example), &[]).unwrap()
}

/// Whether steps of the method change anything: one that trains reports numbers.
fn trains(method: &MethodRow) -> bool {
    !method.numbers.is_empty()
}

fn bits_of(t: &Tensor) -> Vec<u64> {
    let values = t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    values.into_iter().map(f64::to_bits).collect()
}

/// All bits of a state, by name.
fn bits(state: &State) -> Vec<(String, Vec<usize>, Vec<u64>)> {
    state.iter().map(|(name, t)| (name.clone(), t.dims().to_vec(), bits_of(t))).collect()
}

/// In storage of its own: a method's tensors are updated in place.
fn copy(state: &State) -> State {
    state.iter().map(|(name, t)| (name.clone(), t.copy().unwrap())).collect()
}

fn advance(method: &mut dyn Method, data: &Data, step: u64) -> Vec<(String, u64)> {
    let count = method.batches_per_step() as u64;
    let batches: Vec<_> = (0..count).map(|i| data.batch(Split::Train, step * count + i, 16).unwrap()).collect();
    let cx = StepContext { step, key: Key::new(7).with("step").at(step), lr_scale: 0.5 };
    let metrics = method.step(&cx, &batches).unwrap();
    metrics.iter().map(|(name, value)| (name.to_owned(), value.to_bits())).collect()
}

#[test]
fn a_method_goes_on_from_its_state_alone() {
    for row in METHODS {
        let (name, experiment) = (row.name, experiment(row));
        let data = experiment.data().unwrap();
        let fresh = || experiment.method(&data).unwrap();
        let mut first = fresh();
        assert_eq!(bits(&first.state().unwrap()), bits(&fresh().state().unwrap()), "{name}: two beginnings differ");
        (0..3).for_each(|step| drop(advance(&mut *first, &data, step)));
        let kept = copy(&first.state().unwrap());
        let mut second = fresh();
        second.load(&kept).unwrap();
        assert_eq!(bits(&second.state().unwrap()), bits(&kept), "{name}: load, then state");
        for step in 3..6 {
            let (a, b) = (advance(&mut *first, &data, step), advance(&mut *second, &data, step));
            assert_eq!(a, b, "{name}: metrics of step {step}");
            assert_eq!(
                bits(&first.state().unwrap()),
                bits(&second.state().unwrap()),
                "{name}: state after step {step}"
            );
        }
        let changed = bits(&first.state().unwrap()) != bits(&kept);
        assert_eq!(changed, trains(row), "{name}: what do steps change?");
    }
}

#[test]
fn a_method_keeps_its_model_under_its_name_and_refuses_what_does_not_fit() {
    for row in METHODS {
        let (name, experiment) = (row.name, experiment(row));
        let data = experiment.data().unwrap();
        let mut method = experiment.method(&data).unwrap();
        advance(&mut *method, &data, 0);
        let state = copy(&method.state().unwrap());
        let model = ebm::methods::take(&state, "model");
        assert_eq!(bits(&model), bits(&method.model().params().tensors()), "{name}");
        assert_eq!(state.len() > model.len(), trains(row), "{name}: where is the optimiser?");
        for (key, tensor) in &state {
            let values = tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            assert!(values.iter().all(|v| v.is_finite()), "{name}: {key}");
            let mut broken = state.clone();
            broken.remove(key);
            assert!(method.load(&broken).is_err(), "{name} loads without {key}");
            broken.insert(key.clone(), Tensor::zeros((3, 1, 4, 1), DType::F32, &CPU).unwrap());
            assert!(method.load(&broken).is_err(), "{name} loads {key} in another shape");
        }
        method.load(&state).unwrap();
    }
}

#[test]
fn spectral_norm_follows_the_weights_of_every_network_that_a_method_trains() {
    for row in METHODS.iter().filter(|row| trains(row) && row.example.contains("\"mlp\"")) {
        let plain = row.example.replace(", spectral_norm = true", "");
        let example = plain.replace("name = \"mlp\"", "name = \"mlp\", spectral_norm = true");
        let whole = format!("{example}[sampler]\nname = \"mala\"\nsteps = 5\n[train]\nsteps = 10\n");
        let experiment = Experiment::parse("spectral.toml", &whole, &[]).unwrap();
        let data = experiment.data().unwrap();
        let mut method = experiment.method(&data).unwrap();
        let before = copy(&method.state().unwrap());
        (0..6).for_each(|step| drop(advance(&mut *method, &data, step)));
        let after = method.state().unwrap();
        let changed = |name: &str| bits_of(&before[name]) != bits_of(&after[name]);
        let mut normed = 0;
        for vector in before.keys().filter(|name| name.ends_with(".u")) {
            let weight = format!("{}.weight", vector.trim_end_matches(".u"));
            // A vector of one number is 1 for ever.
            if before[vector].elem_count() > 1 && changed(&weight) {
                assert!(changed(vector), "{}: {vector} stands still while {weight} moves", row.name);
                normed += 1;
            }
        }
        assert!(normed > 0, "{}: no spectral norm to watch in\n{example}", row.name);
    }
}

/// A model that has all that kernels ask for: hidden units, exact draws, a density to propose from.
fn machine(item: &[usize]) -> Model {
    let context = Context { shape: item.to_vec(), classes: None, moments: None };
    let text = "name = \"rbm\"\nhidden = 3\ninit = \"paper\"";
    Model::new(&Spec::new(text.parse().unwrap()), &context, Key::new(0), DType::F32, &CPU).unwrap().frozen().unwrap()
}

#[test]
fn a_sampler_keeps_shapes_is_finite_and_follows_its_key() {
    SAMPLERS.iter().for_each(check_sampler);
}

/// The chains of a row's kernel keep their shapes, are finite, depend on nothing but their key, and know what is true
/// where they stand.
pub fn check_sampler(row: &SamplerRow) {
    let kernel = (row.build)(&spec(row.name, &row.schema).table).unwrap();
    assert!(!kernel.describe().is_empty());
    for shape in [&[5, 2][..], &[3, 1, 4, 4]] {
        let model = machine(&shape[1..]);
        let (energy, on) = (&model, Target::of(&model));
        let x = Key::new(1).normal(shape.to_vec(), DType::F32, &CPU).unwrap();
        let walk = |key: Key| {
            let mut chain = kernel.init(&on, &x).unwrap();
            for i in 0..4 {
                let (next, info) = kernel.step(key.at(i), &on, &chain).unwrap();
                let report = info.read().unwrap();
                assert!(
                    report.accept.is_none_or(|a| (0.0..=1.0).contains(&a)) && report.nonfinite.iter().all(|n| *n == 0),
                    "{}",
                    row.name
                );
                chain = next;
            }
            chain
        };
        let all = |chain: &Chain| {
            let chain = chain.filled(Need::Gradient, energy).unwrap();
            let parts = [("x", &chain.x), ("e", chain.value().unwrap()), ("g", chain.slope().unwrap())];
            bits(&parts.map(|(k, t)| (k.to_owned(), t.clone())).into())
        };
        let (chain, again, other) = (walk(Key::new(2)), walk(Key::new(2)), walk(Key::new(3)));
        let known = chain.filled(Need::Gradient, energy).unwrap();
        let (value, slope) = (known.value().unwrap(), known.slope().unwrap());
        assert_eq!((chain.x.dims(), slope.dims(), value.dims()), (shape, shape, &shape[..1]), "{}", row.name);
        assert_eq!((chain.x.dtype(), value.dtype()), (DType::F32, DType::F32));
        assert!(all(&chain).iter().all(|(_, _, v)| v.iter().all(|v| f64::from_bits(*v).is_finite())), "{}", row.name);
        assert_eq!(all(&chain), all(&again), "{}: the same key, another chain", row.name);
        assert_ne!(all(&chain), all(&other), "{}: another key, the same chain", row.name);
        // What it says of the point it stands at is true.
        assert_eq!(all(&chain), all(&Chain::at(&chain.x)), "{}", row.name);
        let need = kernel.needs();
        let bits_of = |t: Option<&Tensor>| t.map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        let (held, fresh) = (chain.filled(need, energy).unwrap(), Chain::at(&chain.x).filled(need, energy).unwrap());
        assert_eq!(bits_of(held.value().ok()), bits_of(fresh.value().ok()), "{}", row.name);
    }
}
