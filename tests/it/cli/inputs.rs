//! What a command reads: it stays as it is, in its order, and nothing of it is passed over.

use std::process::Command;

use ebm::data::file;

use super::*;

/// Twenty grey pictures, the i-th of level 10·i, in `lab`'s folder `grey`; and a run that was trained on them with
/// parts held out.
fn greys() -> Lab {
    let lab = Lab::new();
    std::fs::create_dir(lab.path("grey")).unwrap();
    for i in 0..20u8 {
        image::GrayImage::from_pixel(4, 4, image::Luma([10 * i])).save(lab.path(&format!("grey/{i:02}.png"))).unwrap();
    }
    lab.write(
        "c.toml",
        "[dataset]\nname = \"images\"\npath = \"grey\"\nsize = 4\nchannels = \"grey\"\nlabels = \"none\"\ntest = 0.2\n\
         validation = 0.2\ndequantise = false\n[method]\nname = \"denoising_score_matching\"\n[train]\nsteps = 2\n\
         batch_size = 4\n",
    );
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    lab
}

#[test]
fn pictures_of_a_folder_come_in_the_order_of_their_names_whatever_the_run_held_out() {
    let lab = greys();
    let energies = |words: &[&str]| {
        lab.ok(&[&["-q", "energy", "--ckpt", "run", "--out", "e.npy", "--data", "grey"], words].concat());
        file::array(&lab.path("e.npy")).unwrap().values
    };
    let (all, sets) = (energies(&[]), ["--set", "dataset.test=0", "--set", "dataset.validation=0"]);
    assert_eq!(all, energies(&sets));
    // Each alone has the energy that it has among the others.
    std::fs::create_dir(lab.path("one")).unwrap();
    for i in [3, 13, 15] {
        std::fs::copy(lab.path(&format!("grey/{i:02}.png")), lab.path("one/0.png")).unwrap();
        lab.ok(&["-q", "energy", "--ckpt", "run", "--out", "one.npy", "--data", "one"]);
        let alone = file::array(&lab.path("one.npy")).unwrap().values[0];
        assert!((alone - all[i]).abs() < 1e-4 * (1.0 + alone.abs()), "picture {i}: {alone} and {}", all[i]);
    }
    // Draws of before would stand among those of now.
    lab.ok(&["-q", "sample", "--ckpt", "run", "--n", "3", "--steps", "1", "--out", "draws/"]);
    let words = ["sample", "--ckpt", "run", "--n", "2", "--steps", "1", "--out", "draws/"];
    lab.refused(2, &words, &["holds pictures of other draws", "name a new folder"]);
}

const TABLE: &str = "[dataset]\nname = \"table\"\npath = \"t.csv\"\n[method]\nname = \"denoising_score_matching\"\n\
                     [train]\nsteps = 2\nbatch_size = 4\n";

/// Forty rows of two columns.
fn rows(names: &str) -> String {
    let row = |i: usize| format!("{},{}\n", i as f64 / 7.0, (i * i % 11) as f64);
    names.to_owned() + "\n" + &(0..40).map(row).collect::<String>()
}

/// A run on that table, `run` of `c.toml` on `t.csv`.
fn tabled() -> Lab {
    let lab = Lab::new();
    lab.write("t.csv", &rows("a,b"));
    lab.write("c.toml", TABLE);
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    lab
}

#[test]
fn no_output_takes_the_place_of_an_input_or_of_a_files_own_run() {
    let lab = lab_with_run(&bare("ml_grid", 3));
    lab.write("x.csv", "0.5,1.0\n0.25,2.0\n");
    lab.write("y.csv", "0.5,1.0\n");
    let before = read(&lab.path("x.csv"));
    std::os::unix::fs::symlink(lab.path("x.csv"), lab.path("link.csv")).unwrap();
    for (words, both) in [
        (&["energy", "--ckpt", "run", "--data", "x.csv", "--out", "x.csv"][..], "--data and --out"),
        (&["energy", "--ckpt", "run", "--data", "x.csv", "--out", "link.csv"], "--data and --out"),
        (
            &["energy", "--ckpt", "run", "--data", "y.csv", "--against", "x.csv", "--out", "./x.csv"],
            "--against and --out",
        ),
        (&["sample", "--ckpt", "run", "--init", "x.csv", "--out", "x.csv"], "--init and --out"),
        (&["compare", "run", "--reference", "x.csv", "--out", "x.csv"], "--reference and --out"),
    ] {
        lab.refused(2, words, &[both, "a name of its own"]);
    }
    assert!(read(&lab.path("x.csv")) == before);
    let manifest = read(&lab.path("run/manifest.json"));
    for out in ["run/manifest.json", "run/../run/manifest.json"] {
        lab.refused(2, &["compare", "run", "--out", out], &["is a file of the run in", "another name"]);
    }
    assert!(read(&lab.path("run/manifest.json")) == manifest);
}

