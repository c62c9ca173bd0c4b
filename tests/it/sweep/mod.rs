//! Sweeps with the real binary: what a plan comes to, and that nothing is lost or done twice, whatever is killed.

mod halving;
mod plans;
mod slurm;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use ebm::rng::Key;
use ebm::sweep::Plan;
use rand::Rng as _;
use serde_json::Value;

use crate::harness::{Lab, bare, read, wait_until};

const PLAN: &str = "seeds = 2\nset = { train.steps = 20 }\n[grid]\n\"dataset.name\" = [\"moons\", \"rings\"]\n\
    [[arm]]\nname = \"lsd\"\nconfig = \"lsd.toml\"\n[arm.grid]\n\"method.lambda\" = [0.5, 1]\n\
    [[arm]]\nname = \"grid\"\nconfig = \"ml_grid.toml\"\n";

/// A lab with the experiments `lsd.toml` and `ml_grid.toml`, and the plan `p.toml`.
fn lab(plan: &str) -> Lab {
    let lab = Lab::new();
    for method in ["lsd", "ml_grid"] {
        lab.write(&format!("{method}.toml"), &(bare(method, 500) + "checkpoint_every = 5\n"));
    }
    lab.write("p.toml", plan);
    lab
}

fn rows(report: &Value) -> &Vec<Value> {
    report["trials"].as_array().unwrap()
}

