//! A run that was stopped, however, and resumed gives the bytes of one that never was. For every method.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use ebm::methods::METHODS;
use ebm::rng::Key;
use rand::Rng as _;

use crate::harness::{Lab, Outcome, bare, experiment, read, wait_until};

/// A lab with `c.toml` and its uninterrupted run `whole`.
fn lab_with_run(config: &str) -> Lab {
    let lab = Lab::new();
    lab.write("c.toml", config);
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "whole"]);
    lab
}

/// A few of the methods: a run takes seconds without optimisation. Tests that are ignored take all.
fn some() -> impl Iterator<Item = &'static str> {
    all().step_by(5)
}

fn all() -> impl Iterator<Item = &'static str> {
    METHODS.iter().map(|row| row.name)
}

fn stopped_and_resumed(method: &str) {
    let lab = lab_with_run(&experiment(method));
    let whole = lab.path("whole");
    let metrics = lab.result("whole").1;
    assert_eq!(metrics.lines().count(), 8, "{method}: a line for each step");
    let looked = ["test_ll", "test_accuracy"].iter().any(|name| metrics.contains(name));
    assert!(whole.join("checkpoints/best.safetensors").exists(), "{method}");
    assert!(looked && metrics.contains("eval_lsd") && metrics.contains("samples/energy"), "{method}");
    // After the first step, between probes, and before the last.
    for step in [1, 4, 7] {
        // What a crash just after the checkpoint of `step` leaves: later lines of metrics, a torn one at the end.
        let run = format!("at-{step}");
        let dir = lab.path(&run);
        std::fs::create_dir_all(dir.join("checkpoints")).unwrap();
        std::fs::copy(whole.join("config.toml"), dir.join("config.toml")).unwrap();
        std::fs::write(dir.join("metrics.jsonl"), format!("{metrics}{{\"step\": 9, \"ene")).unwrap();
        for step in 1..=step {
            let file = format!("checkpoints/step-{step:08}.safetensors");
            std::fs::copy(whole.join(&file), dir.join(&file)).unwrap();
        }
        lab.ok(&["-q", "resume", &run]);
        assert!(lab.result(&run) == lab.result("whole"), "{method} resumed at step {step}");
    }
    // A damaged newest checkpoint costs its steps and nothing else.
    let newest = lab.path("at-4/checkpoints/step-00000008.safetensors");
    let half = read(&newest)[..900].to_vec();
    std::fs::write(&newest, half).unwrap();
    lab.ok(&["-q", "resume", "at-4"]);
    assert!(lab.result("at-4") == lab.result("whole"), "{method} past a damaged checkpoint");
}

#[test]
fn stopped_at_a_step_and_resumed() {
    some().for_each(stopped_and_resumed);
}

