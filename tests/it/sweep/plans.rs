//! Plans: what is refused, and what a plan expands to.

use super::*;

#[test]
fn mistakes_are_found_before_anything_runs_and_shown_in_the_plan() {
    let lab = lab(PLAN);
    let refused = |plan: &str, says: &[&str]| {
        lab.write("p.toml", plan);
        lab.refused(2, &["sweep", "p.toml"], says);
        assert!(!lab.path("runs").exists(), "{plan}");
    };
    let lsd = "config = \"lsd.toml\"\n";
    let with = |rest: &str| format!("{lsd}{rest}");
    refused(&with("[grid]\n\"method.lamda\" = [1, 2]\n"), &["did you mean `lambda`?", "p.toml:3:1"]);
    refused(&with("[grid]\nmethod.lamda = [1, 2]\n"), &["did you mean `lambda`?", "p.toml:3:8"]);
    refused(&with("[grid]\n\"method.lambda\" = [1, \"x\"]\n"), &["must be a number", "p.toml:3:23"]);
    refused(&with("[grid]\n\"method.lambda\" = 1\n"), &["must be a list of values", "p.toml:3:19"]);
    refused(&with("[grid]\n\"method.lambda\" = []\n"), &["an empty list"]);
    refused(&with("[grid]\n\"dataset.name\" = [\"mons\"]\n"), &["did you mean `moons`?", "p.toml:3:19"]);
    refused(&with("[gird]\n\"method.lambda\" = [1]\n"), &["did you mean `grid`?", "p.toml:2:2"]);
    refused(&with("seed = [1]\n"), &["did you mean `seeds`?"]);
    refused(&with("seeds = -1\n"), &["these are no seeds", "p.toml:2:9"]);
    refused(&with("seeds = [1, 1]\n"), &["different"]);
    refused(&with("[grid]\nseed = [1, 2]\n"), &["write `seeds`"]);
    refused(&with("set = { \"train.steps\" = 5 }\n[grid]\n\"train.steps\" = [1]\n"), &["set, and swept as well"]);
    refused(&with("[grid]\n\"optim.lr\" = [1]\n[random]\ntrials = 1\noptim.lr = { uniform = [0.1, 1] }\n"), &["twice"]);
    refused(&with("[random]\n\"optim.lr\" = { uniform = [0.1, 1] }\n"), &["needs `trials`"]);
    refused(&with("[random]\ntrials = 2\n\"optim.lr\" = { unifrom = [0, 1] }\n"), &["did you mean `uniform`?"]);
    refused(&with("[random]\ntrials = 2\n\"optim.lr\" = { log_uniform = [0, 1] }\n"), &["two positive numbers"]);
    refused(&with("[[zip]]\noptim.lr = [1, 2]\ntrain.steps = [1]\n"), &["has 1 value, but", "has 2", "p.toml:4:"]);
    refused(&with("[[arm]]\nname = \"a\"\n[[arm]]\nname = \"a\"\n"), &["two arms called `a`"]);
    refused(&with("[[arm]]\nname = \"a/b\"\n"), &["must be a plain word"]);
    refused("seeds = 2\n", &["`config`, the experiment to run, is missing"]);
    refused("config = \"lds.toml\"\n", &["lds.toml", "there is no such file", "p.toml:1:10"]);
    lab.write("p.toml", &with("[quick.grid]\n\"optim.lr\" = [1]\n"));
    lab.refused(2, &["sweep", "p.toml", "--quick"], &["sweeps `optim.lr`, but the plan does not", "p.toml:3:1"]);
    lab.write("p.toml", PLAN);
    lab.refused(2, &["sweep", "p.toml", "--set", "method.lambda=3"], &["the plan sweeps `method.lambda`"]);
    lab.refused(2, &["sweep", "p.toml", "--set", "seed=3"], &["the plan sweeps `seed`"]);
    lab.refused(2, &["sweep", "p.toml", "--set", "train.stpes=3"], &["did you mean `steps`?"]);
    lab.refused(2, &["sweep", "p.toml", "--quick"], &["no [quick]"]);
    lab.refused(2, &["sweep", "p.toml", "--shard", "3/2"], &["write I/N"]);
    lab.refused(2, &["sweep", "p.toml", "--jobs", "0"], &["--jobs"]);
    assert!(!lab.path("runs").exists());
}

