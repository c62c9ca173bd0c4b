//! The command line as a user and a script see it: exit codes, JSON, messages, files.

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

/// The configurations that can be run: all but those of `base/`, which are only extended, and the plans of `sweeps/`.
fn shipped() -> Vec<PathBuf> {
    fn below(dir: &Path) -> Vec<PathBuf> {
        let paths = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
        let (dirs, files): (Vec<_>, Vec<_>) = paths.partition(|p| p.is_dir());
        let dirs = dirs.into_iter().filter(|d| !d.ends_with("base") && !d.ends_with("sweeps"));
        files.into_iter().chain(dirs.flat_map(|d| below(&d))).collect()
    }
    let mut paths = below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("configs"));
    paths.retain(|p| p.extension().is_some_and(|e| e == "toml"));
    paths.sort();
    paths
}

/// Those whose data must be fetched or are the user's own are resolved only; all others are built and run for a step.
#[test]
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
    assert_eq!(folders.len(), 4, "configs, paper, leaderboard, leaderboard/8x8: {folders:?}");
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
    for name in ["train", "guard"] {
        assert!(lab.ok(&["explain", name]).contains("keys:"));
    }
}

#[test]
fn init_writes_a_file_that_passes_check_for_every_method() {
    let lab = Lab::new();
    for method in METHODS.iter().map(|row| row.name) {
        lab.write("mine.toml", &lab.ok(&["init", "--method", method]));
        assert_eq!(lab.json(&["show", "mine.toml"])["method"]["name"], method);
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

#[test]
fn mistakes_are_exit_code_2_and_a_hint() {
    let lab = Lab::new();
    lab.write("c.toml", &bare("lsd", 5));
    lab.write(
        "bad.toml",
        &bare("lsd", 5).replace("\"lsd\"", "\"lds\"").replace("moons", "mons").replace("batch_size", "batchsize"),
    );
    let says = ["did you mean `lsd`?", "did you mean `moons`?", "did you mean `batch_size`?", "bad.toml:2:8"];
    for command in ["train", "check", "show"] {
        lab.refused(2, &[command, "bad.toml"], &says);
        lab.refused(2, &[command, "c.toml", "--set", "train.stpes=3"], &["did you mean `steps`?", "--set"]);
        lab.refused(2, &[command, "d.toml"], &["d.toml", "there is no such file"]);
    }
    lab.refused(2, &["explain", "lds"], &["did you mean `lsd`?"]);
    lab.refused(2, &["init", "--method", "lds"], &["did you mean `lsd`?"]);
    lab.refused(2, &["init", "--dataset", "mons"], &["did you mean `moons`?"]);
    lab.refused(2, &["methods", "--kind", "smapler"], &["did you mean `sampler`?"]);
    lab.refused(2, &["data", "fetch", "mnits"], &["did you mean `mnist`?"]);
    lab.refused(2, &["data", "verify", "mnits"], &["did you mean `mnist`?"]);
    lab.refused(2, &["trian", "c.toml"], &["train"]);
    lab.refused(2, &["sample"], &["--ckpt"]);
    lab.refused(2, &["sample", "--ckpt", "x", "--n", "0"], &["--n"]);
    lab.refused(2, &["eval-lsd"], &["--ckpt"]);
    let epochs = ["--set", "train.steps=0", "--set", "train.epochs=2"];
    for command in ["check", "train"] {
        lab.refused(2, &[&[command, "c.toml"], &epochs[..]].concat(), &["moons", "no epochs", "train.steps"]);
        lab.refused(2, &[&[command, "c.toml"], &epochs[2..]].concat(), &["both are set"]);
    }
    lab.refused(2, &["check", "c.toml", "--set", "dataset.name=digits", "--set", "method.name=ml_grid"], &["2-D"]);
    assert_eq!(lab.names(), ["bad.toml", "c.toml"], "a refused command leaves nothing behind");
}

#[test]
fn divergence_is_exit_code_3_and_keeps_the_last_good_checkpoint() {
    let lab = Lab::new();
    // The learning rate is sane while it warms up, and absurd afterwards.
    lab.write("c.toml", &(bare("lsd", 100) + "checkpoint_every = 1\nwarmup = 1000000\n"));
    lab.refused(
        3,
        &["-q", "train", "c.toml", "--run-dir", "run", "--set", "optim.lr=1e9"],
        &["diverged at step", "--set optim.lr"],
    );
    let manifest = lab.manifest("run");
    assert_eq!(manifest["status"], "diverged");
    let last = ebm::store::Checkpoint::load(&lab.path(LAST), &candle_core::Device::Cpu).unwrap();
    last.check_finite(&lab.path(LAST)).unwrap();
    assert!((1..manifest["last_step"].as_u64().unwrap()).contains(&last.step), "{manifest}");
    lab.ok(&["-q", "sample", "--ckpt", LAST, "--n", "4", "--steps", "0"]);
    // What a probe notices is divergence too.
    let probe = "[[probe]]\nname = \"nll\"\nevery = 1\n";
    lab.write("p.toml", &(bare("lsd", 100) + "checkpoint_every = 1\n" + probe));
    let words = ["-q", "train", "p.toml", "--run-dir", "probed", "--set", "optim.lr=1e30"];
    lab.refused(3, &words, &["diverged at step 1: probe `nll`"]);
}

/// A classifier on the digits, trained with chains that a growing learning rate drives out of bounds.
const RUNAWAY: &str = "[dataset]\nname = \"digits\"\n[model]\nname = \"classifier\"\nnet = { name = \"mlp\", hidden = [16] }\n\
    [method]\nname = \"jem\"\nbuffer = 64\nsampler = { name = \"sgld\", steps = 2, init = \"uniform\" }\n\
    [train]\nsteps = 400\nbatch_size = 16\nlog_every = 1\ncheckpoint_every = 1\nwarmup = 400\n";

#[test]
fn of_twenty_diverging_jem_runs_none_is_lost() {
    let lab = Lab::new();
    lab.write("jem.toml", RUNAWAY);
    for seed in 0..20 {
        let run = format!("run{seed}");
        let (seed, rate) = (format!("seed={seed}"), format!("optim.lr={}e4", 1 + seed));
        let words = ["-q", "train", "jem.toml", "--run-dir", &run, "--set", &seed, "--set", &rate];
        lab.refused(3, &words, &["diverged at step", "longer chains", "method.energy_l2", "--set optim.lr"]);
        let manifest = lab.manifest(&run);
        assert_eq!(manifest["status"], "diverged", "{run}");
        let path = lab.path(&format!("{run}/checkpoints/last.safetensors"));
        let last = ebm::store::Checkpoint::load(&path, &candle_core::Device::Cpu).unwrap();
        last.check_finite(&path).unwrap();
        assert!((1..manifest["last_step"].as_u64().unwrap()).contains(&last.step), "{manifest}");
        assert_eq!(last.tensors["method.buffer"].dims(), [64, 1, 8, 8], "{run}");
    }
}

#[test]
fn a_checkpoint_that_is_none_is_exit_code_4() {
    let lab = lab_with_run(&bare("ml_grid", 5));
    let good = read(&lab.path(LAST));
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut foreign = 2u64.to_le_bytes().to_vec();
    foreign.extend(b"{}");
    let files: [(&str, &[u8], &str); 6] = [
        ("truncated", &good[..good.len() - 5], "truncated"),
        ("stump", &good[..4], "truncated"),
        ("empty", b"", "truncated"),
        ("flipped", &flipped, "corrupt"),
        ("foreign", &foreign, "not a checkpoint of this program"),
        ("text", b"[dataset]\nname = \"moons\"\n", "not a checkpoint"),
    ];
    for (name, bytes, says) in files {
        let name = format!("{name}.safetensors");
        std::fs::write(lab.path(&name), bytes).unwrap();
        for words in [["sample", "--ckpt", &name], ["eval-lsd", "--ckpt", &name]] {
            lab.refused(4, &words, &[&name, says, "hint: "]);
        }
        lab.refused(4, &["show", &name], &[&name, says, "hint: "]);
    }
    lab.refused(4, &["sample", "--ckpt", "gone.safetensors"], &["gone.safetensors", "there is no such file", "hint: "]);
    // One of another model is refused by name, not loaded in part.
    lab.write("d.toml", &bare("ml_grid", 5).replace("[8, 8]", "[9]"));
    lab.ok(&["-q", "train", "d.toml", "--run-dir", "other"]);
    std::fs::remove_dir_all(lab.path("run/checkpoints")).unwrap();
    std::fs::create_dir(lab.path("run/checkpoints")).unwrap();
    std::fs::copy(
        lab.path("other/checkpoints/last.safetensors"),
        lab.path("run/checkpoints/step-00000003.safetensors"),
    )
    .unwrap();
    lab.refused(4, &["resume", "run"], &["tensors do not fit the model", "of another shape", "ebm show"]);
    lab.refused(
        4,
        &["sample", "--ckpt", "other/checkpoints/last.safetensors", "--set", "model.net.hidden=[7]"],
        &["shape"],
    );
}

#[test]
fn missing_data_is_exit_code_4_before_anything_is_written() {
    let lab = Lab::new();
    lab.write("c.toml", &bare("lsd", 5).replace("moons", "mnist"));
    for command in ["train", "check"] {
        let words = [command, "c.toml"];
        let found = outcome(lab.command(&words).env("EBM_DATA", "/nowhere"));
        assert_eq!(found.code, Some(4), "{}", found.stderr);
        assert!(found.stderr.contains("ebm data fetch mnist"), "{}", found.stderr);
    }
    assert_eq!(lab.names(), ["c.toml"]);
}

/// `/dev/full` is a disk without room.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_exit_code_5_and_costs_nothing_that_was_saved() {
    let lab = Lab::new();
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    for words in [["methods", "-q"], ["data", "list"], ["explain", "lsd"], ["init", "--json"]] {
        let found = outcome(lab.command(&words).stdout(full()));
        assert_eq!(found.code, Some(5), "{words:?}: {}", found.stderr);
    }
    lab.write("c.toml", &(bare("lsd", 60) + "checkpoint_every = 20\nkeep = 0\n"));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    let whole = lab.result("run");
    for step in [40, 60] {
        std::fs::remove_file(lab.path(&format!("run/checkpoints/step-{step:08}.safetensors"))).unwrap();
    }
    let timing = lab.path("run/timing.jsonl");
    std::fs::remove_file(&timing).unwrap();
    std::os::unix::fs::symlink("/dev/full", &timing).unwrap();
    lab.refused(5, &["-q", "resume", "run"], &["timing.jsonl", "No space left"]);
    assert_eq!(lab.manifest("run")["status"], "failed");
    std::fs::remove_file(&timing).unwrap();
    lab.ok(&["-q", "resume", "run"]);
    assert!(lab.result("run") == whole);
}

#[test]
fn nothing_existing_is_overwritten_without_a_word() {
    let lab = lab_with_run(&bare("ml_grid", 5));
    let before = lab.result("run");
    lab.refused(1, &["train", "c.toml", "--run-dir", "run"], &["not empty", "ebm resume run", "--overwrite"]);
    assert!(lab.result("run") == before);
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run", "--overwrite", "--set", "seed=9"]);
    assert_ne!(lab.result("run").0, before.0);
    lab.write("thesis.tex", "years");
    lab.refused(1, &["train", "c.toml", "--run-dir", ".", "--overwrite"], &["not a run folder"]);
    lab.refused(1, &["resume", "."], &["not a run folder", "ebm ls"]);
    lab.refused(2, &["resume", "run", "--set", "seed=1"], &["--set would make it another run"]);
    assert_eq!(read(&lab.path("thesis.tex")), b"years");
}

#[test]
fn one_process_a_run_folder() {
    let lab = Lab::new();
    lab.write("c.toml", &bare("lsd", 100_000_000));
    let mut first = lab.spawn(&["train", "c.toml", "--run-dir", "run"]);
    let metrics = lab.path("run/metrics.jsonl");
    wait_until("a first line of metrics", || std::fs::metadata(&metrics).is_ok_and(|m| m.len() > 0));
    let who = format!("process {} is using this run folder", first.id());
    lab.refused(1, &["resume", "run"], &[&who]);
    lab.refused(1, &["train", "c.toml", "--run-dir", "run", "--overwrite"], &[&who]);
    first.kill().unwrap();
    first.wait().unwrap();
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run", "--overwrite", "--set", "train.steps=2"]);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let lab = Lab::new();
    for words in
        [["methods", "-q"], ["explain", "lsd"], ["data", "list"], ["methods", "--json"], ["completions", "bash"]]
    {
        let mut child = lab.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn samples_in_every_form() {
    let lab = lab_with_run(&bare("ml_grid", 5));
    let forms = ["--n", "7", "--steps", "10", "--out", "x.png", "--save-npy", "x.npy", "--gif", "x.gif"];
    let told = lab.ok(&[&["-q", "sample", "--ckpt", LAST], &forms[..]].concat());
    assert!(told.contains("7 samples, 10 steps") && told.ends_with("x.png\n"), "{told}");
    image::load_from_memory(&read(&lab.path("x.png"))).unwrap();
    let npy = read(&lab.path("x.npy"));
    let array = npyz::NpyFile::new(&npy[..]).unwrap();
    assert_eq!(array.shape(), [7, 2]);
    let values: Vec<f32> = array.into_vec().unwrap();
    assert!(values.len() == 14 && values.iter().all(|v| v.is_finite()) && values[0] != values[2]);
    let gif = image::codecs::gif::GifDecoder::new(Cursor::new(read(&lab.path("x.gif")))).unwrap();
    assert_eq!(gif.into_frames().collect_frames().unwrap().len(), 11, "every step and the end");
    // The same seed draws the same samples, another one others; a picture that exists is not overwritten.
    for (seed, same) in [("0", true), ("1", false)] {
        lab.ok(&["-q", "sample", "--ckpt", LAST, "--n", "7", "--steps", "10", "--seed", seed, "--save-npy", "y.npy"]);
        assert_eq!(read(&lab.path("y.npy")) == npy, same, "seed {seed}");
    }
    assert!(lab.path("run/samples/sample-last.png").exists() && lab.path("run/samples/sample-last-1.png").exists());
}

#[test]
fn a_checkpoint_is_sampled_without_data_from_anywhere() {
    let digits = bare("lsd", 3).replace("\"moons\"", "\"digits\"\ntransform = \"logit\"");
    for (config, shape) in [(bare("lsd", 3), &[3, 2][..]), (digits, &[3, 1, 8, 8])] {
        let lab = lab_with_run(&config);
        let elsewhere = Lab::new();
        std::fs::copy(lab.path(LAST), elsewhere.path("model.safetensors")).unwrap();
        drop(lab);
        for init in ["normal", "uniform"] {
            let set = format!("sampler.init={init}");
            let words = [
                "sample",
                "--ckpt",
                "model.safetensors",
                "--n",
                "3",
                "--steps",
                "2",
                "--save-npy",
                "x.npy",
                "--set",
                &set,
            ];
            let found = outcome(elsewhere.command(&words).env("EBM_DATA", "/nowhere"));
            assert_eq!(found.code, Some(0), "{}", found.stderr);
            let npy = read(&elsewhere.path("x.npy"));
            let want: Vec<u64> = shape.to_vec();
            assert_eq!(npyz::NpyFile::new(&npy[..]).unwrap().shape(), want);
        }
        assert!(elsewhere.path("sample-model.png").exists());
    }
}

#[test]
fn eval_lsd_ranks_a_trained_model_before_an_untrained_one() {
    let config = bare("ml_grid", 150).replace("[8, 8]", "[16, 16]").replace("points = 16", "points = 32");
    let lab = lab_with_run(&(config + "[optim]\nlr = 0.01\n"));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "young", "--set", "train.steps=1"]);
    let young = "young/checkpoints/last.safetensors";
    let keys = ["epochs=15", "items=2000", "batch_size=100", "critic.hidden=[32]", "critic_optim.lr=0.01"];
    let mut words = vec!["-q", "eval-lsd", "--ckpt", young, "--ckpt", LAST];
    keys.iter().for_each(|key| words.extend(["--eval", key]));
    let table = lab.json(&words);
    let rows = table["results"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    let of = |i: usize| (rows[i]["rank"].as_u64(), rows[i]["checkpoint"].as_str(), rows[i]["step"].as_u64());
    assert_eq!((of(0), of(1)), ((Some(1), Some(LAST), Some(150)), (Some(2), Some(young), Some(1))), "{table:#}");
    let number = |i: usize, key: &str| rows[i][key].as_f64().unwrap_or_else(|| panic!("no {key} in {table:#}"));
    assert!(number(0, "std_error") > 0.0 && number(1, "std_error") > 0.0);
    let z = (number(1, "lsd") - number(0, "lsd")) / number(0, "std_error").hypot(number(1, "std_error"));
    assert!(z > 2.0, "z = {z}: {} and {}", rows[0], rows[1]);
    lab.refused(2, &["eval-lsd", "--ckpt", LAST, "--eval", "epoch=3"], &["did you mean `epochs`?"]);
}

#[test]
fn eval_runs_one_probe_on_a_checkpoint() {
    let config =
        bare("ml_grid", 20) + "[[probe]]\nname = \"ais\"\nevery = 20\ntemperatures = 4\nchains = 6\nraise_items = 0\n";
    let lab = lab_with_run(&config);
    let probe = ["eval", "--ckpt", LAST, "--probe", "ais"];
    let found = lab.json(&probe);
    // The keys of the run's own probe, and so its numbers.
    let (_, log) = lab.result("run");
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    let name = "ais/log_z";
    let logged = last.as_object().unwrap().iter().find(|(key, _)| key.ends_with(name));
    assert_eq!(found["metrics"][name], *logged.unwrap_or_else(|| panic!("{last}")).1);
    assert_eq!((&found["probe"], &found["step"]), (&"ais".into(), &20.into()));
    // --set with the probe's name is for its keys, any other for the experiment's.
    let other = ["--set", "ais.temperatures=8", "--set", "sampler.steps=3", "--seed", "5", "--pictures", "seen"];
    let changed = lab.json(&[&probe[..], &other[..]].concat());
    assert_ne!(changed["metrics"]["ais/energy_gradients"], found["metrics"]["ais/energy_gradients"]);
    assert_eq!(changed["seed"], 5);
    image::load_from_memory(&read(&lab.path(changed["pictures"][0].as_str().unwrap()))).unwrap();
    assert!(lab.ok(&["-q", "eval", "--ckpt", LAST, "--probe", "nll", "--set", "nll.points=32"]).contains("test_ll"));
    lab.refused(2, &["eval", "--ckpt", LAST, "--probe", "aiss"], &["no probe `aiss`", "choose from nll"]);
    lab.refused(2, &["eval", "--ckpt", LAST, "--probe", "ais", "--set", "ais.chians=4"], &["chians", "chains"]);
    lab.refused(4, &["eval", "--ckpt", "c.toml", "--probe", "ais"], &["c.toml"]);
}

/// Weights of a run's last checkpoint below a path, without it.
fn weights_below(lab: &Lab, run: &str, below: &str) -> std::collections::BTreeMap<String, Vec<f32>> {
    let path = lab.path(run).join("checkpoints/last.safetensors");
    let checkpoint = ebm::store::Checkpoint::load(&path, &candle_core::Device::Cpu).unwrap();
    let list = |t: candle_core::Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    ebm::store::take(&checkpoint.tensors, below).into_iter().map(|(name, t)| (name, list(t))).collect()
}

#[test]
fn a_run_can_begin_at_the_vae_of_another() {
    let lab = Lab::new();
    for method in ["vae", "vaebm", "vera"] {
        lab.write(&format!("{method}.toml"), &experiment(method));
    }
    lab.ok(&["-q", "train", "vae.toml", "--run-dir", "vae", "--set", "train.ema=0"]);
    let at = |key: &str| format!("method.{key}=vae/checkpoints/last.safetensors");
    // The base of a tilted model stays as it was found; the generator learns too slowly to move in f32.
    lab.ok(&["-q", "train", "vaebm.toml", "--run-dir", "vaebm", "--set", &at("vae_ckpt")]);
    assert_eq!(weights_below(&lab, "vaebm", "method.model.base"), weights_below(&lab, "vae", "method.model"));
    let generator = "method.generator={ name = \"mlp\", hidden = [6] }";
    let keys = [generator, "method.latent=2", "method.generator_optim.lr=1e-12", &at("generator_ckpt")];
    let words: Vec<&str> = ["-q", "train", "vera.toml", "--run-dir", "vera"]
        .into_iter()
        .chain(keys.into_iter().flat_map(|key| ["--set", key]))
        .collect();
    lab.ok(&words);
    let decoder = weights_below(&lab, "vae", "method.model.decoder.net");
    assert!(!decoder.is_empty());
    assert_eq!(weights_below(&lab, "vera", "method.generator.net"), decoder);
    // Another decoder does not fit, and the message says what to do.
    let wrong = lab.command(&["train", "vera.toml", "--set", &at("generator_ckpt")]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("method.generator"), "{wrong:?}");
}

#[test]
fn a_vae_over_grey_levels_trains_and_is_drawn_from() {
    let lab = Lab::new();
    lab.write(
        "c.toml",
        "[dataset]\nname = \"digits\"\n[model]\nname = \"vae\"\nlatent = 4\nlikelihood = \"discretised_logistic\"\ncomponents = 2\n\
         levels = 17\nparticles = 3\nencoder = { name = \"mlp\", hidden = [16] }\ndecoder = { name = \"mlp\", hidden = [16] }\n\
         [method]\nname = \"vae\"\n[sampler]\nname = \"exact\"\n[train]\nsteps = 4\nbatch_size = 16\n\
         [[probe]]\nname = \"bound\"\nevery = 4\nitems = 20\nparticles = 5\n[[probe]]\nname = \"samples\"\nevery = 4\nn = 4\n",
    );
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    assert!(lab.result("run").1.contains("vae_ll"));
    // What needs a slope says so.
    lab.refused(2, &["train", "c.toml", "--set", "sampler.name=mala"], &["no slope", "gaussian"]);
}

#[test]
fn the_checkpoint_of_the_best_step_stays() {
    let lab = Lab::new();
    // A single checkpoint is kept, and none is due at the steps that are looked at.
    let config =
        experiment("ml_grid").replace("keep = 0", "keep = 1").replace("checkpoint_every = 1", "checkpoint_every = 0");
    lab.write("c.toml", &config);
    let said = lab.json(&[
        "-q",
        "train",
        "c.toml",
        "--run-dir",
        "run",
        "--set",
        "train.best=grid_error",
        "--set",
        "train.best_is=min",
    ]);
    let metrics = lab.result("run").1;
    let lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let errors: Vec<_> = lines.filter_map(|m| Some((m["step"].as_u64()?, m["grid_error"].as_f64()?))).collect();
    let least = errors.iter().copied().reduce(|a, b| if b.1 < a.1 { b } else { a }).unwrap();
    assert!(errors.len() > 2, "{errors:?}");
    let file = lab.path("run/checkpoints/best.safetensors");
    let best = ebm::store::Checkpoint::load(&file, &candle_core::Device::Cpu).unwrap();
    assert_eq!((best.step, said["best"]["step"].as_u64()), (least.0, Some(least.0)));
    assert_eq!(lab.manifest("run")["best"][1]["grid_error"].as_f64(), Some(least.1));
    lab.ok(&["-q", "sample", "--ckpt", file.to_str().unwrap(), "--n", "4", "--out", "x.npy"]);
    // A name that no probe reports is refused before training, with the nearest that one does.
    let words = ["-q", "train", "c.toml", "--run-dir", "other", "--set", "train.best=test_lll"];
    lab.refused(2, &words, &["no probe of this run reports `test_lll`", "did you mean `test_ll`?", "--set"]);
    assert!(!lab.path("other").exists());
    // So is a metric that no run has and nobody declares; one that is declared may be in later runs.
    lab.refused(2, &["ls", ".", "--sort", "grid_eror"], &["no run has the metric `grid_eror`", "`grid_error`"]);
    assert!(lab.ok(&["ls", ".", "--sort", "grid_error"]).contains("grid_error"));
    assert!(lab.ok(&["ls", ".", "--sort", "amari"]).contains("amari"));
}
