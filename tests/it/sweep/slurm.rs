//! Job arrays of a real SLURM: `scripts/slurm_testbed.sh` sets one up. Where there is none, these tests skip.

use super::*;

/// Whether the testbed is up; no other cluster is ever asked.
fn testbed() -> bool {
    let config = Command::new("scontrol").args(["show", "config"]).output();
    let up = config.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("ebm-testbed"));
    if !up {
        println!("skipped: no SLURM testbed here; scripts/slurm_testbed.sh start sets one up");
    }
    up
}

fn slurm(program: &str, words: &[&str]) -> String {
    let out = Command::new(program).args(words).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

/// Waits until every trial of the sweep is done.
fn wait_for(lab: &Lab, words: &[&str], state: &str, n: usize) {
    for _ in 0..600 {
        let status = lab.json(&[words, &["--status"]].concat());
        if status["counts"][state] == n {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let status = lab.ok(&[words, &["--status"]].concat());
    let said = std::fs::read_dir(lab.path(words[3]).join("slurm")).into_iter().flatten().flatten();
    let said: Vec<String> = said.filter_map(|e| std::fs::read_to_string(e.path()).ok()).collect();
    panic!("not {n} {state} within two minutes\n{status}\n{}", said.join("\n"));
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn an_array_whose_tasks_are_requeued_and_cancelled_ends_as_if_undisturbed() {
    if !testbed() {
        return;
    }
    let lab = lab("config = \"lsd.toml\"\nset = { train.steps = 3000, train.checkpoint_every = 50 }\nseeds = 3\n");
    lab.ok(&["-q", "sweep", "p.toml", "--run-dir", "whole"]);
    let words = ["sweep", "p.toml", "--run-dir", "array"];
    let submit = [&words[..], &["--launcher", "slurm", "--time", "10", "--array-limit", "2"]].concat();
    let job = lab.json(&submit)["job"].as_str().unwrap().to_owned();
    // Nothing is submitted twice.
    assert_eq!(lab.json(&submit)["tasks"], 0);
    let under_way = |lab: &Lab| {
        let status = lab.json(&[&words[..], &["--status"]].concat());
        let running = status["trials"].as_array().unwrap().iter().find(|row| row["state"] == "running").cloned();
        running.filter(|row| row["step"].as_u64() > Some(0))
    };
    let mut found = None;
    wait_until("a trial under way", || {
        found = under_way(&lab);
        found.is_some()
    });
    let place = found.unwrap()["where"].as_str().unwrap().to_owned();
    let task = place.split("job ").nth(1).unwrap().to_owned();
    assert!(task.starts_with(&job), "{place}");
    slurm("scontrol", &["requeue", &task]);
    // What announces the end of its time: the task saves and queues itself again.
    wait_until("another trial under way", || under_way(&lab).is_some());
    slurm("scancel", &["--batch", "--signal=USR1", &job]);
    wait_until("a trial under way again", || under_way(&lab).is_some());
    lab.ok(&[&words[..], &["--cancel"]].concat());
    wait_until("an empty queue", || slurm("squeue", &["--noheader", "--job", &job]).is_empty());
    let status = lab.json(&[&words[..], &["--status"]].concat());
    assert!(status["counts"]["running"].is_null() && status["counts"]["queued"].is_null(), "{status}");
    // Again: what is missing, and no more.
    let left = 3 - status["counts"]["finished"].as_u64().unwrap_or(0);
    assert!(left > 0);
    assert_eq!(lab.json(&submit)["tasks"], left);
    wait_for(&lab, &words, "finished", 3);
    assert!(results(&lab, "array") == results(&lab, "whole"));
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn a_search_runs_as_an_array_and_failures_are_told() {
    if !testbed() {
        return;
    }
    let lab = halving::lab_of(&(halving::HALVING.to_owned() + "[launcher]\nname = \"slurm\"\narray_limit = 2\n"));
    let words = ["sweep", "p.toml", "--run-dir", "search"];
    assert_eq!(lab.json(&words)["tasks"], 2);
    wait_until("an empty queue", || {
        let jobs = slurm("squeue", &["--noheader", "--me"]);
        jobs.is_empty()
    });
    let report = lab.json(&[&words[..], &["--launcher", "local", "-q"]].concat());
    assert_eq!(report["ran"], 0, "{report}");
    assert!(report["counts"]["finished"].as_u64() >= Some(1) && report["halving"]["rungs"][0]["settings"] == 9);
    lab.write(
        "f.toml",
        "config = \"ml_grid.toml\"\nset = { train.steps = 10 }\n[grid]\n\"dataset.name\" = [\"digits\", \"moons\"]\n",
    );
    let words = ["sweep", "f.toml", "--run-dir", "bad"];
    lab.ok(&[&words[..], &["--launcher", "slurm"]].concat());
    wait_for(&lab, &words, "failed", 1);
    wait_for(&lab, &words, "finished", 1);
    let status = lab.json(&[&words[..], &["--status"]].concat());
    assert!(status.to_string().contains("integrates over the plane"), "{status}");
}

#[test]
fn local_sweeps_have_a_status_and_can_be_cancelled() {
    let lab = lab("config = \"lsd.toml\"\nset = { train.steps = 30000, train.checkpoint_every = 0 }\nseeds = 3\n");
    let words = ["sweep", "p.toml", "--run-dir", "s"];
    let status = || lab.json(&[&words[..], &["--status"]].concat());
    assert_eq!(status()["counts"]["waiting"], 3);
    lab.refused(2, &[&words[..], &["--cancel"]].concat(), &["nothing is queued or running here"]);
    let mut child = lab.spawn(&[&words[..], &["--jobs", "2"]].concat());
    // A trial is taken before its process has the run folder.
    wait_until("two trials under way", || {
        let now = status();
        let there = |i: usize| now["trials"][i]["where"].as_str().unwrap().starts_with("process ");
        now["counts"]["running"] == 2 && there(0) && there(1)
    });
    let told = lab.json(&[&words[..], &["--cancel"]].concat());
    assert_eq!(told["processes"], 1);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let counts = status()["counts"].clone();
    assert_eq!((&counts["interrupted"], &counts["waiting"]), (&2.into(), &1.into()));
}

#[test]
fn trials_are_spread_over_the_gpus_that_are_visible() {
    let lab = lab("config = \"lsd.toml\"\nset = { train.steps = 30000, device = \"auto\" }\nseeds = 2\n");
    let mut command = lab.command(&["-q", "sweep", "p.toml", "--jobs", "2", "--run-dir", "s"]);
    let mut child = command.env("CUDA_VISIBLE_DEVICES", "4,7").spawn().unwrap();
    let mut seen = Vec::new();
    wait_until("two trials under way", || {
        let runs = std::fs::read_dir(lab.path("s")).into_iter().flatten().flatten();
        let pids: Vec<u32> = runs.filter_map(|run| ebm::run::Paths::of(&run.path()).user()).collect();
        let given = |pid: &u32| {
            let variables = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
            let text = String::from_utf8_lossy(&variables).into_owned();
            text.split('\0').find_map(|line| line.strip_prefix("CUDA_VISIBLE_DEVICES=").map(str::to_owned))
        };
        seen = pids.iter().filter_map(given).collect();
        seen.sort();
        seen.len() == 2
    });
    assert_eq!(seen, ["4", "7"]);
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    child.wait().unwrap();
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn the_tasks_of_a_step_are_ranks_of_one_run() {
    if !testbed() {
        return;
    }
    let lab = lab("config = \"lsd.toml\"\n");
    lab.ok(&["-q", "train", "lsd.toml", "--run-dir", "alone", "--set", "train.parts=2"]);
    let step = |ranks: &str| {
        let train = [env!("CARGO_BIN_EXE_ebm"), "-q", "train", "lsd.toml", "--run-dir", "two", "--ranks", ranks];
        Command::new("srun").args(["-n", "2"]).args(train).current_dir(lab.path("")).output().unwrap()
    };
    let told = step("3");
    assert!(String::from_utf8_lossy(&told.stderr).contains("srun started 2 tasks"), "{told:?}");
    let shared = step("2");
    assert!(shared.status.success(), "{}", String::from_utf8_lossy(&shared.stderr));
    assert!(lab.result("two") == lab.result("alone"));
}
