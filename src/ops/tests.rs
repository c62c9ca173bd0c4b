//! Every operation of the list against its composition of candle's operations, and what it refuses.

use candle_core::{DType, Device, Tensor};

use super::contract::{assert_close, check, entries, normal};
use super::*;

const ALL: [Activation; 7] = [
    Activation::Swish,
    Activation::Softplus,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Relu,
    Activation::LeakyRelu(0.2),
    Activation::Elu(0.7),
];

#[test]
fn linear_keeps_the_contract() {
    for (n, i, o) in [(5, 3, 4), (1, 2, 7), (6, 1, 1), (9, 17, 33), (16, 33, 35)] {
        let inputs = [normal("x", &[n, i]), normal("w", &[o, i]), normal("b", &[o])];
        check(
            "linear",
            &|t| linear(&t[0], &t[1], Some(&t[2])),
            &|t| Ok(composed::linear(&t[0], &t[1], Some(&t[2]), 1)?),
            &inputs,
        );
        check(
            "linear without bias",
            &|t| linear(&t[0], &t[1], None),
            &|t| Ok(composed::linear(&t[0], &t[1], None, 1)?),
            &inputs[..2],
        );
        check(
            "linear pull-back",
            &|t| linear_pullback(&t[0], &t[1]),
            &|t| Ok(t[0].matmul(&t[1])?),
            &[normal("g", &[n, o]), normal("w", &[o, i])],
        );
    }
}

#[test]
fn stacked_linear_keeps_the_contract() {
    let inputs = [normal("x", &[18, 37]), normal("w", &[36, 37]), normal("b", &[36])];
    for blocks in [2, 3] {
        check(
            &format!("linear on {blocks} blocks"),
            &|t| linear_stacked(&t[0], &t[1], Some(&t[2]), blocks),
            &|t| Ok(composed::linear(&t[0], &t[1], Some(&t[2]), blocks)?),
            &inputs,
        );
        check(
            &format!("linear on {blocks} blocks without bias"),
            &|t| linear_stacked(&t[0], &t[1], None, blocks),
            &|t| Ok(composed::linear(&t[0], &t[1], None, blocks)?),
            &inputs[..2],
        );
    }
}

#[test]
fn matrices_may_be_transposed_or_cut_out() {
    check(
        "linear on views",
        &|t| linear(&t[0].t()?.narrow(1, 1, 3)?, &t[1].t()?, None),
        &|t| Ok(composed::linear(&t[0].t()?.narrow(1, 1, 3)?, &t[1].t()?, None, 1)?),
        &[normal("x", &[5, 4]), normal("w", &[3, 6])],
    );
}

#[test]
fn activations_keep_the_contract() {
    for act in ALL {
        check(
            &format!("{act:?}"),
            &|t| activate(act, &t[0]),
            &|t| Ok(composed::activate(act, &t[0])?),
            &[normal("u", &[4, 9])],
        );
        check(
            &format!("{act:?} pull-back"),
            &|t| activate_pullback(act, &t[0], &t[1]),
            &|t| Ok(composed::activate_pullback(act, &t[0], &t[1])?),
            &[normal("u", &[4, 9]), normal("v", &[4, 9])],
        );
        check(
            &format!("{act:?} jet"),
            &|t| activate_jet(act, &t[0]),
            &|t| Ok(composed::activate_jet(act, &t[0])?),
            &[normal("uu", &[6, 2, 3])],
        );
        for blocks in [2, 3] {
            check(
                &format!("{act:?} along a curve of {blocks} blocks"),
                &|t| activate_curve(act, &t[0], blocks),
                &|t| Ok(composed::activate_curve(act, &t[0], blocks)?),
                &[normal("uu", &[6, 2, 3])],
            );
        }
    }
}

