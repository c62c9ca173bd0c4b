//! Every operation of the list against its composition of candle's operations, and what it refuses.

mod conv;
mod group_norm;
mod kept;
mod order;
mod random;
mod update;

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
            1,
        );
        check(
            "linear without bias",
            &|t| linear(&t[0], &t[1], None),
            &|t| Ok(composed::linear(&t[0], &t[1], None, 1)?),
            &inputs[..2],
            1,
        );
        check(
            "linear pull-back",
            &|t| linear_pullback(&t[0], &t[1]),
            &|t| Ok(t[0].matmul(&t[1])?),
            &[normal("g", &[n, o]), normal("w", &[o, i])],
            1,
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
            1,
        );
        check(
            &format!("linear on {blocks} blocks without bias"),
            &|t| linear_stacked(&t[0], &t[1], None, blocks),
            &|t| Ok(composed::linear(&t[0], &t[1], None, blocks)?),
            &inputs[..2],
            1,
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
        0,
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
            1,
        );
        check(
            &format!("{act:?} pull-back"),
            &|t| activate_pullback(act, &t[0], &t[1]),
            &|t| Ok(composed::activate_pullback(act, &t[0], &t[1])?),
            &[normal("u", &[4, 9]), normal("v", &[4, 9])],
            2,
        );
        check(
            &format!("{act:?} jet"),
            &|t| activate_jet(act, &t[0]),
            &|t| Ok(composed::activate_jet(act, &t[0])?),
            &[normal("uu", &[6, 2, 3])],
            1,
        );
        for blocks in [2, 3] {
            check(
                &format!("{act:?} along a curve of {blocks} blocks"),
                &|t| activate_curve(act, &t[0], blocks),
                &|t| Ok(composed::activate_curve(act, &t[0], blocks)?),
                &[normal("uu", &[6, 2, 3])],
                1,
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

/// Group norm of a constant plane and layers that begin at 0 meet it.
#[test]
fn at_exactly_zero_all_back_ends_have_one_slope() {
    let zeros = Tensor::new(&[0f64, -0.0], &Device::Cpu).unwrap();
    let stacked = Tensor::cat(&[&zeros, &zeros.ones_like().unwrap()], 0).unwrap();
    for act in ALL {
        let derivatives = |backend| {
            backend::on(backend, || {
                let u = candle_core::Var::from_tensor(&zeros).unwrap();
                let store = activate(act, &u).unwrap().sum_all().unwrap().backward().unwrap();
                let curve = activate_curve(act, &stacked, 2).unwrap();
                [store.get(&u).unwrap().clone(), activate_jet(act, &stacked).unwrap(), curve]
            })
        };
        let [have, want] = [backend::Backend::Composed, backend::Backend::Kernels].map(derivatives);
        for (have, want) in have.iter().zip(&want) {
            assert_close(&format!("{act:?} at 0"), have, want, 1e-15);
        }
    }
}

#[test]
fn sums_keep_the_contract() {
    check("column sum", &|t| column_sum(&t[0]), &|t| Ok(t[0].sum(0)?), &[normal("x", &[7, 21])], 1);
    check(
        "dot",
        &|t| dot(&t[0], &t[1]),
        &|t| Ok(composed::dot(&t[0], &t[1])?),
        &[normal("x", &[3, 5, 7]), normal("y", &[3, 5, 7])],
        2,
    );
    check("sum", &|t| add(&t[0], &t[1]), &|t| Ok((&t[0] + &t[1])?), &[normal("x", &[3, 5]), normal("y", &[3, 5])], 2);
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
    assert!(dot(&t(&[2, 3]), &t(&[2, 4])).is_err());
    assert!(column_sum(&t(&[2])).is_err());
    assert!(add(&t(&[2, 1]), &t(&[2, 2])).is_err());
    assert!(langevin_update(&t(&[2]), &t(&[3]), &t(&[2]), 1.0, 1.0).is_err());
}
