//! Files that commands write: looked at before the work, none at the cost of another, and nothing that is no result.

use super::*;

/// Runs of data that cannot be drawn.
fn of_vectors(lab: &Lab, dataset: &str, model: &str) {
    lab.write(
        "c.toml",
        &format!(
            "[dataset]\n{dataset}\n[model]\n{model}\n[method]\nname = \"none\"\n[sampler]\nsteps = 3\n\
             [train]\nsteps = 1\n"
        ),
    );
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
}

#[test]
fn samples_that_cannot_be_drawn_are_written_as_numbers() {
    let rows: String = (0..40).map(|i| format!("{},{},{}\n", i % 7, i % 5, (i * i) % 11)).collect();
    for (dataset, model) in [
        ("name = \"gaussian\"\ndim = 3", "name = \"gaussian\""),
        ("name = \"ica\"\ndim = 3", "name = \"ica\""),
        ("name = \"table\"\npath = \"t.csv\"", "name = \"neural\"\nnet = { name = \"mlp\", hidden = [4] }"),
    ] {
        let lab = Lab::new();
        lab.write("t.csv", &rows);
        of_vectors(&lab, dataset, model);
        let words = ["sample", "--ckpt", LAST, "--n", "5"];
        let found = lab.run(&[&words[..], &["--save-npy", "x.npy"]].concat());
        assert_eq!(found.code, Some(0), "{dataset}: {}", found.stderr);
        assert!(found.stderr.contains("no picture") && found.stdout.contains("x.npy"), "{dataset}: {}", found.stderr);
        let npy = read(&lab.path("x.npy"));
        assert_eq!(npyz::NpyFile::new(&npy[..]).unwrap().shape(), [5, 3]);
        // Without a name, they go where the picture would.
        let told = lab.json(&[&["-q"], &words[..]].concat());
        assert!(told["picture"].is_null() && lab.path(told["npy"].as_str().unwrap()).exists(), "{told}");
        // What was asked for by name is refused, before any chain runs.
        let endless = ["--steps", "1000000000"];
        for form in [["--out", "x.png"], ["--gif", "x.gif"]] {
            let asked = [&words[..], &endless, &form, &["--save-npy", "y.npy"]].concat();
            lab.refused(2, &asked, &["cannot be drawn", "--save-npy"]);
        }
        assert!(!lab.path("y.npy").exists());
    }
}

#[test]
fn an_impossible_output_is_refused_before_the_work() {
    let lab = lab_with_run(&bare("ml_grid", 2));
    lab.write("file", "");
    std::fs::create_dir(lab.path("folder.png")).unwrap();
    let sample = ["sample", "--ckpt", LAST, "--n", "2", "--steps", "1000000000"];
    for (form, says) in [
        (&["--out", "x.jpg"][..], "must be .png"),
        (&["--out", "x"], "must be .png"),
        (&["--save-npy", "x.csv"], "must be .npy"),
        (&["--gif", "x.png"], "must be .gif"),
        (&["--out", "none/x.png"], "there is no folder"),
        (&["--out", "folder.png"], "is a folder"),
        (&["--save-npy", "file/x.npy"], "file"),
    ] {
        lab.refused(2, &[&sample[..], form].concat(), &[form[0], says]);
    }
    let folder = |words: &[&str]| lab.refused(2, words, &["file"]);
    folder(&["eval", "--ckpt", LAST, "--probe", "ais", "--set", "ais.temperatures=100000000", "--pictures", "file"]);
    folder(&["eval-lsd", "--ckpt", LAST, "--eval", "epochs=100000000", "--curves", "file"]);
    folder(&["diagnose", "--ckpt", LAST, "--steps", "1000000000", "--out", "file"]);
    folder(&["train", "c.toml", "--run-dir", "file"]);
    lab.refused(2, &["compare", "run", "--out", "none/x.md"], &["--out", "no folder"]);
    lab.refused(2, &["compare", "run", "--out", "a.md", "--out", "./a.md"], &["both name"]);
    assert_eq!(lab.names(), ["c.toml", "file", "folder.png", "run"]);
}

#[test]
fn two_checkpoints_of_one_name_have_their_curves_each() {
    let lab = lab_with_run(&bare("ml_grid", 2));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "b"]);
    let words = ["-q", "eval-lsd", "--ckpt", LAST, "--ckpt", "b/checkpoints/last.safetensors", "--curves", "curves"];
    let json = lab.json(&[&words[..], &["--eval", "epochs=2", "--eval", "items=50"]].concat());
    assert!(lab.path("curves/last.png").exists() && lab.path("curves/last-2.png").exists());
    let table = String::from_utf8(read(&lab.path("curves/last-2.csv"))).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "epoch,train,validation,validation_std,selection,test"));
    let histories = json["results"].as_array().unwrap().iter().map(|line| &line["history"][1]["test"]);
    let last: f64 = lines[2].rsplit(',').next().unwrap().parse().unwrap();
    assert!(lines[2].starts_with("2,") && histories.into_iter().any(|test| test.as_f64() == Some(last)), "{table}");
}

