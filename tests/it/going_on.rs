//! Going on: a finished run made longer, and a new run that begins with the weights of another.

use ebm::store::{Checkpoint, State};
use serde_json::Value;

use crate::harness::{Lab, bare, read};

/// A lab with the finished run `old` of a configuration `c.toml`.
fn trained(config: &str) -> Lab {
    let lab = Lab::new();
    lab.write("c.toml", config);
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "old"]);
    lab
}

fn tensors(lab: &Lab, run: &str, name: &str) -> State {
    let path = lab.path(run).join("checkpoints").join(format!("{name}.safetensors"));
    Checkpoint::load(&path, &candle_core::Device::Cpu).unwrap().tensors
}

fn numbers(state: &State, name: &str) -> Vec<f64> {
    let tensor = state.get(name).unwrap_or_else(|| panic!("no {name}"));
    tensor.flatten_all().unwrap().to_dtype(candle_core::DType::F64).unwrap().to_vec1().unwrap()
}

#[test]
fn a_finished_run_made_longer_is_the_run_of_that_length() {
    for method in ["lsd", "pcd"] {
        let lab = trained(&bare(method, 6));
        lab.ok(&["-q", "train", "c.toml", "--set", "train.steps=10", "--run-dir", "whole"]);
        assert_ne!(lab.result("old").0, lab.result("whole").0);
        let said = lab.json(&["resume", "old", "--steps", "10"]);
        assert_eq!(said["step"].as_u64(), Some(10), "{said}");
        assert_eq!(lab.result("old").0, lab.result("whole").0);
        let config = |run: &str| String::from_utf8(read(&lab.path(run).join("config.toml"))).unwrap();
        assert_eq!(config("old"), config("whole"));
        assert_eq!(
            (lab.manifest("old")["status"].as_str(), lab.manifest("old")["last_step"].as_u64()),
            (Some("finished"), Some(10))
        );
        // Nothing is left to do, and nothing can be taken back.
        assert!(lab.ok(&["resume", "old"]).contains("already finished at step 10"));
        assert!(lab.ok(&["resume", "old", "--steps", "10"]).contains("already finished at step 10"));
        let unread = ["resume", "old", "--set", "train.log_every=3"];
        lab.refused(2, &unread, &["already finished at step 10", "train.log_every=3", "--steps N"]);
        lab.refused(2, &["resume", "old", "--steps", "9"], &["has done 10 steps already", "--steps 20"]);
        lab.refused(2, &["resume", "old", "--steps", "0"], &["--steps"]);
        assert_eq!(config("old"), config("whole"));
    }
}

#[test]
fn epochs_become_steps_and_a_schedule_that_ends_is_warned_of() {
    let config = bare("classifier", 0).replace("steps = 0", "epochs = 1\ndecay = \"cosine\"");
    let lab = trained(&config);
    let steps = lab.manifest("old")["last_step"].as_u64().unwrap();
    let longer = (steps + 2).to_string();
    let found = lab.run(&["resume", "old", "--steps", &longer]);
    assert!(found.code == Some(0) && found.stderr.contains("train.decay = \"cosine\""), "{}", found.stderr);
    assert_eq!(lab.manifest("old")["last_step"].as_u64(), Some(steps + 2));
    let config = String::from_utf8(read(&lab.path("old/config.toml"))).unwrap();
    assert!(config.contains(&format!("\nsteps = {longer}\n")) && config.contains("\nepochs = 0\n"), "{config}");
}

