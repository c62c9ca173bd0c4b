//! Runs on a ladder of noise levels, from the command line.

use super::harness::{Lab, wait_until};

/// A ladder on pictures of a known size has a network whose output is part of the score, unless another is asked for.
#[test]
fn init_suits_ladders_to_pictures() {
    let lab = Lab::new();
    let written = |set: &str| lab.ok(&["init", "--method", "dsm_ladder", "--dataset", "mnist", "--set", set]);
    let suited = written("train.steps=2");
    lab.write("c.toml", &suited);
    lab.ok(&["check", "c.toml", "--set", "dataset.name=digits"]);
    for line in ["name = \"unet\"", "form = \"dot\"", "init = \"churned\"", "sigma_max = 20.0"] {
        assert!(suited.contains(line), "{line}: {suited}");
    }
    for other in ["model.net.name=conv", "model.form=scalar", "dataset.flatten=true", "dataset.name=images"] {
        assert!(written(other).contains("form = \"scalar\""), "{other}");
    }
    let own = |size: &str, width: &str| {
        let sets = [format!("dataset.size={size}"), format!("dataset.width={width}")];
        let words = ["init", "--method", "dsm_ladder", "--dataset", "images", "--set", &sets[0], "--set", &sets[1]];
        lab.ok(&words).contains("name = \"unet\"")
    };
    assert_eq!([own("32", "0"), own("32", "64"), own("30", "0"), own("32", "30")], [true, true, false, false]);
}