#[test]
fn chains_that_left_no_draws_are_no_result() {
    let lab = lab_with_run(&bare("ml_grid", 2));
    fn sample<'a>(more: &[&'a str]) -> Vec<&'a str> {
        [&["sample", "--ckpt", LAST, "--n", "6", "--out", "x.png"], more].concat()
    }
    let set = |keys: &[&'static str]| keys.iter().flat_map(|key| ["--set", *key]).collect::<Vec<_>>();
    // Every proposal is rejected; every chain leaves the numbers.
    let frozen = set(&["sampler.name=mala", "sampler.step_size=1e6", "sampler.steps=5"]);
    let blown = set(&["sampler.name=sgld", "sampler.drift=1e30", "sampler.steps=20"]);
    lab.refused(3, &sample(&frozen), &["none of the 6 chains moved", "--set sampler.step_size"]);
    lab.refused(3, &sample(&blown), &["6 of 6 chains", "not finite"]);
    assert!(!lab.path("x.png").exists());
    for keys in [&frozen, &blown] {
        lab.refused(3, &[&["eval", "--ckpt", LAST, "--probe", "samples"][..], &keys[..]].concat(), &["chains"]);
    }
    let told = lab.json(&sample(&["-q", "--set", "sampler.name=mala", "--steps", "5"]));
    assert_eq!((told["nonfinite"].as_u64(), told["n"].as_u64()), (Some(0), Some(6)), "{told}");
    assert!(told["frozen_chains"].is_u64() && told["nonfinite_proposals"].is_u64(), "{told}");
    // No steps are no fault.
    lab.ok(&sample(&["-q", "--steps", "0"]));
}

#[test]
fn a_probe_without_items_is_refused_and_counts_are_whole() {
    let lab = Lab::new();
    lab.write("t.csv", &(0..40).map(|i| format!("{},{}\n", i % 7, (i * i) % 5)).collect::<String>());
    of_vectors(
        &lab,
        "name = \"table\"\npath = \"t.csv\"\ntest = 0.0",
        "name = \"neural\"\nnet = { name = \"mlp\", hidden = [4] }",
    );
    for probe in ["score_matching", "ais", "lsd", "gof_ksd", "mmd", "magnetisation"] {
        lab.refused(2, &["eval", "--ckpt", LAST, "--probe", probe], &[probe, "test"]);
    }
    let words = ["--probe", "ais", "--set", "ais.temperatures=4", "--set", "ais.chains=6", "--set", "dataset.test=0.5"];
    let told = lab.json(&[&["-q", "eval", "--ckpt", LAST], &words[..]].concat());
    assert!(told["metrics"]["ais/energy_gradients"].is_u64(), "{told}");
    assert!(told["metrics"]["ais/log_z"].is_f64(), "{told}");
}

/// Every word of an export is replaced by the next one, and nothing that is none.
#[test]
fn an_export_takes_the_place_of_an_export_alone() {
    let lab = lab_with_run(&bare("ml_grid", 2));
    lab.ok(&["-q", "export", "run", "--to", "out"]);
    lab.refused(2, &["export", "run", "--to", "out"], &["not empty", "--overwrite"]);
    lab.ok(&["-q", "export", "run", "--to", "out", "--overwrite"]);
    std::fs::create_dir(lab.path("mine")).unwrap();
    lab.write("mine/README.md", "mine");
    lab.write("mine/config.json", "{}");
    for folder in ["mine", "run"] {
        let before = lab.names();
        let words = ["export", LAST, "--to", folder, "--overwrite"];
        lab.refused(2, &words, &[folder, "is of no export", "another folder"]);
        assert_eq!(lab.names(), before);
    }
    assert_eq!(std::fs::read_to_string(lab.path("mine/README.md")).unwrap(), "mine");
    lab.ok(&["ls", "run"]);
    lab.refused(2, &["completions", "bash", "--json"], &["prints a script"]);
    lab.refused(2, &["compare", "run", "--format", "csv", "--json"], &["two different things"]);
    let twice = lab.json(&["clean", ".", "run", "--keep", "1"]);
    assert!(twice["runs"].as_array().unwrap().len() <= 1, "{twice}");
}

/// What lies in a run is listed by nobody, and that is said.
#[test]
fn a_run_within_a_run_is_told() {
    let lab = lab_with_run(&bare("ml_grid", 2));
    let said = lab.run(&["train", "c.toml", "--run-dir", "run/more/inner"]);
    assert!(said.code == Some(0) && said.stderr.contains("lies in the run"), "{}", said.stderr);
    assert!(!lab.run(&["train", "c.toml", "--run-dir", "beside"]).stderr.contains("lies in the run"));
}

/// A finding behind a line that was cut stands on a line of its own.
#[test]
fn a_torn_line_of_findings_takes_no_other_with_it() {
    let lab = lab_with_run(&bare("ml_grid", 2));
    let keep = |seed: &str| lab.ok(&["-q", "eval", "--ckpt", "run", "--probe", "nll", "--keep", "--seed", seed]);
    keep("1");
    keep("2");
    let path = lab.path("run/evaluations.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &text[..text.len() - 9]).unwrap();
    keep("3");
    let lines = std::fs::read_to_string(&path).unwrap();
    let seeds = lines.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?["seed"].as_u64());
    assert_eq!(seeds.collect::<Vec<_>>(), [1, 3]);
}

/// Bytes that are no text would end a program that asks for them as such.
#[test]
fn a_path_that_is_not_utf_8_is_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let lab = lab_with_run(&bare("ml_grid", 2));
    let odd = std::ffi::OsStr::from_bytes(b"bad\xff");
    for words in [&["train", "c.toml", "--run-dir"][..], &["resume"], &["tag", "run"], &["ls"]] {
        let said = outcome(lab.command(words).arg(odd));
        assert!(said.code == Some(2) && said.stderr.contains("UTF-8"), "{words:?}: {}", said.stderr);
    }
    // A run may have come by such a name all the same.
    std::fs::create_dir(lab.path("runs")).unwrap();
    std::fs::rename(lab.path("run"), lab.path("runs").join(odd)).unwrap();
    assert_eq!(lab.json(&["ls", "runs"]).as_array().unwrap().len(), 1);
    lab.ok(&["-q", "report", "runs", "--out", "r.html"]);
    lab.ok(&["-q", "clean", "runs", "--json"]);
    lab.ok(&["-q", "compare", "runs", "--json"]);
}
