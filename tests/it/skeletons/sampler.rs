//! `docs/skeletons/sampler.rs`.

use candle_core::{DType, Device};
use ebm::density::{Counted, Density as _, Gaussian};
use ebm::metrics::Spent;
use ebm::rng::Key;
use ebm::samplers::{Target, Tuning};

use crate::{contracts, markov_kernels};

#[path = "../../../docs/skeletons/sampler.rs"]
mod skeleton;

#[test]
fn the_sampler_is_like_every_sampler() {
    contracts::check_sampler(&skeleton::ENTRY);
    markov_kernels::check_invariance(&skeleton::ENTRY, 2_000, 50);
}

#[test]
fn a_step_of_the_sampler_costs_and_reports_what_its_row_says() {
    let kernel = (skeleton::ENTRY.build)(&skeleton::ENTRY.schema.defaults()).unwrap();
    let normal = Gaussian::standard(2, DType::F64, &Device::Cpu).unwrap();
    let x = normal.sample(Key::new(1), 7).unwrap();
    let spent = |steps: u64| {
        let counted = Counted::new(&normal);
        let on = Target::new(&counted);
        let mut chain = kernel.init(&on, &x).unwrap();
        for i in 0..steps {
            let (next, info) = kernel.step(Key::new(2).at(i), &on, &chain).unwrap();
            let info = info.read().unwrap();
            let reported = info.accept.iter().map(|_| "acceptance").chain(info.moves.iter().map(|(name, _)| *name));
            assert!(reported.eq(skeleton::ENTRY.numbers.iter().map(|number| number.name)));
            chain = next;
        }
        counted.spent()
    };
    let Spent { values, gradients } = skeleton::ENTRY.cost;
    let (one, three) = (spent(1), spent(3));
    assert_eq!((three.values - one.values, three.gradients - one.gradients), (2 * 7 * values, 2 * 7 * gradients));
}

#[test]
fn the_sampler_has_a_step_size_that_a_warm_up_can_change() {
    let kernel = (skeleton::ENTRY.build)(&skeleton::ENTRY.schema.defaults()).unwrap();
    let normal = Gaussian::standard(2, DType::F64, &Device::Cpu).unwrap();
    let chain = kernel.init(&Target::new(&normal), &normal.sample(Key::new(1), 500).unwrap()).unwrap();
    let accepted = |step_size: f64| {
        let kernel = kernel.tuned(&Tuning { step_size, scale: None }).unwrap();
        assert_eq!(kernel.tuning().unwrap().step_size, step_size);
        kernel.step(Key::new(2), &Target::new(&normal), &chain).unwrap().1.read().unwrap().accept.unwrap()
    };
    assert!(accepted(0.1) > 0.9 && accepted(10.0) < 0.5, "{} and {}", accepted(0.1), accepted(10.0));
}
