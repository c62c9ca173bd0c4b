//! Findings of one checkpoint, told apart by how they were found.

use serde_json::{Value, json};

use crate::harness::{Lab, read};

/// A run of the plane with a sampler and the probe `mmd`, found with steps and seeds of its own.
fn lab() -> Lab {
    let lab = Lab::new();
    let config = "[dataset]\nname = \"moons\"\n[model]\nname = \"neural\"\nnet = { name = \"mlp\", hidden = [8] }\n\
                  [method]\nname = \"score_matching\"\n[sampler]\nname = \"langevin\"\nsteps = 3\nstep_size = 0.1\n\
                  [train]\nsteps = 4\nlog_every = 2\ncheckpoint_every = 2\nkeep_every = 2\nbatch_size = 16\n";
    lab.write("c.toml", config);
    for seed in ["0", "1"] {
        lab.ok(&["-q", "train", "c.toml", "--set", &format!("seed={seed}"), "--run-dir", &format!("runs/{seed}")]);
    }
    lab
}

fn find(lab: &Lab, run: &str, more: &[&str]) -> f64 {
    let words = ["-q", "eval", "--ckpt", run, "--probe", "mmd", "--keep", "--set", "mmd.n=40"];
    lab.json(&[&words, more].concat())["metrics"]["mmd2"].as_f64().unwrap()
}

/// The mean of a group with these keys, and how many made it.
fn mean(told: &Value, keys: &Value, metric: &str) -> (f64, u64) {
    let group = told["groups"].as_array().unwrap().iter().find(|group| group["keys"] == *keys);
    let found = &group.unwrap_or_else(|| panic!("{keys} in {told}"))["metrics"][metric];
    (found["mean"].as_f64().unwrap(), found["n"].as_u64().unwrap())
}

#[test]
fn findings_with_other_settings_of_the_sampler_are_groups_of_their_own() {
    let lab = lab();
    let mut found = Vec::new();
    for steps in ["0", "3", "12"] {
        let of = |run: &str| find(&lab, run, &["--set", &format!("sampler.steps={steps}")]);
        found.push((of("runs/0") + of("runs/1")) / 2.0);
    }
    assert!(found[0] != found[1] && found[1] != found[2], "{found:?}");
    let words = ["-q", "compare", "runs", "--by", "sampler.steps", "--metric", "eval/mmd2"];
    let told = lab.json(&words);
    assert!(told["groups"].as_array().unwrap().len() == 3 && told["notes"] == json!([]), "{told}");
    for (steps, wanted) in [0, 3, 12].into_iter().zip(found) {
        let (mean, n) = mean(&told, &json!({"sampler.steps": steps}), "eval/mmd2");
        assert!((mean - wanted).abs() < 1e-12 && n == 2, "{steps}: {mean} {wanted}");
    }
    // The run's own numbers stand where its own value does, and a figure takes the key as its axis.
    let both = lab.json(&["-q", "compare", "runs", "--by", "sampler.steps", "--metric", "eval/mmd2,train_sm"]);
    for (steps, missing) in [(0, 2), (3, 0), (12, 2)] {
        let groups = both["groups"].as_array().unwrap();
        let group = groups.iter().find(|group| group["keys"]["sampler.steps"] == steps).unwrap();
        assert_eq!(group["metrics"]["train_sm"]["missing"], missing, "{both}");
    }
    let figure = ["-q", "compare", "runs", "--by", "method", "--metric", "eval/mmd2", "--x", "sampler.steps", "--plot"];
    lab.ok(&[&figure[..], &["f.svg"]].concat());
    assert!(String::from_utf8(read(&lab.path("f.svg"))).unwrap().contains("sampler.steps"));
}