/// Method `none` changes no weight, so that its run shows what was taken.
#[test]
fn a_run_begins_with_the_weights_of_another_and_goes_on_without_it() {
    let config = bare("lsd", 6);
    let lab = trained(&format!("{config}ema = 0.9\n"));
    let sets = ["--set", "method={name=\"none\"}", "--set", "optim.lr=0.5", "--set", "seed=9", "--set", "train.ema=0"];
    for (flags, source) in [(vec![], "ema"), (vec!["--weights", "raw"], "method.model")] {
        let run = format!("from-{source}");
        // A run folder serves as a checkpoint.
        lab.ok(&[&["-q", "train", "c.toml", "--from", "old", "--run-dir", &run], &sets[..], &flags].concat());
        let (old, new) = (tensors(&lab, "old", "last"), tensors(&lab, &run, "last"));
        for name in ["net.0.weight", "net.2.bias"] {
            assert_eq!(numbers(&new, &format!("method.model.{name}")), numbers(&old, &format!("{source}.{name}")));
        }
    }
    // Critic and model together; the optimisers begin at zero.
    lab.ok(&["-q", "train", "c.toml", "--from", "old/checkpoints/last.safetensors", "--run-dir", "new"]);
    let (old, begun) = (tensors(&lab, "old", "last"), tensors(&lab, "new", "step-00000000"));
    for (name, source) in [
        ("method.critic.net.0.weight", "method.critic.net.0.weight"),
        ("method.model.net.1.bias", "ema.net.1.bias"),
        ("ema.net.0.weight", "ema.net.0.weight"),
    ] {
        assert_eq!(numbers(&begun, name), numbers(&old, source), "{name}");
    }
    let moments: Vec<_> = begun.keys().filter(|name| name.contains("optim")).collect();
    assert!(moments.len() > 4 && moments.iter().all(|name| numbers(&begun, name).iter().all(|v| *v == 0.0)));
    let from = &lab.manifest("new")["from"];
    assert_eq!((from["step"].as_u64(), from["left"].as_array().map(Vec::len)), (Some(6), Some(0)), "{from}");
    // A kill at any step, and the old run is gone.
    std::fs::remove_dir_all(lab.path("old")).unwrap();
    let whole = lab.result("new");
    for name in ["step-00000006", "last"] {
        std::fs::remove_file(lab.path(&format!("new/checkpoints/{name}.safetensors"))).unwrap();
    }
    std::fs::remove_file(lab.path("new/manifest.json")).unwrap();
    lab.ok(&["-q", "resume", "new"]);
    assert!(lab.result("new") == whole);
    assert_eq!(&lab.manifest("new")["from"], from);
}

#[test]
fn what_does_not_fit_is_named_and_taken_in_part_only_if_asked_for() {
    let lab = trained(&bare("lsd", 2));
    let wider = ["train", "c.toml", "--from", "old", "--set", "model.net.hidden=[8,9,8]"];
    let differences =
        ["1 not in it: model.net.3", "of another shape: model.net.1.", "[8, 8] instead of [9, 8]", "--partial"];
    lab.refused(4, &wider, &["hint"]);
    let said = lab.refused(4, &wider, &differences[2..]);
    assert!(
        said.contains("not in it: model.net.3.bias") && said.contains("of another shape: model.net.1.bias"),
        "{said}"
    );
    let found = lab.json(&[&wider[..], &["--partial", "--run-dir", "part"]].concat());
    let list = |key: &str| {
        found["from"][key].as_array().unwrap().iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
    };
    assert!(list("new").contains("model.net.3.weight") && list("misshapen").contains("model.net.2.weight"), "{found}");
    assert_eq!(list("left"), "");
    let (old, begun) = (tensors(&lab, "old", "last"), tensors(&lab, "part", "step-00000000"));
    assert_eq!(numbers(&begun, "method.model.net.0.weight"), numbers(&old, "method.model.net.0.weight"));
    // A companion that there is no place for is said, and no reason to refuse; nothing that fits is one.
    let pcd = ["-q", "train", "c.toml", "--from", "old", "--set", "method={name=\"pcd\"}", "--run-dir", "pcd"];
    lab.ok(&pcd);
    let left = lab.manifest("pcd")["from"]["left"].to_string();
    assert!(left.contains("critic.net.0.weight") && !left.contains("model"), "{left}");
    let other =
        "[dataset]\nname = \"moons\"\n[model]\nname = \"gaussian\"\n[method]\nname = \"none\"\n[train]\nsteps = 1\n";
    lab.write("other.toml", other);
    lab.refused(4, &["train", "other.toml", "--from", "old", "--partial"], &["0 tensors do", "[model]"]);
    lab.refused(4, &["train", "c.toml", "--from", "nowhere"], &["nowhere"]);
    lab.refused(2, &["train", "c.toml", "--partial"], &["--from"]);
    assert!(!lab.names().contains(&"runs".to_owned()), "{:?}", lab.names());
}
