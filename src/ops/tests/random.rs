//! Draws by counter: the same on both back ends, in parts and on any number of threads.

use candle_core::{DType, Tensor};

use crate::ops::backend::{Backend, on};
use crate::ops::contract::{assert_close, check, entries, normal};
use crate::ops::{Dropping, LangevinMove, choose_rows, composed, dropout, langevin_move, metropolis, normal_like};
use crate::rng::Key;

const BOUNDED: LangevinMove = LangevinMove { drift: 0.3, std: 0.7, clip: 0.5, bounds: [-1.5, 1.0] };

#[test]
fn a_langevin_move_is_the_formula_and_not_tracked() {
    let x = candle_core::Var::from_tensor(&normal("x", &[3, 40])).unwrap();
    let (grad, counter) = (normal("g", &[40, 3]).t().unwrap(), Key::new(1).counter());
    for by in [LangevinMove::free(0.3, 0.7), BOUNDED, LangevinMove { bounds: [f64::NEG_INFINITY, 0.0], ..BOUNDED }] {
        let [have, want] = [Backend::Kernels, Backend::Composed]
            .map(|backend| on(backend, || langevin_move(&x, &grad, &by, counter)).unwrap());
        assert_close("langevin", &have, &want, 1e-15);
        assert!(!have.track_op() && !want.track_op());
    }
    assert!(langevin_move(&x, &normal("g", &[40, 3]), &BOUNDED, counter).is_err());
}

#[test]
fn what_is_not_a_number_stays_so() {
    let (x, grad) = (normal("x", &[2]), Tensor::new(&[f64::NAN, 1.0], &candle_core::Device::Cpu).unwrap());
    let moved = entries(&langevin_move(&x, &grad, &BOUNDED, Key::new(1).counter()).unwrap());
    assert!(moved[0].is_nan() && moved[1].is_finite());
}

/// 40,000 numbers are several tasks, the parts of 7 rows begin inside of tiles.
#[test]
fn draws_depend_neither_on_the_parts_of_a_batch_nor_on_threads() {
    let (rows, width) = (400, 101);
    let (x, grad, key) = (normal("x", &[rows, width]), normal("g", &[rows, width]), Key::new(1).with("noise"));
    let [x, grad] = [x, grad].map(|t| t.to_dtype(DType::F32).unwrap());
    let whole = |x: &Tensor, grad: &Tensor, first: usize| {
        let counter = key.counter().after((first * width) as u64);
        let moved = langevin_move(x, grad, &BOUNDED, counter).unwrap();
        let dropped = dropout(x, &Dropping { rate: 0.3, counter, blocks: 1 }).unwrap();
        Tensor::cat(&[moved, dropped], 1).unwrap()
    };
    let part = |first: usize| {
        let cut = |t: &Tensor| t.narrow(0, first, 7.min(rows - first)).unwrap();
        whole(&cut(&x), &cut(&grad), first)
    };
    let parts: Vec<Tensor> = (0..rows).step_by(7).map(part).collect();
    let want = entries(&whole(&x, &grad, 0));
    assert_eq!(entries(&Tensor::cat(&parts, 0).unwrap()), want);
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| entries(&whole(&x, &grad, 0))), want);
    }
}

#[test]
fn dropout_keeps_the_contract() {
    for blocks in 1..=3 {
        let by = Dropping { rate: 0.3, counter: Key::new(1).counter().after(3), blocks };
        let inputs = [normal("x", &[blocks * 2, 21])];
        check("dropout", &|t| dropout(&t[0], &by), &|t| Ok(composed::dropout(&t[0], &by)?), &inputs, 1);
    }
}

#[test]
fn equal_blocks_have_one_mask_and_others_are_refused() {
    let by = |rate, blocks| Dropping { rate, counter: Key::new(1).counter(), blocks };
    let ones = Tensor::ones((6, 5000), DType::F32, &candle_core::Device::Cpu).unwrap();
    let masks = entries(&dropout(&ones, &by(0.5, 3)).unwrap());
    let masks: Vec<&[f64]> = masks.chunks(10_000).collect();
    assert!(masks[0] == masks[1] && masks[1] == masks[2] && masks[0].contains(&0.0) && masks[0].contains(&2.0));
    assert!(
        [(0.5, 4), (0.5, 0), (1.0, 1), (-0.1, 1), (f64::NAN, 1)].iter().all(|k| dropout(&ones, &by(k.0, k.1)).is_err())
    );
}