#[test]
fn findings_are_told_apart_by_step_seed_weights_and_the_name_of_another_sampler() {
    let lab = lab();
    let by = |keys: &str, more: &[&str]| {
        lab.json(&[&["-q", "compare", "runs/0", "--by", keys, "--metric", "eval/mmd2"], more].concat())
    };
    let middle = find(&lab, "runs/0/checkpoints/step-00000002.safetensors", &[]);
    let seeds = ["7", "8"].map(|seed| find(&lab, "runs/0", &["--seed", seed]));
    assert!(seeds[0] != seeds[1]);
    assert_eq!(mean(&by("eval.seed", &[]), &json!({"eval.seed": 7}), "eval/mmd2"), (seeds[0], 1));
    let repeats = by("method", &["--over", "eval.seed"]);
    let (of_both, n) = mean(&repeats, &json!({"method": "score_matching"}), "eval/mmd2");
    assert!((of_both - (seeds[0] + seeds[1]) / 2.0).abs() < 1e-12 && n == 2, "{repeats}");
    assert_eq!(mean(&by("step", &["--at", "every"]), &json!({"step": 2}), "eval/mmd2"), (middle, 1));
    // What the other sampler does not have is no setting of its findings.
    let sets = ["--set", "sampler.name=sgld", "--set", "sampler.drift=0.01"];
    let other = find(&lab, "runs/0", &sets);
    let told = by("sampler,sampler.step_size,sampler.drift", &[]);
    assert_eq!(
        mean(&told, &json!({"sampler": "sgld", "sampler.step_size": "-", "sampler.drift": 0.01}), "eval/mmd2"),
        (other, 1)
    );
    let raw = find(&lab, "runs/0", &["--weights", "raw"]);
    let told = by("weights", &[]);
    assert_eq!(mean(&told, &json!({"weights": "raw"}), "eval/mmd2"), (raw, 1));
    lab.refused(2, &["compare", "runs", "--by", "sampler.stepps", "--metric", "eval/mmd2"], &["sampler.stepps"]);
}

#[test]
fn what_diagnose_keeps_is_told_apart_by_sampler_and_length() {
    let lab = Lab::new();
    let config = "[dataset]\nname = \"mixture\"\n[model]\nname = \"gaussian\"\nfrom_data = true\n\
                  [method]\nname = \"none\"\n\
                  [sampler]\nname = \"mala\"\nsteps = 3\nstep_size = 1.0\n[train]\nsteps = 1\n";
    lab.write("c.toml", config);
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    let diagnose = |more: &[&str]| {
        let words = ["-q", "diagnose", "--ckpt", "run", "--keep", "--burn-in", "20"];
        lab.json(&[&words, more].concat())
    };
    let told = diagnose(&["--steps", "300"]);
    diagnose(&["--steps", "300", "--set", "sampler.name=exact"]);
    diagnose(&["--steps", "100", "--set", "sampler.name=exact"]);
    let by = |keys: &str| {
        let metrics = "eval/diagnose/rhat,eval/diagnose/gradients_per_draw,eval/diagnose/jumps_per_1000_steps";
        lab.json(&["-q", "compare", "run", "--by", keys, "--metric", metrics])
    };
    let found = by("sampler,diagnose.steps");
    assert_eq!(found["groups"].as_array().unwrap().len(), 3, "{found}");
    let mala = |metric: &str| mean(&found, &json!({"sampler": "mala", "diagnose.steps": 300}), metric).0;
    let rows = told["quantities"].as_object().unwrap().values();
    let worst =
        |key: &str, pick: fn(f64, f64) -> f64| rows.clone().filter_map(|row| row[key].as_f64()).reduce(pick).unwrap();
    assert_eq!(mala("eval/diagnose/rhat"), worst("rhat", f64::max));
    let gradients = told["energy_gradients"].as_f64().unwrap();
    assert_eq!(mala("eval/diagnose/gradients_per_draw"), gradients / worst("ess_bulk", f64::min));
    assert_eq!(mala("eval/diagnose/jumps_per_1000_steps"), told["jumps_per_1000_steps"].as_f64().unwrap());
    let exact = json!({"sampler": "exact", "diagnose.steps": 100});
    assert_eq!(mean(&found, &exact, "eval/diagnose/gradients_per_draw").0, 0.0);
    let note = by("sampler")["notes"].to_string();
    assert!(note.contains("several values of diagnose.steps: the newest counts"), "{note}");
    lab.refused(2, &["diagnose", "--samples", "x.npy", "--keep"], &["--samples", "--keep"]);
}

