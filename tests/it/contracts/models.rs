//! Every model: its derivatives, and its own tensors.

use super::*;

/// Σ E over the batch as a function of x, f64.
fn total(e: &dyn Energy, x: &[f64], shape: &[usize]) -> f64 {
    e.energy(&Tensor::from_slice(x, shape, &CPU).unwrap()).unwrap().sum_all().unwrap().to_scalar().unwrap()
}

#[test]
fn a_models_gradient_is_that_of_its_energy() {
    for row in MODELS {
        let spec = small_model(row);
        for shape in batches(row) {
            let item = &shape[1..];
            let of = |value: f64| Tensor::full(value, item, &CPU).unwrap().to_dtype(DType::F32).unwrap();
            let moments = Moments { mean: of(0.3), std: of(1.5), overall_mean: 0.3, overall_std: 1.5 };
            let context = Context { shape: item.to_vec(), classes: Some(3), moments: Some(&|| Ok(moments.clone())) };
            let model = Model::new(&spec, &context, Key::new(4), DType::F64, &CPU).unwrap();
            check_energy(&model, &shape, row.name);
        }
    }
}

/// The five functions of an energy on a batch of this shape, in f64, against each other and against differences.
pub fn check_energy(e: &dyn Energy, shape: &[usize], name: &str) {
    let normal = |key: u64| Key::new(key).normal(shape.to_vec(), DType::F64, &CPU).unwrap();
    let (x, v) = (normal(5), normal(6));
    let energy = e.energy(&x).unwrap().to_vec1::<f64>().unwrap();
    let (with_grad, grad) = e.grad(&x).unwrap();
    assert_eq!((with_grad.dims(), grad.dims()), (&shape[..1], shape), "{name}");
    let close = |a: f64, b: f64, what: &str| {
        assert!((a - b).abs() < 1e-7 * (1.0 + a.abs()), "{name}, {what}: {a} and {b}");
    };
    for (a, b) in energy.iter().zip(with_grad.to_vec1::<f64>().unwrap()) {
        close(*a, b, "energy with and without gradient");
    }
    let flat = x.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let slope = grad.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    for i in 0..flat.len() {
        let at = |h: f64| {
            let mut moved = flat.clone();
            moved[i] += h;
            total(e, &moved, shape)
        };
        // Fourth order: the error is h⁴ times a fifth derivative, far below the tolerance.
        let h = 1e-3;
        let difference = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
        close(difference, slope[i], "finite difference");
    }
    let (along, directional) = e.directional(&x, &v).unwrap();
    let dot = (&grad * &v).unwrap().flatten_from(1).unwrap().sum(1).unwrap().to_vec1::<f64>().unwrap();
    for ((a, b), (e, f)) in
        directional.to_vec1::<f64>().unwrap().iter().zip(dot).zip(along.to_vec1::<f64>().unwrap().iter().zip(&energy))
    {
        close(*a, b, "slope along v");
        close(*e, *f, "energy along v");
    }
    check_curvature(e, (&x, &v), (&energy, &directional), name);
}

/// E, its slope and its bend along v against what is known, and against differences of slopes; the Laplacian against
/// the bends along the axes.
fn check_curvature(e: &dyn Energy, (x, v): (&Tensor, &Tensor), (energy, slope): (&[f64], &Tensor), name: &str) {
    let close = |have: &Tensor, want: &[f64], what: &str| {
        for (a, b) in have.flatten_all().unwrap().to_vec1::<f64>().unwrap().iter().zip(want) {
            assert!((a - b).abs() < 1e-7 * (1.0 + a.abs()), "{name}, {what}: {a} and {b}");
        }
    };
    let list = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let [value, first, second] = e.curvature(x, v).unwrap();
    close(&value, energy, "energy with curvature");
    close(&first, &list(slope), "slope with curvature");
    let bend = |v: &Tensor| -> Vec<f64> {
        let at = |h: f64| list(&e.directional(&(x + (v * h).unwrap()).unwrap(), v).unwrap().1);
        let (h, k) = (1e-3, 2e-3);
        let near = at(h).into_iter().zip(at(-h)).map(|(a, b)| a - b);
        near.zip(at(k).into_iter().zip(at(-k))).map(|(n, (a, b))| (8.0 * n - (a - b)) / (12.0 * h)).collect()
    };
    close(&second, &bend(v), "curvature");
    let (batch, size) = (x.dims()[0], x.elem_count() / x.dims()[0]);
    let mut trace = vec![0.0; batch];
    for d in 0..size {
        let axis: Vec<f64> = (0..batch * size).map(|i| f64::from(u8::from(i % size == d))).collect();
        let bends = bend(&Tensor::from_vec(axis, x.dims(), &CPU).unwrap());
        trace.iter_mut().zip(bends).for_each(|(t, b)| *t += b);
    }
    let (value, grad, laplacian) = e.laplacian(x).unwrap();
    assert_eq!((value.dims(), grad.dims(), laplacian.dims()), (&x.dims()[..1], x.dims(), &x.dims()[..1]), "{name}");
    close(&value, energy, "energy with Laplacian");
    close(&grad, &list(&e.grad(x).unwrap().1), "gradient with Laplacian");
    close(&laplacian, &trace, "Laplacian");
}

#[test]
fn a_model_is_the_same_on_its_own_tensors() {
    for row in MODELS {
        let (spec, shape) = (small_model(row), batches(row).swap_remove(0));
        let of = |key: u64| Key::new(key).uniform(&shape[1..], DType::F32, &CPU).unwrap();
        let moments = Moments { mean: of(1), std: (of(2) + 1.0).unwrap(), overall_mean: 0.5, overall_std: 1.6 };
        let context = Context { shape: shape[1..].to_vec(), classes: Some(3), moments: Some(&|| Ok(moments.clone())) };
        let new = |key: u64| Model::new(&spec, &context, Key::new(key), DType::F32, &CPU).unwrap();
        let model = new(4);
        let x = Key::new(5).normal(shape.as_slice(), DType::F32, &CPU).unwrap();
        let energy = |m: &Model| m.energy(&x).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(energy(&model), energy(&model.frozen().unwrap()), "{}", row.name);
        let mut short = model.params().tensors();
        let Some((name, _)) = short.pop_first() else {
            assert_eq!(energy(&model), energy(&new(6)), "{}: no tensors, and not the same from another key", row.name);
            continue;
        };
        let refused = model.on(short).err().unwrap_or_else(|| panic!("{} is built without {name}", row.name));
        assert!(refused.to_string().contains(&name), "{refused}");
    }
}