#[test]
fn linked_values_draws_and_the_quick_version() {
    let lab = lab("config = \"lsd.toml\"\nseeds = 3\nset = { train.steps = 50 }\n\
         [grid]\nmethod.lambda = [1, 2, 3, 4]\n\
         [[zip]]\n\"train.batch_size\" = [8, 16]\n\"model.net.hidden\" = [[4], [8, 8]]\n\
         [random]\ntrials = 5\nseed = 2\n\"optim.lr\" = { log_uniform = [1e-5, 1e-2] }\n\
         [quick]\nseeds = 1\nset = { train.steps = 4 }\ngrid = { method.lambda = [1] }\nrandom = { trials = 2 }\n");
    let full = lab.json(&["sweep", "p.toml", "--dry-run"]);
    assert_eq!(rows(&full).len(), 4 * 2 * 5 * 3);
    let report = lab.json(&["-q", "sweep", "p.toml", "--quick"]);
    assert_eq!(report["sweep"], "runs/p-quick");
    assert_eq!(rows(&report).len(), 2 * 2);
    for row in rows(&report) {
        let set = &row["settings"];
        let linked = (set["train.batch_size"].as_u64().unwrap(), set["model.net.hidden"].to_string());
        assert!([(8, "[4]".to_owned()), (16, "[8,8]".to_owned())].contains(&linked), "{row}");
        assert!((1e-5..=1e-2).contains(&set["optim.lr"].as_f64().unwrap()));
        // The quick draws are the first of all draws, and the names are the same.
        assert!(ids(&full).contains(&row["id"].as_str().unwrap().to_owned()));
    }
}

#[test]
fn keys_that_follow_the_seed() {
    let plan =
        "config = \"lsd.toml\"\nseeds = [3, 4]\nset = { train.steps = 4 }\nwith_seed = { \"dataset.limit\" = 100 }\n";
    let lab = lab(plan);
    let report = lab.json(&["-q", "sweep", "p.toml"]);
    for row in rows(&report) {
        let config = read(&lab.path(row["run"].as_str().unwrap()).join("config.toml"));
        let config: toml::Table = String::from_utf8(config).unwrap().parse().unwrap();
        let limit = config["dataset"]["limit"].as_integer().unwrap();
        assert_eq!(limit, 100 + row["seed"].as_i64().unwrap());
    }
    // What was run is what the plan says: nothing is left to do, and nothing has changed.
    assert_eq!(lab.json(&["-q", "sweep", "p.toml"])["ran"], 0);
    lab.write("p.toml", &plan.replace("= 100", "= -1"));
    lab.refused(2, &["sweep", "p.toml"], &["must be a whole number", "p.toml:4:"]);
    lab.write("p.toml", &plan.replace("limit", "limt"));
    lab.refused(2, &["sweep", "p.toml"], &["did you mean `limit`?", "p.toml:4:"]);
    lab.write("p.toml", &format!("{plan}[grid]\ndataset.limit = [1]\n"));
    lab.refused(2, &["sweep", "p.toml"], &["goes with the seed, and is swept as well"]);
    lab.write("p.toml", plan);
    lab.refused(2, &["sweep", "p.toml", "--set", "dataset.limit=3"], &["the plan sweeps `dataset.limit`"]);
}

#[test]
fn plans_with_anything_anywhere_never_panic() {
    let lab = lab(PLAN);
    let path = lab.path("p.toml");
    let values = ["1", "-1", "1.5", "nan", "\"x\"", "[]", "[1, [2]]", "{}", "{ a = {} }", "true", "1979-05-27", "[{}]"];
    let keys = [
        "config",
        "seeds",
        "set",
        "grid",
        "zip",
        "random",
        "arm",
        "quick",
        "name",
        "grid.\"a.b\"",
        "zip.c",
        "random.trials",
        "random.\"optim.lr\"",
        "quick.seeds",
        "set.\"train..steps\"",
        "set.\"\"",
        "grid.extends",
    ];
    let (mut accepted, mut refused) = (0, 0);
    for key in keys {
        for value in values {
            for base in ["", "config = \"lsd.toml\"\n"] {
                if key == "config" && !base.is_empty() {
                    continue;
                }
                lab.write("p.toml", &format!("{base}{key} = {value}\n"));
                match Plan::load(&path, false).and_then(|plan| plan.trials(&[])) {
                    Ok(_) => accepted += 1,
                    Err(error) => {
                        refused += 1;
                        let text = error.to_string();
                        assert!(text.contains("p.toml:") && error.exit_code() == 2, "{base}{key} = {value}\n{text}");
                    }
                }
            }
        }
    }
    assert!(accepted > 5 && refused > 200, "{accepted} accepted, {refused} refused");
}

#[test]
fn every_shipped_plan_is_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/sweeps");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        for quick in [false, true] {
            let plan = Plan::load(&path, quick).unwrap_or_else(|e| panic!("{e}"));
            let trials = plan.trials(&[]).unwrap_or_else(|e| panic!("{e}"));
            assert!(!trials.is_empty(), "{}", path.display());
        }
    }
}

