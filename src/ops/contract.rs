//! The contract that every operation must satisfy on every back end: the value of candle's operations, the gradients of
//! finite differences, no gradient for arguments that are not tracked, views and empty batches, and f32 as accurate as
//! f32 can be. Derivative passes are operations, so that their gradients are second derivatives.

use candle_core::{DType, Device, Tensor, Var};

use super::backend::{Backend, on};
use super::checks::{self, Op};

/// The back ends that must agree.
const BACKENDS: [Backend; 2] = [Backend::Kernels, Backend::Composed];

/// Standard normal numbers in f64, the same for the same name.
pub fn normal(name: &str, shape: &[usize]) -> Tensor {
    checks::normal(name, shape).unwrap()
}

/// All entries in memory order, whatever the shape.
pub fn entries(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// Fails with both numbers where two tensors differ by more than `tolerance` of the largest entry (or of 1).
pub fn assert_close(what: &str, have: &Tensor, want: &Tensor, tolerance: f64) {
    assert_eq!(have.dims(), want.dims(), "{what}: shape");
    let (have, want) = (entries(have), entries(want));
    let scale = want.iter().fold(1.0, |m: f64, w| m.max(w.abs()));
    for (i, (h, w)) in have.iter().zip(&want).enumerate() {
        assert!((h - w).abs() <= tolerance * scale, "{what}: entry {i} is {h}, expected {w}");
    }
}

/// The weighted sum Σ weight∘f(inputs).
fn loss(f: Op, inputs: &[Tensor]) -> Tensor {
    checks::loss(f, inputs).unwrap()
}

/// The gradient for every input, by one ordinary backward pass.
fn gradients(f: Op, inputs: &[Tensor]) -> Vec<Tensor> {
    checks::gradients(f, inputs).unwrap()
}

/// The gradient for input `k`, by central differences.
fn differences(f: Op, inputs: &[Tensor], k: usize) -> Tensor {
    let step = 1e-5;
    let base = entries(&inputs[k]);
    let at = |i: usize, move_by: f64| {
        let mut moved = base.clone();
        moved[i] += move_by;
        let mut inputs = inputs.to_vec();
        inputs[k] = Tensor::from_vec(moved, inputs[k].shape(), &Device::Cpu).unwrap();
        loss(f, &inputs).to_scalar::<f64>().unwrap()
    };
    let slopes: Vec<f64> = (0..base.len()).map(|i| (at(i, step) - at(i, -step)) / (2.0 * step)).collect();
    Tensor::from_vec(slopes, inputs[k].shape(), &Device::Cpu).unwrap()
}

/// Checks the contract of an operation `op` at some f64 `inputs`, the first `batched` of which hold items of one batch,
/// against `candle`, the same composed of candle's operations.
pub fn check(what: &str, op: Op, candle: Op, inputs: &[Tensor], batched: usize) {
    let slopes: Vec<Tensor> = (0..inputs.len()).map(|k| differences(candle, inputs, k)).collect();
    for backend in BACKENDS {
        on(backend, || check_on(backend, &format!("{what} on {backend:?}"), op, candle, inputs, &slopes));
        on(backend, || empty(&format!("{what} on {backend:?}"), op, inputs, batched));
    }
}

fn check_on(backend: Backend, what: &str, op: Op, candle: Op, inputs: &[Tensor], slopes: &[Tensor]) {
    let value = candle(inputs).unwrap();
    assert_close(&format!("{what}: value"), &op(inputs).unwrap(), &value, 1e-13);
    assert_close(&format!("{what}: value on views"), &op(&views(inputs)).unwrap(), &value, 1e-13);
    let have = gradients(op, inputs);
    for (k, (have, want)) in have.iter().zip(gradients(candle, inputs)).enumerate() {
        assert_close(&format!("{what}: gradient {k} against candle's"), have, &want, 1e-12);
        assert_close(&format!("{what}: gradient {k} against differences"), have, &slopes[k], 2e-9);
    }
    for k in 0..inputs.len() {
        let var = Var::from_tensor(&inputs[k]).unwrap();
        let mut mixed = inputs.to_vec();
        mixed[k] = var.as_tensor().clone();
        let store = loss(op, &mixed).backward().unwrap();
        if let Some(alone) = store.get(&var) {
            assert_close(&format!("{what}: gradient {k} alone"), alone, &have[k], 1e-15);
        }
        // Candle's own operations store a gradient in either case.
        let own = backend != Backend::Composed;
        for (other, input) in mixed.iter().enumerate().filter(|(other, _)| own && *other != k) {
            assert!(store.get(input).is_none(), "{what}: input {other} is not tracked and got a gradient");
        }
    }
    let single: Vec<Tensor> = inputs.iter().map(|x| x.to_dtype(DType::F32).unwrap()).collect();
    assert_close(&format!("{what}: f32"), &op(&single).unwrap(), &value, 5e-6);
    for (k, (f32s, f64s)) in gradients(op, &single).iter().zip(&have).enumerate() {
        assert_close(&format!("{what}: f32 gradient {k}"), f32s, f64s, 5e-6);
    }
}

/// The same tensors as cuts out of larger ones, with the last two dimensions exchanged in memory.
fn views(inputs: &[Tensor]) -> Vec<Tensor> {
    let view = |t: &Tensor| {
        let grown = t.pad_with_zeros(t.rank() - 1, 1, 2).unwrap();
        let last = t.rank() - 1;
        let turned = if t.rank() < 2 { grown } else { grown.transpose(last - 1, last).unwrap().contiguous().unwrap() };
        let back = if t.rank() < 2 { turned } else { turned.transpose(last - 1, last).unwrap() };
        back.narrow(last, 1, t.dim(last).unwrap()).unwrap()
    };
    inputs.iter().map(view).collect()
}

/// A batch without items passes.
fn empty(what: &str, op: Op, inputs: &[Tensor], batched: usize) {
    if batched == 0 {
        return;
    }
    let cut = |(k, t): (usize, &Tensor)| if k < batched { t.narrow(0, 0, 0).unwrap() } else { t.clone() };
    let none: Vec<Tensor> = inputs.iter().enumerate().map(cut).collect();
    let y = op(&none).unwrap_or_else(|e| panic!("{what}: an empty batch: {e}"));
    assert!(y.elem_count() == 0 || entries(&y).iter().all(|v| *v == 0.0), "{what}: an empty batch gives {y}");
}