#[test]
fn rows_that_look_like_comments_are_told() {
    let lab = tabled();
    let energy = |text: &str| {
        lab.write("x.csv", text);
        lab.run(&["-q", "energy", "--ckpt", "run", "--data", "x.csv", "--space", "data"])
    };
    for (text, line) in [("a,b\n1,2\n#N/A,3\n4,5\n", 3), ("a,b\n1,2\n\n# a word\n#N/A,3\n", 5), ("1,2\n#9\n", 2)] {
        let found = energy(text);
        let place = format!("line {line}: `#");
        assert!(found.code == Some(4) && found.stderr.contains(&place), "{text}: {}", found.stderr);
        assert!(found.stderr.contains("quotation marks"), "{}", found.stderr);
    }
    for text in ["# numpy.savetxt\n1,2\n# a word\n3,4\n#\n", "#a,b\n1,2\n3,4\n", "1,2\n## two\n3,4\n"] {
        let found = energy(text);
        assert!(
            found.code == Some(0) && found.stdout.lines().count() == 3,
            "{text}: {} {}",
            found.stdout,
            found.stderr
        );
    }
    lab.write("t.csv", &rows("a,b").replacen("\n", "\n#ff0000,1\n", 2));
    lab.refused(4, &["check", "c.toml"], &["`#ff0000` begins with #", "quotation marks"]);
}

#[test]
fn columns_of_a_table_are_found_by_their_names() {
    let lab = tabled();
    let energies = |text: &str, more: &[&str]| {
        lab.write("rows.csv", text);
        lab.ok(&[&["-q", "energy", "--ckpt", "run", "--data", "rows.csv"], more].concat())
    };
    let (want, in_space) = (energies("a,b\n1,2\n3,5\n", &[]), ["--space", "model"]);
    assert_eq!(want.lines().count(), 3);
    // In any order, among columns of words; by position without names, or under those of no table.
    for text in
        ["b,a\n2,1\n5,3\n", "word,b,energy,a\nx,2,7,1\ny,5,8,3\n", "1,2\n3,5\n", "x0,x1\n1,2\n3,5\n", "p,q\n1,2\n3,5\n"]
    {
        assert_eq!(energies(text, &[]), want, "{text}");
    }
    let model = energies("a,b\n1,2\n3,5\n", &in_space);
    assert_ne!(model, want, "the table is standardised");
    assert_eq!(energies("energy,x1,x0\n9,2,1\n9,5,3\n", &in_space), model);
    for (text, says) in [
        ("a,c\n1,2\n", "has no column `b`; the run's table has a, b"),
        ("a,b,a\n1,2,3\n", "more than one column `a`"),
        ("p,q,r\n1,2,3\n", "a row has 3 numbers, the table 2 columns"),
        ("a,b\n1,x\n", "column 2 (`b`): `x` is no number"),
    ] {
        lab.write("rows.csv", text);
        lab.refused(4, &["energy", "--ckpt", "run", "--data", "rows.csv"], &[says]);
        lab.refused(4, &["sample", "--ckpt", "run", "--init", "rows.csv"], &[says]);
        lab.refused(4, &["gof", "--ckpt", "run", "--samples", "rows.csv", "--tests", "ksd"], &[says]);
    }
    let pixels = ["energy", "--ckpt", "run", "--data", "rows.csv", "--space", "pixels"];
    lab.refused(2, &pixels, &["not trained on pictures"]);
}

