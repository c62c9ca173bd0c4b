//! Who listens to a command, and who hangs up on it, costs no run its work.

use std::fs::File;
use std::process::{Child, Command, Output, Stdio};

use ebm::run::Paths;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGXCPU};

use crate::harness::{Lab, bare, outcome, wait_until};

/// A stream that fails at the first word.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lost {
    /// A pipe that nobody reads any more: `| head`.
    Pipe,
    /// A disk without room.
    #[cfg(target_os = "linux")]
    Disk,
}

const WAYS: &[Lost] = &[
    Lost::Pipe,
    #[cfg(target_os = "linux")]
    Lost::Disk,
];

impl Lost {
    fn stream(self) -> Stdio {
        match self {
            Lost::Pipe => {
                let (reader, writer) = std::io::pipe().unwrap();
                drop(reader);
                writer.into()
            }
            #[cfg(target_os = "linux")]
            Lost::Disk => File::options().write(true).open("/dev/full").unwrap().into(),
        }
    }

    /// The exit code of a command that did its work and cannot print the result.
    fn code(self) -> Option<i32> {
        Some(if self == Lost::Pipe { 0 } else { 5 })
    }
}

/// Says a lot and changes nothing: every step is logged.
fn talkative() -> Lab {
    let lab = Lab::new();
    lab.write("c.toml", &bare("lsd", 40));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "whole"]);
    lab
}

#[test]
fn a_run_that_nobody_listens_to_is_the_same_run() {
    let lab = talkative();
    for (i, way) in WAYS.iter().enumerate() {
        let run = format!("deaf-{i}");
        let words = ["-vv", "train", "c.toml", "--run-dir", &run];
        let found = outcome(lab.command(&words).stderr(way.stream()));
        assert_eq!(found.code, Some(0), "{way:?}");
        assert!(lab.result(&run) == lab.result("whole"), "{way:?}");
        let log = std::fs::read_to_string(lab.path(&run).join("log.txt")).unwrap();
        assert!(log.contains("steps    0 to 40"), "{way:?}: {log}");
        // Neither stream is left.
        let words = ["train", "c.toml", "--run-dir", &run, "--overwrite"];
        let status = lab.command(&words).stdout(way.stream()).stderr(way.stream()).status().unwrap();
        assert_eq!(status.code(), way.code(), "{way:?}");
        assert!(lab.result(&run) == lab.result("whole"), "{way:?}");
        assert_eq!(lab.manifest(&run)["status"], "finished", "{way:?}");
    }
}

#[test]
fn errors_keep_their_exit_code_whether_or_not_they_can_be_told() {
    let lab = talkative();
    for way in WAYS {
        for (code, words) in [(2, &["show", "d.toml"][..]), (2, &["trian"]), (4, &["sample", "--ckpt", "x"]), (2, &[])]
        {
            let status = lab.command(words).stdout(way.stream()).stderr(way.stream()).status().unwrap();
            assert_eq!(status.code(), Some(code), "{way:?} {words:?}");
        }
        for words in [["--help"], ["--version"], ["methods"]] {
            let found = outcome(lab.command(&words).stdout(way.stream()));
            assert_eq!(found.code, way.code(), "{way:?} {words:?}: {}", found.stderr);
            assert_eq!(found.stderr.is_empty(), *way == Lost::Pipe, "{way:?} {words:?}: {}", found.stderr);
        }
    }
}

const PLAN: &str = "config = \"c.toml\"\nseeds = 2\n";

#[test]
fn a_sweep_that_nobody_listens_to_runs_to_its_end() {
    let lab = talkative();
    lab.write("p.toml", PLAN);
    lab.write("bad.toml", &format!("{PLAN}set = {{ optim.lr = 1e30 }}\n"));
    for (i, way) in WAYS.iter().enumerate() {
        let sweep = |plan: &str, dir: String| {
            let words = ["sweep", plan, "--run-dir", &dir];
            let status = lab.command(&words).stdout(way.stream()).stderr(way.stream()).status().unwrap();
            let rows = lab.json(&[&words[..], &["--dry-run"]].concat())["trials"].as_array().unwrap().clone();
            let states: Vec<_> = rows.iter().map(|row| row["state"].as_str().unwrap().to_owned()).collect();
            (status.code(), states.join(" "))
        };
        assert_eq!(sweep("p.toml", format!("good-{i}")), (way.code(), "finished finished".into()), "{way:?}");
        assert_eq!(sweep("bad.toml", format!("bad-{i}")), (Some(3), "diverged diverged".into()), "{way:?}");
    }
}

fn send(signal: &str, to: &Child) {
    assert!(Command::new("kill").args([signal, &to.id().to_string()]).status().unwrap().success());
}

/// Waits until a run has begun to train, and no longer in its first steps.
fn wait_for_steps(lab: &Lab, run: &str) {
    let metrics = lab.path(run).join("metrics.jsonl");
    wait_until("some steps", || std::fs::metadata(&metrics).is_ok_and(|m| m.len() > 0));
}

/// Whether the run saved the last step that it did, and says that it was interrupted.
fn saved(lab: &Lab, run: &str) {
    let manifest = lab.manifest(run);
    assert_eq!(manifest["status"], "interrupted", "{run}");
    let step = manifest["last_step"].as_u64().unwrap();
    assert!(lab.path(run).join(format!("checkpoints/step-{step:08}.safetensors")).exists(), "{run}: {step}");
}

fn endless() -> Lab {
    let lab = Lab::new();
    lab.write("c.toml", &(bare("lsd", 100_000_000) + "checkpoint_every = 0\n"));
    lab.write("p.toml", PLAN);
    lab
}