#[test]
fn activations_stay_finite_far_out_and_pass_nan_on() {
    for act in ALL {
        for dtype in [DType::F32, DType::F64] {
            let u = Tensor::new(&[1e4f64, -1e4, 100.0, -100.0, 0.0, -0.0, 1e-30], &Device::Cpu).unwrap();
            let u = u.to_dtype(dtype).unwrap();
            let var = candle_core::Var::from_tensor(&Tensor::cat(&[&u, &u.ones_like().unwrap()], 0).unwrap()).unwrap();
            for y in [activate_jet(act, &var).unwrap(), activate_curve(act, &var, 2).unwrap()] {
                let store = y.sum_all().unwrap().backward().unwrap();
                for t in [&y, store.get(&var).unwrap(), &activate(act, &u).unwrap()] {
                    assert!(entries(t).iter().all(|v| v.is_finite()), "{act:?} {t}");
                }
            }
            assert_close("far out", &activate(act, &u).unwrap(), &composed::activate(act, &u).unwrap(), 1e-7);
            let nan = Tensor::new(&[f64::NAN], &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            assert!(entries(&activate(act, &nan).unwrap())[0].is_nan(), "{act:?}");
        }
    }
}

#[test]
fn channel_bias_keeps_the_contract() {
    let inputs = [normal("y", &[6, 3, 2, 5]), normal("b", &[3])];
    check("channel bias", &|t| channel_bias(&t[0], &t[1]), &|t| Ok(composed::channel_bias(&t[0], &t[1])?), &inputs);
    for blocks in [2, 3] {
        let candle =
            |t: &[Tensor]| Ok(composed::on_values(&t[0], blocks, |value| composed::channel_bias(value, &t[1]))?);
        check("channel bias on blocks", &|t| channel_bias_stacked(&t[0], &t[1], blocks), &candle, &inputs);
    }
}

#[test]
fn sums_keep_the_contract() {
    check("column sum", &|t| column_sum(&t[0]), &|t| Ok(t[0].sum(0)?), &[normal("x", &[7, 21])]);
    check(
        "dot",
        &|t| dot(&t[0], &t[1]),
        &|t| Ok(composed::dot(&t[0], &t[1])?),
        &[normal("x", &[3, 5, 7]), normal("y", &[3, 5, 7])],
    );
}

#[test]
fn langevin_update_is_the_formula_and_not_tracked() {
    let x = candle_core::Var::from_tensor(&normal("x", &[3, 4])).unwrap();
    let (grad, noise) = (normal("g", &[4, 3]).t().unwrap(), normal("noise", &[3, 4]));
    let have = langevin_update(&x, &grad, &noise, 0.3, 0.7).unwrap();
    let want = ((x.as_tensor() - (&grad * 0.3).unwrap()).unwrap() + (&noise * 0.7).unwrap()).unwrap();
    assert_close("langevin", &have, &want, 1e-15);
    assert!(!have.track_op());
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let t = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    assert!(linear(&t(&[2, 3]), &t(&[4, 2]), None).is_err());
    assert!(linear(&t(&[2, 3]), &t(&[4, 3]), Some(&t(&[3]))).is_err());
    assert!(linear(&t(&[3]), &t(&[4, 3]), None).is_err());
    assert!(linear_jet(&t(&[3, 3]), &t(&[4, 3]), None).is_err());
    assert!(linear_pullback(&t(&[2, 3]), &t(&[4, 3])).is_err());
    assert!(activate_pullback(Activation::Tanh, &t(&[2, 3]), &t(&[3, 2])).is_err());
    assert!(activate_jet(Activation::Tanh, &t(&[3, 2])).is_err());
    assert!(activate_curve(Activation::Tanh, &t(&[4, 2]), 3).is_err());
    assert!(activate_curve(Activation::Tanh, &t(&[4, 2]), 4).is_err());
    assert!(linear_stacked(&t(&[4, 3]), &t(&[4, 3]), None, 3).is_err());
    assert!(channel_bias_stacked(&t(&[4, 2, 3, 3]), &t(&[2]), 3).is_err());
    assert!(channel_bias(&t(&[1, 2, 3, 3]), &t(&[3])).is_err());
    assert!(channel_bias_jet(&t(&[1, 2, 3, 3]), &t(&[2])).is_err());
    assert!(dot(&t(&[2, 3]), &t(&[2, 4])).is_err());
    assert!(column_sum(&t(&[2])).is_err());
    assert!(langevin_update(&t(&[2]), &t(&[3]), &t(&[2]), 1.0, 1.0).is_err());
}

#[test]
fn empty_batches_pass_through() {
    let t = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    assert_eq!(linear(&t(&[0, 3]), &t(&[4, 3]), Some(&t(&[4]))).unwrap().dims(), [0, 4]);
    assert_eq!(activate(Activation::Swish, &t(&[0, 3])).unwrap().dims(), [0, 3]);
    assert_eq!(activate_curve(Activation::Swish, &t(&[0, 3]), 2).unwrap().dims(), [0, 3]);
    assert_eq!(column_sum(&t(&[0, 3])).unwrap().to_vec1::<f32>().unwrap(), [0.0; 3]);
    assert_eq!(dot(&t(&[0, 3]), &t(&[0, 3])).unwrap().dims(), [0]);
}

#[test]
fn fused_updates_are_the_composed_ones() {
    let vars = |names: [&str; 3]| names.map(|n| Var::from_tensor(&normal(n, &[70_001]).sqr().unwrap()).unwrap());
    let grad = normal("grad", &[70_001]);
    for decoupled in [false, true] {
        let numbers = adam([0.9, 0.99], if decoupled { (0.0, 0.97) } else { (0.3, 1.0) }, 3, 0.7);
        let (a, b) = (vars(["p", "m", "v"]), vars(["p", "m", "v"]));
        adam_update(&a[0], &grad, &a[1], &a[2], &numbers).unwrap();
        update::adam_composed(&b[0], &b[1], &b[2], &grad, &numbers).unwrap();
        a.iter().zip(&b).for_each(|(a, b)| assert_close("adam", a, b, 1e-14));
    }
    for nesterov in [false, true] {
        let numbers = Sgd { lr: 0.1, momentum: 0.9, nesterov, weight_decay: 0.3, scale: 0.7 };
        let (a, b) = (vars(["p", "m", "v"]), vars(["p", "m", "v"]));
        sgd_update(&a[0], &grad, &a[1], &numbers).unwrap();
        update::sgd_composed(&b[0], &b[1], &grad, &numbers).unwrap();
        a.iter().zip(&b).for_each(|(a, b)| assert_close("sgd", a, b, 1e-14));
    }
    let want = entries(&grad).iter().map(|g| g * g).sum::<f64>();
    assert!((sum_of_squares(&grad).unwrap() / want - 1.0).abs() < 1e-13);
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
    (0..300).for_each(|_| step(&p, &none));
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

type Case = (usize, usize, (usize, usize), usize, usize, usize, usize);

/// (images, channels, size, outputs, kernel, stride, padding): small and large images, odd sizes, windows that leave a
/// rest, strides larger than the kernel, padding larger than the kernel.
const CONVOLUTIONS: [Case; 9] = [
    (3, 2, (5, 6), 3, 3, 1, 1),
    (2, 3, (4, 4), 2, 4, 2, 1),
    (2, 1, (7, 5), 2, 3, 2, 0),
    (2, 2, (6, 6), 1, 1, 1, 0),
    (1, 2, (5, 5), 2, 2, 3, 0),
    (2, 1, (3, 3), 2, 2, 2, 3),
    (2, 1, (1, 1), 2, 1, 5, 1),
    (1, 1, (20, 19), 2, 3, 1, 1),
    (2, 2, (8, 8), 3, 8, 1, 0),
];

#[test]
fn convolutions_keep_the_contract() {
    for (images, channels, size, outputs, kernel, stride, padding) in CONVOLUTIONS {
        let conv = Conv { stride, padding };
        let what = format!("convolution {kernel}x{kernel} of {size:?}, {conv:?}");
        let w = normal("w", &[outputs, channels, kernel, kernel]);
        check(
            &what,
            &|t| conv2d(&t[0], &t[1], conv),
            &|t| Ok(composed::conv2d(&t[0], &t[1], conv)?),
            &[normal("x", &[images, channels, size.0, size.1]), w.clone()],
        );
        let (rows, columns) = (conv.windows(size.0, kernel).unwrap(), conv.windows(size.1, kernel).unwrap());
        check(
            &format!("pull-back of {what}"),
            &|t| conv2d_pullback(&t[0], &t[1], conv, size),
            &|t| Ok(composed::conv2d_pullback(&t[0], &t[1], conv, size)?),
            &[normal("g", &[images, outputs, rows, columns]), w],
        );
    }
}

#[test]
fn convolutions_give_the_same_bytes_on_one_and_two_threads() {
    for (channels, size, stride) in [(3, 32, 1), (16, 8, 2)] {
        let conv = Conv { stride, padding: 1 };
        let single = |name: &str, shape: &[usize]| normal(name, shape).to_dtype(DType::F32).unwrap();
        let (x, w) = (single("x", &[37, channels, size, size]), single("w", &[24, channels, 4, 4]));
        let run = || {
            let (x, w) = (Var::from_tensor(&x).unwrap(), Var::from_tensor(&w).unwrap());
            let y = conv2d(&x, &w, conv).unwrap();
            let store = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            [&y, store.get(&x).unwrap(), store.get(&w).unwrap()].map(entries)
        };
        let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        assert!(pool(1).install(run) == pool(2).install(run));
    }
}

#[test]
fn impossible_convolutions_are_refused() {
    let t = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let (x, w) = (t(&[1, 2, 4, 4]), t(&[3, 2, 5, 5]));
    assert!(conv2d(&x, &w, Conv { stride: 1, padding: 0 }).is_err());
    assert!(conv2d(&x, &w, Conv { stride: 0, padding: 1 }).is_err());
    assert!(conv2d(&x, &w, Conv { stride: 1, padding: usize::MAX }).is_err());
    assert!(conv2d(&x, &t(&[3, 1, 3, 3]), Conv { stride: 1, padding: 1 }).is_err());
    assert!(conv2d(&x, &t(&[3, 2, 3, 2]), Conv { stride: 1, padding: 1 }).is_err());
    let (g, conv) = (t(&[1, 3, 2, 2]), Conv { stride: 1, padding: 1 });
    assert!(conv2d_pullback(&g, &w, conv, (4, 4)).is_ok());
    assert!(conv2d_pullback(&g, &w, conv, (5, 4)).is_err());
    assert!(conv2d_pullback(&g, &w, Conv { stride: 0, padding: 1 }, (4, 4)).is_err());
}