#[test]
fn normal_numbers_are_those_of_a_langevin_move() {
    let (x, counter) = (normal("x", &[40, 70]), Key::new(1).counter().after(5));
    let by = LangevinMove::free(0.0, 1.0);
    let zero = x.zeros_like().unwrap();
    let want = on(Backend::Composed, || langevin_move(&zero, &zero, &by, counter)).unwrap();
    for backend in [Backend::Kernels, Backend::Composed] {
        let have = on(backend, || normal_like(&x, counter)).unwrap();
        assert_eq!(entries(&have), entries(&want), "{backend:?}");
        let turned = on(backend, || normal_like(&x.t().unwrap(), counter)).unwrap();
        assert_eq!((turned.dims(), entries(&turned)), (&[70, 40][..], entries(&want)), "{backend:?}");
    }
}

#[test]
fn proposals_are_accepted_as_often_as_their_ratio_says_and_never_without_energy() {
    const N: usize = 40_000;
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    // A log-ratio, an energy, and the probability.
    let cases = [
        (0.0, 1.0, 1.0),
        (3.0, -5.0, 1.0),
        (inf, 0.0, 1.0),
        (-0.5, 0.0, (-0.5f64).exp()),
        (-2.0, 0.0, (-2f64).exp()),
        (-40.0, 0.0, (-40f64).exp()),
        (-inf, 0.0, 0.0),
        (nan, 0.0, 0.0),
        (1.0, inf, 0.0),
        (1.0, -inf, 0.0),
        (1.0, nan, 0.0),
    ];
    for (ratio, energy, chance) in cases {
        let tensor = |x: f64| Tensor::full(x, N, &candle_core::Device::Cpu).unwrap();
        let of = |b| on(b, || metropolis(&tensor(ratio), &tensor(energy), Key::new(1).counter())).unwrap();
        let both = [Backend::Kernels, Backend::Composed].map(|backend| entries(&of(backend)));
        assert!(both[0][..2 * N] == both[1][..2 * N], "{ratio} {energy}");
        let [accepted, bad, said] = [0, 1, 2].map(|k| both.each_ref().map(|all| all[k * N..][..N].to_vec()));
        let share = accepted[0].iter().sum::<f64>() / N as f64;
        let error = (chance * (1.0 - chance) / N as f64).sqrt();
        assert!((share - chance).abs() <= 4.0 * error, "{ratio} {energy}: {share}");
        let wrong = f64::from(u8::from(!energy.is_finite()));
        assert!(bad[0].iter().all(|b| *b == wrong), "{ratio} {energy}");
        assert!(said.iter().flatten().all(|p| (p - chance).abs() <= 1e-15), "{ratio} {energy}: {}", said[0][0]);
    }
}

#[test]
fn rows_are_chosen_whole() {
    let mask = Tensor::new(&[0.0, 1.0, 2.0, 0.0], &candle_core::Device::Cpu).unwrap();
    let (yes, no) = (normal("yes", &[3, 2, 4]).transpose(0, 2).unwrap(), normal("no", &[4, 2, 3]));
    for backend in [Backend::Kernels, Backend::Composed] {
        let have = on(backend, || choose_rows(&mask, &yes, &no)).unwrap();
        for (i, from) in [&no, &yes, &yes, &no].into_iter().enumerate() {
            assert_eq!(entries(&have.get(i).unwrap()), entries(&from.get(i).unwrap()), "{backend:?}, row {i}");
        }
        let single = yes.to_dtype(DType::F32).unwrap();
        assert!(on(backend, || choose_rows(&mask, &single, &single)).is_ok());
    }
    assert!(choose_rows(&mask, &yes, &no.transpose(1, 2).unwrap()).is_err());
    assert!(choose_rows(&mask.narrow(0, 0, 3).unwrap(), &yes, &no).is_err());
    assert!(choose_rows(&mask.to_dtype(DType::F32).unwrap(), &yes, &no).is_err());
    let short = Tensor::zeros(3, DType::F64, &candle_core::Device::Cpu).unwrap();
    assert!(metropolis(&mask, &short, Key::new(1).counter()).is_err());
    assert!(metropolis(&mask.to_dtype(DType::F32).unwrap(), &mask, Key::new(1).counter()).is_err());
}
