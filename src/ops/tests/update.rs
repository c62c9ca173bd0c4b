//! The updates in place: the formulas, and weights that fade.

use candle_core::{DType, Device, Tensor, Var};

use crate::ops::backend::{Backend, on};
use crate::ops::contract::{assert_close, entries, normal};
use crate::ops::{Adam, Sgd, adam_update, composed, lerp_update, sgd_update, sum_of_squares};

#[test]
fn fused_updates_are_the_composed_ones() {
    let vars = |names: [&str; 3]| names.map(|n| Var::from_tensor(&normal(n, &[70_001]).sqr().unwrap()).unwrap());
    let grad = normal("grad", &[70_001]);
    for decoupled in [false, true] {
        let numbers = adam([0.9, 0.99], if decoupled { (0.0, 0.97) } else { (0.3, 1.0) }, 3, 0.7);
        let (a, b) = (vars(["p", "m", "v"]), vars(["p", "m", "v"]));
        on(Backend::Kernels, || adam_update(&a[0], &grad, &a[1], &a[2], &numbers)).unwrap();
        composed::adam(&b[0], &b[1], &b[2], &grad, &numbers).unwrap();
        a.iter().zip(&b).for_each(|(a, b)| assert_close("adam", a, b, 1e-14));
    }
    for nesterov in [false, true] {
        let numbers = Sgd { lr: 0.1, momentum: 0.9, nesterov, weight_decay: 0.3, scale: 0.7 };
        let (a, b) = (vars(["p", "m", "v"]), vars(["p", "m", "v"]));
        on(Backend::Kernels, || sgd_update(&a[0], &grad, &a[1], &numbers)).unwrap();
        composed::sgd(&b[0], &b[1], &grad, &numbers).unwrap();
        a.iter().zip(&b).for_each(|(a, b)| assert_close("sgd", a, b, 1e-14));
    }
    let want = entries(&grad).iter().map(|g| g * g).sum::<f64>();
    for backend in [Backend::Kernels, Backend::Composed] {
        assert!((on(backend, || sum_of_squares(&grad)).unwrap() / want - 1.0).abs() < 1e-13);
    }
}

/// Adam at a learning rate of 0.1 and step t, with weight decay through the gradient and beside it.
fn adam(betas: [f64; 2], (l2, keep): (f64, f64), t: i32, scale: f64) -> Adam {
    let [first, second] = betas.map(|beta: f64| 1.0 - beta.powi(t));
    let rest = betas.map(|beta| 1.0 - beta);
    Adam { scale, l2, betas, rest, keep, rate: 0.1 / first, root: 1.0 / second.sqrt(), eps: 1e-8 }
}

/// Weights after 300 steps without a gradient, in f32 as networks are.
fn shrunk(mut step: impl FnMut(&Var, &Tensor)) -> Vec<f32> {
    let p = Var::from_tensor(&normal("p", &[1_000]).to_dtype(DType::F32).unwrap()).unwrap();
    let none = p.zeros_like().unwrap();
    on(Backend::Kernels, || (0..300).for_each(|_| step(&p, &none)));
    p.to_vec1().unwrap()
}

#[test]
fn weights_that_fade_end_at_zero_and_never_among_the_subnormal_numbers() {
    let zeros = || Var::zeros(1_000, DType::F32, &Device::Cpu).unwrap();
    let adam = adam([0.5, 0.9], (0.0, 0.7), 1, 1.0);
    let (m, v) = (zeros(), zeros());
    let by_adam = shrunk(|p, none| _ = adam_update(p, none, &m, &v, &adam).unwrap());
    let sgd = Sgd { lr: 0.1, momentum: 0.1, nesterov: false, weight_decay: 3.0, scale: 1.0 };
    let b = zeros();
    let by_sgd = shrunk(|p, none| _ = sgd_update(p, none, &b, &sgd).unwrap());
    let by_average = shrunk(|p, none| lerp_update(p, none, 0.3).unwrap());
    for (name, p) in [("adam", by_adam), ("sgd", by_sgd), ("average", by_average)] {
        assert!(p.iter().all(|p| *p == 0.0), "{name}: {:?}", p.iter().find(|p| **p != 0.0));
    }
}

#[test]
fn an_update_of_tensors_that_share_storage_is_refused() {
    let (p, v) = (Var::from_tensor(&normal("p", &[3])).unwrap(), Var::from_tensor(&normal("v", &[3])).unwrap());
    let numbers = Sgd { lr: 0.1, momentum: 0.9, nesterov: false, weight_decay: 0.0, scale: 1.0 };
    assert!(sgd_update(&p, &p.as_tensor().detach(), &v, &numbers).is_err());
    assert!(sgd_update(&p, &normal("g", &[4]), &v, &numbers).is_err());
    assert!(lerp_update(&p, &p, 0.5).is_err());
}
