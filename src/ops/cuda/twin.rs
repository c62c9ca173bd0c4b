//! The kernels of GPUs, compiled as C++, against those of the CPU: their arithmetic on a machine without a card.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use candle_core::{CpuStorage, DType, Layout, Tensor, Var};

use super::plan::{adam_numbers, number, partial_sums, sgd_numbers, some};
use crate::ops::backend::{Backend, on};
use crate::ops::contract::{entries, normal};
use crate::ops::cpu::{Output, activation as kernels};
use crate::ops::{Activation, Adam, Sgd, adam_update, langevin_update, lerp_update, sgd_update};

/// The program of `twin.cpp`, in this folder; `None` where nothing compiles C++.
fn program(folder: &Path) -> Option<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops/cuda/twin.cpp");
    let to = folder.join("twin");
    let named = std::env::var("CXX").ok();
    for compiler in named.as_deref().into_iter().chain(["c++", "g++", "clang++"]) {
        // As nvcc rounds when it is told so; fused products differ in the last digit.
        let flags = ["-O1", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-o"];
        let Ok(done) = Command::new(compiler).args(flags).arg(&to).arg(&sources).output() else { continue };
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        return Some(to);
    }
    println!("skipped: no compiler of C++ (set CXX)");
    None
}

/// A map as the CPU computes it and as `activation.cu` does.
struct Map {
    name: &'static str,
    /// The blocks of each argument, of the result, and what the kernel is told.
    blocks: &'static [usize],
    result: usize,
    form: usize,
    cpu: fn(Activation, &[(CpuStorage, Layout)]) -> Output,
}

fn at(arguments: &[(CpuStorage, Layout)], k: usize) -> (&CpuStorage, &Layout) {
    (&arguments[k].0, &arguments[k].1)
}

const fn map(
    name: &'static str,
    blocks: &'static [usize],
    [result, form]: [usize; 2],
    cpu: fn(Activation, &[(CpuStorage, Layout)]) -> Output,
) -> Map {
    Map { name, blocks, result, form, cpu }
}

const MAPS: [Map; 10] = [
    map("value", &[1], [1, 1], |act, a| kernels::value(act, at(a, 0))),
    map("pullback", &[1, 1], [1, 1], |act, a| kernels::pullback(act, at(a, 0), at(a, 1))),
    map("bend", &[1, 1, 1], [1, 1], |act, a| kernels::bend(act, at(a, 0), at(a, 1), at(a, 2), false)),
    map("bend", &[1, 1, 1], [2, 2], |act, a| kernels::bend(act, at(a, 0), at(a, 1), at(a, 2), true)),
    map("tangent", &[2], [2, 2], |act, a| kernels::jet(act, at(a, 0))),
    map("tangent_backward", &[2, 2], [2, 2], |act, a| kernels::jet_backward(act, at(a, 0), at(a, 1))),
    map("curve", &[2], [3, 2], |act, a| kernels::curve(act, at(a, 0), 2)),
    map("curve", &[3], [3, 3], |act, a| kernels::curve(act, at(a, 0), 3)),
    map("curve_backward", &[2, 3], [2, 2], |act, a| kernels::curve_backward(act, at(a, 0), at(a, 1), 2)),
    map("curve_backward", &[3, 3], [3, 3], |act, a| kernels::curve_backward(act, at(a, 0), at(a, 1), 3)),
];

/// Where a formula may break: at and near 0, far out, and what is not a number.
const CORNERS: [f64; 8] = [0.0, -0.0, 1e-6, -1e-6, 40.0, -40.0, 700.0, f64::NAN];
const N: usize = 37;

