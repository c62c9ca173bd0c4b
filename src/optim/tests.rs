use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var, backprop::GradStore};

use super::*;
use crate::rng::Key;
use crate::store::State;

const SHAPES: [(&str, &[usize]); 3] = [("a", &[3, 4]), ("b", &[70_000]), ("c", &[1])];

fn weights(dtype: DType) -> Weights {
    let var = |name: &str, shape: &[usize]| {
        Var::from_tensor(&Key::new(1).with(name).normal(shape, dtype, &Device::Cpu).unwrap()).unwrap()
    };
    SHAPES.iter().map(|(name, shape)| (name.to_string(), var(name, shape))).collect()
}

/// Gradients of Σ (p - t)⁴/4 with t = 0.3 for all parameters but those left out.
fn grads(weights: &Weights, without: &str) -> GradStore {
    let mut loss = Tensor::new(0f64, &Device::Cpu).unwrap();
    for (_, var) in weights.iter().filter(|(name, _)| *name != without) {
        let part = ((var.as_tensor() - 0.3).unwrap().sqr().unwrap().sqr().unwrap() * 0.25).unwrap();
        loss = (loss + part.sum_all().unwrap().to_dtype(DType::F64).unwrap()).unwrap();
    }
    loss.backward().unwrap()
}

fn spec(name: &str, keys: &str) -> Spec {
    Spec::of_text(schemas, name, keys).unwrap()
}

