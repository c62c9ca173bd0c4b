//! What `ebm init` writes runs: for every method, data set and model that fit, 50 steps stay finite, or what is wrong
//! is said before the first one.

mod written;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ebm::Error;
use ebm::config::find;
use ebm::data::{DATASETS, Data, DatasetRow, Origin};
use ebm::density::MODELS;
use ebm::methods::METHODS;
use ebm::run::{Experiment, Trainer};

use super::harness::Lab;

/// How the first steps of a run end.
enum Outcome {
    Finite,
    /// Before the first step, with the message.
    Refused(String),
    Failed(String),
    /// Finite for so many steps, which took all the time that there was.
    Cut(usize),
}

/// A table with a column that never changes.
const TABLE: &str = "constant.csv";

fn table() -> String {
    let rows = (0..200).map(|i| format!("{},{},3\n", i % 7, (i * i) % 11));
    format!("a,b,c\n{}", rows.collect::<String>())
}

/// `ebm init` for a method on a data set as its example makes it, at the method's model or another; with the table
/// where the data set is one of the user's own.
fn init_on(lab: &Lab, method: &str, dataset: &DatasetRow, model: Option<&str>) -> toml::Table {
    let mut words = vec!["init", "--method", method, "--dataset", dataset.name];
    words.extend(model.into_iter().flat_map(|model| ["--model", model]));
    let mut written: toml::Table = lab.ok(&words).parse().unwrap();
    let section = written["dataset"].as_table_mut().unwrap();
    section.extend(dataset.example.parse::<toml::Table>().unwrap());
    if dataset.schema.keys().iter().any(|key| key.name == "limit") && !matches!(dataset.origin, Origin::Generated) {
        // Widths and pixels that never change are those of few items as of many, which take long to read again.
        section.insert("limit".into(), 500.into());
    }
    if matches!(dataset.origin, Origin::Yours) {
        section.insert("path".into(), lab.path(TABLE).to_str().unwrap().into());
    }
    written
}

/// Makes everything small that only costs time: networks, batches, chains, walkers. Step sizes stay.
fn shrink(table: &mut toml::Table, inside: &str) {
    for (key, value) in table.iter_mut() {
        match (inside, key.as_str(), &mut *value) {
            (_, "hidden", toml::Value::Array(widths)) => widths.fill(8.into()),
            (_, "channels" | "widths", toml::Value::Array(widths)) => widths.fill(4.into()),
            ("sampler", "steps", value) => *value = 20.into(),
            (_, "batch_size" | "walkers" | "draws" | "buffer" | "test_items", value) => *value = 16.into(),
            (_, "couplings" | "stages" | "blocks" | "critic_steps", value) => *value = 2.into(),
            (_, "nodes" | "points" | "particles" | "slices", value) => *value = 8.into(),
            (_, "vae_steps" | "flow_steps", value) => *value = 10.into(),
            (_, _, toml::Value::Table(inner)) => shrink(inner, key),
            _ => {}
        }
    }
}

/// The data sets that are open, by their sections: reading one takes longer than fifty steps.
#[derive(Default)]
struct Opened(HashMap<String, Arc<Data>>);

impl Opened {
    fn trainer(&mut self, table: &toml::Table) -> ebm::Result<Trainer> {
        let experiment = Experiment::parse("init.toml", &table.to_string(), &[])?;
        let data = match self.0.entry(table["dataset"].to_string()) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => place.insert(experiment.data()?),
        };
        Trainer::on(experiment, Arc::clone(data))
    }
}

