//! Convolutions: the contract, the ways that wide ones go in f32, threads, and what is refused.

use candle_core::{DType, Device, Tensor, Var};

use crate::ops::backend::{Backend, on};
use crate::ops::contract::{assert_close, check, entries, normal};
use crate::ops::{Conv, composed, conv2d, conv2d_jet, conv2d_pullback, conv2d_stacked};

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
const WIDE: [Wide; 9] = [
    (16, (8, 8), 32, 3, 1, 1),
    (17, (9, 14), 21, 3, 1, 1),
    (32, (4, 4), 16, 3, 1, 1),
    (16, (5, 31), 16, 3, 1, 1),
    (16, (70, 68), 18, 3, 1, 1),
    (16, (16, 16), 24, 3, 2, 1),
    (16, (17, 12), 16, 4, 2, 1),
    (16, (11, 8), 32, 1, 1, 0),
    (32, (16, 12), 16, 1, 2, 0),
];

#[test]
fn wide_convolutions_in_f32_are_as_good_as_f32_can_be() {
    for (channels, size, outputs, kernel, stride, padding) in WIDE {
        let (conv, images) = (Conv { stride, padding }, 48usize.div_ceil(size.0 * size.1 / 16).max(2));
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
        let have = on(Backend::Cpu, || results(DType::F32));
        let want = on(Backend::Composed, || results(DType::F64));
        for ((name, have), want) in names.iter().zip(have).zip(want) {
            assert_close(&format!("{name}: {what}"), &have, &want, 5e-6);
        }
    }
}

#[test]
fn convolutions_give_the_same_bytes_on_one_and_two_threads() {
    for (channels, size, kernel, stride) in [(3, 32, 4, 1), (16, 8, 4, 2), (16, 16, 3, 1), (16, 16, 3, 2)] {
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
        let run = || on(Backend::Cpu, run);
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