fn numbers(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// A copy of `state` in storage of its own: the state of an optimiser follows that optimiser.
fn copy(state: &State) -> State {
    state.iter().map(|(name, t)| (name.clone(), t.copy().unwrap())).collect()
}

fn gradient(p: f64) -> f64 {
    (p - 0.3).powi(3)
}

/// The same steps written out for single numbers: `rule(p, g, t)` keeps its own memory.
fn follow(spec: &Spec, limit: f64, mut rules: impl FnMut() -> Box<dyn FnMut(f64, f64, i32) -> f64>) {
    let weights = weights(DType::F64);
    let mut optimiser = build(spec, &weights).unwrap();
    let mut wanted: Vec<f64> = weights.values().flat_map(|v| numbers(v)).collect();
    let mut rules: Vec<_> = wanted.iter().map(|_| rules()).collect();
    for t in 1..=5 {
        let g: Vec<f64> = wanted.iter().map(|p| gradient(*p)).collect();
        let norm = g.iter().map(|g| g * g).sum::<f64>().sqrt();
        let scale = if limit > 0.0 && norm > limit { limit / norm } else { 1.0 };
        for ((p, g), rule) in wanted.iter_mut().zip(&g).zip(&mut rules) {
            *p = rule(*p, g * scale, t);
        }
        let stats = optimiser.step(&grads(&weights, ""), 0.5).unwrap();
        assert!((stats.norm / norm - 1.0).abs() < 1e-12, "{} {norm}", stats.norm);
        let have: Vec<f64> = weights.values().flat_map(|v| numbers(v)).collect();
        let worst = have.iter().zip(&wanted).map(|(h, w)| (h - w).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-12, "step {t}: {worst}");
    }
}

#[test]
fn adam_follows_its_definition() {
    let keys = "lr = 0.02\nbetas = [0.5, 0.9]\neps = 1e-3\n";
    for (more, l2, decoupled, limit) in [
        ("", 0.0, 0.0, 0.0),
        ("weight_decay = 0.1", 0.1, 0.0, 0.0),
        ("weight_decay = 0.1\ndecoupled = true", 0.0, 0.1, 0.0),
        ("clip_norm = 2.0", 0.0, 0.0, 2.0),
    ] {
        follow(&spec("adam", &format!("{keys}{more}")), limit, || {
            let (mut m, mut v) = (0.0, 0.0);
            Box::new(move |p, g, t| {
                let (g, lr) = (g + l2 * p, 0.01);
                m = 0.5 * m + 0.5 * g;
                v = 0.9 * v + 0.1 * g * g;
                let (mean, square) = (m / (1.0 - 0.5f64.powi(t)), v / (1.0 - 0.9f64.powi(t)));
                p * (1.0 - lr * decoupled) - lr * mean / (square.sqrt() + 1e-3)
            })
        });
    }
}

#[test]
fn sgd_follows_its_definition() {
    for (keys, momentum, nesterov) in
        [("", 0.0, false), ("momentum = 0.9", 0.9, false), ("momentum = 0.9\nnesterov = true", 0.9, true)]
    {
        follow(&spec("sgd", &format!("lr = 0.02\nweight_decay = 0.1\n{keys}")), 0.0, || {
            let mut b = 0.0;
            Box::new(move |p, g, _| {
                let g = g + 0.1 * p;
                b = momentum * b + g;
                p - 0.01 * if nesterov { g + momentum * b } else { b }
            })
        });
    }
}

#[test]
fn every_optimiser_finds_the_bottom_of_a_bowl() {
    for name in ["adam", "sgd"] {
        let var = Var::new(&[3.0f32, -2.0], &Device::Cpu).unwrap();
        let weights = Weights::from([("x".to_owned(), var.clone())]);
        let mut optimiser = build(&spec(name, "lr = 0.1"), &weights).unwrap();
        for step in 0..400 {
            let scaled = (var.as_tensor() * &Tensor::new(&[1.0f32, 4.0], &Device::Cpu).unwrap()).unwrap();
            let loss = (scaled * var.as_tensor()).unwrap().sum_all().unwrap();
            optimiser.step(&loss.backward().unwrap(), 1.0 / (1.0 + step as f64 / 50.0)).unwrap();
        }
        assert!(numbers(&var).iter().all(|x| x.abs() < 1e-3), "{name}: {:?}", numbers(&var));
    }
}

#[test]
fn a_loaded_state_continues_with_the_same_bytes() {
    for row in OPTIMISERS {
        let spec = spec(row.name, if row.name == "sgd" { "momentum = 0.9" } else { "" });
        let straight = weights(DType::F32);
        let mut optimiser = build(&spec, &straight).unwrap();
        let step = |o: &mut Box<dyn Optimiser>, w: &Weights| o.step(&grads(w, ""), 1.0).unwrap();
        for _ in 0..3 {
            step(&mut optimiser, &straight);
        }
        let state = optimiser.state().unwrap();
        let copy = |(n, v): (&String, &Var)| (n.clone(), Var::from_tensor(&v.as_tensor().copy().unwrap()).unwrap());
        let resumed: Weights = straight.iter().map(copy).collect();
        let mut second = build(&spec, &resumed).unwrap();
        second.load(&state).unwrap();
        for _ in 0..3 {
            assert_eq!(step(&mut optimiser, &straight), step(&mut second, &resumed));
        }
        for (a, b) in straight.values().zip(resumed.values()) {
            assert_eq!(numbers(a), numbers(b), "{}", row.name);
        }
        for (a, b) in optimiser.state().unwrap().values().zip(second.state().unwrap().values()) {
            assert_eq!(numbers(a), numbers(b), "{}", row.name);
        }
    }
}

#[test]
fn a_state_shares_storage_and_a_loaded_one_does_not() {
    for row in OPTIMISERS {
        let weights = weights(DType::F32);
        let spec = spec(row.name, if row.name == "sgd" { "momentum = 0.9" } else { "" });
        let [mut optimiser, mut other] = [(); 2].map(|()| build(&spec, &weights).unwrap());
        let moments = |state: &State| -> Vec<f64> {
            state.iter().filter(|(name, _)| !name.starts_with("steps.")).flat_map(|(_, t)| numbers(t)).collect()
        };
        let taken = optimiser.state().unwrap();
        other.load(&taken).unwrap();
        assert!(moments(&taken).iter().all(|x| *x == 0.0), "{}", row.name);
        optimiser.step(&grads(&weights, ""), 1.0).unwrap();
        // Nothing was copied: what was taken before the step shows the step. What was loaded is the other's own.
        assert_eq!(moments(&taken), moments(&optimiser.state().unwrap()), "{}", row.name);
        assert!(moments(&taken).iter().any(|x| *x != 0.0), "{}", row.name);
        assert!(moments(&other.state().unwrap()).iter().all(|x| *x == 0.0), "{}", row.name);
    }
}

#[test]
fn a_parameter_without_gradient_stays_with_all_its_memory() {
    let weights = weights(DType::F32);
    let mut optimiser = build(&spec("adam", "weight_decay = 0.1"), &weights).unwrap();
    optimiser.step(&grads(&weights, ""), 1.0).unwrap();
    let (value, state) = (numbers(&weights["a"]), copy(&optimiser.state().unwrap()));
    optimiser.step(&grads(&weights, "a"), 1.0).unwrap();
    assert_eq!(numbers(&weights["a"]), value);
    for (name, tensor) in optimiser.state().unwrap() {
        let same = numbers(&tensor) == numbers(&state[&name]);
        assert_eq!(same, name.ends_with(".a"), "{name}");
    }
}

#[test]
fn a_state_of_another_model_is_refused() {
    let weights = weights(DType::F32);
    let mut optimiser = build(&spec("adam", ""), &weights).unwrap();
    optimiser.step(&grads(&weights, ""), 1.0).unwrap();
    let before = copy(&optimiser.state().unwrap());
    let state: State = before.iter().map(|(name, t)| (name.clone(), (t.ones_like().unwrap() * 7.0).unwrap())).collect();
    let mut missing = state.clone();
    missing.remove("first.b");
    let mut more = state.clone();
    more.insert("first.d".into(), state["first.a"].clone());
    let mut other = state.clone();
    other.insert("first.a".into(), state["first.c"].clone());
    let mut negative = state.clone();
    negative.insert("steps.c".into(), Tensor::new(-1i64, &Device::Cpu).unwrap());
    for (wrong, word) in [
        (missing, "1 missing: first.b"),
        (more, "1 unknown: first.d"),
        (other, "1 of another shape: first.a [1] instead of [3, 4]"),
        (negative, "`steps.c` is negative"),
    ] {
        assert!(optimiser.check(&wrong).is_err());
        let error = optimiser.load(&wrong).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
        for (name, tensor) in optimiser.state().unwrap() {
            assert_eq!(numbers(&tensor), numbers(&before[&name]), "{name} changed: {error}");
        }
    }
    assert!(optimiser.check(&state).is_ok() && optimiser.load(&state).is_ok());
    assert!(optimiser.state().unwrap().values().all(|t| numbers(t).iter().all(|x| *x == 7.0)));
}

#[test]
fn unknown_names_and_values_out_of_range_are_refused() {
    let mut wrong = spec("adam", "");
    wrong.table.insert("name".into(), "adom".into());
    assert!(build(&wrong, &weights(DType::F32)).is_err());
    let row = find(OPTIMISERS, "adam").unwrap();
    for keys in ["lr = 0.0", "betas = [0.9, 1.0]", "eps = -1.0", "weight_decay = -0.1", "clip_norm = -1.0"] {
        let refused = row.schema.decode(&keys.parse().unwrap());
        assert!(refused.is_err(), "{keys}");
    }
}

#[test]
fn averages_follow_their_formula_and_survive_a_round_trip() {
    let weights = weights(DType::F64);
    let mut ema = Ema::new(0.9, &weights).unwrap();
    let start = numbers(&weights["b"]);
    crate::ops::assign(&weights["b"], &weights["b"].zeros_like().unwrap()).unwrap();
    ema.update(&weights).unwrap();
    ema.update(&weights).unwrap();
    let have = numbers(&ema.weights()["b"]);
    assert!(have.iter().zip(&start).all(|(h, s)| (h - 0.81 * s).abs() < 1e-15));
    let mut second = Ema::new(0.9, &weights).unwrap();
    second.load(&ema.state()).unwrap();
    assert_eq!(numbers(&second.weights()["b"]), have);
    assert!(second.load(&BTreeMap::new()).is_err());
    // A failed load changes nothing, and a state shares storage: it follows the averages.
    let (mut short, taken) = (ema.state(), second.state());
    short.remove("c");
    ema.update(&weights).unwrap();
    assert!(second.load(&short).unwrap_err().to_string().contains("1 missing: c"));
    assert_eq!(numbers(&second.weights()["b"]), have);
    second.update(&weights).unwrap();
    assert_eq!(numbers(&taken["b"]), numbers(&second.weights()["b"]));
    assert_ne!(numbers(&taken["b"]), have);
    assert!(Ema::new(1.0, &weights).is_err());
}
