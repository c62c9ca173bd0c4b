//! Successive halving: trials go up rung by rung, nothing is trained twice, and kills change nothing.

use super::*;

/// Learning rates from useless to right, on an energy that a probe judges.
pub(super) const HALVING: &str = "config = \"judged.toml\"\n[grid]\n\
    \"optim.lr\" = [1e-7, 1e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2]\n\
    [halving]\nobjective = \"test_ll\"\nrungs = 3\n";

pub(super) fn lab_of(plan: &str) -> Lab {
    let lab = lab(plan);
    let probe = "checkpoint_every = 4\n[[probe]]\nname = \"nll\"\npoints = 16\nitems = 50\nsamples = 20\n";
    lab.write("judged.toml", &(bare("ml_grid", 36) + probe));
    lab
}

#[test]
fn a_run_stops_where_it_is_told_and_goes_on_as_if_it_had_not() {
    let lab = lab_of("");
    lab.ok(&["-q", "train", "judged.toml", "--run-dir", "whole"]);
    let said = lab.ok(&["-q", "train", "judged.toml", "--run-dir", "parts", "--until", "7"]);
    assert!(said.contains("7 steps of 36, stopped") && said.contains("resume parts"), "{said}");
    let manifest = lab.manifest("parts");
    let kept = ["status", "last_step", "until", "steps"].map(|key| manifest[key].clone());
    assert_eq!(kept, ["stopped".into(), Value::from(7), 7.into(), 36.into()]);
    assert!(manifest["last_metrics"]["test_ll"].is_number(), "{manifest}");
    assert!(lab.ok(&["ls", "."]).contains("stopped"));
    lab.refused(2, &["resume", "parts", "--until", "3"], &["has done 7 steps already", "--until 14"]);
    lab.ok(&["-q", "resume", "parts", "--until", "20"]);
    lab.ok(&["-q", "resume", "parts"]);
    assert_eq!(lab.manifest("parts")["status"], "finished");
    assert_eq!(lab.result("parts").0, lab.result("whole").0);
}

#[test]
fn the_objective_and_the_rungs_are_checked_when_the_plan_is_read() {
    let lab = lab_of(HALVING);
    let refused = |from: &str, to: &str, says: &[&str]| {
        lab.write("p.toml", &HALVING.replace(from, to));
        lab.refused(2, &["sweep", "p.toml"], says);
        assert!(!lab.path("runs").exists());
    };
    refused("\"test_ll\"", "\"test_l\"", &["did you mean `test_ll`?", "p.toml:5:13"]);
    refused("\"test_ll\"", "\"amari\"", &["the probe `amari` reports it", "p.toml:5:13"]);
    refused("\"test_ll\"", "\"energy_gradients\"", &["`objective` is a number of a probe"]);
    refused("rungs = 3", "rungs = 9", &["9 rungs with eta = 3 need a run of 3^8 steps, got 36", "p.toml:6:9"]);
    refused("rungs = 3", "min_steps = 36", &["the lowest rung is 36, but a run is 36 long"]);
    refused("rungs = 3", "rungs = 3\nby = [\"optim.lx\"]", &["does not vary `optim.lx`", "did you mean `optim.lr`?"]);
    lab.write("p.toml", HALVING);
    lab.refused(2, &["sweep", "p.toml", "--shard", "1/2"], &["searches in one folder share the work"]);
    // As many as are to begin, of the grid or of draws.
    let count = |plan: &str| {
        lab.write("p.toml", plan);
        rows(&lab.json(&["sweep", "p.toml", "--dry-run"])).len()
    };
    assert_eq!(count(&HALVING.replace("rungs = 3", "rungs = 3\ntrials = 5")), 5);
    let drawn = "config = \"judged.toml\"\nseeds = 2\n[random]\n\"optim.lr\" = { log_uniform = [1e-6, 1e-2] }\n\
                 [halving]\nobjective = \"test_ll\"\nrungs = 2\ntrials = 4\n";
    assert_eq!(count(drawn), 8);
}