/// A finding stays under the sampler that made it when the run goes on with another; a step is chosen by the run's own
/// numbers whatever found the others; and who has none of the numbers asked for is no group.
#[test]
fn findings_keep_their_sampler_and_are_groups_only_where_they_are_asked_for() {
    let lab = lab();
    let own = find(&lab, "runs/0", &[]);
    lab.ok(&["-q", "resume", "runs/0", "--steps", "6", "--set", "sampler.steps=12"]);
    let step = "runs/0/checkpoints/step-00000004.safetensors";
    let longer = find(&lab, step, &["--set", "sampler.steps=12"]);
    assert!(own != longer);
    let by = |more: &[&str]| lab.json(&[&["-q", "compare", "runs/0", "--by", "sampler.steps"], more].concat());
    let told = by(&["--metric", "eval/mmd2", "--at", "4"]);
    assert_eq!(mean(&told, &json!({"sampler.steps": 3}), "eval/mmd2"), (own, 1));
    assert_eq!(mean(&told, &json!({"sampler.steps": 12}), "eval/mmd2"), (longer, 1));
    let best = by(&["--metric", "eval/mmd2", "--at", "best", "--min", "train_sm"]);
    assert!(best["groups"].as_array().unwrap().len() <= 2, "{best}");
    assert_eq!(by(&["--metric", "train_sm"])["groups"].as_array().unwrap().len(), 1);
    lab.ok(&["-q", "diagnose", "--ckpt", "runs/0", "--chains", "2", "--steps", "20", "--burn-in", "2", "--keep"]);
    let sizes = lab.json(&["-q", "compare", "runs/0", "--by", "mmd.n", "--metric", "eval/mmd2", "--at", "4"]);
    assert_eq!(sizes["groups"].as_array().unwrap().len(), 1, "{sizes}");
    find(&lab, step, &["--set", "mmd.n=30"]);
    let words =
        ["-q", "compare", "runs/0", "--by", "sampler.steps", "--pivot", "mmd.n", "--metric", "eval/mmd2", "--at", "4"];
    let table = lab.ok(&[&words[..], &["--format", "csv"]].concat());
    assert!(table.lines().skip(1).all(|line| line.contains(",eval/mmd2,1,")), "{table}");
}

/// A finding is kept in the folder of the run that the checkpoint is of, and nowhere else.
#[test]
fn a_finding_is_kept_by_the_run_of_its_checkpoint_alone() {
    let lab = lab();
    let inside = |folder: &str, ckpt: &str| {
        let words = ["-q", "eval", "--ckpt", ckpt, "--probe", "mmd", "--keep", "--set", "mmd.n=40", "--json"];
        let told = lab.command(&words).current_dir(lab.path(folder)).output().unwrap();
        (told.status.code(), String::from_utf8(told.stderr).unwrap())
    };
    let kept = |run: &str| {
        std::fs::read_to_string(lab.path(run).join("evaluations.jsonl")).map_or(0, |text| text.lines().count())
    };
    std::fs::copy(lab.path("runs/1/checkpoints/last.safetensors"), lab.path("runs/x.safetensors")).unwrap();
    let (code, told) = inside("runs/0", "../x.safetensors");
    assert!(code == Some(2) && told.contains("lies in no run's folder") && kept("runs/0") == 0, "{code:?} {told}");
    for (folder, ckpt) in [
        ("runs/0/checkpoints", "last.safetensors"),
        ("runs/0", "checkpoints/last.safetensors"),
        ("runs/0", "."),
        ("runs/0/checkpoints", ".."),
        ("runs", "0/checkpoints"),
        ("runs/1", "../0/"),
    ] {
        let before = kept("runs/0");
        let (code, told) = inside(folder, ckpt);
        assert!(code == Some(0) && kept("runs/0") == before + 1 && kept("runs/1") == 0, "{folder} {ckpt}: {told}");
    }
    assert_eq!(inside("runs/0", "checkpoints/none.safetensors").0, Some(4));
}