/// Whatever `sample` leaves is read by what reads samples, with nothing said of its numbers.
#[test]
fn files_of_draws_are_read_as_they_are_written() {
    let lab = Lab::new();
    let line = |i: u32| format!("{},{},{}\n", 1_000 + (i * 7) % 200, ["red", "green", "blue"][i as usize % 3], i % 2);
    lab.write("t.csv", &format!("weight,colour,class\n{}", (0..300).map(line).collect::<String>()));
    let dataset = "[dataset]\nname = \"table\"\npath = \"t.csv\"\nlabel = \"class\"\ncategorical = [\"colour\"]\n\
                   standardise = true\nnoise = 0.1\n";
    let model = "[model]\nname = \"gaussian\"\n[method]\nname = \"none\"\n[sampler]\nname = \"exact\"\n\
                 [train]\nsteps = 1\n";
    lab.write("c.toml", &format!("{dataset}{model}"));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    let sample = ["-q", "sample", "--ckpt", "run", "--n", "150"];
    lab.ok(&[&sample[..], &["--out", "d.csv", "--save-npy", "d.npy"]].concat());
    lab.ok(&[&sample[..], &["--out", "m.csv", "--save-npy", "m.npy", "--space", "model"]].concat());
    let drawn = |file: &str| String::from_utf8(read(&lab.path(file))).unwrap();
    assert!(drawn("d.csv").starts_with("weight,colour,energy\n") && drawn("m.csv").starts_with("x0,x1,x2,x3,energy\n"));
    let energies = |file: &str, more: &[&str]| -> Vec<f64> {
        let told = lab.ok(&[&["-q", "energy", "--ckpt", "run", "--data", file], more].concat());
        told.lines().skip(1).map(|line| line.parse().unwrap()).collect()
    };
    // Words stand for what the model drew around them, so the two forms in the table's units agree with one another.
    let (words, places) = (energies("d.csv", &[]), energies("d.npy", &[]));
    assert!(words.len() == 150 && words.iter().zip(&places).all(|(a, b)| (a - b).abs() < 1e-3), "{words:?} {places:?}");
    let in_space = ["--space", "model"];
    let (text, array) = (energies("m.csv", &in_space), energies("m.npy", &in_space));
    assert!(text.iter().zip(&array).all(|(a, b)| (a - b).abs() < 1e-4));
    // The rows that it was trained on, label and all.
    assert_eq!(energies("t.csv", &[]).len(), 300);
    for file in ["d.csv", "d.npy", "t.csv"] {
        let told = lab.json(&["-q", "gof", "--ckpt", "run", "--samples", file, "--tests", "ksd"]);
        assert!(told["results"][0]["items"].as_u64().unwrap() >= 150, "{told}");
        let starts = ["--init", file, "--set", "sampler.name=mala", "--set", "sampler.steps=0", "--n", "100"];
        lab.ok(&[&["-q", "sample", "--ckpt", "run", "--out", "back.csv"][..], &starts].concat());
        let back = drawn("back.csv");
        let same = |(a, b): (&str, &str)| a.rsplit_once(',').unwrap().0 == b.rsplit_once(',').unwrap().0;
        assert!(file == "t.csv" || back.lines().zip(drawn("d.csv").lines()).all(same), "{file}");
    }
    lab.write("violet.csv", "weight,colour\n1000,violet\n");
    let says = ["line 2: column 2 (`colour`): `violet` is none of", "green"];
    lab.refused(4, &["energy", "--ckpt", "run", "--data", "violet.csv"], &says);
    std::fs::write(lab.path("far.npy"), ebm::data::file::npy_bytes(&[1, 2], &[1000.0, 3.0]).unwrap()).unwrap();
    lab.refused(4, &["energy", "--ckpt", "run", "--data", "far.npy"], &["3 stands for no word of `colour`", "0, 1, 2"]);
}