fn one_thread_or_two(method: &str) {
    let lab = Lab::new();
    lab.write("c.toml", &experiment(method));
    for threads in ["1", "2"] {
        let words = ["-q", "train", "c.toml", "--run-dir", threads];
        let status = lab.command(&words).env("RAYON_NUM_THREADS", threads).output().unwrap().status;
        assert!(status.success());
        assert_eq!(lab.manifest(threads)["threads"].to_string(), threads);
    }
    assert!(lab.result("1") == lab.result("2"), "{method}");
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn one_thread_or_two_give_the_same_bytes() {
    some().for_each(one_thread_or_two);
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn every_method_goes_on_and_counts_no_threads() {
    all().for_each(|method| {
        stopped_and_resumed(method);
        one_thread_or_two(method);
    });
}

/// Kills runs at random moments until `kills` were killed, resuming each to its end; returns how many runs that took.
fn kill_and_resume(method: &str, kills: usize) -> usize {
    // 60 steps and 12 checkpoints, of which two are kept; probes at two or three moments.
    let config = experiment(method).replace("steps = 8", "steps = 60").replace("_every = 1\n", "_every = 5\n");
    let config = config.replace("\nevery = ", "\nevery = 7");
    let lab = Lab::new();
    lab.write("c.toml", &config.replace("keep = 0", "keep = 2"));
    let begin = Instant::now();
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "whole"]);
    let longest = begin.elapsed();
    let mut rng = Key::new(5).with(method).rng();
    let (mut killed, mut runs) = (0, 0);
    while killed < kills || runs == 0 {
        runs += 1;
        let run = format!("run-{runs}");
        loop {
            let began = lab.path(&run).join("config.toml").exists();
            let words =
                if began { vec!["-q", "resume", &run] } else { vec!["-q", "train", "c.toml", "--run-dir", &run] };
            let mut child = lab.spawn(&words);
            if killed < kills {
                std::thread::sleep(longest.mul_f64(rng.random_range(0.0..0.5)));
                let _ = child.kill();
            }
            let status = child.wait().unwrap();
            match status.code() {
                None => killed += 1,
                Some(code) => {
                    assert_eq!(code, 0, "{method}: {words:?} after {killed} kills");
                    break;
                }
            }
        }
        assert!(lab.result(&run) == lab.result("whole"), "{method} after {killed} kills");
        assert_eq!(lab.manifest(&run)["status"], "finished");
        for part in ["last_metrics", "best"] {
            assert_eq!(lab.manifest(&run)[part], lab.manifest("whole")[part], "{method}");
        }
    }
    runs
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn killed_at_five_random_moments() {
    for method in some() {
        kill_and_resume(method, 5);
    }
}

#[test]
#[ignore = "thirty kills of every method: cargo test --release -- --ignored"]
fn killed_at_thirty_random_moments() {
    for method in all() {
        let runs = kill_and_resume(method, 30);
        println!("{method}: 30 kills in {runs} runs, all with the bytes of the uninterrupted run");
    }
}

#[test]
fn a_kill_behind_the_last_checkpoint_is_mended_by_resume() {
    let lab = lab_with_run(&experiment("ml_grid"));
    let mut manifest = lab.manifest("whole");
    let told = manifest["last_metrics"].clone();
    manifest["status"] = "running".into();
    manifest["last_metrics"] = serde_json::json!({});
    lab.write("whole/manifest.json", &manifest.to_string());
    let before = lab.result("whole");
    // The kill came before `last` was pointed to the newest file.
    let checkpoints = lab.path("whole/checkpoints");
    std::fs::remove_file(checkpoints.join("last.safetensors")).unwrap();
    std::fs::copy(checkpoints.join("step-00000007.safetensors"), checkpoints.join("last.safetensors")).unwrap();
    assert!(lab.result("whole") != before);
    lab.ok(&["-q", "resume", "whole"]);
    assert!(lab.result("whole") == before);
    assert_eq!((&lab.manifest("whole")["status"], &lab.manifest("whole")["last_metrics"]), (&"finished".into(), &told));
    assert_eq!(lab.json(&["resume", "whole"])["finished"], true);
}

/// A folder `run` as it stands at some step of `whole`: its configuration, its metrics, and as checkpoints the files
/// `name`, each a copy of the one of `step`.
fn folder(lab: &Lab, run: &str, files: &[(&str, u64)]) {
    let (whole, dir) = (lab.path("whole"), lab.path(run));
    std::fs::create_dir_all(dir.join("checkpoints")).unwrap();
    for name in ["config.toml", "metrics.jsonl"] {
        std::fs::copy(whole.join(name), dir.join(name)).unwrap();
    }
    for (name, step) in files {
        let from = whole.join(format!("checkpoints/step-{step:08}.safetensors"));
        std::fs::copy(from, dir.join(format!("checkpoints/{name}.safetensors"))).unwrap();
    }
}

/// Resumes `run`, which must go on from `step` and end like `whole`; what it said.
fn goes_on_from(lab: &Lab, run: &str, step: u64) -> String {
    let Outcome { code, stderr, .. } = lab.run(&["resume", run]);
    assert_eq!(code, Some(0), "{run}: {stderr}");
    assert!(stderr.contains(&format!("steps    {step} to 8")), "{run}: {stderr}");
    let (have, want) = (lab.result(run), lab.result("whole"));
    assert!(have.0.split(' ').next() == want.0.split(' ').next() && have.1 == want.1, "{run} ends otherwise");
    stderr
}

#[test]
fn a_finished_run_gets_a_lost_last_checkpoint_back() {
    let lab = lab_with_run(&experiment("ml_grid"));
    let whole = lab.result("whole");
    std::fs::remove_file(lab.path("whole/checkpoints/last.safetensors")).unwrap();
    lab.ok(&["-q", "resume", "whole"]);
    assert!(lab.result("whole") == whole);
}

#[test]
fn the_newest_checkpoint_is_gone_on_from_whatever_it_is_called() {
    let lab = lab_with_run(&experiment("ml_grid"));
    /// A name, the files that there are with the steps in them, and the step that the run goes on from.
    type Case = (&'static str, &'static [(&'static str, u64)], u64);
    let cases: [Case; 7] = [
        ("last-only", &[("last", 5)], 5),
        ("best-only", &[("best", 3)], 3),
        ("best-newer-than-last", &[("last", 4), ("best", 6)], 6),
        ("last-newer-than-steps", &[("step-00000002", 2), ("last", 7)], 7),
        ("named-too-high", &[("step-00000007", 4), ("step-00000005", 5)], 5),
        ("named-too-low", &[("step-00000002", 6), ("step-00000004", 4)], 6),
        ("another-name", &[("my copy", 5), ("step-00000003", 3)], 5),
    ];
    for (run, files, step) in cases {
        folder(&lab, run, files);
        goes_on_from(&lab, run, step);
    }
    // With the best step's file at its place the whole result is the same, that one included.
    folder(&lab, "both", &[("last", 5), ("best", 3)]);
    goes_on_from(&lab, "both", 5);
    assert!(lab.result("both") == lab.result("whole"));
}

#[test]
fn corrupt_checkpoints_are_passed_over_and_alone_they_are_an_error() {
    let lab = lab_with_run(&experiment("ml_grid"));
    folder(&lab, "some", &[("step-00000006", 6), ("last", 6), ("best", 3)]);
    let spoil = |name: &str, bytes: &[u8]| lab.write(name, &String::from_utf8_lossy(bytes));
    spoil("some/checkpoints/step-00000006.safetensors", b"torn");
    let told = goes_on_from(&lab, "some", 6);
    assert!(told.contains("step-00000006.safetensors: truncated") && told.contains("passed over"), "{told}");
    folder(&lab, "none", &[("step-00000006", 6), ("last", 6)]);
    for name in ["step-00000006", "last"] {
        spoil(&format!("none/checkpoints/{name}.safetensors"), b"torn");
    }
    let metrics = read(&lab.path("none/metrics.jsonl"));
    lab.refused(4, &["resume", "none"], &["none of the checkpoints here is whole", "truncated", "hint: "]);
    assert_eq!(read(&lab.path("none/metrics.jsonl")), metrics);
    assert_eq!(read(&lab.path("none/checkpoints/last.safetensors")), b"torn");
}

#[test]
fn without_any_checkpoint_a_run_starts_at_step_0_and_says_so() {
    let lab = lab_with_run(&experiment("ml_grid"));
    folder(&lab, "early", &[]);
    let told = goes_on_from(&lab, "early", 0);
    assert!(told.contains("no checkpoint yet, starting at step 0"), "{told}");
}

#[test]
fn the_last_state_of_a_finished_run_is_never_overwritten_by_an_older_one() {
    let lab = lab_with_run(&experiment("ml_grid"));
    for (run, files) in [("kept", &[("last", 8)][..]), ("misnamed", &[("last", 8), ("step-00000008", 3)])] {
        folder(&lab, run, files);
        goes_on_from(&lab, run, 8);
        assert_eq!(lab.json(&["resume", run])["finished"], true, "{run}");
        assert_eq!(lab.result(run).1, lab.result("whole").1, "{run}");
    }
}

fn send(signal: &str, to: &Child) {
    let kill = Command::new("kill").args([signal, &to.id().to_string()]).status().unwrap();
    assert!(kill.success());
}

#[test]
fn signals_save_and_say_so() {
    let lab = lab_with_run(&bare("lsd", 1000));
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let run = signal.trim_start_matches('-');
        let mut child = lab.spawn(&["train", "c.toml", "--run-dir", run]);
        let metrics = lab.path(run).join("metrics.jsonl");
        wait_until("a first line of metrics", || std::fs::metadata(&metrics).is_ok_and(|m| m.len() > 0));
        send(signal, &child);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        let manifest = lab.manifest(run);
        assert_eq!(manifest["status"], "interrupted");
        let step = manifest["last_step"].as_u64().unwrap();
        assert!((10..1000).contains(&step), "{step}");
        assert!(lab.path(run).join(format!("checkpoints/step-{step:08}.safetensors")).exists());
        lab.ok(&["-q", "resume", run]);
        assert!(lab.result(run) == lab.result("whole"), "{signal} at step {step}");
        assert_eq!(lab.manifest(run)["status"], "finished");
    }
}

#[test]
fn a_second_signal_ends_it_at_once_and_the_run_can_be_resumed() {
    let lab = Lab::new();
    // One probe takes far longer than the patience of whoever sends two signals.
    let slow = "[[probe]]\nname = \"lsd\"\nevery = 11\nepochs = 100000\nitems = 1000\n";
    lab.write("c.toml", &(bare("lsd", 40) + "checkpoint_every = 10\n" + slow));
    let mut child = lab.spawn(&["train", "c.toml", "--run-dir", "run"]);
    let saved = lab.path("run/checkpoints/last.safetensors");
    wait_until("a checkpoint", || saved.exists());
    // One step later it is inside the probe.
    std::thread::sleep(Duration::from_secs(1));
    send("-INT", &child);
    std::thread::sleep(Duration::from_millis(200));
    assert!(child.try_wait().unwrap().is_none(), "the first signal waits for the step");
    send("-INT", &child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    ebm::store::Checkpoint::load(&saved, &candle_core::Device::Cpu).unwrap();
}