/// The arguments of a map, in one type.
fn arguments(map: &Map, single: bool) -> Vec<(CpuStorage, Layout)> {
    let one = |(k, blocks): (usize, &usize)| {
        let mut data = entries(&normal(&format!("argument {k}"), &[blocks * N]));
        if k == 0 {
            data[..CORNERS.len()].copy_from_slice(&CORNERS);
        }
        let storage = match single {
            true => CpuStorage::F32(data.iter().map(|x| *x as f32).collect()),
            false => CpuStorage::F64(data),
        };
        (storage, Layout::contiguous((blocks * N,)))
    };
    map.blocks.iter().enumerate().map(one).collect()
}

fn bytes(storage: &CpuStorage) -> Vec<u8> {
    match storage {
        CpuStorage::F32(data) => data.iter().flat_map(|x| x.to_ne_bytes()).collect(),
        CpuStorage::F64(data) => data.iter().flat_map(|x| x.to_ne_bytes()).collect(),
        other => panic!("{other:?}"),
    }
}

fn numbers(bytes: &[u8], single: bool) -> Vec<f64> {
    match single {
        true => bytes.as_chunks().0.iter().map(|x| f64::from(f32::from_ne_bytes(*x))).collect(),
        false => bytes.as_chunks().0.iter().map(|x| f64::from_ne_bytes(*x)).collect(),
    }
}

/// What `activation.cu` makes of the arguments.
fn by_twin(twin: &Path, map: &Map, act: Activation, given: &[(CpuStorage, Layout)], single: bool) -> Vec<f64> {
    let (kind, alpha) = number(act);
    let mut words = vec![format!("{}_{}", map.name, if single { "f32" } else { "f64" }), N.to_string()];
    words.extend([map.form.to_string(), kind.to_string(), alpha.to_string()]);
    words.extend((0..3).map(|k| (map.blocks.get(k).unwrap_or(&0) * N).to_string()));
    words.push((map.result * N).to_string());
    let input: Vec<u8> = given.iter().flat_map(|(storage, _)| bytes(storage)).collect();
    numbers(&run(twin, &words, &input), single)
}

/// What the program writes when it is given words and input.
fn run(twin: &Path, words: &[String], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(twin).args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    // Both at once: a pipe holds less than some of these.
    let (_, done) = std::thread::scope(|scope| {
        let writing = scope.spawn(move || to.write_all(input).unwrap());
        let done = child.wait_with_output().unwrap();
        (writing.join().unwrap(), done)
    });
    assert!(done.status.success(), "{words:?}: {:?}", done.status);
    done.stdout
}

/// Fails where an entry differs by more than rounding. Each is compared with its like: one far out would hide what is
/// wrong at the others.
fn assert_alike(what: &str, have: &[f64], want: &[f64], single: bool) {
    assert_eq!(have.len(), want.len(), "{what}");
    let bound = if single { 3e-6 } else { 1e-13 };
    for (i, (h, w)) in have.iter().zip(want).enumerate() {
        let fine = h == w || (h.is_nan() && w.is_nan()) || (h - w).abs() <= bound * w.abs().max(1.0);
        assert!(fine, "{what}, entry {i}: {h} on a GPU and {w} on the CPU");
    }
}

#[test]
fn the_kernels_of_gpus_give_what_those_of_the_cpu_give() {
    let folder = tempfile::tempdir().unwrap();
    let Some(twin) = program(folder.path()) else { return };
    activations_are_alike(&twin);
    updates_are_alike(&twin);
    sums_of_squares_are_alike(&twin);
}

fn activations_are_alike(twin: &Path) {
    use Activation::{Elu, LeakyRelu, Relu, Sigmoid, Softplus, Swish, Tanh};
    for act in [Swish, Softplus, Sigmoid, Tanh, Relu, LeakyRelu(0.2), Elu(0.7)] {
        for (map, single) in MAPS.iter().flat_map(|map| [(map, true), (map, false)]) {
            let given = arguments(map, single);
            let have = by_twin(twin, map, act, &given, single);
            let want = numbers(&bytes(&(map.cpu)(act, &given).unwrap().0), single);
            assert_alike(&format!("{} of {act:?}, form {}", map.name, map.form), &have, &want, single);
        }
    }
}

