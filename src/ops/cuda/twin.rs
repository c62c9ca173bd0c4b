//! The kernels of GPUs, compiled as C++, against those of the CPU: their arithmetic on a machine without a card.

mod decisions;
mod norms;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use candle_core::{CpuStorage, DType, Layout, Tensor, Var};
use npyz::half::bf16;

use super::plan::{SUMS, adam_numbers, number, partial_sums, sgd_numbers, some};
use crate::ops::backend::{Backend, on};
use crate::ops::contract::{entries, normal};
use crate::ops::cpu::random as drawing;
use crate::ops::cpu::{Output, activation as kernels};
use crate::ops::{Activation, Adam, Dropping, LangevinMove, Sgd, Stepping};
use crate::ops::{adam_steps, langevin_update, lerp_updates, sgd_steps, sum_of_squares};
use crate::rng::{Counter, Key};

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

/// Normal numbers of one type.
fn made(name: &str, n: usize, single: bool) -> CpuStorage {
    let data = entries(&normal(name, &[n]));
    match single {
        true => CpuStorage::F32(data.iter().map(|x| *x as f32).collect()),
        false => CpuStorage::F64(data),
    }
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
    moves_are_alike(&twin);
    sums_of_squares_are_alike(&twin);
    the_generator_gives_the_known_answers(&twin);
    draws_are_the_same_bits(&twin);
    decisions::are_alike(&twin);
    norms::are_alike(&twin);
    outputs_of_bf16_get_their_bias(&twin);
}

/// In both orders, with the bias on all images and on the first of two.
fn outputs_of_bf16_get_their_bias(twin: &Path) {
    const CHANNELS: usize = 3;
    const PLANE: usize = 4;
    let n = 2 * CHANNELS * PLANE;
    let x: Vec<bf16> = entries(&normal("x", &[n])).into_iter().map(bf16::from_f64).collect();
    let bias: Vec<f32> = entries(&normal("b", &[CHANNELS])).into_iter().map(|b| b as f32).collect();
    let input: Vec<u8> = x.iter().flat_map(|x| x.to_ne_bytes()).collect();
    let input = [input, bias.iter().flat_map(|b| b.to_ne_bytes()).collect()].concat();
    for (biased, plane) in [(n, PLANE), (n, 1), (n / 2, PLANE), (n / 2, 1), (0, 1)] {
        let words = [n, biased, plane, CHANNELS].map(|count| count.to_string());
        let have = numbers(&run(twin, &[&["widen".to_owned()], words.as_slice()].concat(), &input), true);
        let of = |i: usize| if i < biased { bias[i / plane % CHANNELS] } else { 0.0 };
        let want: Vec<f64> = x.iter().enumerate().map(|(i, x)| f64::from(x.to_f32() + of(i))).collect();
        assert_eq!(have, want, "bias on {biased} of {n}, {plane} a channel");
    }
}