#[test]
fn a_sweep_over_a_key_that_trains_nothing_is_warned_of() {
    let lab = lab(PLAN);
    lab.write("pcd.toml", &bare("pcd", 5));
    let warned = |keys: &str| {
        lab.write("p.toml", &format!("config = \"pcd.toml\"\n{keys}\n"));
        let found = lab.run(&["sweep", "p.toml", "--dry-run"]);
        assert_eq!(found.code, Some(0), "{}", found.stderr);
        found.stderr
    };
    let said = warned("[grid]\nsampler.step_size = [0.1, 0.2]\nsampler.steps = [1, 2]\noptim.lr = [0.1, 0.2]");
    for says in ["`sampler.step_size`", "sweep `method.sampler.steps` instead", "all its values train the same model"] {
        assert!(said.contains(says), "{says}: {said}");
    }
    assert_eq!(said.matches("WARN").count(), 2, "one line a key: {said}");
    assert!(warned("[random]\ntrials = 2\ntrain.keep = { choice = [1, 2] }").contains("`train.keep`"));
    let trains = "[grid]\nmethod.sampler.steps = [1, 2]\nmodel.net.hidden = [[4], [8]]\ntrain.steps = [1, 2]";
    assert_eq!(warned(trains), "");
    assert_eq!(warned("set = { sampler.steps = 4 }\nseeds = 2"), "");
}

/// What would make trials alike without a word, or take another's folder.
#[test]
fn arms_keep_what_they_differ_in_and_folders_of_others_stay() {
    let arms = "[[arm]]\nname = \"x\"\nconfig = \"ml_grid.toml\"\nset = { \"optim.lr\" = 0.1 }\n\
                [[arm]]\nname = \"y\"\nconfig = \"ml_grid.toml\"\n";
    let lab = lab(arms);
    let words = ["sweep", "p.toml", "--dry-run", "--set", "optim.lr=0.5"];
    lab.refused(2, &words, &["arms of the plan differ in it", "change the plan"]);
    lab.ok(&["sweep", "p.toml", "--dry-run", "--set", "train.steps=3"]);
    lab.write("r.toml", "config = \"ml_grid.toml\"\n[random]\ntrials = 3\n");
    lab.refused(2, &["sweep", "r.toml", "--dry-run"], &["[random] draws no key", "log_uniform"]);
    lab.write("h.toml", "config = \"ml_grid.toml\"\nseeds = 2\n[halving]\nby = [\"arm\"]\nsteps = [1]\n");
    assert!(!lab.run(&["sweep", "h.toml", "--dry-run"]).stderr.contains("did you mean `arm`"));
    // A sweep's own folder is taken up again; that of a run, and another's sweep.json, are not.
    let sweep = |dir: &str| lab.run(&["-q", "sweep", "p.toml", "--set", "train.steps=3", "--run-dir", dir]);
    lab.ok(&["-q", "train", "ml_grid.toml", "--set", "train.steps=3", "--run-dir", "run"]);
    std::fs::create_dir(lab.path("mine")).unwrap();
    lab.write("mine/sweep.json", "{\"mine\": 1}");
    for (dir, says) in [("run", "this is the folder of a run"), ("mine", "none that a sweep wrote")] {
        let said = sweep(dir);
        assert!(said.code == Some(2) && said.stderr.contains(says), "{dir}: {}", said.stderr);
    }
    assert_eq!(read(&lab.path("mine/sweep.json")), b"{\"mine\": 1}");
    assert_eq!((sweep("s").code, sweep("s").code), (Some(0), Some(0)));
    // Arms are known without being asked for beside something else, and a damaged label is written anew.
    assert_eq!(lab.ok(&["ls", "s", "--filter", "arm=x"]).lines().count(), 2);
    assert!(lab.ok(&["ls", "s", "--columns", "run,arm"]).contains(" y"));
    let trial =
        std::fs::read_dir(lab.path("s")).unwrap().map(|e| e.unwrap().path()).find(|p| p.join("trial.json").exists());
    let config = trial.unwrap().join("config.toml");
    std::fs::write(&config, [0xff, 0xfe]).unwrap();
    assert_eq!(sweep("s").code, Some(1), "a configuration that cannot be read is none that fits");
}

/// The plan that docs/sweeps.md explains key by key is one that runs, as are its quick version and its search.
#[test]
fn the_plan_of_the_documentation_can_be_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/sweeps.md")).unwrap();
    let plans: Vec<&str> = page.split("```toml\n").skip(1).map(|text| text.split_once("```").unwrap().0).collect();
    let [plan, search] = plans[..] else { panic!("{} plans", plans.len()) };
    let lab = Lab::new();
    std::os::unix::fs::symlink(root.join("configs/paper"), lab.path("paper")).unwrap();
    std::fs::create_dir(lab.path("sweeps")).unwrap();
    let (above, below) = plan.split_once("[halving]").unwrap();
    let (_, quick) = below.split_once("[quick]").unwrap();
    for (text, counts) in [
        (plan.to_owned(), ["1,200 trials: 1200 waiting", "8 trials"]),
        (format!("{above}{search}\n[quick]{quick}"), ["135 trials: 135 waiting", "8 trials"]),
    ] {
        lab.write("sweeps/p.toml", &text);
        for (more, count) in [&[][..], &["--quick"]].into_iter().zip(counts) {
            let told = lab.ok(&[&["sweep", "sweeps/p.toml", "--dry-run"], more].concat());
            assert!(told.contains(count), "{told}");
        }
    }
}
