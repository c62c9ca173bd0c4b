//! What goes wrong: exit codes, messages, and what is left behind.

use super::*;

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

/// More than any machine has, and refused at once: nothing of it is allocated.
#[test]
fn what_does_not_fit_into_memory_is_refused_before_it_is_taken() {
    let lab = Lab::new();
    lab.write("c.toml", &bare("lsd", 5));
    let wide = ["--set", "model.net.hidden=[100000000]", "--set", "train.batch_size=100000000"];
    for command in ["check", "train"] {
        lab.refused(5, &[&[command, "c.toml"], &wide[..]].concat(), &["of memory at least", "`net.0.weight`"]);
        lab.refused(5, &[command, "c.toml", "--set", "train.batch_size=1000000000000"], &["train.batch_size"]);
        lab.refused(5, &[command, "c.toml", "--set", "model.net.hidden=[100000000, 100000000]"], &["`net.1.weight`"]);
    }
    assert_eq!(lab.names(), ["c.toml"]);
}

#[test]
fn check_says_what_it_is_doing() {
    let lab = Lab::new();
    lab.write("c.toml", &bare("lsd", 5));
    let said = lab.run(&["check", "c.toml"]);
    assert!(said.stderr.contains("building") && said.stderr.contains("running one step"), "{}", said.stderr);
    assert!(said.stdout.contains("at least"), "{}", said.stdout);
    assert_eq!(lab.run(&["check", "c.toml", "-q"]).stderr, "");
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
    // Weights that are finite may have energies that are not: no draws, and no other error.
    let drawn = lab.run(&["-q", "sample", "--ckpt", LAST, "--n", "4", "--steps", "0"]);
    assert!(matches!(drawn.code, Some(0 | 3)), "{}", drawn.stderr);
    // What a probe notices is divergence too.
    let probe = "[[probe]]\nname = \"nll\"\nevery = 1\npoints = 16\nitems = 50\nsamples = 20\n";
    lab.write("p.toml", &(bare("lsd", 100) + "checkpoint_every = 1\n" + probe));
    let words = ["-q", "train", "p.toml", "--run-dir", "probed", "--set", "optim.lr=1e30"];
    lab.refused(3, &words, &["diverged at step 1: probe `nll`"]);
}

/// A classifier on the digits, trained with chains that a growing learning rate drives out of bounds.
const RUNAWAY: &str = "[dataset]\nname = \"digits\"\n[model]\nname = \"classifier\"\n\
                       net = { name = \"mlp\", hidden = [16] }\n\
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
    for name in ["step-00000040", "step-00000060", "last"] {
        std::fs::remove_file(lab.path(&format!("run/checkpoints/{name}.safetensors"))).unwrap();
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
fn columns_without_a_density_are_named_and_refused() {
    let lab = Lab::new();
    let row = |i: u32| {
        let (a, b) = (i * 37 % 101, i * i % 89);
        format!("{a},{b},7,{a},{},{}\n", 2 * a + 3 * b, if i.is_multiple_of(3) { "x" } else { "y" })
    };
    lab.write("t.csv", &("a,b,fixed,again,sum,kind\n".to_owned() + &(0..80).map(row).collect::<String>()));
    let table = "name = \"table\"\npath = \"t.csv\"\nlabel = \"kind\"";
    lab.write("c.toml", &bare("lsd", 2).replace("name = \"moons\"", table));
    lab.write("d.toml", &bare("classifier", 2).replace("name = \"digits\"", table));
    let says = ["`fixed` is the same in all rows", "`again` repeats column `a`", "`sum` follows", "dataset.noise"];
    for command in ["check", "train"] {
        lab.refused(2, &[command, "c.toml"], &says);
    }
    // Noise spreads them, and a classifier does not mind.
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "noisy", "--set", "dataset.noise=0.1"]);
    lab.ok(&["-q", "train", "d.toml", "--run-dir", "classes"]);
}