/// As the generator of the CPU does (`cpu/philox.rs`, which names the source).
fn the_generator_gives_the_known_answers(twin: &Path) {
    let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344, 0xa409_3822, 0x299f_31d0];
    for (given, want) in [
        ([0; 6], [0x6627_e8d5_u32, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([u32::MAX; 6], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (pi, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
    ] {
        let words: Vec<String> = ["philox".to_owned()].into_iter().chain(given.map(|w| w.to_string())).collect();
        assert_eq!(run(twin, &words, &[]), want.map(u32::to_ne_bytes).concat());
    }
}

/// Moves and masks from several places of a stream on, some of which no tile begins at.
fn draws_are_the_same_bits(twin: &Path) {
    const N: usize = 1000;
    let drawn = |name: String, counter: Counter, [least, blocks]: [u32; 2], numbers: [f64; 5], input: &[u8]| {
        let mut words = vec![name, N.to_string(), counter.first().to_string(), least.to_string(), blocks.to_string()];
        words.extend(counter.words().map(|w| w.to_string()));
        words.extend(numbers.map(|k| k.to_string()));
        run(twin, &words, input)
    };
    for (single, first) in [true, false].into_iter().flat_map(|s| [0, 64, 1, 1000, (1 << 40) + 7].map(|n| (s, n))) {
        let (kind, counter) = (if single { "f32" } else { "f64" }, Key::new(3).with("noise").counter().after(first));
        let made = |name: &str, n: usize| made(name, n, single);
        let ([x, g], layout) = (["x", "g"].map(|name| made(name, N)), Layout::contiguous((N,)));
        let bounded = LangevinMove { drift: 0.3, std: 0.7, clip: 0.5, bounds: [-1.5, 1.0] };
        for by in [LangevinMove::free(0.3, 0.7), bounded] {
            let have =
                drawn(format!("langevin_{kind}"), counter, [0, 1], by.numbers(), &[bytes(&x), bytes(&g)].concat());
            let want = drawing::langevin((&x, &layout), (&g, &layout), &by, counter).unwrap().0;
            assert!(have == bytes(&want), "Langevin move in {kind} from number {first} on");
        }
        let have = drawn(format!("normal_{kind}"), counter, [0, 1], [0.0; 5], &[bytes(&x), bytes(&g)].concat());
        let want = drawing::normal((&x, &layout), counter).unwrap().0;
        assert!(have == bytes(&want), "normal numbers in {kind} from number {first} on");
        let (x, layout) = (made("x", 3 * N), Layout::contiguous((3 * N,)));
        let by = Dropping { rate: 0.3, counter, blocks: 3 };
        let numbers = [by.scale(), 0.0, 0.0, 0.0, 0.0];
        let have = drawn(format!("dropout_{kind}"), counter, [by.least(), 3], numbers, &bytes(&x));
        assert!(have == bytes(&drawing::dropout((&x, &layout), &by).unwrap().0), "dropout in {kind} from {first} on");
    }
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

/// Three tensors of n entries and a gradient, f32 or f64; the second and third have no negative entries, as moments
/// have none.
fn four(n: usize, single: bool) -> [Tensor; 4] {
    let dtype = if single { DType::F32 } else { DType::F64 };
    let one = |name: &str| normal(&format!("{name} {n}"), &[n]).to_dtype(dtype).unwrap();
    [one("a"), one("b"), one("c").sqr().unwrap(), one("g")]
}

/// The bytes of tensors one after the other.
fn raw<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Vec<u8> {
    let one = |t: &Tensor| match t.dtype() {
        DType::F32 => bytes(&CpuStorage::F32(t.to_vec1().unwrap())),
        _ => bytes(&CpuStorage::F64(t.to_vec1().unwrap())),
    };
    tensors.into_iter().flat_map(one).collect()
}

/// An update of several tensors as the CPU computes it, with the numbers that the kernel is given. It returns the norm
/// of their gradients.
type Update = (&'static str, [f64; 10], fn(&[(&[Var; 3], &Tensor)], f64) -> crate::Result<f64>);

const ADAM: Adam =
    Adam { scale: 0.7, l2: 0.3, betas: [0.9, 0.99], rest: [0.1, 0.01], keep: 0.97, rate: 0.37, root: 5.8, eps: 1e-8 };
const SGD: Sgd = Sgd { lr: 0.1, momentum: 0.9, nesterov: false, weight_decay: 0.3, scale: 0.7 };
const AHEAD: Sgd = Sgd { nesterov: true, ..SGD };

fn by_momentum(all: &[(&[Var; 3], &Tensor)], limit: f64, numbers: Sgd) -> crate::Result<f64> {
    let all = all.iter().map(|&(v, grad)| Stepping { var: &v[0], grad, memory: [&v[1]], numbers });
    sgd_steps(&all.collect::<Vec<_>>(), limit)
}

fn updates() -> [Update; 4] {
    [
        ("adam", adam_numbers(&ADAM), |all, limit| {
            let all = all.iter();
            let all = all.map(|&(v, grad)| Stepping { var: &v[0], grad, memory: [&v[1], &v[2]], numbers: ADAM });
            adam_steps(&all.collect::<Vec<_>>(), limit)
        }),
        ("sgd", sgd_numbers(&SGD), |all, limit| by_momentum(all, limit, SGD)),
        ("sgd", sgd_numbers(&AHEAD), |all, limit| by_momentum(all, limit, AHEAD)),
        ("lerp", some([0.3]), |all, _| {
            lerp_updates(&all.iter().map(|(v, g)| (&v[0], *g)).collect::<Vec<_>>(), 0.3)?;
            global_norm(all.iter().map(|(_, g)| *g))
        }),
    ]
}

/// The norm over all, by the operation of one.
fn global_norm<'a>(all: impl Iterator<Item = &'a Tensor>) -> crate::Result<f64> {
    Ok(all.map(sum_of_squares).sum::<crate::Result<f64>>()?.sqrt())
}

/// Tensors of several sizes at once, with gradients as they are and limited.
fn updates_are_alike(twin: &Path) {
    for (single, limit) in [(true, 0.0), (false, 0.0), (true, 2.0), (false, 2.0), (false, 1e9)] {
        for (name, given, cpu) in updates().into_iter().filter(|update| limit == 0.0 || update.0 != "lerp") {
            let tensors = [N, 1, 90].map(|n| four(n, single));
            let kind = if single { "f32" } else { "f64" };
            let mut words = vec![format!("{name}_{kind}"), limit.to_string(), tensors.len().to_string()];
            for four in &tensors {
                words.push(four[3].elem_count().to_string());
                words.extend(given.map(|number| number.to_string()));
            }
            let written = run(twin, &words, &raw(tensors.iter().flatten()));
            let (have, sums) = written.split_at(written.len() - SUMS * size_of::<f64>());
            let vars = tensors.each_ref().map(|[a, b, c, _]| [a, b, c].map(|t| Var::from_tensor(t).unwrap()));
            let all = vars.iter().zip(&tensors).map(|(vars, four)| (vars, &four[3])).collect::<Vec<_>>();
            let norm = on(Backend::Kernels, || cpu(&all, limit)).unwrap();
            let want = numbers(&raw(vars.iter().flatten().map(Var::as_tensor)), single);
            assert_alike(&format!("{name}, {given:?}, limit {limit}"), &numbers(have, single), &want, single);
            let squares: f64 = numbers(sums, false).iter().sum();
            assert!((squares.sqrt() / norm - 1.0).abs() < 1e-13, "{name}: {squares}, {norm}");
        }
    }
}

fn moves_are_alike(twin: &Path) {
    for single in [true, false] {
        let [x, noise, _, g] = four(N, single);
        let mut words = vec![format!("langevin_update_{}", if single { "f32" } else { "f64" }), N.to_string()];
        words.extend(some([0.3, 0.7]).map(|number| number.to_string()));
        let have = numbers(&run(twin, &words, &raw([&x, &noise, &g])), single);
        let want = on(Backend::Kernels, || langevin_update(&x, &g, &noise, 0.3, 0.7)).unwrap();
        assert_alike("Langevin move", &have, &entries(&want), single);
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