#[test]
fn the_best_third_goes_on_and_the_others_are_shown_as_stopped() {
    let lab = lab_of(HALVING);
    let report = lab.json(&["-q", "sweep", "p.toml", "--jobs", "1"]);
    let (finished, stopped) = (&report["counts"]["finished"], &report["counts"]["stopped"]);
    assert_eq!(finished.as_u64().unwrap() + stopped.as_u64().unwrap(), 9, "{report}");
    let rungs = report["halving"]["rungs"].as_array().unwrap();
    assert_eq!(rungs.iter().map(|r| r["lengths"][0].as_u64().unwrap()).collect::<Vec<_>>(), [4, 12, 36]);
    assert_eq!(rungs[0]["settings"], 9);
    assert!(rungs[1]["settings"].as_u64() >= Some(3) && rungs[2]["settings"].as_u64() >= Some(1), "{report}");
    // Nobody has trained a step twice or beyond its rung.
    let mut steps = 0;
    for row in rows(&report) {
        let manifest = lab.manifest(row["run"].as_str().unwrap());
        let step = manifest["last_step"].as_u64().unwrap();
        assert!([4, 12, 36].contains(&step) && manifest["until"] == step, "{manifest}");
        assert_eq!(row["state"], if step == 36 { "finished" } else { "stopped" });
        steps += step;
    }
    assert_eq!(report["halving"]["steps"], steps);
    assert!(steps < 9 * 36 / 2, "{steps}");
    let again = lab.json(&["-q", "sweep", "p.toml", "--jobs", "2"]);
    assert_eq!((&again["ran"], &again["counts"]), (&0.into(), &report["counts"]));
    let text = lab.ok(&["-q", "sweep", "p.toml"]);
    assert!(text.contains(&format!("{stopped} stopped")) && text.contains("best test_ll"), "{text}");
    assert!(lab.ok(&["ls", "runs/p"]).matches("stopped").count() == stopped.as_u64().unwrap() as usize);
    let table = lab.json(&["compare", "runs/p", "--by", "method", "--unfinished"]);
    assert!(table.to_string().contains(&format!("\"stopped\":{stopped}")), "{table}");
    // Without [halving], a stopped one goes on to its end.
    let worst = rows(&report).iter().find(|row| row["state"] == "stopped").unwrap();
    let lr = worst["settings"]["optim.lr"].to_string();
    lab.write("p.toml", &format!("config = \"judged.toml\"\n[grid]\n\"optim.lr\" = [{lr}]\n"));
    let alone = lab.json(&["-q", "sweep", "p.toml"]);
    assert_eq!((&alone["ran"], &rows(&alone)[0]["id"]), (&1.into(), &worst["id"]));
    assert_eq!(lab.manifest(worst["run"].as_str().unwrap())["last_step"], 36);
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn killed_at_random_moments_the_search_ends_with_the_same_bytes() {
    let lab = lab_of(&(HALVING.to_owned() + "[quick]\nset = { train.steps = 180 }\n"));
    lab.ok(&["-q", "sweep", "p.toml", "--quick", "--jobs", "1", "--run-dir", "whole"]);
    let whole = results(&lab, "whole");
    let mut rng = Key::new(5).with("halving").rng();
    for round in 0..3 {
        let dir = format!("killed{round}");
        for _ in 0..6 {
            let mut child = lab.spawn(&["sweep", "p.toml", "--quick", "--jobs", "1", "--run-dir", &dir]);
            std::thread::sleep(std::time::Duration::from_millis(rng.random_range(30..600)));
            // Of the trial under way too, now and then: by the process id in its lock.
            let _ = child.kill();
            child.wait().unwrap();
            if rng.random_bool(0.5) {
                kill_trials(&lab.path(&dir));
            }
        }
        lab.ok(&["-q", "sweep", "p.toml", "--quick", "--jobs", "1", "--run-dir", &dir]);
        assert!(results(&lab, &dir) == whole, "round {round}");
    }
    // With more jobs the order of completions may differ, but not the best.
    let best = |dir: &str, jobs: &str| {
        let report = lab.json(&["-q", "sweep", "p.toml", "--quick", "--jobs", jobs, "--run-dir", dir]);
        report["halving"]["rungs"].as_array().unwrap().last().unwrap()["best"].clone()
    };
    assert_eq!(best("three", "3"), best("whole", "1"));
}

/// Kills the trials that are under way in a sweep whose driver is dead.
fn kill_trials(sweep: &Path) {
    for entry in std::fs::read_dir(sweep).into_iter().flatten().flatten() {
        let run = ebm::run::Paths::of(&entry.path());
        if run.is_in_use()
            && let Ok(pid) = std::fs::read_to_string(entry.path().join(".lock"))
        {
            let _ = Command::new("kill").args(["-KILL", pid.trim()]).status();
        }
    }
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn seeds_go_up_together_and_two_drivers_share_the_work() {
    let plan = HALVING.replace("[grid]", "seeds = 2\n[grid]");
    let lab = lab_of(&plan);
    let mut pair = ["1", "2"].map(|jobs| lab.spawn(&["sweep", "p.toml", "--jobs", jobs, "--run-dir", "shared"]));
    for child in &mut pair {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    let report = lab.json(&["-q", "sweep", "p.toml", "--run-dir", "shared"]);
    assert_eq!(report["ran"], 0);
    let mut steps: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for row in rows(&report) {
        let step = lab.manifest(row["run"].as_str().unwrap())["last_step"].as_u64().unwrap();
        steps.entry(row["settings"].to_string()).or_default().push(step);
    }
    assert!(steps.len() == 9 && steps.values().all(|pair| pair.len() == 2 && pair[0] == pair[1]), "{steps:?}");
}
