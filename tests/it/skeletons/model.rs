//! `docs/skeletons/model.rs`.

use candle_core::{DType, Device};
use ebm::density::Context;
use ebm::math::stats;
use ebm::nets::Builder;
use ebm::rng::Key;

use crate::contracts;

#[path = "../../../docs/skeletons/model.rs"]
mod skeleton;

#[test]
fn the_model_is_like_every_model() {
    for shape in [&[4, 2][..], &[2, 1, 3, 3]] {
        let builder = Builder::new(Key::new(4), DType::F64, &Device::Cpu);
        let config = skeleton::LogisticConfig { scale: 1.3 };
        let logistic = skeleton::Logistic::new(&config, &shape[1..], &builder).unwrap();
        contracts::check_energy(&logistic, shape, skeleton::ENTRY.name);
    }
}

/// E_p[-log p] is D (2 + log s).
#[test]
fn the_model_draws_from_the_density_that_it_says() {
    let mut table = skeleton::ENTRY.schema.defaults();
    table.insert("scale".into(), 0.4.into());
    let context = Context { shape: vec![3], classes: None, moments: None };
    let built =
        (skeleton::ENTRY.build)(&table, &context, &Builder::new(Key::new(4), DType::F64, &Device::Cpu)).unwrap();
    let x = built.density().unwrap().sample(Key::new(5), 20_000).unwrap();
    let energies = built.energy(&x).unwrap().to_vec1::<f64>().unwrap();
    let z = (stats::mean(&energies) - 3.0 * (2.0 + 0.4f64.ln())) / stats::std_error(&energies);
    assert!(z.abs() < 4.0, "z = {z}");
}