/// Three tensors and a gradient, f32 or f64; the second and third have no negative entries, as moments have none.
fn four(single: bool) -> [Tensor; 4] {
    let dtype = if single { DType::F32 } else { DType::F64 };
    let one = |name| normal(name, &[N]).to_dtype(dtype).unwrap();
    [one("a"), one("b"), one("c").sqr().unwrap(), one("g")]
}

/// An update as the CPU computes it, with the numbers that the kernel is given.
type Update = (&'static str, [f64; 10], fn(&[Var; 3], &Tensor) -> crate::Result<()>);

const ADAM: Adam =
    Adam { scale: 0.7, l2: 0.3, betas: [0.9, 0.99], rest: [0.1, 0.01], keep: 0.97, rate: 0.37, root: 5.8, eps: 1e-8 };
const SGD: Sgd = Sgd { lr: 0.1, momentum: 0.9, nesterov: false, weight_decay: 0.3, scale: 0.7 };

fn updates() -> [Update; 5] {
    [
        ("adam", adam_numbers(&ADAM), |v, g| adam_update(&v[0], g, &v[1], &v[2], &ADAM).map(drop)),
        ("sgd", sgd_numbers(&SGD), |v, g| sgd_update(&v[0], g, &v[1], &SGD).map(drop)),
        ("sgd", sgd_numbers(&AHEAD), |v, g| sgd_update(&v[0], g, &v[1], &AHEAD).map(drop)),
        ("lerp", some([0.3]), |v, g| lerp_update(&v[0], g, 0.3)),
        ("langevin", some([0.3, 0.7]), |v, g| {
            Ok(crate::ops::assign(&v[0], &langevin_update(&v[1], g, &v[2], 0.3, 0.7)?)?)
        }),
    ]
}

const AHEAD: Sgd = Sgd { nesterov: true, ..SGD };

fn updates_are_alike(twin: &Path) {
    for (single, (name, given, cpu)) in [true, false].into_iter().flat_map(|s| updates().map(|update| (s, update))) {
        let [a, b, c, g] = four(single);
        let raw = |t: &Tensor| match single {
            true => bytes(&CpuStorage::F32(t.to_vec1().unwrap())),
            false => bytes(&CpuStorage::F64(t.to_vec1().unwrap())),
        };
        let mut words = vec![format!("{name}_{}", if single { "f32" } else { "f64" }), N.to_string()];
        words.extend(given.map(|number| number.to_string()));
        let have = numbers(&run(twin, &words, &[&a, &b, &c, &g].map(raw).concat()), single);
        let vars = [a, b, c].map(|t| Var::from_tensor(&t).unwrap());
        on(Backend::Kernels, || cpu(&vars, &g)).unwrap();
        let want = vars.iter().flat_map(|v| entries(v)).collect::<Vec<_>>();
        assert_alike(&format!("{name}, {given:?}"), &have, &want, single);
    }
}

fn sums_of_squares_are_alike(twin: &Path) {
    for (single, n) in [(true, 1), (true, 70_000), (false, 300), (false, 66_000)] {
        let data = entries(&normal("x", &[n]));
        let x = match single {
            true => CpuStorage::F32(data.iter().map(|x| *x as f32).collect()),
            false => CpuStorage::F64(data),
        };
        let want: f64 = numbers(&bytes(&x), single).iter().map(|x| x * x).sum();
        let mut left = bytes(&x);
        let mut terms = n;
        for (round, m) in partial_sums(n).into_iter().enumerate() {
            let first = if single { "squares_f32" } else { "squares_f64" };
            let kernel = if round == 0 { first } else { "sums" };
            left = run(twin, &[kernel.to_owned(), terms.to_string(), m.to_string()], &left);
            terms = m;
        }
        let have = numbers(&left, false);
        assert!(have.len() == 1 && (have[0] / want - 1.0).abs() < 1e-13, "{n}: {have:?}, {want}");
    }
}
