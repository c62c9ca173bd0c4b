//! The command line as a user and a script see it: exit codes, JSON, messages, files.

mod checkpoints;
mod documents;
mod draws;
mod energy;
mod failures;
mod findings;
mod inputs;
mod listing;
mod outputs;
mod run_folders;
mod screen;
mod tables;

use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use ebm::methods::METHODS;
use image::AnimationDecoder as _;
use serde_json::Value;

use crate::harness::{Lab, bare, experiment, outcome, read, wait_until};

/// A lab with `c.toml` and its run `run`.
fn lab_with_run(config: &str) -> Lab {
    let lab = Lab::new();
    lab.write("c.toml", config);
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    lab
}

const LAST: &str = "run/checkpoints/last.safetensors";

/// The configurations that can be run: all but those of `base/`, which are only extended, the plans of
/// `sweeps/` and the maps of `import/`.
fn shipped() -> Vec<PathBuf> {
    fn below(dir: &Path) -> Vec<PathBuf> {
        let paths = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
        let (dirs, files): (Vec<_>, Vec<_>) = paths.partition(|p| p.is_dir());
        let dirs = dirs.into_iter().filter(|d| !["base", "sweeps", "import"].iter().any(|kind| d.ends_with(kind)));
        files.into_iter().chain(dirs.flat_map(|d| below(&d))).collect()
    }
    let mut paths = below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("configs"));
    paths.retain(|p| p.extension().is_some_and(|e| e == "toml"));
    paths.sort();
    paths
}

/// Those whose data must be fetched or are the user's own are resolved only; all others are built and run for a step.
#[test]
fn every_shipped_configuration_is_read() {
    for path in shipped() {
        let experiment = ebm::run::Experiment::load(&path, &[]);
        assert!(experiment.is_ok(), "{}", experiment.err().unwrap());
    }
}

/// A replay buffer is memory too.
#[test]
fn check_counts_what_the_method_keeps() {
    let lab = Lab::new();
    lab.write("c.toml", &bare("pcd", 1));
    let told = |buffer: u64| {
        let told = lab.json(&["check", "c.toml", "--set", &format!("method.buffer={buffer}")]);
        (told["memory_bytes_at_least"].as_u64().unwrap(), told["checkpoint_bytes"].as_u64().unwrap())
    };
    let (few, many) = (told(1_000), told(101_000));
    assert_eq!((many.0 - few.0, many.1 - few.1), (800_000, 800_000), "{few:?} {many:?}");
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn every_shipped_configuration_passes_check() {
    let lab = Lab::new();
    let data = std::env::var_os("EBM_DATA");
    let asked = |words: &[&str]| {
        let mut command = lab.command(words);
        outcome(data.iter().fold(&mut command, |c, dir| c.env("EBM_DATA", dir)))
    };
    let sets: Value = serde_json::from_str(&asked(&["data", "list", "--json"]).stdout).unwrap();
    let status = |name: &Value| {
        let mut rows = sets["datasets"].as_array().unwrap().iter();
        rows.find(|s| s["name"] == *name).unwrap()["status"].as_str().unwrap().to_owned()
    };
    let mut folders = BTreeSet::new();
    for path in shipped() {
        let folder = path.parent().unwrap().to_owned();
        let path = path.to_str().unwrap();
        let dataset = lab.json(&["show", path])["dataset"]["name"].clone();
        match status(&dataset).as_str() {
            "to fetch" | "by hand" | "partly" | "your file" => continue,
            "generated" | "shipped" | "here" => folders.insert(folder),
            other => panic!("{path}: {dataset} is {other}"),
        };
        let found = asked(&["-q", "check", path, "--json"]);
        assert_eq!(found.code, Some(0), "{path}\n{}", found.stderr);
        let report: Value = serde_json::from_str(&found.stdout).unwrap();
        // The φ⁴ field is sampled, not trained.
        let trains = !path.contains("phi4");
        assert!(report["ok"] == true && (report["parameters"].as_u64().unwrap() > 0) == trains, "{report}");
    }
    // These hold some that need no download.
    for end in ["configs", "configs/paper", "configs/leaderboard", "leaderboard/8x8", "leaderboard/16d"] {
        assert!(folders.iter().any(|folder| folder.ends_with(end)), "none of {end}: {folders:?}");
    }
    assert_eq!(lab.names(), [""; 0], "check writes nothing");
}

#[test]
fn the_configuration_of_a_run_is_runnable_and_gives_the_same_bytes() {
    let lab = lab_with_run(&experiment("lsd"));
    lab.ok(&["-q", "train", "run/config.toml", "--run-dir", "again"]);
    assert!(lab.result("run") == lab.result("again"));
    assert_eq!(read(&lab.path("run/config.toml")), read(&lab.path("again/config.toml")));
    assert_eq!(lab.ok(&["show", LAST]).into_bytes(), read(&lab.path("run/config.toml")));
    let listed = |run: &str| {
        let mut names: Vec<_> =
            std::fs::read_dir(lab.path(run).join("samples")).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert!(listed("run").len() >= 6, "{:?}", listed("run"));
    assert_eq!(listed("run"), listed("again"));
    for name in listed("run") {
        let file = |run: &str| read(&lab.path(run).join("samples").join(&name));
        assert!(file("run") == file("again"), "{name:?} is another picture");
        image::load_from_memory(&file("run")).unwrap();
    }
}

#[test]
fn set_stands_anywhere_on_the_line() {
    let lab = Lab::new();
    lab.write("c.toml", &bare("ml_grid", 500));
    let (set, of) = ("--set", "train.steps=3");
    let lines: [&[&str]; 3] = [
        &[set, of, "-q", "train", "c.toml", "--run-dir", "a"],
        &["train", set, of, "c.toml", "--run-dir", "b", "-q"],
        &["train", "c.toml", "--run-dir", "c", "-q", "--set=train.steps=3"],
    ];
    for line in lines {
        lab.ok(line);
    }
    assert!(lab.result("a").1.contains("\"step\":3,"), "{}", lab.result("a").1);
    assert!(lab.result("a") == lab.result("b") && lab.result("b") == lab.result("c"));
    // The last one counts, and --device is one of them.
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "d", set, "train.steps=9", set, of, "--device", "cpu"]);
    assert!(lab.result("a") == lab.result("d"));
}

