//! `docs/skeletons/probe.rs`.

use candle_core::Device;
use ebm::probes::Subject;
use ebm::rng::Key;
use ebm::run::Experiment;

use crate::probe_rows;

#[path = "../../../docs/skeletons/probe.rs"]
mod skeleton;

/// The example of a row that is listed nowhere: its experiment is read without the probe, and the probe built beside
/// it.
#[test]
fn the_probe_finds_the_same_twice_and_what_it_declares() {
    let row = &skeleton::ENTRY;
    let (text, keys) = row.example.split_once("[[probe]]\n").unwrap();
    let mut keys: toml::Table = keys.parse().unwrap();
    assert_eq!(keys.remove("name").unwrap().as_str(), Some(row.name));
    let mut table = row.schema.defaults();
    table.extend(keys);
    let probe = (row.build)(&table, &Device::Cpu).unwrap();

    let experiment = Experiment::parse("example.toml", text, &[]).unwrap();
    let (data, sampler) = (experiment.data().unwrap(), experiment.sampler().unwrap());
    let model = experiment.model(&data).unwrap().frozen().unwrap();
    let subject = Subject { model: &model, proposal: None, data: &data, sampler: &sampler, key: Key::new(9) };
    let [one, two] = [(); 2].map(|()| probe.run(&subject).unwrap().metrics);
    assert_eq!(one, two);
    assert!(one.get("norm_gap").unwrap() > 0.0);
    probe_rows::check_numbers(row.name, row.numbers, &one);
}
