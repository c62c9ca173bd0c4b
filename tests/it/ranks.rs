//! A run that several processes share leaves the bytes of one that computes the same parts alone, however its ranks
//! were started, stopped or killed.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use ebm::methods::METHODS;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Lab, Outcome, bare, experiment, outcome, wait_until};

fn lab(config: &str) -> Lab {
    let lab = Lab::new();
    lab.write("c.toml", config);
    lab
}

/// Holds two runs to have come to the same: numbers, then checkpoints.
fn assert_same(lab: &Lab, run: &str, other: &str, how: &str) {
    let (have, want) = (lab.result(run), lab.result(other));
    assert_eq!(have.1, want.1, "{how}");
    assert_eq!(have.0, want.0, "{how}");
}

/// A run in two processes, one alone, and two that were stopped half-way and went on as the other kind.
fn shared_and_alone(method: &str) {
    let lab = lab(&experiment(method));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "alone", "--set", "train.parts=2"]);
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "two", "--ranks", "2"]);
    assert_same(&lab, "two", "alone", method);
    // The probes look where a run stops, too.
    for (run, first, then) in [("half", "1", "1"), ("a", "1", "2"), ("b", "2", "1")] {
        let words = ["-q", "train", "c.toml", "--run-dir", run, "--set", "train.parts=2", "--until", "4", "--ranks"];
        lab.ok(&[&words[..], &[first]].concat());
        lab.ok(&["-q", "resume", run, "--ranks", then]);
        assert_same(&lab, run, "half", &format!("{method}: {first} ranks and then {then}"));
    }
}

#[test]
fn two_ranks_leave_what_one_process_does() {
    ["pcd", "lsd", "vera"].into_iter().for_each(shared_and_alone);
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn two_ranks_leave_what_one_process_does_by_every_method() {
    METHODS.iter().for_each(|row| shared_and_alone(row.name));
}

#[test]
fn parts_change_the_last_digits_and_no_more() {
    let lab = lab(&bare("pcd", 20));
    for (run, parts) in [("1", "train.parts=1"), ("4", "train.parts=4")] {
        lab.ok(&["-q", "train", "c.toml", "--run-dir", run, "--set", parts, "--set", "dataset.name=moons"]);
    }
    let last = |run: &str| lab.manifest(run)["last_metrics"]["grad_norm"].as_f64().unwrap();
    let (one, four) = (last("1"), last("4"));
    assert!((one / four - 1.0).abs() < 1e-3, "{one} and {four}");
}

#[test]
fn ranks_that_cannot_be_are_refused() {
    let lab = lab(&bare("pcd", 4));
    let train = ["-q", "train", "c.toml", "--run-dir", "run"];
    let odd = ["--set", "train.parts=3", "--ranks", "2"];
    lab.refused(2, &[&train[..], &odd].concat(), &["3 parts cannot be shared evenly by 2 ranks", "train.parts=2"]);
    assert!(!lab.path("run").exists());
    lab.ok(&[&train[..], &["--until", "2"]].concat());
    lab.refused(2, &["-q", "resume", "run", "--ranks", "2"], &["divides no batch", "without --ranks"]);
    lab.ok(&["-q", "resume", "run"]);
}

/// Two processes that someone else starts, at a port that was free a moment ago.
fn by_hand(lab: &Lab, words: [&[&str]; 2]) -> [Outcome; 2] {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let rank = |rank: usize| -> Command {
        let mut command = lab.command(words[rank]);
        command.env("EBM_RANK", rank.to_string()).env("EBM_RANKS_ADDRESS", format!("localhost:{port}"));
        command
    };
    let other = rank(1).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let first = outcome(&mut rank(0));
    let other = other.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    [first, Outcome { code: other.status.code(), stdout: text(other.stdout), stderr: text(other.stderr) }]
}

#[test]
fn ranks_may_be_started_by_others_who_give_each_the_same() {
    let lab = lab(&experiment("lsd"));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "alone", "--set", "train.parts=2"]);
    let words = ["-q", "train", "c.toml", "--run-dir", "two", "--ranks", "2"];
    let [first, other] = by_hand(&lab, [&words, &words]);
    assert_eq!((first.code, other.code), (Some(0), Some(0)), "{}\n{}", first.stderr, other.stderr);
    assert_eq!(other.stdout, "", "rank 0 alone speaks");
    assert_same(&lab, "two", "alone", "started by hand");
    let longer = [&words[..4], &["again", "--ranks", "2", "--set", "train.warmup=3"]].concat();
    let words = [&words[..4], &["again", "--ranks", "2"]].concat();
    for ended in by_hand(&lab, [&words, &longer]) {
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("rank 1 has another configuration than rank 0: train.warmup = 3"));
    }
}

/// The processes that this one started.
fn children(of: &Child) -> Vec<i32> {
    let told = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", of.id())).unwrap_or_default();
    told.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn send(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

fn lives(pid: i32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

/// A long run in two ranks that has logged something, and the process id of rank 1.
fn under_way(lab: &Lab, run: &str) -> (Child, i32) {
    let words = ["-q", "train", "c.toml", "--run-dir", run, "--ranks", "2"];
    let first = lab.command(&words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let metrics = lab.path(run).join("metrics.jsonl");
    wait_until("a line of metrics", || std::fs::metadata(&metrics).is_ok_and(|file| file.len() > 0));
    let others = children(&first);
    assert_eq!(others.len(), 1, "{others:?}");
    (first, others[0])
}

#[test]
fn a_signal_to_one_rank_stops_all_and_they_go_on() {
    let config = bare("pcd", 4000).replace("log_every = 10", "log_every = 1\ncheckpoint_every = 0");
    let lab = lab(&config);
    for (run, to_first) in [("first", true), ("other", false)] {
        let (first, other) = under_way(&lab, run);
        send(if to_first { first.id().cast_signed() } else { other }, Signal::TERM);
        let ended = first.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(143), "{said}");
        assert!(said.contains("go on with") && !lives(other), "{said}");
        assert_eq!(lab.manifest(run)["status"], "interrupted");
        let step = lab.manifest(run)["last_step"].as_u64().unwrap();
        let until = (step + 2).to_string();
        lab.ok(&["-q", "resume", run, "--ranks", "2", "--until", &until]);
        let whole = format!("{run} whole");
        lab.ok(&["-q", "train", "c.toml", "--run-dir", &whole, "--set", "train.parts=2", "--until", &until]);
        assert_same(&lab, run, &whole, "after a signal");
    }
}

#[test]
fn a_rank_that_is_killed_ends_the_run_with_its_reason_and_none_is_left() {
    let lab = lab(&bare("pcd", 40_000).replace("log_every = 10", "log_every = 1"));
    let (first, other) = under_way(&lab, "other");
    send(other, Signal::KILL);
    let ended = first.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("rank 1 was killed"), "{said}");
    assert_eq!(lab.manifest("other")["status"], "failed");
    let (mut first, other) = under_way(&lab, "first");
    first.kill().unwrap();
    first.wait().unwrap();
    wait_until("the end of a rank without a leader", || !lives(other));
}