fn ids(report: &Value) -> Vec<String> {
    rows(report).iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// The run folders of a sweep with the bytes that must not depend on how it came about.
fn results(lab: &Lab, sweep: &str) -> BTreeMap<String, (String, String)> {
    let entries = std::fs::read_dir(lab.path(sweep)).unwrap().map(|entry| entry.unwrap());
    let names = entries.filter(|e| e.path().join("config.toml").exists()).map(|e| e.file_name().into_string().unwrap());
    names.map(|name| (name.clone(), lab.result(&format!("{sweep}/{name}")))).collect()
}

#[test]
fn a_dry_run_lists_every_trial_and_writes_nothing() {
    let lab = lab(PLAN);
    let list = lab.json(&["sweep", "p.toml", "--dry-run"]);
    assert_eq!(rows(&list).len(), 2 * (2 * 2) + 2 * 2);
    let first = &rows(&list)[0];
    assert!(first["id"].as_str().unwrap().starts_with("lsd-moons-lambda0.5-s0-"), "{first}");
    assert_eq!(first["settings"], serde_json::json!({"dataset.name": "moons", "method.lambda": 0.5}));
    assert_eq!((&first["arm"], &first["seed"], &first["state"]), (&"lsd".into(), &0.into(), &"waiting".into()));
    let text = lab.ok(&["sweep", "p.toml", "--dry-run"]);
    assert!(text.contains("12 trials: 12 waiting") && text.contains("method.lambda=0.5"), "{text}");
    assert_eq!(lab.names(), ["lsd.toml", "ml_grid.toml", "p.toml"]);
    // The shards are all of it, once.
    let shard = |i: usize| ids(&lab.json(&["sweep", "p.toml", "--dry-run", "--shard", &format!("{i}/5")]));
    let mut shards: Vec<String> = (1..=5).flat_map(shard).collect();
    let mut all = ids(&list);
    shards.sort();
    all.sort();
    assert_eq!(shards, all);
}

#[test]
fn a_sweep_runs_once_and_a_longer_plan_keeps_what_is_done() {
    let lab = lab(PLAN);
    let report = lab.json(&["-q", "sweep", "p.toml"]);
    assert_eq!((&report["counts"]["finished"], &report["ran"]), (&12.into(), &12.into()));
    let before = results(&lab, "runs/p");
    assert_eq!(before.len(), 12);
    for row in rows(&report) {
        let run = row["run"].as_str().unwrap();
        let label: Value = serde_json::from_slice(&read(&lab.path(run).join("trial.json"))).unwrap();
        let keys: Vec<&String> = label.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["arm", "settings", "seed"]);
        assert_eq!((&label["arm"], &label["settings"]), (&row["arm"], &row["settings"]));
        let manifest = lab.manifest(run);
        assert_eq!((&manifest["seed"], &manifest["dataset"]), (&label["seed"], &label["settings"]["dataset.name"]));
        assert_eq!(manifest["last_step"], 20);
    }
    let touched = |lab: &Lab| {
        let runs = results(lab, "runs/p").into_keys();
        runs.map(|run| {
            std::fs::metadata(lab.path("runs/p").join(run).join("manifest.json")).unwrap().modified().unwrap()
        })
        .collect::<Vec<_>>()
    };
    let times = touched(&lab);
    assert_eq!(lab.json(&["-q", "sweep", "p.toml"])["ran"], 0);
    assert_eq!(touched(&lab), times);
    lab.write("p.toml", &PLAN.replace("[0.5, 1]", "[2, 1.0, 0.5]").replace("seeds = 2", "seeds = [0, 1]"));
    let report = lab.json(&["-q", "sweep", "p.toml"]);
    assert_eq!((&report["counts"]["finished"], &report["ran"]), (&16.into(), &4.into()));
    let after = results(&lab, "runs/p");
    assert!(before.iter().all(|(name, result)| after[name] == *result));
    let record: Value = serde_json::from_slice(&read(&lab.path("runs/p/sweep.json"))).unwrap();
    assert_eq!(record["commands"].as_array().unwrap().len(), 3);
    assert_eq!(record["trials"].as_array().unwrap().len(), 16);
    // The same trial with another configuration is another sweep.
    lab.write("p.toml", &PLAN.replace("steps = 20", "steps = 30"));
    lab.refused(2, &["-q", "sweep", "p.toml"], &["train.steps was 20, is now 30", "--run-dir"]);
    assert!(results(&lab, "runs/p") == after);
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn one_job_or_two_and_two_sweeps_at_once_give_the_same_bytes() {
    let lab = lab(PLAN);
    for jobs in ["1", "2"] {
        lab.ok(&["-q", "sweep", "p.toml", "--jobs", jobs, "--run-dir", jobs]);
    }
    let mut pair = [(), ()].map(|()| lab.spawn(&["sweep", "p.toml", "--jobs", "1", "--run-dir", "shared"]));
    for child in &mut pair {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    let one = results(&lab, "1");
    assert_eq!(one.len(), 12);
    assert!(one == results(&lab, "2"));
    assert!(one == results(&lab, "shared"));
    // Every trial was begun by one of the two, and never resumed.
    for name in one.keys() {
        let manifest = lab.manifest(&format!("shared/{name}"));
        assert!(manifest["command"].as_array().unwrap().contains(&"train".into()), "{manifest}");
    }
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn killed_at_random_moments_and_continued() {
    let plan = PLAN.replace("steps = 20", "steps = 60");
    let lab = lab(&plan);
    lab.ok(&["-q", "sweep", "p.toml", "--jobs", "2", "--run-dir", "whole"]);
    let mut rng = Key::new(3).with("sweep").rng();
    for _ in 0..4 {
        let mut child = lab.spawn(&["sweep", "p.toml", "--jobs", "2", "--run-dir", "killed"]);
        std::thread::sleep(std::time::Duration::from_millis(rng.random_range(100..900)));
        let _ = child.kill();
        child.wait().unwrap();
    }
    let report = lab.json(&["-q", "sweep", "p.toml", "--run-dir", "killed"]);
    assert_eq!(report["counts"]["finished"], 12);
    assert!(results(&lab, "killed") == results(&lab, "whole"));
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn a_killed_trial_is_taken_up_where_it_was_saved() {
    let lab = lab("config = \"lsd.toml\"\nset = { train.steps = 400 }\nseeds = 1\n");
    let run = lab.path("s").join(&ids(&lab.json(&["sweep", "p.toml", "--dry-run"]))[0]);
    let mut child = lab.spawn(&["sweep", "p.toml", "--run-dir", "s"]);
    wait_until("a checkpoint", || run.join("checkpoints/last.safetensors").exists());
    let pid = String::from_utf8(read(&run.join(".lock"))).unwrap();
    assert!(Command::new("kill").args(["-KILL", pid.trim()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(lab.json(&["sweep", "p.toml", "--run-dir", "s", "--dry-run"])["trials"][0]["state"], "interrupted");
    lab.ok(&["-q", "sweep", "p.toml", "--run-dir", "s"]);
    lab.ok(&["-q", "sweep", "p.toml", "--run-dir", "whole"]);
    assert!(results(&lab, "s") == results(&lab, "whole"));
}

#[test]
fn a_signal_is_passed_on_and_every_trial_saves() {
    let lab = lab("config = \"lsd.toml\"\nset = { train.steps = 1000, train.checkpoint_every = 0 }\nseeds = 2\n");
    let ids = ids(&lab.json(&["sweep", "p.toml", "--dry-run"]));
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let sweep = signal.trim_start_matches('-');
        let mut child = lab.spawn(&["sweep", "p.toml", "--jobs", "2", "--run-dir", sweep]);
        let begun = |id: &String| std::fs::metadata(lab.path(sweep).join(id).join("metrics.jsonl"));
        wait_until("both trials under way", || ids.iter().all(|id| begun(id).is_ok_and(|m| m.len() > 0)));
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(code));
        for id in &ids {
            assert_eq!(lab.manifest(&format!("{sweep}/{id}"))["status"], "interrupted");
            assert!(lab.path(sweep).join(id).join("checkpoints/last.safetensors").exists());
        }
    }
    lab.ok(&["-q", "sweep", "p.toml", "--run-dir", "INT"]);
    lab.ok(&["-q", "sweep", "p.toml", "--run-dir", "TERM"]);
    assert!(results(&lab, "INT") == results(&lab, "TERM") && results(&lab, "INT").len() == 2);
}

#[test]
fn trials_that_end_badly_are_recorded_and_stop_nobody() {
    let plan = "config = \"lsd.toml\"\nset = { train.warmup = 1000000, train.checkpoint_every = 1 }\n\
                [grid]\n\"optim.lr\" = [1e-3, 1e9]\n";
    let lab = lab(plan);
    let words = ["-q", "sweep", "p.toml", "--set", "train.steps=100"];
    let found = lab.run(&[&words[..], &["--json"]].concat());
    assert_eq!(found.code, Some(3), "{}", found.stderr);
    let report: Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!((&report["counts"]["finished"], &report["counts"]["diverged"]), (&1.into(), &1.into()));
    let bad = &rows(&report)[1];
    assert!(bad["error"].as_str().unwrap().contains("diverged at step"), "{bad}");
    let again = |more: &[&str]| {
        let found = lab.run(&[&words[..], &["--json"], more].concat());
        (found.code, serde_json::from_str::<Value>(&found.stdout).unwrap()["ran"].as_u64().unwrap())
    };
    assert_eq!(again(&[]), (Some(3), 0));
    assert_eq!(again(&["--retry"]), (Some(3), 1));
    // A failure before there is a run folder: the data set has a shape that the method cannot take.
    lab.write("f.toml", "config = \"ml_grid.toml\"\n[grid]\n\"dataset.name\" = [\"digits\", \"moons\"]\n");
    let words = ["-q", "sweep", "f.toml", "--set", "train.steps=10"];
    let found = lab.run(&words);
    assert_eq!(found.code, Some(1), "{}", found.stderr);
    assert!(found.stderr.contains("integrates over the plane") && found.stderr.contains("--retry"), "{}", found.stderr);
    assert!(found.stdout.contains("2 of them run now: 1 finished, 1 failed"), "{}", found.stdout);
    assert!(lab.run(&words).stdout.contains("0 of them run now: 1 finished, 1 failed"));
}