/// Whether the tests run under `nohup`, and so do the runs that they start: those must not end where a terminal does.
fn is_under_nohup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let under = mask & (1 << (SIGHUP - 1)) != 0;
    if under {
        println!("under nohup: what a terminal does when it closes is not tested");
    }
    under
}

#[test]
fn whatever_ends_the_session_saves_the_run_first() {
    let deaf = is_under_nohup();
    let lab = endless();
    // A terminal that closes hangs up twice, and a batch system may announce the end more than once.
    let signals = [
        ("-QUIT", SIGQUIT, 1),
        ("-HUP", SIGHUP, 3),
        ("-USR1", SIGUSR1, 3),
        ("-USR2", SIGUSR2, 2),
        ("-XCPU", SIGXCPU, 2),
    ];
    for (signal, number, times) in signals.into_iter().filter(|signal| !(deaf && signal.1 == SIGHUP)) {
        let run = signal.trim_start_matches('-');
        let mut child = lab.spawn(&["train", "c.toml", "--run-dir", run]);
        wait_for_steps(&lab, run);
        (0..times).for_each(|_| send(signal, &child));
        assert_eq!(child.wait().unwrap().code(), Some(128 + number), "{signal}");
        saved(&lab, run);
    }
}

#[test]
fn under_nohup_a_run_goes_on_without_its_terminal() {
    let lab = endless();
    let script = format!("trap '' HUP; exec '{}' train c.toml --run-dir run", env!("CARGO_BIN_EXE_ebm"));
    let mut command = Command::new("sh");
    command.current_dir(lab.path("")).args(["-c", &script]).stdout(Stdio::null()).stderr(Lost::Pipe.stream());
    let mut child = command.spawn().unwrap();
    wait_for_steps(&lab, "run");
    send("-HUP", &child);
    let metrics = lab.path("run/metrics.jsonl");
    let length = || std::fs::metadata(&metrics).unwrap().len();
    let before = length();
    wait_until("further steps", || length() > before + 10_000);
    send("-TERM", &child);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    saved(&lab, "run");
}

/// The runs of a sweep that is under way, both trials of it.
fn sweeping(lab: &Lab, dir: &str, plan: &str) -> (Child, Vec<String>) {
    let words = ["sweep", plan, "--jobs", "2", "--run-dir", dir];
    let rows = lab.json(&[&words[..], &["--dry-run"]].concat())["trials"].as_array().unwrap().clone();
    let runs: Vec<String> = rows.iter().map(|row| row["run"].as_str().unwrap().to_owned()).collect();
    let child = lab.command(&words).stdout(Stdio::null()).stderr(Lost::Pipe.stream()).spawn().unwrap();
    runs.iter().for_each(|run| wait_for_steps(lab, run));
    (child, runs)
}

fn is_in_use(lab: &Lab, run: &str) -> bool {
    Paths::of(&lab.path(run)).is_in_use()
}

#[test]
fn a_sweep_takes_its_trials_with_it() {
    let deaf = is_under_nohup();
    let lab = endless();
    let signals = [("-HUP", SIGHUP), ("-USR1", SIGUSR1), ("-QUIT", SIGQUIT), ("-INT", SIGINT)];
    for (signal, number) in signals.into_iter().filter(|signal| !(deaf && signal.1 == SIGHUP)) {
        let (mut child, runs) = sweeping(&lab, signal.trim_start_matches('-'), "p.toml");
        send(signal, &child);
        if matches!(number, SIGHUP | SIGUSR1) {
            send(signal, &child);
        }
        assert_eq!(child.wait().unwrap().code(), Some(128 + number), "{signal}");
        for run in &runs {
            assert!(!is_in_use(&lab, run), "{signal}: {run} runs on");
            saved(&lab, run);
        }
    }
    // Whoever signals a whole job, trials and all, does not end them unsaved.
    let (mut child, runs) = sweeping(&lab, "all", "p.toml");
    let pid = |run: &str| std::fs::read_to_string(lab.path(run).join(".lock")).unwrap().trim().to_owned();
    let pids = [vec![child.id().to_string()], runs.iter().map(|run| pid(run)).collect()].concat();
    // The sweep comes first, and a trial that it ends at once may be gone when its own signal is sent.
    Command::new("kill").arg("-TERM").args(pids).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    runs.iter().for_each(|run| saved(&lab, run));
}

#[test]
fn a_second_word_ends_a_sweep_and_its_trials_at_once() {
    let lab = endless();
    // From the first step on, the trials are inside a probe that takes far longer than anybody's patience.
    let slow = "[[probe]]\nname = \"lsd\"\nevery = 11\nepochs = 100000\nitems = 1000\n";
    lab.write("c.toml", &(bare("lsd", 40) + slow));
    let (mut child, runs) = sweeping(&lab, "s", "p.toml");
    send("-INT", &child);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "the first signal waits for the trials");
    send("-INT", &child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!runs.iter().any(|run| is_in_use(&lab, run)));
}

/// On a terminal of 20 columns that closes while a run draws its bar on it.
#[cfg(target_os = "linux")]
#[test]
fn a_narrow_terminal_that_closes_is_survived() {
    if is_under_nohup() {
        return;
    }
    let lab = endless();
    let inside = format!("stty cols 20; exec '{}' train c.toml --run-dir run", env!("CARGO_BIN_EXE_ebm"));
    let mut command = Command::new("script");
    command.current_dir(lab.path("")).args(["-qec", &inside, "/dev/null"]).stdin(Stdio::null()).stdout(Stdio::null());
    // Where there is no `script`, there is no terminal to be had.
    let Ok(mut child) = command.spawn() else { return };
    wait_for_steps(&lab, "run");
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the end of the run", || !is_in_use(&lab, "run"));
    saved(&lab, "run");
    let Output { status, .. } = lab.command(&["show", "run/checkpoints/last.safetensors"]).output().unwrap();
    assert!(status.success());
}
