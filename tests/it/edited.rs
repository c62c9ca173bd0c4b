//! A run goes on under the configuration that it began with, or not at all.

use crate::harness::{Lab, bare, read};

/// A lab with the run `run`, stopped at step 4 of 8 by a kill.
fn stopped(config: &str) -> Lab {
    let lab = Lab::new();
    let looks = "[[probe]]\nname = \"nll\"\nevery = 4\npoints = 16\nitems = 50\nsamples = 20\n";
    lab.write("c.toml", &format!("{config}checkpoint_every = 4\n{looks}"));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    for name in ["step-00000008", "last"] {
        std::fs::remove_file(lab.path(&format!("run/checkpoints/{name}.safetensors"))).unwrap();
    }
    lab
}

fn config(lab: &Lab) -> String {
    String::from_utf8(read(&lab.path("run/config.toml"))).unwrap()
}

/// `config.toml` with `new` for the first `old` behind `[section]`.
fn edited(text: &str, section: &str, old: &str, new: &str) -> String {
    let at = if section.is_empty() { 0 } else { text.find(&format!("[{section}]\n")).unwrap() };
    let (before, behind) = text.split_at(at);
    assert!(behind.contains(old), "no {old} in [{section}]:\n{text}");
    format!("{before}{}", behind.replacen(old, new, 1))
}

#[test]
fn an_edit_of_what_training_reads_is_refused_key_by_key() {
    let lab = stopped(&bare("lsd", 8));
    let text = config(&lab);
    let files = ["metrics.jsonl", "manifest.json", "checkpoints/step-00000004.safetensors"];
    let before = files.map(|name| read(&lab.path("run").join(name)));
    let cases = [
        ("", "seed = 0", "seed = 1", "seed was 0, is now 1"),
        ("dataset", "\"moons\"", "\"rings\"", "dataset.name was \"moons\", is now \"rings\""),
        ("dataset", "noise = ", "noise = 0.5 # ", "is now 0.5"),
        ("train", "batch_size = 16", "batch_size = 17", "train.batch_size was 16, is now 17"),
        ("train", "warmup = 0", "warmup = 2", "train.warmup was 0, is now 2"),
        ("train", "decay = \"constant\"", "decay = \"cosine\"", "train.decay was \"constant\", is now \"cosine\""),
        ("train", "ema = 0.0", "ema = 0.5", "train.ema was 0.0, is now 0.5"),
        ("optim", "lr = 0.001", "lr = 0.01", "optim.lr was 0.001, is now 0.01"),
        ("method", "lambda = ", "lambda = 3.25 # ", "is now 3.25"),
        ("method.critic_optim", "lr = ", "lr = 0.125 # ", "method.critic_optim.lr was"),
        ("model.net", "activation = ", "activation = \"relu\" # ", "model.net.activation was"),
        ("model.net", "hidden = ", "hidden = [9] # ", "model.net.hidden was"),
    ];
    for (section, old, new, says) in cases {
        lab.write("run/config.toml", &edited(&text, section, old, new));
        let found = lab.run(&["resume", "run"]);
        assert!(matches!(found.code, Some(2 | 4)), "{new}: {:?}\n{}", found.code, found.stderr);
        assert!(found.stderr.contains(says) && !found.stderr.contains("panicked"), "{new}: {}", found.stderr);
        assert_eq!(found.stdout, "", "{new}");
        assert!(before == files.map(|name| read(&lab.path("run").join(name))), "{new}: the run was touched");
    }
    // All at once, in one message with what to do; and back again the run goes on as if nothing had been.
    let two = edited(&edited(&text, "", "seed = 0", "seed = 1"), "optim", "lr = 0.001", "lr = 0.01");
    lab.write("run/config.toml", &two);
    let both =
        ["seed was 0, is now 1", "optim.lr was 0.001, is now 0.01", "undo the change", "--run-dir", "train.steps"];
    let said = lab.refused(2, &["resume", "run"], &both);
    assert!(!said.contains("batch_size was"), "{said}");
    lab.write("run/config.toml", &text);
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "whole"]);
    lab.ok(&["-q", "resume", "run"]);
    assert!(lab.result("run") == lab.result("whole"));
}

#[test]
fn what_no_step_depends_on_may_change_on_the_way() {
    let lab = stopped(&bare("lsd", 8));
    let text = config(&lab);
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "whole"]);
    let longer = edited(&text, "train", "\nsteps = 8", "\nsteps = 12");
    let longer = edited(&longer, "train", "log_every = 10", "log_every = 1");
    let longer = edited(&longer, "train", "checkpoint_every = 4", "checkpoint_every = 2");
    let longer = edited(&longer, "train", "keep = 2", "keep = 0");
    let longer = edited(&longer, "train", "best = \"\"", "best = \"test_ll\"");
    let longer = edited(&longer, "guard", "window = 200", "window = 100");
    let longer = edited(&longer, "sampler", "steps = ", "steps = 7 # ");
    let longer = edited(&longer, "[probe]", "every = 4", "every = 3");
    lab.write("run/config.toml", &longer.replace("device = \"cpu\"", "device = \"auto\""));
    lab.ok(&["-q", "resume", "run"]);
    let manifest = lab.manifest("run");
    assert_eq!((&manifest["status"], &manifest["last_step"]), (&"finished".into(), &12.into()));
    // The weights at step 8 are those of the run that was never touched.
    let weights = |run: &str| {
        let path = lab.path(run).join("checkpoints/step-00000008.safetensors");
        let loaded = ebm::store::Checkpoint::load(&path, &candle_core::Device::Cpu).unwrap();
        let values = |t: &candle_core::Tensor| format!("{:?}", t.flatten_all().unwrap().to_vec1::<f32>().ok());
        loaded.tensors.iter().map(|(name, t)| (name.clone(), values(t))).collect::<Vec<_>>()
    };
    assert_eq!(weights("run"), weights("whole"));
    assert!(lab.path("run/checkpoints/best.safetensors").exists());
    // A finished run is made longer in the same way, and the best step of another number is looked for anew.
    let text = config(&lab);
    lab.write("run/config.toml", &edited(&text, "train", "\nsteps = 12", "\nsteps = 14"));
    lab.ok(&["-q", "resume", "run"]);
    assert_eq!(lab.manifest("run")["last_step"], 14);
    let text = config(&lab);
    let other = edited(
        &edited(&text, "train", "\nsteps = 14", "\nsteps = 15"),
        "train",
        "best_is = \"auto\"",
        "best_is = \"min\"",
    );
    lab.write("run/config.toml", &other);
    let found = lab.run(&["resume", "run"]);
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    assert!(found.stderr.contains("looked for from step 14 on"), "{}", found.stderr);
}

