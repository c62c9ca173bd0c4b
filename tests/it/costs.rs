//! What every row costs, counted by the meter: values and gradients of the energy, item by item.

use candle_core::{DType, Device, Tensor};
use ebm::config::Spec;
use ebm::density::{Context, Energy, Model};
use ebm::methods::METHODS;
use ebm::metrics::Spent;
use ebm::rng::Key;
use ebm::run::{Experiment, Trainer};
use ebm::samplers::{Chain, Info, SAMPLERS, Sampler, Target};

use super::harness::experiment;

const CPU: Device = Device::Cpu;

/// A model that has all that kernels ask for: hidden units, exact draws, a density to propose from.
fn machine() -> Model {
    let context = Context { shape: vec![3], classes: None, moments: None };
    let text = "name = \"rbm\"\nhidden = 3\ninit = \"paper\"";
    Model::new(&Spec::new(text.parse().unwrap()), &context, Key::new(0), DType::F32, &CPU).unwrap().frozen().unwrap()
}

/// A sampler at its defaults, for so many steps.
fn sampler(name: &str, schema: &ebm::config::Schema, steps: usize) -> Sampler {
    let mut table = schema.defaults();
    for part in schema.parts() {
        table.insert(part.key.into(), Spec::of_default(&part).table.into());
    }
    table.insert("name".into(), name.into());
    let mut sampler = Sampler::new(&Spec::new(table)).unwrap();
    sampler.config.steps = steps;
    sampler
}

#[test]
fn a_step_of_every_sampler_costs_what_its_row_says() {
    const CHAINS: u64 = 7;
    let x = Key::new(1).normal((CHAINS as usize, 3), DType::F32, &CPU).unwrap();
    for row in SAMPLERS {
        let model = machine();
        let spent = |steps: usize| {
            let sampler = sampler(row.name, &row.schema, steps);
            let trace = sampler.run(Key::new(2), &Target::of(&model), &x, |_, _| Ok(())).unwrap();
            let by_model = model.meter().take();
            assert_eq!(trace.spent, by_model, "{}: the chains and the model count alike", row.name);
            by_model
        };
        let (two, five) = (spent(2), spent(5));
        let steps = 3 * CHAINS;
        let each =
            Spent { values: (five.values - two.values) / steps, gradients: (five.gradients - two.gradients) / steps };
        assert_eq!(each, row.cost, "{}", row.name);
        // What begins a chain: at most one evaluation more, and none for kernels that read nothing there.
        let first = Spent {
            values: two.values - 2 * CHAINS * each.values,
            gradients: two.gradients - 2 * CHAINS * each.gradients,
        };
        assert!(first.values + first.gradients <= CHAINS, "{}: {first:?}", row.name);
        assert_eq!(spent(0), Spent::default(), "{}: no step, no evaluation", row.name);
    }
}

#[test]
fn no_gradient_is_taken_where_a_chain_ends() {
    let (model, x) = (machine(), Tensor::zeros((4, 3), DType::F32, &CPU).unwrap());
    for (name, want) in [("langevin", 4 * 10), ("sgld", 4 * 10), ("mala", 4 * 11), ("rwm", 0)] {
        let row = SAMPLERS.iter().find(|row| row.name == name).unwrap();
        sampler(name, &row.schema, 10).run(Key::new(3), &Target::of(&model), &x, |_, _| Ok(())).unwrap();
        assert_eq!(model.meter().take().gradients, want, "{name}");
    }
}

#[test]
fn a_sampler_reports_the_numbers_that_its_row_declares() {
    let x = Key::new(1).normal((7, 3), DType::F32, &CPU).unwrap();
    for row in SAMPLERS {
        let model = machine();
        let mut found: Vec<&str> = Vec::new();
        let watch = |_: usize, _: &Chain, info: &Info, _: &dyn Energy| {
            let info = info.read()?;
            found.extend(info.accept.map(|_| "acceptance"));
            found.extend(info.moves.iter().map(|(name, _)| *name));
            Ok(())
        };
        sampler(row.name, &row.schema, 2).run_observed(Key::new(2), &Target::of(&model), &x, watch).unwrap();
        let declared: Vec<&str> = row.numbers.iter().map(|number| number.name).collect();
        found.sort_unstable();
        found.dedup();
        let mut sorted = declared.clone();
        sorted.sort_unstable();
        assert_eq!(found, sorted, "{}", row.name);
    }
}

#[test]
fn the_first_steps_of_every_method_cost_what_its_row_says() {
    let mut wrong = Vec::new();
    for row in METHODS {
        let experiment = Experiment::parse("example.toml", &experiment(row.name), &[]).unwrap();
        let mut trainer = Trainer::new(experiment).unwrap();
        let mut guard = trainer.guard();
        for _ in 0..8 {
            trainer.advance(&mut guard).unwrap();
        }
        if trainer.spent() != row.cost {
            wrong.push(format!("{}: {:?}, and the row says {:?}", row.name, trainer.spent(), row.cost));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn virtual_adversarial_training_adds_a_pass_and_a_slope_for_each_iteration() {
    let sets = ["method.vat=0.5".to_owned(), "method.vat_iterations=2".to_owned()];
    let experiment = Experiment::parse("example.toml", &experiment("classifier"), &sets).unwrap();
    let mut trainer = Trainer::new(experiment).unwrap();
    let mut guard = trainer.guard();
    let found = trainer.advance(&mut guard).unwrap().get("vat");
    assert!(found.is_some_and(|vat| vat > 0.0 && vat.is_finite()), "{found:?}");
    let plain = METHODS.iter().find(|row| row.name == "classifier").unwrap().cost.gradients / 8;
    assert_eq!(trainer.spent(), Spent { values: 0, gradients: (1 + 1 + 2) * plain });
}
