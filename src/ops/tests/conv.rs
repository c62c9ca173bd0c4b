//! Convolutions: the contract, the ways that wide ones go in f32, threads, and what is refused.

use candle_core::{DType, Device, Tensor, Var};

use crate::ops::backend::{Backend, on};
use crate::ops::contract::{assert_close, check, entries, normal};
use crate::ops::{
    Activation, Conv, composed, conv2d, conv2d_activated, conv2d_activated_pullback, conv2d_jet, conv2d_pullback,
    conv2d_stacked,
};

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
            &|t| conv2d(&t[0], &t[1], None, conv),
            &|t| Ok(composed::conv2d(&t[0], &t[1], None, conv, 1)?),
            &[normal("x", &[images, channels, size.0, size.1]), w.clone()],
            1,
        );
        let (rows, columns) = (conv.windows(size.0, kernel).unwrap(), conv.windows(size.1, kernel).unwrap());
        check(
            &format!("pull-back of {what}"),
            &|t| conv2d_pullback(&t[0], &t[1], conv, size),
            &|t| Ok(composed::conv2d_pullback(&t[0], &t[1], conv, size)?),
            &[normal("g", &[images, outputs, rows, columns]), w],
            1,
        );
    }
}

#[test]
fn stacked_convolutions_keep_the_contract() {
    let inputs = [normal("x", &[6, 2, 4, 5]), normal("w", &[3, 2, 3, 3]), normal("b", &[3])];
    let conv = Conv { stride: 1, padding: 1 };
    for blocks in [1, 2, 3] {
        check(
            &format!("convolution with bias on {blocks} blocks"),
            &|t| conv2d_stacked(&t[0], &t[1], Some(&t[2]), conv, blocks),
            &|t| Ok(composed::conv2d(&t[0], &t[1], Some(&t[2]), conv, blocks)?),
            &inputs,
            1,
        );
    }
}

type Wide = (usize, (usize, usize), usize, usize, usize, usize);

/// (channels, size, outputs, kernel, stride, padding): sizes at which a convolution in f32 goes another way, with odd
/// sizes, images lower or narrower than a tile, bands of large images, and channels that fill no vector.
const WIDE: [Wide; 14] = [
    (16, (8, 8), 32, 3, 1, 1),
    (17, (9, 14), 21, 3, 1, 1),
    (32, (4, 4), 16, 3, 1, 1),
    (16, (5, 31), 16, 3, 1, 1),
    (16, (70, 68), 18, 3, 1, 1),
    (16, (16, 16), 24, 3, 2, 1),
    (16, (17, 12), 16, 4, 2, 1),
    (17, (21, 9), 19, 3, 2, 1),
    (24, (16, 16), 17, 4, 2, 1),
    (16, (8, 32), 24, 4, 2, 1),
    (16, (5, 7), 16, 4, 2, 1),
    (16, (66, 64), 16, 3, 2, 1),
    (16, (11, 8), 32, 1, 1, 0),
    (32, (16, 12), 16, 1, 2, 0),
];

/// As many images as minimal filtering asks for, two at least.
fn enough(size: (usize, usize), kernel: usize, conv: Conv) -> usize {
    let [down, across] = [size.0, size.1].map(|size| conv.windows(size, kernel).unwrap().div_ceil(4));
    48usize.div_ceil(down * across).max(2)
}