/// `resume --set` takes what an edit may change, writes it down, and refuses the rest before anything is touched.
#[test]
fn a_resumed_run_takes_new_values_of_what_no_step_depends_on() {
    let lab = stopped(&bare("lsd", 8));
    let before = config(&lab);
    let two = ["resume", "run", "--set", "probe.0.samples=10", "--set", "optim.lr=0.5"];
    let said = lab.refused(2, &two, &["would make it another run: optim.lr was 0.001, is now 0.5", "[[probe]]"]);
    assert!(!said.contains("samples was") && config(&lab) == before, "{said}");
    lab.ok(&["-q", "resume", "run", "--set", "probe.0.samples=10", "--set", "sampler.steps=7"]);
    let sections: toml::Table = config(&lab).parse().unwrap();
    assert_eq!(sections["probe"][0]["samples"].as_integer(), Some(10));
    assert_eq!(sections["sampler"]["steps"].as_integer(), Some(7));
    let lines = lab.result("run").1;
    assert_eq!((lab.manifest("run")["last_step"].as_u64(), lines.contains("test_ll")), (Some(8), true), "{lines}");
}

#[test]
fn other_data_under_the_same_name_are_refused() {
    let lab = Lab::new();
    let rows = |shift: f64| {
        (0..60).map(|i| format!("{},{}\n", f64::from(i).sin() + shift, f64::from(i).cos())).collect::<String>()
    };
    lab.write("a.csv", &rows(0.0));
    let config = bare("lsd", 8).replace("name = \"moons\"", "name = \"table\"\npath = \"a.csv\"");
    lab.write("c.toml", &(config + "checkpoint_every = 4\n"));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    for name in ["step-00000008", "last"] {
        std::fs::remove_file(lab.path(&format!("run/checkpoints/{name}.safetensors"))).unwrap();
    }
    lab.write("a.csv", &rows(0.5));
    let says = ["no longer those that it was trained on", "the sha256 of", "hint: put the files back"];
    lab.refused(4, &["resume", "run"], &says);
    // A picture that points are drawn from is data too.
    let draw = |shade: u8| image::GrayImage::from_fn(4, 4, |x, y| image::Luma([if x == y { shade } else { 90 }]));
    draw(255).save(lab.path("a.png")).unwrap();
    lab.write("i.toml", &bare("lsd", 8).replace("\"moons\"", "\"image2d\"\npath = \"a.png\""));
    lab.ok(&["-q", "train", "i.toml", "--run-dir", "picture"]);
    lab.ok(&["-q", "resume", "picture"]);
    draw(200).save(lab.path("a.png")).unwrap();
    lab.refused(4, &["resume", "picture"], &says[..1]);
    // The same rows at another place are the same data.
    lab.write("b.csv", &rows(0.0));
    let text = String::from_utf8(read(&lab.path("run/config.toml"))).unwrap();
    lab.write("run/config.toml", &edited(&text, "dataset", "\"a.csv\"", "\"b.csv\""));
    lab.ok(&["-q", "resume", "run"]);
    assert_eq!(lab.manifest("run")["status"], "finished");
}

/// The first probe and the last one come and go like any other: a list that is empty is no key of its own.
#[test]
fn probes_come_to_a_run_without_any_and_go_from_one() {
    let lab = Lab::new();
    lab.write("c.toml", &bare("ml_grid", 4));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    let probes = || {
        let text = String::from_utf8(read(&lab.path("run/config.toml"))).unwrap();
        text.parse::<toml::Table>().unwrap().get("probe").map_or(0, |probes| probes.as_array().unwrap().len())
    };
    assert_eq!(probes(), 0);
    let nll = "probe=[{ name = \"nll\", points = 16, items = 50, samples = 20 }]";
    lab.ok(&["-q", "resume", "run", "--steps", "6", "--set", nll]);
    assert_eq!(probes(), 1);
    let found = lab.json(&["ls", "run", "--columns", "test_ll"]).to_string();
    assert!(!found.contains("null"), "{found}");
    lab.ok(&["-q", "resume", "run", "--steps", "8", "--set", "probe=[]"]);
    assert_eq!(probes(), 0);
    // By the file too, and not what training reads beside it.
    let text = String::from_utf8(read(&lab.path("run/config.toml"))).unwrap().replace("probe = []\n", "");
    lab.write("run/config.toml", &format!("{text}\n[[probe]]\nname = \"nll\"\npoints = 16\n"));
    lab.ok(&["-q", "resume", "run", "--steps", "9"]);
    lab.refused(
        2,
        &["resume", "run", "--steps", "10", "--set", "probe=[]", "--set", "seed=4"],
        &["seed was 0, is now 4"],
    );
}
