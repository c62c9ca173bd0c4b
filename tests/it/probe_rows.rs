//! What every row of `PROBES` must keep to, tried on the row's own example.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ebm::methods::METHODS;
use ebm::metrics::{Metrics, Number};
use ebm::probes::{Finding, PROBES, ProbeRow, Subject};
use ebm::rng::Key;
use ebm::run::Experiment;
use ebm::store::Checkpoint;

/// A checkpoint of an untrained classifier of the digits.
fn stored_classifier(folder: &Path) -> PathBuf {
    let text = "[dataset]\nname = \"digits\"\n[model]\nname = \"classifier\"\nnet = { name = \"mlp\", hidden = [8] }\n\
                [method]\nname = \"none\"\n[train]\nsteps = 10\n";
    let experiment = Experiment::parse("classifier.toml", text, &[]).unwrap();
    let data = experiment.data().unwrap();
    let weights = experiment.model(&data).unwrap().params().tensors();
    let tensors = weights.into_iter().map(|(name, tensor)| (format!("method.model.{name}"), tensor)).collect();
    let meta = BTreeMap::from([("data".to_owned(), serde_json::to_string(&data.stamp()).unwrap())]);
    let path = folder.join("classifier.safetensors");
    Checkpoint { step: 1, config: experiment.resolved.to_toml(), meta, tensors }.save(&path).unwrap();
    path
}

/// What the probe of an example finds, looking twice.
fn looks(row: &ProbeRow, classifier: &Path) -> [Finding; 2] {
    let text = row.example.replace("{classifier}", classifier.to_str().unwrap());
    let experiment = Experiment::parse("example.toml", &text, &[]).unwrap();
    let probes = experiment.probes().unwrap();
    assert_eq!(probes.iter().map(|probe| probe.name.as_str()).collect::<Vec<_>>(), [row.name]);
    let (data, sampler) = (experiment.data().unwrap(), experiment.sampler().unwrap());
    let model = experiment.model(&data).unwrap().frozen().unwrap();
    let state = experiment.method(&data).unwrap().state().unwrap();
    let proposal = experiment.proposal(&data, &state).unwrap();
    let proposal = proposal.as_deref();
    let key = Key::new(9);
    let subject = Subject { model: &model, proposal, data: &data, sampler: &sampler, key };
    [(); 2].map(|()| probes[0].probe.run(&subject).unwrap())
}

/// Every number found is declared, once, and every number declared is found, unless it says under which condition
/// alone.
pub fn check_numbers(name: &str, declared: &[Number], found: &Metrics) {
    for (number, _) in found.iter() {
        let by: Vec<_> = declared.iter().filter(|row| row.is(number)).map(|row| row.name).collect();
        assert_eq!(by.len(), 1, "{name}: `{number}` is declared by {by:?}");
    }
    for row in declared.iter().filter(|row| row.when.is_empty()) {
        assert!(found.iter().any(|(number, _)| row.is(number)), "{name}: `{}` is declared and not found", row.name);
    }
    let mut names: Vec<_> = declared.iter().map(|row| row.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), declared.len(), "{name}: a number is declared twice");
    assert!(declared.iter().any(|row| row.lead), "{name}: no number is shown first");
}

#[test]
fn a_probe_finds_the_same_twice_and_what_it_declares() {
    let folder = tempfile::tempdir().unwrap();
    let classifier = stored_classifier(folder.path());
    for row in PROBES {
        let [one, two] = looks(row, &classifier);
        let finite = one.metrics.iter().all(|(_, v)| v.is_finite());
        assert!(!one.metrics.is_empty() && finite, "{}: {:?}", row.name, one.metrics);
        assert_eq!(one.metrics, two.metrics, "{}", row.name);
        assert!(one.pictures == two.pictures, "{}: another picture", row.name);
        check_numbers(row.name, row.numbers, &one.metrics);
    }
}

/// In a line of metrics a probe's number would take the place of the method's.
#[test]
fn no_probe_names_a_number_as_a_method_does() {
    for (probe, method) in PROBES.iter().flat_map(|probe| METHODS.iter().map(move |method| (probe, method))) {
        let twice = probe.numbers.iter().find(|number| method.numbers.iter().any(|its| its.is(number.name)));
        assert!(twice.is_none(), "{} and {}: {:?}", probe.name, method.name, twice.map(|number| number.name));
    }
}

#[test]
fn a_probe_is_due_at_its_steps_and_at_the_end() {
    let text = PROBES[0].example.replace("[[probe]]", "[[probe]]\nevery = 5");
    let probes = Experiment::parse("due.toml", &text, &[]).unwrap().probes().unwrap();
    assert_eq!([5, 6, 10, 12].map(|step| probes[0].due(step, 12)), [true, false, true, true]);
}
