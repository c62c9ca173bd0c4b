use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use candle_core::{DType, Device, Tensor, Var};

use super::*;
use crate::config::Spec;
use crate::nets::{Builder, Io, Jet, Network, Pass};
use crate::rng::Key;
use crate::{Error, Result};

const PATIENCE: Duration = Duration::from_secs(20);

/// What each of so many ranks makes, side by side in threads that talk by sockets.
fn ranks<R: Send>(n: usize, f: impl Fn(Sockets) -> R + Sync) -> Vec<R> {
    let rendezvous = Rendezvous::here("token").unwrap();
    let address = rendezvous.address().unwrap().to_string();
    thread::scope(|scope| {
        let (f, address) = (&f, &address);
        let others: Vec<_> =
            (1..n).map(|rank| scope.spawn(move || f(join(address, "token", rank, n, PATIENCE).unwrap()))).collect();
        let first = f(rendezvous.gather(n, PATIENCE, &|| Ok(())).unwrap());
        std::iter::once(first).chain(others.into_iter().map(|other| other.join().unwrap())).collect()
    })
}

/// What f makes in a group of so many ranks for batches in so many parts, as rank 0 has it; all others must agree.
fn shared(parts: usize, n: usize, f: impl Fn() -> Vec<Vec<f64>> + Sync) -> Vec<Vec<f64>> {
    let all = ranks(n, |sockets| {
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
    let spec = Spec::new(keys.parse().unwrap());
    let row = crate::nets::NETS.iter().find(|row| row.name == spec.name()).unwrap();
    let mut table = row.schema.decode(&spec.table).unwrap();
    table.insert("name".into(), spec.name().into());
    Network::new(&Spec::new(table), io, &Builder::new(Key::new(1), DType::F64, &Device::Cpu)).unwrap()
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
const CONV: &str = "name = \"wide_resnet\"\ndepth = 10\nwiden = 1\nnorm = \"group\"";

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

#[test]
fn parts_that_cannot_be_shared_are_refused() {
    let refused = ranks(2, |sockets| Group::new(Box::new(sockets), 3).err().unwrap().to_string());
    assert!(refused.iter().all(|text| text.contains("3 parts") && text.contains("2 ranks")), "{refused:?}");
}

#[test]
fn words_reach_all_in_order() {
    let told = ranks(3, |sockets| sockets.tell(format!("I am {}", sockets.rank()).as_bytes()).unwrap());
    let want: Vec<Vec<u8>> = (0..3).map(|rank| format!("I am {rank}").into_bytes()).collect();
    assert!(told.iter().all(|all| *all == want));
}

#[test]
fn large_pieces_block_nobody() {
    // More than any socket's buffers: two that only wrote before they read would wait for each other.
    let n = 3_000_000;
    let sums = ranks(2, |sockets| {
        let own = Tensor::full(sockets.rank() as f32 + 1.0, n, &Device::Cpu).unwrap();
        let all = sockets.exchange(&[own.clone(), own], &[n, n]).unwrap();
        let sum = |t: &Tensor| t.sum_all().unwrap().to_scalar::<f32>().unwrap();
        (sum(&all[0]), sum(&all[1]))
    });
    assert!(sums.iter().all(|both| *both == (n as f32, 2.0 * n as f32)), "{sums:?}");
}

#[test]
fn a_rank_that_has_gone_and_one_at_another_place_are_named() {
    let gone = ranks(3, |sockets| {
        if sockets.rank() == 1 {
            return None;
        }
        sockets.tell(b"here").err().map(|error| (error.to_string(), error.exit_code()))
    });
    let gone: Vec<(String, i32)> = gone.into_iter().flatten().collect();
    assert_eq!(gone.len(), 2);
    assert!(gone.iter().any(|(text, code)| text == "rank 1 has gone" && *code == 1), "{gone:?}");
    let elsewhere = ranks(2, |sockets| {
        let x = Tensor::zeros(4, DType::F32, &Device::Cpu).unwrap();
        let result = match sockets.rank() {
            0 => sockets.tell(b"words").map(drop),
            _ => sockets.exchange(&[x.clone(), x], &[4, 4]).map(drop),
        };
        result.unwrap_err().to_string()
    });
    assert!(elsewhere.iter().all(|text| text.contains("is at another place of the run")), "{elsewhere:?}");
}

#[test]
fn strangers_are_let_go_and_who_does_not_come_is_missed() {
    let rendezvous = Rendezvous::here("ours").unwrap();
    let address = rendezvous.address().unwrap();
    let stranger = TcpStream::connect(address).unwrap();
    drop(stranger);
    let theirs = thread::spawn(move || join(&address.to_string(), "theirs", 1, 2, Duration::from_secs(3)).err());
    let missed = rendezvous.gather(2, Duration::from_secs(1), &|| Ok(())).err().unwrap().to_string();
    assert!(missed.contains("1 of 2 ranks came within 1 s"), "{missed}");
    assert!(theirs.join().unwrap().is_some());
    let failing = Rendezvous::here("ours").unwrap();
    let why = failing.gather(2, PATIENCE, &|| Err(Error::Other("it died".into()))).err().unwrap().to_string();
    assert_eq!(why, "it died");
}
