//! Group norm: the contract, and what no composition shows.

use super::super::contract::{assert_close, check, entries, normal};
use super::super::*;
use candle_core::{DType, Device, Tensor, Var};

#[test]
fn group_norm_keeps_the_contract() {
    for (shape, groups) in [(&[2, 4, 3, 2][..], 2), (&[3, 6], 1), (&[2, 3, 5], 3), (&[1, 2, 4, 5], 1)] {
        let (x, t) = (normal("x", shape), normal("t", shape));
        let (gain, shift) = (normal("gain", &shape[1..2]), normal("shift", &shape[1..2]));
        check(
            &format!("group norm of {shape:?} in {groups} groups"),
            &|t| group_norm(&t[0], &t[1], &t[2], groups),
            &|t| Ok(composed::group_norm(&t[0], &t[1], &t[2], groups)?),
            &[x.clone(), gain.clone(), shift.clone()],
            1,
        );
        check(
            &format!("Jacobian of group norm of {shape:?} in {groups} groups"),
            &|t| group_norm_jacobian(&t[0], &t[1], groups),
            &|t| Ok(composed::group_norm_jacobian(&t[0], &t[1], groups)?),
            &[x.clone(), t.clone()],
            2,
        );
        let fused = group_norm_pullback(&x, &gain, &t, groups).unwrap();
        let product = by_channel(&gain, &t).unwrap();
        assert_close("pull-back", &fused, &composed::group_norm_jacobian(&x, &product, groups).unwrap(), 1e-12);
        let (gain, shift) = (Var::from_tensor(&gain).unwrap(), Var::from_tensor(&shift).unwrap());
        let y = (composed::group_norm(&x, &gain, &shift, groups).unwrap() * &t).unwrap();
        let store = y.sum_all().unwrap().backward().unwrap();
        for backend in [backend::Backend::Kernels, backend::Backend::Composed] {
            let (for_gain, for_shift) = backend::on(backend, || group_norm_parameters(&x, &t, groups).unwrap());
            assert_close("γ", &for_gain, store.get(&gain).unwrap(), 1e-12);
            assert_close("β", &for_shift, store.get(&shift).unwrap(), 1e-12);
        }
    }
}

#[test]
fn a_group_far_from_0_or_without_variance_keeps_its_digits() {
    let (gain, shift) = (normal("gain", &[4]), normal("shift", &[4]));
    let x = (normal("x", &[2, 4, 30]) + 1e3).unwrap();
    let narrow = |t: &Tensor| t.to_dtype(DType::F32).unwrap();
    let have = group_norm(&narrow(&x), &narrow(&gain), &narrow(&shift), 2).unwrap();
    let want = composed::group_norm(&narrow(&x).to_dtype(DType::F64).unwrap(), &gain, &shift, 2).unwrap();
    // The mean of numbers near 1,000 is right to 6e-5 in f32, and all numbers are divided by a standard deviation of 1.
    assert_close("far from 0", &have, &want, 2e-4);
    let flat =
        group_norm(&Tensor::ones((1, 4, 3), DType::F32, &Device::Cpu).unwrap(), &narrow(&gain), &narrow(&shift), 1);
    let flat = entries(&flat.unwrap());
    for (row, shift) in flat.chunks(3).zip(entries(&shift)) {
        assert!(row.iter().all(|y| (y - shift).abs() < 1e-6), "{flat:?}");
    }
}

#[test]
fn groups_and_shapes_that_do_not_fit_are_refused() {
    let t = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    for (x, gain, groups) in [(&[2, 4][..], 4, 3), (&[2, 4], 4, 0), (&[2, 4], 3, 2), (&[4], 4, 1)] {
        assert!(group_norm(&t(x), &t(&[gain]), &t(&[gain]), groups).is_err(), "{x:?}, γ {gain}, {groups} groups");
    }
    assert!(group_norm_pullback(&t(&[2, 4]), &t(&[3]), &t(&[2, 4]), 2).is_err());
    assert!(group_norm_jacobian(&t(&[2, 4]), &t(&[4, 2]), 2).is_err());
    assert!(group_norm_parameters(&t(&[2, 4]), &t(&[2, 4, 1]), 2).is_err());
}