/// The file of a run begins where its keys say, wherever it is read; another where its first lines tell.
#[test]
fn the_file_of_a_run_is_read_as_in_training() {
    let lab = Lab::new();
    let rows: String = (0..30).map(|i| format!("{},{}\n", i % 7, i % 5)).collect();
    lab.write("t.csv", &format!("written by a scale\nin kilogrammes, metres\n2019,2020\n{rows}"));
    lab.write("bare.csv", &rows);
    let table = "[dataset]\nname = \"table\"\npath = \"t.csv\"\nskip = 2\nheader = \"yes\"\nstandardise = true\n";
    let rest =
        "[model]\nname = \"gaussian\"\n[method]\nname = \"none\"\n[sampler]\nname = \"exact\"\n[train]\nsteps = 1\n";
    lab.write("c.toml", &format!("{table}{rest}"));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    lab.ok(&["-q", "sample", "--ckpt", "run", "--n", "30", "--out", "d.csv"]);
    let energies = |file: &str| lab.ok(&["-q", "energy", "--ckpt", "run", "--data", file]);
    assert_eq!(energies("t.csv").lines().count(), 31);
    assert_eq!(energies("t.csv"), energies("bare.csv"));
    assert_eq!(energies(lab.path("t.csv").to_str().unwrap()), energies("bare.csv"), "by another path");
    assert_eq!(energies("d.csv").lines().count(), 31, "draws have no lines above them");
    lab.ok(&["-q", "sample", "--ckpt", "run", "--init", "t.csv", "--set", "sampler.name=mala", "--out", "e.csv"]);
    // What is not the run's is refused at its first line.
    lab.write("other.csv", &format!("written by a scale\nin kilogrammes\n{rows}"));
    lab.refused(4, &["energy", "--ckpt", "run", "--data", "other.csv"], &["line 1"]);
}

/// A run that was saved has a checkpoint; without one, to begin anew would cut its numbers away.
#[test]
fn a_run_whose_checkpoints_are_gone_is_left_as_it_is() {
    let lab = lab_with_run(&bare("ml_grid", 5));
    std::fs::rename(lab.path("run/checkpoints"), lab.path("away")).unwrap();
    let before = read(&lab.path("run/metrics.jsonl"));
    lab.refused(4, &["resume", "run", "--steps", "9"], &["no checkpoint is left", "saved at step 5", "put its"]);
    assert!(read(&lab.path("run/metrics.jsonl")) == before);
    let _ = std::fs::remove_dir_all(lab.path("run/checkpoints"));
    std::fs::rename(lab.path("away"), lab.path("run/checkpoints")).unwrap();
    lab.ok(&["-q", "resume", "run", "--steps", "9"]);
}

/// A count that no memory holds is an error with a remedy and exit code 5, whoever asks for it.
#[test]
fn counts_beyond_all_memory_are_errors() {
    const MANY: &str = "999999999999999999";
    let lab = lab_with_run(&bare("ml_grid", 3));
    for words in [
        &["sample", "--ckpt", "run", "--n", MANY][..],
        &["diagnose", "--ckpt", "run", "--chains", MANY],
        &["gof", "--ckpt", "run", "--items", MANY, "--tests", "ksd"],
        &["eval", "--ckpt", "run", "--probe", "nll", "--set", "nll.items=999999999999999999"],
        &["eval", "--ckpt", "run", "--probe", "nll", "--set", "nll.samples=99999999999999"],
        &["eval", "--ckpt", "run", "--probe", "ais", "--set", "ais.chains=99999999999999"],
        &["train", "c.toml", "--set", "method={name=\"pcd\", buffer=99999999999999}"],
        &["train", "c.toml", "--set", "method={name=\"jarzynski\", walkers=999999999999999999}"],
    ] {
        let found = lab.run(words);
        let sound = [Some(2), Some(4), Some(5)].contains(&found.code);
        let told = found.stderr.contains("hint:") && !found.stderr.contains("panicked");
        assert!(sound && told, "{words:?}: {:?} {}", found.code, found.stderr);
    }
}

#[test]
fn labels_beyond_the_models_classes_and_items_too_few_for_a_critic_are_told() {
    let lab = Lab::new();
    let text = "[dataset]\nname = \"digits\"\nflatten = true\n[model]\nname = \"classifier\"\n[method]\n\
                name = \"jem\"\n[train]\nsteps = 1\nbatch_size = 4\n";
    lab.write("c.toml", text);
    lab.refused(2, &["check", "c.toml", "--set", "model.classes=5"], &["10 classes", "--set model.classes=10"]);
    let lab = lab_with_run(&bare("ml_grid", 3));
    lab.write("x.csv", &rows("a,b").lines().skip(1).take(12).map(|row| format!("{row}\n")).collect::<String>());
    lab.refused(2, &["gof", "--ckpt", "run", "--samples", "x.csv", "--tests", "lsd"], &["20"]);
    lab.refused(2, &["eval-lsd", "--ckpt", "run", "--eval", "items=12"], &["at least 20, got 12"]);
}

