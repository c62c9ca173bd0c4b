//! `ebm ls`: which runs, what of them, in which form; and what people put on them.

use serde_json::json;

use super::*;

/// Runs written by hand: `a` and `b` by VERA, `c` by LSD and killed, `d` whose manifest is damaged.
fn runs() -> Lab {
    let lab = Lab::new();
    for (run, method, status, lr, ll) in [
        ("a", "vera", "finished", 0.001, Some(-39.5)),
        ("b", "vera", "finished", 0.01, Some(-41.25)),
        ("c", "lsd", "running", 0.001, None),
    ] {
        std::fs::create_dir_all(lab.path("runs").join(run)).unwrap();
        let last = ll.map_or(json!({}), |ll| json!({"test_ll": ll, "energy_gradients": 1_344_000}));
        let manifest = json!({"status": status, "method": method, "dataset": "moons", "seed": 7, "last_step": 1200,
            "last_metrics": last});
        lab.write(&format!("runs/{run}/manifest.json"), &manifest.to_string());
        let config = format!("seed = 7\n[method]\nname = \"{method}\"\n[optim]\nname = \"adam\"\nlr = {lr}\n");
        lab.write(&format!("runs/{run}/config.toml"), &config);
    }
    std::fs::create_dir(lab.path("runs/d")).unwrap();
    lab.write("runs/d/manifest.json", "{oops");
    lab
}

fn chosen(lab: &Lab, words: &[&str]) -> String {
    let text = lab.ok(&[&["ls", "--columns", "name", "--format", "csv"], words].concat());
    text.lines().skip(1).collect::<Vec<_>>().concat()
}

#[test]
fn runs_are_chosen_by_an_expression() {
    let lab = runs();
    for (filter, says) in [
        ("method=vera and test_ll>-40", "a"),
        ("not (method=vera and test_ll>-40)", "bc"),
        ("optim.lr = 1e-3", "ac"),
        ("optim.lr=0.001 or test_ll < -41", "abc"),
        ("status = killed", "c"),
        ("name != b and step >= 1200", "ac"),
        ("tags = paper", ""),
    ] {
        assert_eq!(chosen(&lab, &["--filter", filter]), says, "{filter}");
    }
    assert_eq!(chosen(&lab, &["--filter", "method=vera", "--sort", "optim.lr", "-r"]), "ba");
    let at = |filter: &str, says: &[&str]| lab.refused(2, &["ls", "--filter", filter], says);
    at("method=vera and tset_ll>-40", &["--filter:1:17", "^^^^^^^", "did you mean `test_ll`?"]);
    at("optim.rl=1", &["--filter:1:1", "did you mean `optim.lr`?"]);
    at("method=vera and", &["--filter:1:16", "a comparison is missing"]);
    at("(method=vera", &["--filter:1:1", "without its `)`"]);
    // Nothing is known of no runs.
    std::fs::create_dir(lab.path("none")).unwrap();
    assert_eq!(lab.json(&["ls", "none", "--filter", "tset_ll>-40"]), json!([]));
}

#[test]
fn columns_are_chosen_and_printed_in_three_forms() {
    let lab = runs();
    let columns = ["ls", "--columns", "name,optim.lr,test_ll,energy_gradients,status"];
    let table = lab.ok(&columns);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["name", "optim.lr", "test_ll", "energy_gradients", "status"]);
    assert_eq!(lines[1], ["a", "0.001", "-39.5000", "1,344,000", "finished"]);
    assert_eq!(lines[3], ["c", "0.001", "-", "-", "killed"]);
    let csv = lab.ok(&[&columns[..], &["--format", "csv"]].concat());
    assert_eq!(csv.lines().nth(2), Some("b,0.01,-41.25,1344000,finished"));
    assert_eq!(csv.lines().nth(3), Some("c,0.001,,,killed"));
    let json = lab.json(&columns);
    let gradients = 1_344_000.0;
    assert_eq!(
        json[1],
        json!({"name": "b", "optim.lr": 0.01, "test_ll": -41.25, "energy_gradients": gradients,
        "status": "finished"})
    );
    assert!(json[2]["test_ll"].is_null());
    assert_eq!(lab.ok(&[&columns[..], &["--format", "json"]].concat()), lab.ok(&[&columns[..], &["--json"]].concat()));
    lab.refused(2, &["ls", "--columns", "name,test_l"], &["no run has `test_l`", "did you mean `test_ll`?"]);
    lab.refused(2, &["ls", "--json", "--format", "csv"], &["--format"]);
    // Without columns a document is the manifest as it is.
    let whole = lab.json(&["ls"]);
    assert_eq!((&whole[0]["run"], &whole[0]["manifest"]["last_step"]), (&"runs/a".into(), &1200.into()));
    assert_eq!(whole[2]["status"], "killed");
}

#[test]
fn a_list_fits_a_narrow_terminal() {
    let lab = runs();
    lab.ok(&["note", "runs/a", "the one of the paper, trained on the old cluster in the spring"]);
    for columns in [100, 40, 20] {
        let text = lab.on_terminal(columns, &["ls", "-q"]);
        let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > usize::from(columns)).collect();
        // The warning of the damaged manifest is a log line.
        assert!(wide.iter().all(|line| line.contains("manifest") || line.contains("hint")), "{columns}: {wide:?}");
        assert!(text.contains("runs/a") && text.contains("finished") && !text.contains('\x1b'), "{text}");
    }
}

