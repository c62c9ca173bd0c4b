//! A probe that fails costs its numbers, and nothing else.

use crate::harness::{Lab, bare};

/// A run on vectors without test items, on which most probes cannot look.
const VECTORS: &str = "[dataset]\nname = \"table\"\npath = \"t.csv\"\ntest = 0.0\n[model]\nname = \"neural\"\n\
                       net = { name = \"mlp\", hidden = [4] }\n[method]\nname = \"score_matching\"\n[sampler]\n\
                       name = \"mala\"\nsteps = 3\n[train]\nsteps = 6\nbatch_size = 8\nlog_every = 1\n\
                       checkpoint_every = 2\n";

const LAST: &str = "run/checkpoints/last.safetensors";

fn lab(probes: &str) -> Lab {
    let lab = Lab::new();
    lab.write("t.csv", &(0..40).map(|i| format!("{},{},{}\n", i % 7, i % 5, (i * i) % 11)).collect::<String>());
    lab.write("c.toml", &format!("{VECTORS}{probes}"));
    lab
}

fn probe(name: &str) -> String {
    format!("[[probe]]\nname = \"{name}\"\n")
}

#[test]
fn what_can_be_known_is_refused_by_check_and_costs_a_run_nothing_but_numbers() {
    let names = ["likelihood", "gof_ksd", "nll", "accuracy", "lsd", "score_matching", "ais", "mmd", "amari", "modes"];
    let lab = lab(&names.map(probe).concat());
    let said = lab.refused(2, &["check", "c.toml"], &["c.toml:"]);
    assert!(names.iter().all(|name| said.contains(&format!("probe `{name}`"))), "all at once: {said}");
    for every in ["0", "2"] {
        let run = format!("run{every}");
        let words = ["train", "c.toml", "--run-dir", &run, "--json"];
        let sets: Vec<String> = (0..names.len()).map(|i| format!("probe.{i}.every={every}")).collect();
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set.as_str()]).collect();
        let found = lab.run(&[&words[..], &sets].concat());
        assert_eq!(found.code, Some(0), "{}", found.stderr);
        assert!(names.iter().all(|name| found.stderr.contains(&format!("probe `{name}`"))), "{}", found.stderr);
        let told: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
        assert_eq!(told["missing"].as_array().unwrap().len(), names.len(), "{told}");
        assert_eq!(lab.manifest(&run)["status"], "finished");
        assert_eq!(lab.json(&["resume", &run])["finished"], true);
        assert!(lab.path(&run).join("checkpoints/step-00000006.safetensors").exists());
    }
}

#[test]
fn samples_on_vectors_have_numbers_and_no_picture() {
    let lab = lab(&probe("samples"));
    lab.refused(2, &["check", "c.toml"], &["cannot be drawn", "picture = false", "c.toml:"]);
    let found = lab.run(&["train", "c.toml", "--run-dir", "run"]);
    assert!(found.code == Some(0) && found.stderr.contains("no picture `samples`"), "{}", found.stderr);
    assert!(lab.result("run").1.contains("samples/energy"));
    lab.ok(&["-q", "check", "c.toml", "--set", "probe.0.picture=false"]);
}

#[test]
fn two_probes_of_one_name_keep_their_numbers_apart() {
    let twice = probe("samples") + "picture = false\nn = 4\n" + &probe("samples") + "picture = false\nn = 9\n";
    let lab = lab(&twice);
    lab.refused(2, &["check", "c.toml"], &["`samples/energy`", "label", "c.toml:"]);
    lab.ok(&["-q", "check", "c.toml", "--set", "probe.1.label=more"]);
    let told = lab.json(&["-q", "train", "c.toml", "--run-dir", "run"]);
    let number = |name: &str| told["metrics"][name].as_f64().unwrap_or_else(|| panic!("no {name}: {told}"));
    assert_ne!(number("samples/energy"), number("samples/energy_2"));
    // Looked at again, the label says which of them.
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "both", "--set", "probe.1.label=more"]);
    let again = |sets: &[&str]| {
        let words = ["eval", "--ckpt", "both", "--probe", "samples"];
        let found = lab.json(&[&words[..], &sets.iter().flat_map(|set| ["--set", set]).collect::<Vec<_>>()].concat());
        found["metrics"].clone()
    };
    let (first, second) = (again(&[]), again(&["samples.label=more"]));
    assert_eq!(second, again(&["'samples' . label = more"]), "a path however it is written");
    assert_eq!(second, again(&["samples.n=9"]));
    assert_ne!(second, first);
    assert_eq!(first, again(&["samples.label=new"]), "a label of none is a new one");
}

#[test]
fn a_run_killed_while_its_last_probes_look_trains_nothing_again() {
    let lab = Lab::new();
    let config =
        |probe: &str| bare("ml_grid", 5) + "[[probe]]\nname = \"nll\"\npoints = 16\nitems = 50\nsamples = 20\n" + probe;
    lab.write("c.toml", &config("[[probe]]\nname = \"ais\"\ntemperatures = 4\nchains = 6\nraise_items = 0\n"));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "whole"]);
    let endless = ["-q", "train", "c.toml", "--run-dir", "run", "--set", "probe.1.temperatures=100000000"];
    let mut child = lab.spawn(&endless);
    crate::harness::wait_until("the last step is saved", || lab.path(LAST).exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(lab.manifest("run")["status"], "running");
    assert!(!lab.result("run").1.contains("\"step\":5,"));
    std::fs::copy(lab.path("whole/config.toml"), lab.path("run/config.toml")).unwrap();
    lab.ok(&["-q", "resume", "run"]);
    assert!(lab.result("run") == lab.result("whole"), "{}", lab.result("run").1);
    assert_eq!(lab.manifest("run")["last_metrics"], lab.manifest("whole")["last_metrics"]);
}