/// An option that is short for a key, and the key: one of them would be passed over.
#[test]
fn a_key_and_the_option_that_is_short_for_it_exclude_each_other() {
    let lab = lab_with_run(&bare("ml_grid", 3));
    for (words, set) in [
        (&["sample", "--ckpt", "run", "--steps", "2"][..], "sampler.steps=7"),
        (&["sample", "--ckpt", "run", "--seed", "2"], "seed=7"),
        (&["diagnose", "--ckpt", "run", "--seed", "2"], "seed=7"),
        (&["gof", "--ckpt", "run", "--seed", "2"], "seed=7"),
        (&["eval", "--ckpt", "run", "--probe", "nll", "--seed", "2"], "seed=7"),
        (&["check", "c.toml", "--device", "cpu"], "device=\"cpu\""),
    ] {
        lab.refused(2, &[words, &["--set", set]].concat(), &["is short for", "keep one"]);
    }
    lab.ok(&["-q", "sample", "--ckpt", "run", "--steps", "2", "--set", "sampler.step_size=0.01", "--seed", "2"]);
}

/// Metrics that no run has, and a goal that nothing asks for, would change nothing without a word.
#[test]
fn what_compare_is_asked_for_is_there_or_refused() {
    let lab = lab_with_run(&bare("ml_grid", 3));
    lab.refused(2, &["compare", "run", "--rate", "nope"], &["no run has the metric `nope`"]);
    for word in ["--min", "--max"] {
        lab.refused(2, &["compare", "run", "--at", "best", word, "nope"], &["no run has the metric `nope`"]);
        lab.refused(2, &["compare", "run", word, "loss"], &["says what is best", "--choose KEY or --at best"]);
    }
}

#[test]
fn what_the_system_says_of_a_path_comes_with_a_remedy() {
    let lab = lab_with_run(&bare("ml_grid", 3));
    lab.refused(1, &["ls", "nope"], &["nope: No such file", "hint: nothing has this path"]);
    lab.refused(1, &["ls", "c.toml"], &["c.toml: Not a directory", "hint: name a folder"]);
}

/// A pipe among pictures would be waited for; labels that training does not see, and a name that two columns have, are
/// told.
#[test]
fn pipes_labels_held_out_and_columns_of_one_name_are_told() {
    let lab = greys();
    assert!(Command::new("mkfifo").arg(lab.path("grey/00a.png")).status().unwrap().success());
    lab.ok(&["-q", "check", "c.toml"]);
    let lab = tabled();
    lab.write("t.csv", &rows("a,a"));
    lab.refused(4, &["check", "c.toml", "--set", "dataset.columns=[\"a\"]"], &["more than one column `a`", "number"]);
    lab.ok(&["-q", "check", "c.toml", "--set", "dataset.columns=[0]"]);
    let labelled = |name: &str| {
        let row = |(i, row): (usize, &str)| format!("{row},{}\n", if i == 0 { "kind" } else { name });
        rows("a,b").lines().enumerate().map(row).collect::<String>()
    };
    lab.write("t.csv", &labelled("cat"));
    lab.write("u.csv", &labelled("dog"));
    let sets = ["--set", "dataset.label=kind", "--set", "dataset.test_path=u.csv"];
    let said = lab.run(&[&["check", "c.toml"], &sets[..]].concat());
    assert!(said.code == Some(0) && said.stderr.contains("no training item has (from 0): 1"), "{}", said.stderr);
    lab.write("u.csv", &labelled("cat"));
    let said = lab.run(&[&["check", "c.toml"], &sets[..]].concat());
    assert!(!said.stderr.contains("no training item has"), "{}", said.stderr);
}

/// `ulimit -f`, which systems answer with a signal that ends a program without a word.
#[test]
fn a_file_that_may_not_grow_is_an_error_and_nothing_is_lost() {
    let lab = lab_with_run(&bare("ml_grid", 3));
    let before = std::fs::read(lab.path(LAST)).unwrap();
    let line = format!("ulimit -f 1; exec '{}' resume run --steps 6", env!("CARGO_BIN_EXE_ebm"));
    let said = outcome(Command::new("bash").args(["-c", &line]).current_dir(lab.path("")));
    assert_eq!(said.code, Some(5), "{}", said.stderr);
    assert!(said.stderr.contains("File too large") && said.stderr.contains("ulimit -f unlimited"), "{}", said.stderr);
    assert!(std::fs::read(lab.path(LAST)).unwrap() == before);
    lab.ok(&["-q", "resume", "run", "--steps", "6"]);
}