/// Three chains that come down three levels by two steps at each take 18 gradients before their first step; by the
/// flow that `dsm_ladder` keeps 32 times 4 each; by two steps that `drl` keeps for each level 18; by the five steps of
/// `energy_matching` 15.
#[test]
fn what_starts_cost_is_counted() {
    let ladder = "name = \"ladder\"\nlevels = 3";
    let cases = [
        (ladder, "name = \"dsm_ladder\"", "\"annealed\"\nlevel_steps = 2", 18),
        (ladder, "name = \"dsm_ladder\"", "\"churned\"\nlevel_steps = 3", 3 * 2 * 3 * 2),
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

/// The reading `dsm` is the loss of Song & Ermon under either weight, so that the first step's is the same to the bit;
/// from the second on the networks differ.
#[test]
fn a_weight_changes_what_is_learned_and_not_what_is_read() {
    let lab = Lab::new();
    let text = "[dataset]\nname = \"moons\"\n[model]\nname = \"ladder\"\nlevels = 4\n\
                [method]\nname = \"dsm_ladder\"\n\
                [train]\nsteps = 3\nbatch_size = 8\nlog_every = 1\n";
    lab.write("c.toml", text);
    let read = |dir: &str, set: &[&str]| -> Vec<f64> {
        let sets = set.iter().flat_map(|set| ["--set", set]);
        lab.ok(&["-q", "train", "c.toml", "--run-dir", dir].into_iter().chain(sets).collect::<Vec<_>>());
        let of = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["dsm"].as_f64();
        lab.result(dir).1.lines().filter_map(of).collect()
    };
    let [plain, edm] = [read("plain", &[]), read("edm", &["method.weight=edm"])];
    assert_eq!((plain.len(), plain[0]), (3, edm[0]));
    assert!(plain[1] != edm[1], "{plain:?} {edm:?}");
    assert!(read("drawn", &["method.log_normal=[-0.5, 1.0]"])[0] != plain[0]);
    // Without its slope `time_score` is the denoiser, its weight too; `diffclf` has the same weight.
    let slopeless = |dir, weight: &str| read(dir, &[&format!("method={{name=\"time_score\", weight=0.0{weight}}}")]);
    for (found, want) in [(slopeless("a", ""), &plain), (slopeless("b", ", level_weight=\"edm\""), &edm)] {
        assert!(found.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-5 * b), "{found:?} {want:?}");
    }
    let [one, two] = ["noise", "edm"].map(|w| {
        read(&format!("of_{w}"), &[&format!("method={{name=\"diffclf\", k=2, weight=0.0, level_weight=\"{w}\"}}")])
    });
    assert!(one[0] == two[0] && one[1] != two[1], "{one:?} {two:?}");
    for wrong in ["[1.0]", "[0.0, 0.0]", "[0.0, 1.0, 2.0]"] {
        let set = format!("method.log_normal={wrong}");
        lab.refused(2, &["check", "c.toml", "--set", &set], &["log_normal", "a positive standard deviation"]);
    }
    lab.refused(2, &["train", "c.toml", "--set", "method.log_normal=[400.0, 0.1]"], &["log_normal", "ln σ = 400"]);
}

/// A place to start from is looked for before a run, not by its first probe at the end.
#[test]
fn a_start_that_neither_model_nor_method_has_is_refused_before_the_first_step() {
    let lab = Lab::new();
    for init in ["annealed", "corrected", "churned", "proposal"] {
        let of = |model: &str, method: &str| {
            format!(
                "[dataset]\nname = \"moons\"\n[model]\n{model}\n[method]\n{method}\n\
                 [sampler]\ninit = \"{init}\"\nlevel_steps = 1\nsteps = 2\n[train]\nsteps = 1\n\
                 [[probe]]\nname = \"mmd\"\nn = 4\n"
            )
        };
        lab.write("c.toml", &of("net.hidden = [4]", "name = \"none\""));
        for command in [&["check", "c.toml"][..], &["train", "c.toml", "--run-dir", "run"]] {
            lab.refused(2, command, &["--> c.toml:8", init, "ladder", "--set sampler.init=normal"]);
        }
        assert!(!lab.path("run").exists());
        lab.write("l.toml", &of("name = \"ladder\"\nlevels = 3\nnet.hidden = [4]", "name = \"none\""));
        lab.ok(&["check", "l.toml"]);
    }
    let kept = "[dataset]\nname = \"moons\"\n[method]\nname = \"pcd\"\nbuffer = 20\nsampler.steps = 1\n\
                [sampler]\ninit = \"proposal\"\n[train]\nsteps = 1\nbatch_size = 2\n";
    lab.write("k.toml", kept);
    lab.ok(&["check", "k.toml"]);
}

const LADDER: &str =
    "[dataset]\nname = \"moons\"\n[model]\nname = \"ladder\"\nlevels = 3\n[train]\nsteps = 4\nbatch_size = 8\n";

/// An item is recovered from the very one that it became, by steps on the energy alone.
#[test]
fn kernels_that_cannot_recover_an_item_are_refused() {
    let lab = Lab::new();
    lab.write("c.toml", &format!("{LADDER}[method]\nname = \"drl\"\n"));
    let refused = |sampler: &str, what: &str| {
        let set = format!("method.sampler={{{sampler}}}");
        lab.refused(2, &["check", "c.toml", "--set", &set], &[what, "--set method.sampler."]);
    };
    for name in ["parallel_tempering", "isir", "imh", "ex2", "flow_mcmc", "gibbs", "exact"] {
        refused(&format!("name=\"{name}\""), &format!("from which `{name}` does not move"));
    }
    refused("name=\"sgld\", clamp=[-1.0, 1.0]", "offsets from a noisier item");
    refused("name=\"langevin\", steps=0", "recovers nothing");
    for name in ["mala", "hmc", "rwm", "sgld"] {
        lab.ok(&["check", "c.toml", "--set", &format!("method.sampler={{name=\"{name}\", steps=2}}")]);
    }
}

/// What nobody would look for in the numbers is told: phases that never end, chains without noise, weights of one draw.
#[test]
fn runs_that_cannot_give_what_they_seem_to_are_warned_of() {
    let lab = Lab::new();
    let told = |method: &str, sets: &[&str], words: &[&str]| {
        let (model, text) = match method {
            "energy_matching" => ("potential", LADDER.replace("levels = 3\n", "")),
            "dsm_ladder" => ("ladder", LADDER.to_owned()),
            _ => ("neural", LADDER.replace("levels = 3\n", "")),
        };
        lab.write("c.toml", &(text.replace("ladder", model) + &format!("[method]\nname = \"{method}\"\n")));
        let sets = sets.iter().flat_map(|set| ["--set", *set]);
        let found = lab.run(&["train", "c.toml", "--run-dir", method].into_iter().chain(sets).collect::<Vec<_>>());
        let missing = words.iter().find(|word| !found.stderr.contains(**word));
        assert!(found.code == Some(0) && missing.is_none(), "{method}, {missing:?}: {}", found.stderr);
    };
    let phase = "the run ends in its first phase. Longer: --set train.steps=";
    told("energy_matching", &["method.matching_steps=9"], &["method.matching_steps = 9 of 4 steps", phase]);
    told("dsm_ladder", &["method.field_steps=5", "model.form=dot"], &["method.field_steps = 5 of 4 steps", phase]);
    told("pcd", &["method.sampler={name=\"sgld\", noise=0.0}"], &["chains at temperature 0"]);
    let far = ["dataset.name=gaussian", "dataset.dim=40", "optim.lr=0.05", "train.steps=150"];
    told("snl", &far, &["nearly all of the weight", "--set method.noise=full"]);
}

/// The levels of a variance-preserving diffusion and those of EDM are levels as any others.
#[test]
fn every_schedule_trains_and_draws() {
    let lab = Lab::new();
    lab.write(
        "c.toml",
        &format!("{LADDER}[method]\nname = \"dsm_ladder\"\n[sampler]\nname = \"mala\"\ninit = \"annealed\"\n"),
    );
    let mut draws = Vec::new();
    for schedule in ["geometric", "vp", "edm"] {
        let set = format!("model.schedule={schedule}");
        lab.ok(&["-q", "train", "c.toml", "--run-dir", schedule, "--set", &set]);
        lab.ok(&["-q", "sample", "--ckpt", schedule, "--n", "3", "--save-npy", "x.npy"]);
        draws.push(std::fs::read(lab.path("x.npy")).unwrap());
        std::fs::remove_file(lab.path("x.npy")).unwrap();
    }
    assert!(draws[0] != draws[1] && draws[1] != draws[2]);
    lab.refused(2, &["check", "c.toml", "--set", "model.schedule=cosine"], &["geometric", "vp", "edm"]);
}

/// Beyond 32 coordinates the flow's density is an estimate: chains do not jump by it, and noise-contrastive estimation
/// does not contrast with it.
#[test]
fn an_estimated_density_is_no_density() {
    let lab = Lab::new();
    let text = LADDER.replace("\"moons\"", "\"digits\"\nflatten = true");
    lab.write("c.toml", &format!("{text}[method]\nname = \"dsm_ladder\"\n"));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    let nce = "[dataset]\nname = \"digits\"\nflatten = true\n[method]\nname = \"nce\"\nnoise = \"checkpoint\"\n\
               noise_ckpt = \"run\"\n[train]\nsteps = 2\n";
    lab.write("nce.toml", nce);
    lab.refused(4, &["check", "nce.toml"], &["has a known normaliser", "up to 32 numbers"]);
    let told = lab.json(&[
        "eval",
        "--ckpt",
        "run",
        "--probe",
        "ode_likelihood",
        "--set",
        "ode_likelihood.draws=8",
        "--set",
        "ode_likelihood.items=8",
    ]);
    assert!(told.to_string().contains("ode_trace_sd"), "{told}");
}

/// A signal while starts come down the levels, which may take hours, ends the process, and leaves nothing half written.
#[test]
fn a_signal_while_chains_get_their_starts_ends_the_process() {
    let lab = Lab::new();
    lab.write(
        "c.toml",
        "[dataset]\nname = \"moons\"\n[model]\nname = \"ladder\"\nlevels = 3\n[method]\nname = \"dsm_ladder\"\n\
         [sampler]\nname = \"langevin\"\ninit = \"annealed\"\nlevel_steps = 1000000\n[train]\nsteps = 1\n",
    );
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    // Not SIGINT, which a shell has its background jobs ignore.
    for words in [&["sample", "--ckpt", "run", "--n", "2"][..], &["diagnose", "--ckpt", "run", "--chains", "2"]] {
        let before = lab.result("run");
        let mut child = lab.spawn(words);
        std::thread::sleep(std::time::Duration::from_millis(700));
        assert!(child.try_wait().unwrap().is_none(), "{words:?}: done already");
        let id = child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let mut end = None;
        wait_until("the process ends", || {
            end = child.try_wait().unwrap();
            end.is_some()
        });
        assert!(!end.unwrap().success(), "{words:?}");
        assert!(lab.result("run") == before && !lab.path("run/diagnose").exists(), "{words:?}");
    }
}