#[test]
fn what_reads_no_configuration_takes_no_overrides() {
    let lab = Lab::new();
    let unread = ["ls", "compare .", "report .", "methods", "explain lsd", "data list", "clean .", "completions bash"];
    for command in unread {
        for option in [["--set", "optim.lr=1"], ["--device", "cpu"]] {
            let line: Vec<&str> = command.split(' ').chain(option).collect();
            lab.refused(2, &line, &["reads no configuration", option[0]]);
        }
    }
    lab.refused(2, &["doctor", "--facts", "--set", "device=\"cpu\""], &["`ebm doctor`", "--set"]);
    lab.ok(&["doctor", "--facts", "--device", "cpu"]);
}

#[test]
fn json_is_one_document_on_stdout() {
    let lab = lab_with_run(&bare("ml_grid", 20));
    assert_eq!(lab.json(&["ls"]), serde_json::json!([]), "no runs/ yet");
    let methods = lab.json(&["methods"]);
    let names: Vec<&str> = methods.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert!(METHODS.iter().all(|row| names.contains(&row.name)));
    let runs = lab.json(&["ls", "."]);
    assert_eq!(runs[0]["manifest"]["last_step"], 20);
    assert_eq!(lab.json(&["data", "list"])["datasets"].as_array().unwrap().len(), ebm::data::DATASETS.len());
    assert_eq!(lab.json(&["data", "verify", "digits"])["sets"][0]["name"], "digits");
    assert_eq!(lab.json(&["check", "c.toml"])["steps"], 20);
    assert_eq!(lab.json(&["show", "c.toml"])["train"]["steps"], 20);
    assert_eq!(lab.json(&["show", LAST])["train"]["steps"], 20);
    assert_eq!(lab.json(&["init"])["toml"].as_str().unwrap(), lab.ok(&["init"]));
    assert_eq!(lab.json(&["resume", "run"])["step"], 20);
    let trained = lab.json(&["train", "c.toml", "--run-dir", "other"]);
    assert_eq!(trained["step"], 20);
    assert!(trained["metrics"]["nll"].is_number());
    let sampled = lab.json(&["sample", "--ckpt", LAST, "--n", "4", "--steps", "2"]);
    assert!(
        sampled["n"] == 4
            && sampled["mean_energy"].is_number()
            && lab.path(sampled["picture"].as_str().unwrap()).exists()
    );
}

#[test]
fn every_row_of_every_registry_is_explained() {
    let lab = Lab::new();
    let rows = lab.json(&["methods"]);
    assert!(rows.as_array().unwrap().len() > 25);
    for row in rows.as_array().unwrap() {
        let name = row["name"].as_str().unwrap();
        let about = row["about"].as_str().unwrap();
        assert!(lab.ok(&["explain", name]).contains(about), "{name}");
        let told = lab.json(&["explain", name]);
        assert!(told.as_array().unwrap().iter().any(|r| r["kind"] == row["kind"] && r["about"] == about), "{told}");
        let only = lab.json(&["methods", "--kind", row["kind"].as_str().unwrap()]);
        assert!(only.as_array().unwrap().contains(row));
    }
    for name in ["train", "guard", "halving", "launcher"] {
        assert!(lab.ok(&["explain", name]).contains("keys:"));
    }
}

#[test]
fn init_writes_a_file_that_is_read_for_every_method() {
    let lab = Lab::new();
    for method in METHODS.iter().map(|row| row.name) {
        lab.write("mine.toml", &lab.ok(&["init", "--method", method]));
        assert_eq!(lab.json(&["show", "mine.toml"])["method"]["name"], method);
    }
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn init_writes_a_file_that_passes_check_for_every_method() {
    let lab = Lab::new();
    for method in METHODS.iter().map(|row| row.name) {
        lab.write("mine.toml", &lab.ok(&["init", "--method", method]));
        lab.ok(&["-q", "check", "mine.toml"]);
    }
}

#[test]
fn origins_are_told_for_every_key() {
    let lab = Lab::new();
    lab.write("base.toml", "seed = 4\n[train]\nsteps = 5\n");
    lab.write(
        "c.toml",
        "extends = \"base.toml\"\n[dataset]\nname = \"moons\"\n[method]\nname = \"lsd\"\n[[probe]]\nname = \"nll\"\n",
    );
    let words = ["show", "c.toml", "--origin", "--set", "method.lambda=2.5"];
    let text = lab.ok(&words);
    let line = |key: &str| {
        let row = text.lines().find(|l| l.split_whitespace().next() == Some(key));
        row.unwrap_or_else(|| panic!("no {key} in\n{text}")).split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("seed"), "4 base.toml:1");
    assert_eq!(line("train.steps"), "5 base.toml:3");
    assert_eq!(line("dataset.name"), "\"moons\" c.toml:3");
    assert_eq!(line("method.lambda"), "2.5 --set");
    assert_eq!(line("method.critic.name"), "\"mlp\" default");
    assert_eq!(line("probe.0.name"), "\"nll\" c.toml:7");
    let json = lab.json(&words);
    assert_eq!(json.as_array().unwrap().len(), text.lines().count());
}
