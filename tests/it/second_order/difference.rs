//! Central differences in f64, and gradients by one ordinary `backward()`.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use ebm::Result;

/// Half the distance of the two evaluations: the truncation error is about h² = 1e-10, the rounding error 1e-16/h =
/// 1e-11.
pub const H: f64 = 1e-5;

/// What analytic and numeric derivatives may differ by, relative to the largest entry.
pub const TOLERANCE: f64 = 1e-6;

/// All entries.
pub fn entries(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// Σ a∘b.
pub fn inner(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok((a * b)?.sum_all()?)
}

/// The number in a scalar tensor.
pub fn number(t: &Tensor) -> f64 {
    t.to_scalar().unwrap()
}

/// ∂loss/∂var, one entry after the other.
pub fn numeric(var: &Var, loss: &dyn Fn() -> Result<Tensor>) -> Vec<f64> {
    let here = entries(var);
    let at = |i: usize, step: f64| {
        let mut moved = here.clone();
        moved[i] += step;
        ebm::ops::assign(var, &Tensor::from_vec(moved, var.dims(), var.device()).unwrap()).unwrap();
        number(&loss().unwrap())
    };
    let slopes = (0..here.len()).map(|i| (at(i, H) - at(i, -H)) / (2.0 * H)).collect();
    ebm::ops::assign(var, &Tensor::from_vec(here, var.dims(), var.device()).unwrap()).unwrap();
    slopes
}

/// ∂loss/∂var for each var by candle; zeros where it has none.
pub fn analytic(vars: &BTreeMap<String, Var>, loss: &Tensor) -> BTreeMap<String, Vec<f64>> {
    let grads = loss.backward().unwrap();
    let of = |var: &Var| grads.get(var).map_or_else(|| vec![0.0; var.elem_count()], entries);
    vars.iter().map(|(name, var)| (name.clone(), of(var))).collect()
}

/// Fails unless both agree to [`TOLERANCE`] of the largest entry (at least 1e-3, for what is zero by theory).
pub fn assert_close(what: &str, have: &[f64], want: &[f64]) {
    assert_eq!(have.len(), want.len(), "{what}");
    let scale = want.iter().fold(1e-3, |m: f64, v| m.max(v.abs()));
    let error =
        have.iter().zip(want).map(|(a, b)| (a - b).abs() / scale).fold(0.0, |m: f64, e| if e > m { e } else { m });
    let finite = have.iter().chain(want).all(|v| v.is_finite());
    assert!(finite && error <= TOLERANCE, "{what}: relative error {error:.1e}\n{have:?}\n{want:?}");
}