#[test]
fn wide_convolutions_in_f32_are_as_good_as_f32_can_be() {
    for (channels, size, outputs, kernel, stride, padding) in WIDE {
        let conv = Conv { stride, padding };
        let images = enough(size, kernel, conv);
        let what = format!("{channels} -> {outputs} channels, {kernel}x{kernel}, of {size:?}, {conv:?}");
        let x = normal("x", &[images, channels, size.0, size.1]);
        let w = (normal("w", &[outputs, channels, kernel, kernel]) * 0.1).unwrap();
        let b = normal("b", &[outputs]);
        let results = |dtype: DType| {
            let [x, w, b] = [&x, &w, &b].map(|t| Var::from_tensor(&t.to_dtype(dtype).unwrap()).unwrap());
            let y = conv2d_stacked(&x, &w, Some(&b), conv, images).unwrap();
            let g = normal("g", y.dims()).to_dtype(dtype).unwrap();
            let store = (&y * &g).unwrap().sum_all().unwrap().backward().unwrap();
            let back = conv2d_pullback(&g, &w.detach(), conv, size).unwrap();
            let gradients = [&x, &w, &b].map(|t| store.get(t).unwrap().clone());
            [&[y, back], &gradients[..]].concat()
        };
        let names = ["value", "pull-back", "gradient of x", "gradient of w", "gradient of b"];
        let have = on(Backend::Kernels, || results(DType::F32));
        let want = on(Backend::Composed, || results(DType::F64));
        for ((name, have), want) in names.iter().zip(have).zip(want) {
            assert_close(&format!("{name}: {what}"), &have, &want, 5e-6);
        }
    }
}

#[test]
fn convolutions_of_activations_keep_the_contract() {
    let acts = [Activation::Swish, Activation::LeakyRelu(0.2), Activation::Tanh];
    for (act, (kernel, stride)) in acts.into_iter().zip([(3, 1), (4, 2), (1, 1)]) {
        let conv = Conv { stride, padding: (kernel - 1) / 2 };
        let (u, w) = (normal("u", &[3, 2, 6, 5]), normal("w", &[4, 2, kernel, kernel]));
        let inputs = [u.clone(), w.clone(), normal("b", &[4])];
        check(
            &format!("{kernel}x{kernel} convolution of {act:?}"),
            &|t| conv2d_activated(act, &t[0], &t[1], &t[2], conv),
            &|t| Ok(composed::conv2d(&composed::activate(act, &t[0])?, &t[1], Some(&t[2]), conv, 1)?),
            &inputs,
            1,
        );
        let y = conv2d(&u, &w, None, conv).unwrap();
        check(
            &format!("pull-back of {kernel}x{kernel} convolution of {act:?}"),
            &|t| conv2d_activated_pullback(act, &t[0], &t[1], &t[2], conv),
            &|t| {
                let back = composed::conv2d_pullback(&t[1], &t[2], conv, (6, 5))?;
                Ok(composed::activate_pullback(act, &t[0], &back)?)
            },
            &[u, normal("g", y.dims()), w],
            2,
        );
    }
}

/// Both ways have the same rounding errors, but for those of a product with σ'.
#[test]
fn wide_convolutions_of_activations_are_those_of_one_after_the_other() {
    for (channels, size, outputs, kernel, stride, padding) in WIDE.into_iter().step_by(3) {
        let (conv, act) = (Conv { stride, padding }, Activation::Swish);
        let single = |name: &str, shape: &[usize]| normal(name, shape).to_dtype(DType::F32).unwrap();
        let [u, w, b] = [
            single("u", &[enough(size, kernel, conv), channels, size.0, size.1]),
            single("w", &[outputs, channels, kernel, kernel]),
            single("b", &[outputs]),
        ]
        .map(|t| Var::from_tensor(&t).unwrap());
        let slopes = |y: &Tensor| {
            let store = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            [&u, &w, &b].map(|t| store.get(t).unwrap().clone())
        };
        let at_once = conv2d_activated(act, &u, &w, &b, conv).unwrap();
        let apart = conv2d(&crate::ops::activate(act, &u).unwrap(), &w, Some(&b), conv).unwrap();
        let what = format!("{channels} -> {outputs} channels, {kernel}x{kernel}, of {size:?}, {conv:?}");
        assert!(entries(&at_once) == entries(&apart), "{what}");
        for (have, want) in slopes(&at_once).iter().zip(slopes(&apart)) {
            assert_close(&what, have, &want, 1e-6);
        }
        let pulled = conv2d_activated_pullback(act, &u.detach(), &at_once.detach(), &w.detach(), conv).unwrap();
        let back = conv2d_pullback(&apart.detach(), &w.detach(), conv, size).unwrap();
        let want = crate::ops::activate_pullback(act, &u.detach(), &back).unwrap();
        assert_close(&what, &pulled, &want, 1e-6);
    }
}

