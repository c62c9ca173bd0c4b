//! `activation.cu`, compiled as C++, against the kernels of the CPU: the arithmetic of the GPU on a machine without one.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use candle_core::{CpuStorage, Layout};

use super::plan::number;
use crate::ops::Activation;
use crate::ops::contract::{entries, normal};
use crate::ops::cpu::{Output, activation as kernels};

/// The program of `twin.cpp` in this folder; `None` where nothing compiles C++.
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
    let mut child = Command::new(twin).args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let input: Vec<u8> = given.iter().flat_map(|(storage, _)| bytes(storage)).collect();
    child.stdin.take().unwrap().write_all(&input).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{} {act:?}: {:?}", map.name, done.status);
    numbers(&done.stdout, single)
}

#[test]
fn the_kernels_of_gpus_give_what_those_of_the_cpu_give() {
    let folder = tempfile::tempdir().unwrap();
    let Some(twin) = program(folder.path()) else { return };
    use Activation::{Elu, LeakyRelu, Relu, Sigmoid, Softplus, Swish, Tanh};
    for act in [Swish, Softplus, Sigmoid, Tanh, Relu, LeakyRelu(0.2), Elu(0.7)] {
        for (map, single) in MAPS.iter().flat_map(|map| [(map, true), (map, false)]) {
            let given = arguments(map, single);
            let have = by_twin(&twin, map, act, &given, single);
            let want = numbers(&bytes(&(map.cpu)(act, &given).unwrap().0), single);
            assert_eq!(have.len(), want.len());
            // An entry is compared with its like: one far out would hide what is wrong at the others.
            let bound = if single { 3e-6 } else { 1e-13 };
            for (i, (h, w)) in have.iter().zip(&want).enumerate() {
                let fine = h == w || (h.is_nan() && w.is_nan()) || (h - w).abs() <= bound * w.abs().max(1.0);
                let what = format!("{} of {act:?}, form {}, entry {i}", map.name, map.form);
                assert!(fine, "{what}: {h} on a GPU and {w} on the CPU");
            }
        }
    }
}
