//! What the rows of the methods say is true of the methods: the numbers that a step reports, what a run can be drawn
//! from.

use std::collections::BTreeSet;

use ebm::data::Split;
use ebm::methods::{METHODS, MethodRow, StepContext};
use ebm::metrics::{Number, Watch};
use ebm::rng::Key;
use ebm::run::Experiment;

/// The example of a row, with chains that begin as `init` says.
fn example(row: &MethodRow, init: &str) -> Experiment {
    let rest =
        format!("[sampler]\nname = \"mala\"\nsteps = 2\ninit = \"{init}\"\n[train]\nsteps = 10\nbatch_size = 16\n");
    Experiment::parse("example.toml", &format!("{}{rest}", row.example), &[]).unwrap()
}

/// The names of all numbers that the first steps report.
fn reported(row: &MethodRow) -> BTreeSet<String> {
    let experiment = example(row, "normal");
    let data = experiment.data().unwrap();
    let mut method = experiment.method(&data).unwrap();
    let count = method.batches_per_step() as u64;
    let mut names = BTreeSet::new();
    for step in 0..8 {
        let batches: Vec<_> = (0..count).map(|i| data.batch(Split::Train, step * count + i, 16).unwrap()).collect();
        let cx = StepContext { step, key: Key::new(7).at(step), lr_scale: 0.5 };
        names.extend(method.step(&cx, &batches).unwrap().into_iter().map(|(name, _)| name));
    }
    names
}

#[test]
fn a_step_reports_the_numbers_that_its_row_declares() {
    for row in METHODS {
        let names = reported(row);
        for name in &names {
            let declared = row.numbers.iter().filter(|number| number.is(name)).count();
            assert_eq!(declared, 1, "{}: `{name}` is declared {declared} times", row.name);
        }
        let always = |number: &&Number| number.when.is_empty() && !number.name.contains('{');
        for number in row.numbers.iter().filter(always) {
            assert!(names.contains(number.name), "{}: `{}` is never reported", row.name, number.name);
        }
    }
}

#[test]
fn declared_numbers_are_told_apart_explained_and_watched() {
    for row in METHODS {
        let names: BTreeSet<_> = row.numbers.iter().map(|number| number.name).collect();
        assert_eq!(names.len(), row.numbers.len(), "{}: a number is declared twice", row.name);
        let leads = row.numbers.iter().filter(|number| number.lead).count();
        assert!(row.numbers.is_empty() || (2..=4).contains(&leads), "{}: {leads} numbers lead", row.name);
        for number in row.numbers {
            let Number { name, about, .. } = number;
            assert!(
                !about.is_empty() && !about.ends_with('.') && !about.contains('\n'),
                "{}: {name}: {about}",
                row.name
            );
            let watch = match name {
                _ if name.ends_with("grad_norm") => Watch::Norm,
                _ if name.ends_with("energy_gap") => Watch::Gap,
                _ => Watch::Finite,
            };
            assert_eq!(number.watch, watch, "{}: {name}", row.name);
        }
    }
}

#[test]
fn chains_begin_at_the_proposal_of_a_method_that_keeps_one() {
    for row in METHODS {
        let experiment = example(row, "proposal");
        let data = experiment.data().unwrap();
        let method = experiment.method(&data).unwrap();
        let proposal = experiment.proposal(&data, &method.state().unwrap()).unwrap();
        assert_eq!(proposal.is_some(), row.proposal.is_some(), "{}", row.name);
        let sampler = experiment.sampler().unwrap();
        match sampler.start(Key::new(3), method.model(), proposal.as_deref(), &data, 5) {
            Ok(x) => {
                assert!(row.proposal.is_some(), "{}: draws from nothing", row.name);
                assert_eq!(x.dims(), [&[5], data.spec().shape.as_slice()].concat(), "{}", row.name);
                let values = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                assert!(values.iter().all(|v| v.is_finite()), "{}", row.name);
            }
            Err(refused) => {
                assert!(row.proposal.is_none(), "{}: {refused}", row.name);
                let refused = refused.to_string();
                assert!(refused.contains("`sampler.init = \"proposal\"` needs a method"), "{}: {refused}", row.name);
            }
        }
    }
}

/// Advice that sets a key of another model, kernel or method is not given; every row gives some, and for its kernel.
#[test]
fn what_a_method_advises_can_be_set() {
    for row in METHODS {
        let experiment = example(row, "normal");
        let all = experiment.method(&experiment.data().unwrap()).unwrap().advice();
        let given: Vec<&String> = all.iter().filter(|advice| experiment.has_keys_of(advice)).collect();
        assert_eq!(given.is_empty(), all.is_empty(), "{}: nothing of {all:?} can be set", row.name);
        let of_chain = |advice: &String| advice.contains(" step") && advice.contains("method.sampler.");
        assert_eq!(given.iter().any(|a| of_chain(a)), all.iter().any(of_chain), "{}: {all:?}", row.name);
    }
    let rbm =
        "[dataset]\nname = \"moons\"\n[model]\nname = \"gaussian\"\n[method]\nname = \"cd\"\n[train]\nsteps = 1\n";
    let experiment = Experiment::parse("c.toml", rbm, &[]).unwrap();
    assert!(experiment.has_keys_of("longer chains (--set method.sampler.steps=9), or --set 'optim.lr=1'"));
    assert!(experiment.has_keys_of("nothing to set"));
    assert!(!experiment.has_keys_of("smooth (--set model.net.activation=swish)"));
    assert!(!experiment.has_keys_of("two (--set optim.lr=1 --set model.nett=1)"));
}