#[test]
fn tags_and_a_note_stay_with_a_run_and_out_of_what_it_says_of_itself() {
    let lab = runs();
    let before = read(&lab.path("runs/a/manifest.json"));
    assert_eq!(lab.ok(&["tag", "runs/a", "paper", "best"]), "runs/a: best, paper\n");
    assert_eq!(lab.json(&["tag", "runs/b", "paper"]), json!({"run": "runs/b", "tags": ["paper"], "note": ""}));
    assert_eq!(lab.ok(&["note", "runs/a", "lr was", "too high"]), "runs/a: lr was too high\n");
    assert_eq!(lab.ok(&["note", "runs/a"]), "runs/a: lr was too high\n");
    assert_eq!(chosen(&lab, &["--filter", "tags=paper and tags!=best"]), "b");
    let table = lab.ok(&["ls"]);
    assert!(table.contains("best, paper  lr was too high"), "{table}");
    let listed = lab.json(&["ls", "--filter", "tags=best"]);
    assert_eq!((&listed[0]["tags"], &listed[0]["note"]), (&json!(["best", "paper"]), &"lr was too high".into()));
    lab.ok(&["report", "runs/a", "--out", "r.html"]);
    assert!(String::from_utf8(read(&lab.path("r.html"))).unwrap().contains("\"note\":\"lr was too high\""));
    lab.refused(2, &["tag", "runs/a", "--remove", "pper"], &["no tag `pper`", "did you mean `paper`?"]);
    lab.refused(2, &["tag", "runs/a", "two words"], &["two words", "one word"]);
    lab.refused(2, &["tag", "runs", "x"], &["not a run folder"]);
    assert_eq!(lab.ok(&["tag", "runs/a", "--remove", "paper"]), "runs/a: best\n");
    assert_eq!(lab.ok(&["note", "runs/a", "--remove"]), "runs/a: -\n");
    assert!(read(&lab.path("runs/a/manifest.json")) == before);
    // A damaged file costs its words alone.
    lab.write("runs/a/remarks.json", "[");
    assert!(lab.run(&["ls"]).stderr.contains("remarks.json"));
    lab.refused(4, &["tag", "runs/a", "x"], &["remarks.json", "no run reads it"]);
}

#[test]
fn show_says_what_is_said_of_a_run_and_stays_a_configuration() {
    let lab = lab_with_run(&bare("ml_grid", 3));
    lab.ok(&["tag", "run", "best"]);
    lab.ok(&["note", "run", "first\nsecond"]);
    let shown = lab.ok(&["show", "run"]);
    assert!(shown.starts_with("# tags: best\n# note: first\n#       second\n"), "{shown}");
    lab.write("again.toml", &shown);
    assert_eq!(lab.ok(&["show", "again.toml"]).into_bytes(), read(&lab.path("run/config.toml")));
    assert_eq!(lab.ok(&["show", LAST]).into_bytes(), read(&lab.path("run/config.toml")));
    // Another run in its place is another run.
    lab.ok(&["-q", "resume", "run", "--steps", "6"]);
    assert!(lab.path("run/remarks.json").exists());
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run", "--overwrite"]);
    assert!(!lab.path("run/remarks.json").exists());
}

#[test]
fn every_subcommand_has_a_page_of_the_manual_and_completions() {
    let lab = Lab::new();
    lab.ok(&["man", "--out", "man"]);
    let page = |name: &str| String::from_utf8(read(&lab.path("man/man1").join(name))).unwrap();
    let names =
        |command: &clap::Command| command.get_subcommands().map(|c| c.get_name().to_owned()).collect::<Vec<_>>();
    let cli = <ebm::cli::Cli as clap::CommandFactory>::command();
    for name in names(&cli) {
        assert!(page(&format!("ebm-{name}.1")).contains(".SH SYNOPSIS"), "{name}");
        assert!(page("ebm.1").contains(&name.replace('-', "\\-")), "{name}");
    }
    assert!(page("ebm-data-fetch.1").contains("mirror") && page("ebm.1").contains("diverged"));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = lab.ok(&["completions", shell]);
        assert!(names(&cli).iter().all(|name| script.contains(name.as_str())), "{shell}");
    }
}

#[test]
fn doctor_holds_every_operation_of_the_device_against_the_composed_one() {
    let lab = Lab::new();
    let told = lab.ok(&["doctor"]);
    for says in ["device", "cpu", "threads", "operation", "f64", "f32", "convolution", "Swish tangent"] {
        assert!(told.contains(says), "{says}: {told}");
    }
    let facts = lab.ok(&["doctor", "--facts"]);
    assert!(facts.contains("threads") && !facts.contains("operation"), "{facts}");
    let json = lab.json(&["doctor"]);
    let all = json["operations"].as_array().unwrap();
    assert!(all.len() > 40 && all.iter().all(|one| one["ok"] == true), "{json}");
    if !cfg!(feature = "cuda") {
        lab.refused(2, &["doctor", "--device", "cuda:0"], &["built without CUDA", "scripts/build_cuda.sh"]);
        let auto = lab.run(&["doctor", "--facts", "--device", "auto"]);
        assert!(auto.stderr.contains("device auto: the CPU computes, since this binary was built without CUDA"));
    }
}

#[test]
fn a_number_that_was_found_after_training_is_named_where_its_bare_name_is_asked_for() {
    let lab = lab_with_run(&bare("ml_grid", 2));
    lab.ok(&["-q", "eval", "--ckpt", "run", "--probe", "nll", "--keep", "--set", "nll.points=16"]);
    for words in [&["ls", ".", "--filter", "test_ll > -100"][..], &["ls", ".", "--columns", "run,test_ll"]] {
        lab.refused(2, words, &["found after training", "`eval/test_ll`"]);
    }
    assert!(lab.ok(&["ls", ".", "--filter", "eval/test_ll > -100"]).contains("run"));
}