#[test]
fn an_item_that_is_not_a_number_spoils_no_other() {
    for (kernel, stride) in [(3, 1), (3, 2), (4, 2)] {
        let conv = Conv { stride, padding: 1 };
        let single = |name: &str, shape: &[usize]| normal(name, shape).to_dtype(DType::F32).unwrap();
        let (x, w) = (single("x", &[21, 16, 9, 8]), single("w", &[16, 16, kernel, kernel]));
        let spoilt = Tensor::cat(&[&x, &(x.narrow(0, 0, 1).unwrap() * f64::NAN).unwrap(), &x], 0).unwrap();
        let y = on(Backend::Kernels, || conv2d(&spoilt, &w, None, conv)).unwrap();
        let back = on(Backend::Kernels, || conv2d_pullback(&y, &w, conv, (9, 8))).unwrap();
        for result in [y, back] {
            let finite = |from, n| entries(&result.narrow(0, from, n).unwrap()).iter().all(|v| v.is_finite());
            assert!(finite(0, 21) && !finite(21, 1) && finite(22, 21), "{kernel}x{kernel}, stride {stride}");
        }
    }
}

#[test]
fn convolutions_give_the_same_bytes_on_one_and_two_threads() {
    for (channels, size, kernel, stride) in [(3, 32, 4, 1), (16, 16, 4, 2), (16, 16, 3, 1), (16, 16, 3, 2)] {
        let conv = Conv { stride, padding: 1 };
        let single = |name: &str, shape: &[usize]| normal(name, shape).to_dtype(DType::F32).unwrap();
        let (x, w) = (single("x", &[37, channels, size, size]), single("w", &[24, channels, kernel, kernel]));
        let run = || {
            let (x, w) = (Var::from_tensor(&x).unwrap(), Var::from_tensor(&w).unwrap());
            let y = conv2d(&x, &w, None, conv).unwrap();
            let store = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            [&y, store.get(&x).unwrap(), store.get(&w).unwrap()].map(entries)
        };
        let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        let run = || on(Backend::Kernels, run);
        assert!(pool(1).install(run) == pool(2).install(run));
    }
}

#[test]
fn impossible_convolutions_are_refused() {
    let t = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let (x, w) = (t(&[1, 2, 4, 4]), t(&[3, 2, 5, 5]));
    assert!(conv2d(&x, &w, None, Conv { stride: 1, padding: 0 }).is_err());
    assert!(conv2d(&x, &w, None, Conv { stride: 0, padding: 1 }).is_err());
    assert!(conv2d(&x, &w, None, Conv { stride: 1, padding: usize::MAX }).is_err());
    assert!(conv2d(&x, &t(&[3, 1, 3, 3]), None, Conv { stride: 1, padding: 1 }).is_err());
    assert!(conv2d(&x, &t(&[3, 2, 3, 2]), None, Conv { stride: 1, padding: 1 }).is_err());
    let (small, narrow) = (Conv { stride: 1, padding: 1 }, t(&[3, 2, 3, 3]));
    assert!(conv2d(&x, &narrow, Some(&t(&[2])), small).is_err());
    assert!(conv2d_jet(&x, &narrow, Some(&t(&[3])), small).is_err());
    let (g, conv) = (t(&[1, 3, 2, 2]), Conv { stride: 1, padding: 1 });
    assert!(conv2d_pullback(&g, &w, conv, (4, 4)).is_ok());
    assert!(conv2d_pullback(&g, &w, conv, (5, 4)).is_err());
    assert!(conv2d_pullback(&g, &w, Conv { stride: 0, padding: 1 }, (4, 4)).is_err());
}
