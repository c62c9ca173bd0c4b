use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use crate::Result;
use crate::config::Spec;
use crate::nets::{Builder, Io, Jet, Network, Pass, schemas};
use crate::ranks::{Group, enter, in_threads};
use crate::rng::Key;

/// What f makes in a group of so many ranks for batches in so many parts, as rank 0 has it; all others must agree.
fn shared(parts: usize, n: usize, f: impl Fn() -> Vec<Vec<f64>> + Sync) -> Vec<Vec<f64>> {
    let all = in_threads(n, |sockets| {
        let _entered = enter(&Arc::new(Group::new(Box::new(sockets), parts).unwrap()));
        f()
    });
    all.iter().for_each(|other| assert_eq!(other, &all[0], "{n} ranks, {parts} parts"));
    all.into_iter().next().unwrap()
}

fn normal(name: &str, shape: &[usize]) -> Tensor {
    Key::new(5).with(name).normal(shape, DType::F64, &Device::Cpu).unwrap()
}

fn numbers(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn network(keys: &str, io: &Io) -> Network {
    let name = Spec::new(keys.parse().unwrap()).name().to_owned();
    Network::new(
        &Spec::of_text(schemas, &name, keys).unwrap(),
        io,
        &Builder::new(Key::new(1), DType::F64, &Device::Cpu),
    )
    .unwrap()
}

/// Values and gradients of all passes of a network, for weights and for the input where it is tracked.
fn passes(net: &Network, x: &Tensor, v: &Tensor, pass: Pass) -> Result<Vec<Vec<f64>>> {
    let mut all = Vec::new();
    let mut learn = |y: &Tensor, x: Option<&Tensor>| -> Result<()> {
        all.push(numbers(y));
        let weight = normal("pull", y.dims());
        let store = (y * weight)?.sum_all()?.backward()?;
        for var in net.params().weights.values() {
            all.push(store.get(var.as_tensor()).map(numbers).unwrap_or_default());
        }
        all.extend(x.map(|x| numbers(store.get(x).unwrap())));
        Ok(())
    };
    let var = Var::from_tensor(x)?;
    learn(&net.forward(x, pass)?, None)?;
    learn(&net.forward(&var, pass)?, Some(&var))?;
    let (y, grad) = net.grad(&var, pass)?;
    learn(&(y.flatten_all()?.sum_all()? + grad.sqr()?.sum_all()?)?.reshape(1)?, Some(&var))?;
    let (_, pull) = net.vjp(x, pass)?;
    let g = Var::from_tensor(&net.forward(x, pass)?.ones_like()?)?;
    learn(&pull(&g)?, Some(&g))?;
    learn(net.jvp(&Jet::new(x, v)?, pass)?.stacked(), None)?;
    let [a, b, c] = net.curve(x, v, pass)?;
    learn(&Tensor::cat(&[a, b, c], 0)?, None)?;
    let frozen = net.frozen()?;
    let through = frozen.forward(&var, pass)?;
    all.push(numbers(through.sum_all()?.backward()?.get(&var).unwrap()));
    all.push(numbers(&frozen.forward(x, pass)?));
    Ok(all)
}

const MLP: &str = "name = \"mlp\"\nhidden = [7, 6]\ndropout = 0.3";
const CONV: &str = "name = \"wide_resnet\"\ndepth = 10\nwidth = 1\nnorm = \"group\"";

fn close(a: &[Vec<f64>], b: &[Vec<f64>]) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert_eq!(a.len(), b.len(), "number {i}");
        let size = b.iter().fold(1e-300f64, |m, v| m.max(v.abs()));
        let off = a.iter().zip(b).fold(0f64, |m, (a, b)| m.max((a - b).abs()));
        assert!(off <= 1e-11 * size, "number {i}: off by {off} of {size}");
    }
}

#[test]
fn ranks_compute_what_one_does_to_the_last_bit() {
    let image = Io::scalar(&[3, 8, 8]);
    for (keys, io, shape) in [(MLP, Io::scalar(&[3]), vec![11, 3]), (CONV, image, vec![5, 3, 8, 8])] {
        let (x, v) = (normal("x", &shape), normal("v", &shape));
        let run = |pass: Pass| passes(&network(keys, &io), &x, &v, pass).unwrap();
        let whole = run(Pass::EVAL);
        for parts in [2, 4] {
            let one = shared(parts, 1, || run(Pass::EVAL));
            // A batch in parts is the batch, but for the order of sums.
            close(&one, &whole);
            assert_ne!(one, whole, "nothing is divided");
            assert_eq!(shared(parts, 2, || run(Pass::EVAL)), one);
            let masked = shared(parts, 1, || run(Pass::train(Key::new(3))));
            assert_eq!(shared(parts, 2, || run(Pass::train(Key::new(3)))), masked);
        }
        assert_eq!(shared(4, 4, || run(Pass::EVAL)), shared(4, 1, || run(Pass::EVAL)));
    }
}

#[test]
fn a_batch_smaller_than_its_parts_and_one_part_are_not_divided() {
    let run = || passes(&network(MLP, &Io::scalar(&[3])), &normal("x", &[3, 3]), &normal("v", &[3, 3]), Pass::EVAL);
    let whole = run().unwrap();
    assert_eq!(shared(4, 2, || run().unwrap()), whole);
    assert_eq!(shared(1, 1, || run().unwrap()), whole);
}
