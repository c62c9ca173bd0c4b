//! Runs on a ladder of noise levels, from the command line.

use super::harness::Lab;

/// A ladder on pictures of a known size has a network whose output is part of the score, unless another is asked for.
#[test]
fn init_suits_ladders_to_pictures() {
    let lab = Lab::new();
    let written = |set: &str| lab.ok(&["init", "--method", "dsm_ladder", "--dataset", "mnist", "--set", set]);
    let suited = written("train.steps=2");
    lab.write("c.toml", &suited);
    lab.ok(&["check", "c.toml", "--set", "dataset.name=digits"]);
    assert!(suited.contains("name = \"unet\"") && suited.contains("form = \"dot\""), "{suited}");
    for other in ["model.net.name=conv", "model.form=scalar", "dataset.flatten=true", "dataset.name=images"] {
        assert!(written(other).contains("form = \"scalar\""), "{other}");
    }
}

/// Three chains that come down three levels by two steps at each take 18 gradients before their first step; by the
/// flow that `dsm_ladder` keeps 32 times 4 each; by two steps that `drl` keeps for each level 18; by the five steps of
/// `energy_matching` 15.
#[test]
fn what_starts_cost_is_counted() {
    let ladder = "name = \"ladder\"\nlevels = 3";
    let cases = [
        (ladder, "name = \"dsm_ladder\"", "\"annealed\"\nlevel_steps = 2", 18),
        (ladder, "name = \"dsm_ladder\"", "\"proposal\"", 3 * 32 * 4),
        (ladder, "name = \"drl\"\nsampler = { name = \"langevin\", steps = 2 }", "\"proposal\"", 18),
        ("name = \"potential\"", "name = \"energy_matching\"\nsteps = 5", "\"proposal\"", 15),
    ];
    let lab = Lab::new();
    for (i, (model, method, init, start)) in cases.iter().enumerate() {
        let sampler = format!("[sampler]\nname = \"langevin\"\ninit = {init}\n[train]\nsteps = 1\n");
        let text = format!("[dataset]\nname = \"moons\"\n[model]\n{model}\n[method]\n{method}\n{sampler}");
        lab.write("a.toml", &text);
        let run = format!("run{i}");
        lab.ok(&["train", "a.toml", "--run-dir", &run]);
        for command in [&["sample", "--n", "3"][..], &["diagnose", "--chains", "3", "--burn-in", "0"]] {
            let told = lab.json(&[command, &["--steps", "4", "--ckpt", &run]].concat());
            assert_eq!(told["energy_gradients"], start + 3 * 4, "{text}: {told}");
        }
    }
}

/// Three of six steps train the network as the field itself: each item costs one gradient there and two afterwards, and
/// a run that stopped before, at or behind the change goes on as one that never stopped.
#[test]
fn a_denoiser_becomes_an_energy_in_the_middle_of_a_run() {
    let lab = Lab::new();
    let text = "[dataset]\nname = \"moons\"\n[model]\nname = \"ladder\"\nlevels = 4\nform = \"dot\"\n\
                [method]\nname = \"dsm_ladder\"\nfield_steps = 3\n\
                [train]\nsteps = 6\nbatch_size = 8\nlog_every = 1\nema = 0.9\ncheckpoint_every = 1\n";
    lab.write("c.toml", text);
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "whole"]);
    let lines = lab.result("whole").1;
    let spent = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["energy_gradients"].as_f64();
    let spent: Vec<f64> = lines.lines().filter_map(spent).collect();
    assert_eq!(spent, [8.0, 16.0, 24.0, 40.0, 56.0, 72.0]);
    for step in ["2", "3", "4"] {
        lab.ok(&["-q", "train", "c.toml", "--run-dir", step, "--set", &format!("train.steps={step}")]);
        lab.ok(&["-q", "resume", step, "--steps", "6"]);
        assert!(lab.result(step) == lab.result("whole"), "stopped at {step}");
    }
    lab.refused(2, &["check", "c.toml", "--set", "model.form=scalar"], &["field_steps", "model.form=dot"]);
}