fn first_steps(mut table: toml::Table, opened: &mut Opened, steps: usize, limit: Duration) -> Outcome {
    shrink(&mut table, "");
    let began = Instant::now();
    let mut trainer = match opened.trainer(&table) {
        Ok(trainer) => trainer,
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    let mut guard = trainer.guard();
    let mut done = 0;
    for step in 0..steps {
        match trainer.advance(&mut guard) {
            Ok(_) => done = step + 1,
            Err(error @ Error::Config(_)) if step == 0 => return Outcome::Refused(error.to_string()),
            Err(error) => return Outcome::Failed(error.to_string()),
        }
        if began.elapsed() > limit {
            break;
        }
    }
    let weights = trainer.model().params().tensors();
    match guard.check_tensors(done as u64, weights.iter().map(|(name, tensor)| (name.as_str(), tensor))) {
        Ok(()) if done < steps => Outcome::Cut(done),
        Ok(()) => Outcome::Finite,
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// Methods that move chains by a sampler of their own are those that a stiff energy breaks.
#[test]
fn chains_of_what_init_writes_stay_finite() {
    let lab = Lab::new();
    lab.write(TABLE, &table());
    let with_chains = METHODS.iter().filter(|row| row.schema.parts().iter().any(|part| part.key == "sampler"));
    let methods: Vec<&str> = with_chains.map(|row| row.name).collect();
    assert!(methods.len() >= 9, "{methods:?}");
    let mut opened = Opened::default();
    for method in methods {
        // Pixels and a column that never change; the table has no labels, and a density may refuse the column.
        for dataset in ["digits", "table"] {
            let row = find(DATASETS, dataset).unwrap();
            match (first_steps(init_on(&lab, method, row, None), &mut opened, 4, Duration::MAX), dataset) {
                (Outcome::Finite | Outcome::Cut(_), _) => {}
                (Outcome::Refused(why), "table") if why.contains("needs two classes") || why.contains("column") => {}
                (Outcome::Refused(why) | Outcome::Failed(why), _) => panic!("{method} on {dataset}: {why}"),
            }
        }
    }
    // A flow that bends more where its chains come by than where they begin.
    let digits = find(DATASETS, "digits").unwrap();
    match first_steps(init_on(&lab, "cd", digits, Some("glow")), &mut opened, 4, Duration::MAX) {
        Outcome::Refused(why) if why.contains("overshoot") => {}
        Outcome::Finite => {}
        Outcome::Refused(why) | Outcome::Failed(why) => panic!("{why}"),
        Outcome::Cut(steps) => panic!("cut after {steps}"),
    }
}

/// A configuration of the user's own, whose base density is as narrow as pixels that never change.
const STIFF: &str = "[dataset]\nname = \"digits\"\n[model]\nbase = \"diagonal\"\nnet.hidden = [8]\n\
                     [method]\nname = \"pcd\"\nbuffer = 20\nsampler.steps = 5\n[train]\nsteps = 5\nbatch_size = 10\n";

#[test]
fn a_step_that_is_too_large_for_the_energy_is_refused_with_the_coordinate_and_what_to_set() {
    let lab = Lab::new();
    lab.write("stiff.toml", STIFF);
    for command in ["check", "train"] {
        let says = ["in coordinate [0, ", "`method.sampler` overshoot", "--set model.base_widen=1,"];
        let text = lab.refused(2, &[command, "stiff.toml"], &says);
        let set = text.split("--set ").find(|set| set.starts_with("method.sampler.drift=")).unwrap().trim();
        for set in [set, "model.base_widen=1"] {
            lab.ok(&["check", "stiff.toml", "--set", set]);
        }
    }
    lab.refused(2, &["check", "stiff.toml", "--set", "method.sampler.name=langevin"], &["method.sampler.step_size="]);
    for bounded in ["method.sampler.clip_grad=0.01", "method.sampler.clamp=[-1.0, 1.0]", "method.sampler.name=mala"] {
        lab.ok(&["check", "stiff.toml", "--set", bounded]);
    }
}

#[test]
fn a_run_that_diverges_before_its_first_checkpoint_is_told_of_none() {
    let lab = Lab::new();
    lab.write("steep.toml", &STIFF.replace("\"diagonal\"", "\"none\""));
    let words = ["train", "steep.toml", "--run-dir", "run", "--set", "guard.max_grad_norm=1e-9"];
    let text = lab.refused(3, &words, &["diverged at step 1"]);
    assert!(!text.contains("checkpoint"), "{text}");
    let sets = ["--overwrite", "--set", "train.checkpoint_every=1", "--set", "optim.lr=1e30"];
    lab.refused(3, &[&words[..4], &sets].concat(), &["diverged at step 2", "the checkpoint of step 1 is untouched"]);
}

/// A flow that begins as narrow as pixels that never change, and chains that lead far away from it.
#[test]
fn a_flow_far_narrower_than_what_it_will_learn_from_is_refused_with_the_coordinate_and_what_to_set() {
    let lab = Lab::new();
    let text = lab.ok(&["init", "--method", "coopflow", "--dataset", "digits", "--model", "ica"]);
    lab.write("narrow.toml", &text);
    let says = ["[method.flow]", "coordinate [", "times as far", "--set dataset.noise="];
    for command in ["check", "train"] {
        let text = lab.refused(2, &[command, "narrow.toml"], &says);
        if command == "train" {
            let set = text.split("--set ").nth(1).unwrap().split([' ', ',', ';']).next().unwrap();
            lab.ok(&["check", "narrow.toml", "--set", set]);
            lab.ok(&["train", "narrow.toml", "--set", set, "--set", "train.steps=3"]);
        }
    }
}

/// A flow as narrow as black pixels, whose score is so steep that no rate would do.
#[test]
fn scores_too_steep_to_be_matched_are_refused_with_the_coordinate_and_what_to_set() {
    let lab = Lab::new();
    std::fs::create_dir(lab.path("pictures")).unwrap();
    for i in 0..50u8 {
        // Black on the left, of many shades on the right.
        let pixel = |x: u32, y: u32| image::Luma([if x < 8 { 0 } else { (x * y) as u8 / 4 + 4 * i }]);
        image::GrayImage::from_fn(16, 16, pixel).save(lab.path("pictures").join(format!("{i}.png"))).unwrap();
    }
    for method in ["sliced_score_matching", "denoising_score_matching"] {
        let words = ["init", "--dataset", "images", "--set", "dataset.path=pictures", "--model", "nice", "--method"];
        lab.write("steep.toml", &lab.ok(&[&words[..], &[method]].concat()));
        let train = ["train", "steep.toml", "--run-dir", "run", "--overwrite", "--set", "train.steps=3"];
        let text = lab.refused(2, &train, &["coordinate [0, ", "a Gaussian of width", "dataset.noise="]);
        let set = text.split("--set ").nth(1).unwrap().split([' ', ',', ';']).next().unwrap();
        lab.ok(&[&train[..], &["--set", set]].concat());
    }
}

/// Whether the files of a data set are here.
fn here(lab: &Lab, dataset: &DatasetRow) -> bool {
    let text = init_on(lab, "none", dataset, None).to_string();
    Experiment::parse("init.toml", &text, &[]).unwrap().data().is_ok()
}

/// The whole table, over the generated and the shipped sets, and those of files that are found in `EBM_DATA`:
///
/// ```text
/// EBM_DATA=… cargo test --release --test it init::every -- --ignored --nocapture
/// ```
///
/// `EBM_EVERY=7` takes every seventh of the table, `EBM_METHODS=ml,vera` those methods, `EBM_SECONDS=20` ends a run of
/// more than twenty seconds before its fiftieth step and counts it apart.
#[test]
#[ignore = "takes long; the command is in the documentation of the test"]
fn every_configuration_that_init_writes_stays_finite_or_is_refused() {
    let lab = Lab::new();
    lab.write(TABLE, &table());
    let datasets: Vec<_> = DATASETS.iter().filter(|row| here(&lab, row)).collect();
    println!("data sets: {:?}", datasets.iter().map(|row| row.name).collect::<Vec<_>>());
    let number = |name: &str| std::env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
    let every = number("EBM_EVERY").unwrap_or(1);
    let limit = number("EBM_SECONDS").map_or(Duration::MAX, Duration::from_secs);
    let methods = std::env::var("EBM_METHODS").ok();
    let asked = |name: &str| methods.as_ref().is_none_or(|list| list.split(',').any(|method| method == name));
    let mut opened = Opened::default();
    let (mut place, mut finite, mut cut, mut stiff, mut unfit, mut failed) = (0, 0, 0, 0, 0, Vec::new());
    for method in METHODS.iter().map(|row| row.name).filter(|name| asked(name)) {
        for dataset in &datasets {
            for model in MODELS.iter().map(|row| row.name) {
                place += 1;
                if place % every != 0 {
                    continue;
                }
                match first_steps(init_on(&lab, method, dataset, Some(model)), &mut opened, 50, limit) {
                    Outcome::Finite => finite += 1,
                    Outcome::Cut(steps) => {
                        println!("{method} on {}, {model}: finite for {steps} steps", dataset.name);
                        cut += 1;
                    }
                    Outcome::Refused(why) if why.contains("overshoot") || why.contains("too narrow") => {
                        assert!(why.contains("coordinate [") && why.contains("--set "), "{why}");
                        stiff += 1;
                    }
                    Outcome::Refused(_) => unfit += 1,
                    Outcome::Failed(why) => {
                        println!("{method} on {}, {model} failed: {why}", dataset.name);
                        failed.push(format!("{method} on {}, {model}: {why}", dataset.name));
                    }
                }
            }
        }
        let failures = failed.len();
        let refused = format!("{stiff} refused as stiff, {unfit} do not fit");
        println!("up to {method}: {finite} finite, {cut} cut, {refused}, {failures} failed");
    }
    assert!(finite > 0 && failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}
